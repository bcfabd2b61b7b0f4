#include "engine/state/rocksdb_rows.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/iterator.h>
#include <rocksdb/listener.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <array>
#include <memory>

#include "engine/state/row_format.h"

namespace freshet {
namespace {

constexpr int kL0CompactionTrigger = 4;
constexpr size_t kWriteBufferBytes = 4 << 20;
constexpr size_t kBlockCacheBytes = 8 << 20;
constexpr size_t kIdleBlockCacheBytes = 256 << 10;
constexpr size_t kBlockBytes = 16 << 10;

/// RocksDB's own log is of no use to people who run pipelines; its errors reach them as Status.
class SilentLogger final : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
};

/// After a full disk RocksDB would look every five seconds whether there is room again, and refuse to be asked
/// meanwhile. The next epoch is our moment to try.
class NoAutomaticRecovery final : public rocksdb::EventListener {
 public:
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status, bool* automatic) override {
    *automatic = false;
  }
};

}  // namespace

rocksdb::Slice SliceOf(std::string_view v) { return {v.data(), v.size()}; }
std::string_view ViewOf(const rocksdb::Slice& v) { return {v.data(), v.size()}; }

Status DamagedState(const std::string& directory, const std::string& detail) {
  return Status::DataLoss("the state in " + directory + " is damaged (" + detail +
                          "): put a checkpoint or a copy of that directory back, or start over with `--fresh`");
}

Status StatusOf(const rocksdb::Status& s, const std::string& directory) {
  if (s.ok()) return Status::Ok();
  const std::string detail = s.ToString();
  if (s.IsNoSpace() || detail.find("No space left") != std::string::npos ||
      detail.find("quota exceeded") != std::string::npos)
    return Status::NoSpace("the disk that holds the state in " + directory +
                           " is full: free some space, or move the state with `settings.checkpoint.path` (" + detail +
                           ")");
  if (s.IsCorruption() || s.IsPathNotFound()) return DamagedState(directory, detail);
  return Status::Io("the state in " + directory + " cannot be read or written: " + detail);
}

rocksdb::Options MakeRocksDbOptions(rocksdb::Env* env) {
  rocksdb::Options options;
  options.env = env;
  options.create_if_missing = true;
  options.create_missing_column_families = true;  // a directory of an older Freshet has no outbox yet
  options.info_log = std::make_shared<SilentLogger>();
  options.listeners.push_back(std::make_shared<NoAutomaticRecovery>());
  options.max_bgerror_resume_count = 0;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.max_open_files = 512;  // each keeps its index and filter in memory
  options.max_background_jobs = 2;
  options.max_file_opening_threads = 1;
  options.write_buffer_size = kWriteBufferBytes;
  options.max_write_buffer_number = 2;
  options.max_total_wal_size = 2 * kWriteBufferBytes;
  options.compaction_readahead_size = 1 << 20;
  options.level0_file_num_compaction_trigger = kL0CompactionTrigger;
  options.level0_slowdown_writes_trigger = 1 << 20;
  options.level0_stop_writes_trigger = 1 << 20;
  options.soft_pending_compaction_bytes_limit = 0;
  options.hard_pending_compaction_bytes_limit = 0;
  options.target_file_size_base = 64 << 20;
  options.max_bytes_for_level_base = 512 << 20;
  // Compressing pays off on disk only where files live long; an epoch's own file is read back soon by a compaction.
  options.compression = rocksdb::kNoCompression;
  options.bottommost_compression = rocksdb::kLZ4Compression;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(kIdleBlockCacheBytes, 1);
  table.block_size = kBlockBytes;
  table.format_version = 5;
  // Keys that were dropped from memory are looked up again, and most that are asked for are not there: new ones.
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.max_auto_readahead_size = 64 << 10;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

void GrowBlockCache(const rocksdb::Options& options) {
  const auto* table = options.table_factory->GetOptions<rocksdb::BlockBasedTableOptions>();
  if (table != nullptr) table->block_cache->SetCapacity(kBlockCacheBytes);
}

Status MultiGetRows(rocksdb::DB* db, const std::string& directory, TableId table, const std::vector<StateRowRef>& rows,
                    const std::function<Status(size_t, std::string_view)>& visit) {
  constexpr size_t kAtOnce = 128;
  std::array<std::string, kAtOnce> keys;
  std::array<rocksdb::Slice, kAtOnce> slices;
  std::array<rocksdb::PinnableSlice, kAtOnce> values;
  std::array<rocksdb::Status, kAtOnce> statuses;
  for (size_t first = 0; first < rows.size(); first += kAtOnce) {
    const size_t count = std::min(kAtOnce, rows.size() - first);
    for (size_t i = 0; i < count; ++i) {
      keys[i] = EncodeRowKey(table, rows[first + i].key_group, rows[first + i].key);
      slices[i] = SliceOf(keys[i]);
      values[i].Reset();
    }
    db->MultiGet({}, db->DefaultColumnFamily(), count, slices.data(), values.data(), statuses.data(),
                 /*sorted_input=*/true);
    for (size_t i = 0; i < count; ++i) {
      if (statuses[i].IsNotFound()) continue;
      FRESHET_RETURN_IF_ERROR(StatusOf(statuses[i], directory));
      const Result<std::string_view> value = UnframeValue(keys[i], ViewOf(values[i]));
      if (!value.ok()) return DamagedState(directory, value.status().message());
      FRESHET_RETURN_IF_ERROR(visit(first + i, *value));
    }
  }
  return Status::Ok();
}

Status ScanSomeRows(rocksdb::DB* db, const std::string& directory, TableId table, uint16_t key_group,
                    std::string_view from, size_t count_max,
                    const std::function<Status(std::string_view, std::string_view)>& visit) {
  const std::string end = RowKeyAfter(table, key_group);
  const rocksdb::Slice end_slice(end);
  rocksdb::ReadOptions read;
  read.iterate_upper_bound = &end_slice;
  read.fill_cache = false;
  const std::unique_ptr<rocksdb::Iterator> it(db->NewIterator(read));
  for (it->Seek(EncodeRowKey(table, key_group, from)); it->Valid() && count_max > 0; it->Next(), --count_max) {
    const std::string_view key = ViewOf(it->key());
    const Result<std::string_view> value = UnframeValue(key, ViewOf(it->value()));
    if (!value.ok()) return DamagedState(directory, value.status().message());
    FRESHET_RETURN_IF_ERROR(visit(key.substr(kRowKeyPrefixBytes), *value));
  }
  return StatusOf(it->status(), directory);
}

rocksdb::Status FillBatch(const std::vector<EpochRows::Row>& rows, const std::vector<EpochRows::ErasedGroups>& erased,
                          rocksdb::WriteBatch* batch) {
  for (const EpochRows::ErasedGroups& range : erased)
    if (rocksdb::Status s = batch->DeleteRange(range.begin(), range.end()); !s.ok()) return s;
  for (const EpochRows::Row& row : rows) {
    rocksdb::Status s =
        row.erased() ? batch->Delete(SliceOf(row.key())) : batch->Put(SliceOf(row.key()), SliceOf(row.framed_value()));
    if (!s.ok()) return s;
  }
  return rocksdb::Status::OK();
}

rocksdb::Status WriteSyncedBatch(rocksdb::DB* db, rocksdb::WriteBatch* batch, const SyncedSequence& synced) {
  // What was numbered before this call stands before this batch in the log, and a sync covers all before it.
  const uint64_t before = db->GetLatestSequenceNumber();
  rocksdb::WriteOptions write;
  write.sync = true;
  rocksdb::Status s = db->Write(write, batch);
  if (s.ok()) synced(before + batch->Count());
  return s;
}

}  // namespace freshet
