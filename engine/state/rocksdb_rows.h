#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/state/checkpoint_store.h"

namespace rocksdb {
class DB;
class Env;
class Slice;
class Status;
class WriteBatch;
struct Options;
}  // namespace rocksdb

/// What every RocksDB database of ours has in common: its settings, its errors in our words, rows in and out.
namespace freshet {

rocksdb::Slice SliceOf(std::string_view v);
std::string_view ViewOf(const rocksdb::Slice& v);

/// Never stalls a write for the sake of compactions, tells nobody but us of its errors, never mends itself. Has next to
/// no block cache until GrowBlockCache: every ingested file would leave the blocks it was compared with in it, and a
/// store from which no rows are read would grow for minutes.
rocksdb::Options MakeRocksDbOptions(rocksdb::Env* env);
/// Before rows are read one by one. Thread-safe.
void GrowBlockCache(const rocksdb::Options& options);

Status DamagedState(const std::string& directory, const std::string& detail);
/// An error in the state of `directory` as a sentence that says what to do.
Status StatusOf(const rocksdb::Status& s, const std::string& directory);

/// As CheckpointStore::MultiGet and ScanSome.
Status MultiGetRows(rocksdb::DB* db, const std::string& directory, TableId table, const std::vector<StateRowRef>& rows,
                    const std::function<Status(size_t, std::string_view)>& visit);
Status ScanSomeRows(rocksdb::DB* db, const std::string& directory, TableId table, uint16_t key_group,
                    std::string_view from, size_t count_max,
                    const std::function<Status(std::string_view, std::string_view)>& visit);
/// Erased groups first, then the rows.
rocksdb::Status FillBatch(const std::vector<EpochRows::Row>& rows, const std::vector<EpochRows::ErasedGroups>& erased,
                          rocksdb::WriteBatch* batch);

/// The store's number of a write that is durable, and with it all before it.
using SyncedSequence = std::function<void(uint64_t)>;
rocksdb::Status WriteSyncedBatch(rocksdb::DB* db, rocksdb::WriteBatch* batch, const SyncedSequence& synced);

}  // namespace freshet
