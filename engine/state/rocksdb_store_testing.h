#pragma once

#include <memory>
#include <string>

#include "engine/state/checkpoint_store.h"

namespace rocksdb {
class FileSystem;
}

namespace freshet {

/// OpenRocksDbStore on a RocksDB file system of the test's own, for faults inside the database (null: the real one).
Result<std::unique_ptr<CheckpointStore>> OpenRocksDbStoreOn(std::shared_ptr<rocksdb::FileSystem> file_system, Env* env,
                                                            const std::string& directory, bool fresh);

}  // namespace freshet
