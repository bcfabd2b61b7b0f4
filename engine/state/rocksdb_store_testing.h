#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "engine/base/limits.h"
#include "engine/state/checkpoint_store.h"

namespace rocksdb {
class FileSystem;
}

namespace freshet {

/// OpenRocksDbStore on a RocksDB file system of the test's own, for faults inside the database (null: the real one).
/// Epochs of more than `batch_key_count_max` rows are ingested as sorted files.
Result<std::unique_ptr<CheckpointStore>> OpenRocksDbStoreOn(std::shared_ptr<rocksdb::FileSystem> file_system, Env* env,
                                                            const std::string& directory, bool fresh,
                                                            int64_t batch_key_count_max = kWriteBatchKeyCountMax);

}  // namespace freshet
