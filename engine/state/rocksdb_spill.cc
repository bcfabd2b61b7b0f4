#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/write_batch.h>

#include <atomic>
#include <mutex>
#include <utility>

#include "engine/base/limits.h"
#include "engine/base/temporary_directory.h"
#include "engine/state/rocksdb_rows.h"
#include "engine/state/spill_store.h"

namespace freshet {
namespace {

constexpr size_t kWriteBufferBytes = 8 << 20;

class RocksDbSpill final : public SpillStore {
 public:
  RocksDbSpill(Env* env, std::string directory) : env_(env), directory_(std::move(directory)) {}
  ~RocksDbSpill() override {
    if (db_ == nullptr) return;
    (void)db_->Close();
    db_.reset();
    if (temporary_ == nullptr) (void)env_->RemoveTree(directory_).ok();
  }

  Status Write(EpochRows&& rows) override {
    FRESHET_ASSIGN_OR_RETURN(rocksdb::DB* const db, Database());
    rocksdb::WriteBatch batch(static_cast<size_t>(rows.byte_size()) + rows.count() * 8 + 64);
    const rocksdb::Status filled = FillBatch(rows.Sorted(), rows.erased_groups(), &batch);
    if (!filled.ok()) return Told(StatusOf(filled, directory_));
    rocksdb::WriteOptions write;
    write.disableWAL = true;
    rocksdb::Status s = db->Write(write, &batch);
    if (!s.ok() && db->Resume().ok()) s = db->Write(write, &batch);
    if (!s.ok()) return Told(StatusOf(s, directory_));
    written_bytes_.fetch_add(rows.byte_size(), std::memory_order_relaxed);
    rows = EpochRows();
    return Status::Ok();
  }

  Status MultiGet(TableId table, const std::vector<StateRowRef>& rows,
                  const std::function<Status(size_t, std::string_view)>& visit) override {
    rocksdb::DB* const db = opened_.load();
    return db == nullptr ? Status::Ok() : MultiGetRows(db, directory_, table, rows, visit);
  }
  Status ScanSome(TableId table, uint16_t key_group, std::string_view from, size_t count_max,
                  const std::function<Status(std::string_view, std::string_view)>& visit) override {
    rocksdb::DB* const db = opened_.load();
    return db == nullptr ? Status::Ok() : ScanSomeRows(db, directory_, table, key_group, from, count_max, visit);
  }
  int64_t written_bytes() const override { return written_bytes_.load(std::memory_order_relaxed); }

 private:
  static Status Told(Status status) {
    return std::move(status).WithContext("keys that do not fit into `settings.memory_limit` cannot be put aside");
  }

  Result<rocksdb::DB*> Database() {
    const std::lock_guard lock(mutex_);
    if (db_ != nullptr) return db_.get();
    if (directory_.empty()) {
      Result<std::unique_ptr<TemporaryDirectory>> made = TemporaryDirectory::Make(env_, "freshet-spill-");
      if (!made.ok()) return Told(std::move(made).status());
      temporary_ = std::move(made).value();
      directory_ = temporary_->path() + "/db";
    }
    FRESHET_RETURN_IF_ERROR(env_->RemoveTree(directory_));
    FRESHET_RETURN_IF_ERROR(env_->MakeDirectories(directory_));
    rocksdb::Options options = MakeRocksDbOptions(rocksdb::Env::Default());
    GrowBlockCache(options);
    options.write_buffer_size = kWriteBufferBytes;
    options.avoid_flush_during_shutdown = true;  // it is removed next
    rocksdb::DB* db = nullptr;
    const rocksdb::Status s = rocksdb::DB::Open(options, directory_, &db);
    db_.reset(db);
    if (!s.ok()) return Told(StatusOf(s, directory_));
    opened_ = db;
    return db;
  }

  Env* const env_;
  std::string directory_;  ///< set before `opened_` is
  std::unique_ptr<TemporaryDirectory> temporary_;
  std::mutex mutex_;
  std::unique_ptr<rocksdb::DB> db_;
  std::atomic<rocksdb::DB*> opened_{nullptr};
  std::atomic<int64_t> written_bytes_{0};
};

}  // namespace

Result<TableId> SpillStore::TakeTable() {
  const std::lock_guard lock(tables_mutex_);
  while (!full_tables_.empty() && Empty(full_tables_.back()).ok()) {
    free_tables_.push_back(full_tables_.back());
    full_tables_.pop_back();
  }
  if (!free_tables_.empty()) {
    const TableId table = free_tables_.back();
    free_tables_.pop_back();
    return table;
  }
  if (next_table_ > UINT16_MAX) return Status::Unavailable("too many checkpoints are under way");
  return static_cast<TableId>(next_table_++);
}

void SpillStore::GiveBackTable(TableId table) {
  const bool empty = Empty(table).ok();
  const std::lock_guard lock(tables_mutex_);
  (empty ? free_tables_ : full_tables_).push_back(table);
}

Status SpillStore::Empty(TableId table) {
  EpochRows rows;
  rows.EraseGroups(table, 0, kKeyGroupCount - 1);
  return Write(std::move(rows));
}

std::unique_ptr<SpillStore> NewRocksDbSpill(Env* env, std::string directory) {
  return std::make_unique<RocksDbSpill>(env, std::move(directory));
}

}  // namespace freshet
