#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

namespace rocksdb {
class FileSystem;
}

namespace freshet {

/// `base` (null: the real one), but a version file (MANIFEST-N) whose end is torn reads as if it ended before that.
/// RocksDB syncs each addition to it before it relies on it, so a damaged last record is one that a power cut took in
/// the middle; RocksDB by itself leaves out one that is cut, and refuses the database for one that is whole and wrong.
std::shared_ptr<rocksdb::FileSystem> WithoutTornVersions(std::shared_ptr<rocksdb::FileSystem> base);

/// How much of such a file (RocksDB's log format: blocks of 32 KiB; records of a masked CRC32C, a length, a type) to
/// read: up to the end of its last whole record before the first damaged one. All of it if a whole record follows the
/// damage: that is no torn end.
size_t UntornSize(std::string_view log);

}  // namespace freshet
