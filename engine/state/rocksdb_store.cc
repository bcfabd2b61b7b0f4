#include <rocksdb/db.h>
#include <rocksdb/file_system.h>
#include <rocksdb/iterator.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/write_batch.h>

#include <atomic>
#include <shared_mutex>
#include <utility>

#include "engine/base/limits.h"
#include "engine/state/checkpoint_store.h"
#include "engine/state/rocksdb_files.h"
#include "engine/state/rocksdb_outbox.h"
#include "engine/state/rocksdb_rows.h"
#include "engine/state/rocksdb_store_testing.h"
#include "engine/state/row_format.h"
#include "engine/state/state_directory.h"
#include "engine/state/synced_mark.h"

namespace freshet {
namespace {

/// Files in L0 at which an epoch is skipped; RocksDB's own brakes stand far beyond, so that it never stalls a write.
constexpr uint64_t kL0FileCountMax = 16;
/// An epoch larger than this goes to a sorted file even if it has few keys: it would be written twice otherwise.
constexpr int64_t kWriteBatchBytesMax = 2 << 20;
constexpr int kProbeMib = 9;
constexpr int kLockTryCount = 25;
constexpr int64_t kLockTryEveryUs = 20000;
constexpr const char* kDatabase = "/db";
constexpr const char* kStaging = "/staging";
/// The last epoch that was ingested: a row in the sorted file itself, and one in every epoch since.
constexpr const char* kIngested = "ingested";
constexpr const char* kIngestedBefore = "ingested before";
constexpr const char* kReplaced = "/db.replaced";
constexpr const char* kLockFile = "/LOCK";
constexpr const char* kSyncedMark = "/db/SYNCED";

class RocksDbStore final : public CheckpointStore {
 public:
  RocksDbStore(Env* env, std::string directory, std::unique_ptr<FileLock> lock,
               std::shared_ptr<rocksdb::FileSystem> file_system, int64_t batch_key_count_max)
      : env_(env),
        directory_(std::move(directory)),
        lock_(std::move(lock)),
        own_env_(rocksdb::NewCompositeEnv(WithoutTornVersions(std::move(file_system)))),
        batch_key_count_max_(batch_key_count_max),
        mark_(env, directory_ + kSyncedMark),
        options_(MakeRocksDbOptions(own_env_.get())),
        outbox_(NewRocksDbOutbox([this](const auto& body) { return WithOutbox(body); },
                                 [this](uint64_t sequence) {
                                   mark_.Note({0, sequence});
                                 })) {}
  ~RocksDbStore() override { CloseDatabase(); }

  /// For looking only: nothing may be written.
  Status OpenReadOnly() {
    CloseDatabase();
    const std::optional<SyncedMark::Point> mark = ReadMark();
    rocksdb::DB* db = nullptr;
    std::vector<rocksdb::ColumnFamilyHandle*> families;
    rocksdb::Status s = rocksdb::DB::OpenForReadOnly(
        options_, directory_ + kDatabase, {{rocksdb::kDefaultColumnFamilyName, options_}, {kOutboxFamily, options_}},
        &families, &db);
    const bool without_outbox = s.IsInvalidArgument();
    if (without_outbox)
      s = rocksdb::DB::OpenForReadOnly(options_, directory_ + kDatabase,
                                       {{rocksdb::kDefaultColumnFamilyName, options_}}, &families, &db);
    return Opened(s, db, families, mark);
  }

  /// Opens the database, or closes and opens it again.
  Status Open() {
    CloseDatabase();
    const std::optional<SyncedMark::Point> mark = ReadMark();
    rocksdb::DB* db = nullptr;
    std::vector<rocksdb::ColumnFamilyHandle*> families;
    const rocksdb::Status s =
        rocksdb::DB::Open(options_, directory_ + kDatabase,
                          {{rocksdb::kDefaultColumnFamilyName, options_}, {kOutboxFamily, options_}}, &families, &db);
    FRESHET_RETURN_IF_ERROR(Opened(s, db, families, mark));
    // What opening has read from the log stands in sorted files now, synced.
    return mark_.Begin({committed_.number, db_->GetLatestSequenceNumber()});
  }

  Result<std::optional<Manifest>> Load() override {
    FRESHET_ASSIGN_OR_RETURN(const std::optional<std::string> bytes, GetRow(ManifestRowKey()));
    if (!bytes) return std::optional<Manifest>();
    Result<Manifest> manifest = Manifest::Decode(*bytes);
    if (manifest.ok()) return std::optional<Manifest>(std::move(manifest).value());
    if (manifest.status().code() == StatusCode::kDataLoss) return DamagedState(directory_, manifest.status().message());
    return std::move(manifest).status().WithContext(directory_);
  }

  Status Commit(const Manifest& manifest, EpochRows&& rows) override {
    if (manifest.epoch <= committed_)
      return Status::Internal("epoch " + std::to_string(manifest.epoch.number) + " after epoch " +
                              std::to_string(committed_.number));
    FRESHET_RETURN_IF_ERROR(RecoverIfFailed());
    const std::shared_lock lock(database_mutex_);
    if (!db_) return NotOpen();
    if (L0FileCount() >= kL0FileCountMax)
      return Status::Unavailable("the store is still merging earlier checkpoints: this one is skipped");
    // The manifest is one more row: whatever makes the rows visible makes it visible.
    rows.Put(kEngineTable, kStoreKeyGroup, "manifest", manifest.Encode());
    (void)rows.Sorted();
    const bool small =
        static_cast<int64_t>(rows.count()) <= batch_key_count_max_ && rows.byte_size() <= kWriteBatchBytesMax;
    const std::string ingested = small ? last_ingested_ : std::to_string(manifest.epoch.number);
    // A batch has this row only where a failed ingest may have left one in `rows`.
    if (!small || ingest_row_left_) rows.Put(kEngineTable, kStoreKeyGroup, kIngested, ingested);
    if (!ingested.empty()) rows.Put(kEngineTable, kStoreKeyGroup, kIngestedBefore, ingested);
    const auto& sorted = rows.Sorted();
    const rocksdb::Status s =
        small ? WriteRows(sorted, rows.erased_groups(), rows.byte_size()) : IngestRows(sorted, rows.erased_groups());
    if (!s.ok()) failed_ = true;
    if (!s.ok() && !small) ingest_failed_ = ingest_row_left_ = true;
    FRESHET_RETURN_IF_ERROR(StatusOf(s, directory_));
    committed_ = manifest.epoch;
    mark_.Note({committed_.number, 0});
    last_ingested_ = ingested;
    ingest_row_left_ = false;
    rows = EpochRows();
    return Status::Ok();
  }

  Status DropTables(const Manifest& manifest, const std::vector<TableId>& tables, EpochRows&& rows) override {
    const std::shared_lock lock(database_mutex_);
    rows.Put(kEngineTable, kStoreKeyGroup, "manifest", manifest.Encode());
    rocksdb::WriteBatch batch;
    for (const TableId table : tables) {
      rocksdb::Status s = batch.DeleteRange(EncodeRowKey(table, 0, {}), RowKeyAfter(table, kStoreKeyGroup));
      if (!s.ok()) return StatusOf(s, directory_);
    }
    FRESHET_RETURN_IF_ERROR(StatusOf(FillBatch(rows.Sorted(), {}, &batch), directory_));
    FRESHET_RETURN_IF_ERROR(StatusOf(WriteSynced(&batch), directory_));
    committed_ = manifest.epoch;
    mark_.Note({committed_.number, 0});
    return Status::Ok();
  }

  Status CopyTo(const std::string& directory) override {
    const std::shared_lock lock(database_mutex_);
    if (!db_) return Status::Io("the state in " + directory_ + " could not be opened again after an error");
    if (env_->Stat(directory).ok()) return Status::AlreadyExists(directory + " exists already; choose another name");
    const std::string unfinished = directory + ".part";
    FRESHET_RETURN_IF_ERROR(env_->RemoveTree(unfinished));
    FRESHET_RETURN_IF_ERROR(env_->MakeDirectories(unfinished));
    rocksdb::Checkpoint* made = nullptr;
    rocksdb::Status s = rocksdb::Checkpoint::Create(db_.get(), &made);
    const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
    if (s.ok()) s = checkpoint->CreateCheckpoint(unfinished + kDatabase);
    Status status = StatusOf(s, directory);
    if (status.ok()) status = env_->Rename(unfinished, directory);
    if (status.ok()) status = env_->SyncDirectory(DirectoryOf(directory));
    if (!status.ok()) (void)env_->RemoveTree(unfinished).ok();
    return status;
  }

  Status Scan(TableId table, uint16_t first_key_group, uint16_t last_key_group,
              const std::function<Status(uint16_t, std::string_view, std::string_view)>& visit) override {
    if (failed_) FRESHET_RETURN_IF_ERROR(OpenIfClosed());
    const std::shared_lock lock(database_mutex_);
    if (!db_) return NotOpen();
    const std::string end = RowKeyAfter(table, last_key_group);
    const rocksdb::Slice end_slice(end);
    rocksdb::ReadOptions read;
    read.iterate_upper_bound = &end_slice;
    read.fill_cache = false;
    const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(read));
    for (it->Seek(EncodeRowKey(table, first_key_group, {})); it->Valid(); it->Next()) {
      const std::string_view key = ViewOf(it->key());
      if (key.size() < kRowKeyPrefixBytes) return DamagedState(directory_, "a key is cut short");
      const Result<std::string_view> value = UnframeValue(key, ViewOf(it->value()));
      if (!value.ok()) return DamagedState(directory_, value.status().message());
      FRESHET_RETURN_IF_ERROR(visit(KeyGroupOfRowKey(key), key.substr(kRowKeyPrefixBytes), *value));
    }
    return StatusOf(it->status(), directory_);
  }

  Result<std::optional<std::string>> Get(TableId table, uint16_t key_group, std::string_view key) override {
    if (failed_) FRESHET_RETURN_IF_ERROR(OpenIfClosed());
    const std::shared_lock lock(database_mutex_);
    return GetRow(EncodeRowKey(table, key_group, key));
  }

  Status MultiGet(TableId table, const std::vector<RowRef>& rows,
                  const std::function<Status(size_t, std::string_view)>& visit) override {
    if (failed_) FRESHET_RETURN_IF_ERROR(OpenIfClosed());
    const std::shared_lock lock(database_mutex_);
    if (!db_) return NotOpen();
    ExpectReads();
    return MultiGetRows(db_.get(), directory_, table, rows, visit);
  }

  Status ScanSome(TableId table, uint16_t key_group, std::string_view from, size_t count_max,
                  const std::function<Status(std::string_view, std::string_view)>& visit) override {
    if (failed_) FRESHET_RETURN_IF_ERROR(OpenIfClosed());
    const std::shared_lock lock(database_mutex_);
    if (!db_) return NotOpen();
    ExpectReads();
    return ScanSomeRows(db_.get(), directory_, table, key_group, from, count_max, visit);
  }

  OutboxStore* outbox() override { return outbox_.get(); }

  int64_t disk_bytes() const override {
    int64_t bytes = 0;
    const std::string database = directory_ + kDatabase;
    const Result<std::vector<std::string>> names = env_->List(database);
    if (!names.ok()) return 0;
    for (const std::string& name : *names) {
      const Result<FileInfo> info = env_->Stat(database + "/" + name);
      if (info.ok()) bytes += info->size;  // a file may just have been deleted
    }
    return bytes;
  }

 private:
  using Erased = std::vector<EpochRows::ErasedGroups>;

  Status NotOpen() const {
    return Status::Io("the state in " + directory_ + " could not be opened again after an error");
  }

  /// A log is read up to its first damaged record where the mark tells whether that is far enough.
  std::optional<SyncedMark::Point> ReadMark() {
    const std::optional<SyncedMark::Point> mark = mark_.Read();
    options_.wal_recovery_mode =
        mark ? rocksdb::WALRecoveryMode::kPointInTimeRecovery : rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
    return mark;
  }

  Status Opened(const rocksdb::Status& s, rocksdb::DB* db, const std::vector<rocksdb::ColumnFamilyHandle*>& families,
                const std::optional<SyncedMark::Point>& mark) {
    db_.reset(db);
    for (rocksdb::ColumnFamilyHandle* family : families) families_.emplace_back(family);
    if (s.IsInvalidArgument() && s.ToString().find("olumn famil") != std::string::npos)
      return Status::Unsupported("the state in " + directory_ +
                                 " was written by a newer Freshet: run that one, or start over with `--fresh`");
    if (s.IsIOError() && s.ToString().find("No such file") != std::string::npos)
      return DamagedState(directory_, s.ToString());
    FRESHET_RETURN_IF_ERROR(StatusOf(s, directory_));
    FRESHET_ASSIGN_OR_RETURN(const std::optional<Manifest> manifest, Load());
    if (mark &&
        ((manifest ? manifest->epoch.number : 0) < mark->epoch || db_->GetLatestSequenceNumber() < mark->sequence))
      return DamagedState(directory_, "something that was synced is missing");
    if (manifest) {
      committed_ = manifest->epoch;
      FRESHET_ASSIGN_OR_RETURN(const auto in_file, GetRow(EncodeRowKey(kEngineTable, kStoreKeyGroup, kIngested)));
      FRESHET_ASSIGN_OR_RETURN(const auto since, GetRow(EncodeRowKey(kEngineTable, kStoreKeyGroup, kIngestedBefore)));
      // RocksDB takes a version file that was cut for a short one, and misses sorted files in silence.
      if (since && since != in_file) return DamagedState(directory_, "a sorted file is missing from the version file");
      last_ingested_ = since.value_or(std::string());
      return Status::Ok();
    }
    const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator({}));
    it->SeekToFirst();
    if (it->Valid()) return DamagedState(directory_, "rows without a manifest");
    return StatusOf(it->status(), directory_);
  }

  /// After a failure. Resume writes a new version file: the old one may name a sorted file whose ingestion failed at
  /// the last moment and which RocksDB has deleted. Opening anew then, because an ingest right after Resume can hit an
  /// assertion inside RocksDB 7.8.
  Status RecoverIfFailed() {
    if (!failed_) return Status::Ok();
    const std::unique_lock lock(database_mutex_);
    if (!failed_) return Status::Ok();
    // An epoch whose commit failed is tried again, even if it is found committed now.
    const Epoch committed = committed_;
    Status opened = ProbeRoom();
    if (opened.ok()) {
      if (db_ && !only_readable_) {
        const rocksdb::Status resumed = db_->Resume();
        if (!resumed.ok() && ingest_failed_ && !OpensBesides()) return StatusOf(resumed, directory_);
      }
      opened = Open();
      failed_ = !opened.ok();
      only_readable_ = false;
      if (opened.ok()) ingest_failed_ = false;
    }
    // Keys that have left memory are read meanwhile. What a commit that failed may have left behind does no harm: its
    // keys are all in memory.
    if (!opened.ok() && !db_) {
      only_readable_ = OpenReadOnly().ok();
      if (!only_readable_) CloseDatabase();
    }
    committed_ = committed;
    return opened;
  }

  /// Whether what stands on disk can be opened: looks with a second handle, which writes nothing.
  bool OpensBesides() const {
    rocksdb::DB* db = nullptr;
    std::vector<rocksdb::ColumnFamilyHandle*> families;
    const rocksdb::Status s = rocksdb::DB::OpenForReadOnly(
        options_, directory_ + kDatabase, {{rocksdb::kDefaultColumnFamilyName, options_}, {kOutboxFamily, options_}},
        &families, &db);
    for (rocksdb::ColumnFamilyHandle* family : families) delete family;
    delete db;
    return s.ok();
  }

  /// A Resume that is tried while the disk is full may leave the database unable to resume for good: it has memory
  /// tables to flush. So first something as large is written.
  Status ProbeRoom() {
    const std::string path = directory_ + kStaging + "/probe";
    std::unique_ptr<rocksdb::WritableFile> file;
    rocksdb::Status s = options_.env->NewWritableFile(path, &file, rocksdb::EnvOptions());
    const std::string piece(size_t{1} << 20, '\0');
    for (int mib = 0; s.ok() && mib < kProbeMib; ++mib) s = file->Append(piece);
    if (s.ok()) s = file->Flush();
    if (file) (void)file->Close();
    (void)options_.env->DeleteFile(path);
    return StatusOf(s, directory_);
  }

  /// For readers: what has failed can be read, unless it could not be opened at all since.
  Status OpenIfClosed() {
    {
      const std::shared_lock lock(database_mutex_);
      if (db_) return Status::Ok();
    }
    return RecoverIfFailed();
  }

  Status WithOutbox(const std::function<rocksdb::Status(rocksdb::DB*, rocksdb::ColumnFamilyHandle*)>& body) {
    FRESHET_RETURN_IF_ERROR(RecoverIfFailed());
    const std::shared_lock lock(database_mutex_);
    if (!db_) return NotOpen();
    const rocksdb::Status s = body(db_.get(), families_[1].get());
    if (!s.ok()) failed_ = true;
    return StatusOf(s, directory_);
  }

  void CloseDatabase() {
    families_.clear();
    if (db_) (void)db_->Close();
    db_.reset();
  }

  uint64_t L0FileCount() const {
    uint64_t count = 0;
    std::string text;
    if (db_->GetProperty("rocksdb.num-files-at-level0", &text)) count = std::stoull(text);
    return count;
  }

  Result<std::optional<std::string>> GetRow(const std::string& row_key) {
    if (!db_) return NotOpen();
    rocksdb::PinnableSlice framed;
    const rocksdb::Status s = db_->Get({}, db_->DefaultColumnFamily(), row_key, &framed);
    if (s.IsNotFound()) return std::optional<std::string>();
    FRESHET_RETURN_IF_ERROR(StatusOf(s, directory_));
    const Result<std::string_view> value = UnframeValue(row_key, ViewOf(framed));
    if (!value.ok()) return DamagedState(directory_, value.status().message());
    return std::optional<std::string>(*value);
  }

  rocksdb::Status WriteRows(const std::vector<EpochRows::Row>& rows, const Erased& erased, int64_t bytes) {
    rocksdb::WriteBatch batch(static_cast<size_t>(bytes) + rows.size() * 8 + 64);
    if (rocksdb::Status s = FillBatch(rows, erased, &batch); !s.ok()) return s;
    return WriteSynced(&batch);
  }

  rocksdb::Status WriteSynced(rocksdb::WriteBatch* batch) {
    return WriteSyncedBatch(db_.get(), batch, [this](uint64_t sequence) { mark_.Note({0, sequence}); });
  }

  /// Keys have left memory.
  void ExpectReads() {
    if (!expects_reads_.exchange(true, std::memory_order_relaxed)) GrowBlockCache(options_);
  }

  /// One file for the whole epoch: its ingestion is one atomic, synced edit of RocksDB's version set.
  rocksdb::Status IngestRows(const std::vector<EpochRows::Row>& rows, const Erased& erased) {
    const std::string path = directory_ + kStaging + "/epoch.sst";
    (void)options_.env->DeleteFile(path);  // left by an earlier failure
    rocksdb::SstFileWriter writer(rocksdb::EnvOptions(), options_, nullptr, /*invalidate_page_cache=*/false);
    rocksdb::Status s = writer.Open(path);
    // All entries of an ingested file have one sequence number, and a range erases only what is older.
    for (size_t i = 0; s.ok() && i < erased.size(); ++i) s = writer.DeleteRange(erased[i].begin(), erased[i].end());
    for (size_t i = 0; s.ok() && i < rows.size(); ++i) {
      const EpochRows::Row& row = rows[i];
      s = row.erased() ? writer.Delete(SliceOf(row.key()))
                       : writer.Put(SliceOf(row.key()), SliceOf(row.framed_value()));
    }
    if (s.ok()) s = writer.Finish();
    if (s.ok()) {
      rocksdb::IngestExternalFileOptions ingest;
      ingest.move_files = true;
      ingest.write_global_seqno = false;
      s = db_->IngestExternalFile({path}, ingest);
    }
    if (!s.ok()) (void)options_.env->DeleteFile(path);
    return s;
  }

  Env* const env_;
  const std::string directory_;
  const std::unique_ptr<FileLock> lock_;
  const std::unique_ptr<rocksdb::Env> own_env_;
  const int64_t batch_key_count_max_;
  SyncedMark mark_;
  rocksdb::Options options_;
  const std::unique_ptr<OutboxStore> outbox_;
  /// Shared by those who use the database, alone for those who open it anew.
  std::shared_mutex database_mutex_;
  std::unique_ptr<rocksdb::DB> db_;
  std::vector<std::unique_ptr<rocksdb::ColumnFamilyHandle>> families_;  ///< default, outbox
  Epoch committed_;
  bool ingest_row_left_ = false;
  std::string last_ingested_;  ///< the epoch, as in its row; empty: none yet
  std::atomic<bool> failed_{false};
  std::atomic<bool> expects_reads_{false};
  bool ingest_failed_ = false;  ///< the version file may name a file that is gone
  bool only_readable_ = false;  ///< until there is room to open the database for more
};

/// Who only looks whether a state is in use holds the lock for a moment; it is waited for.
Result<std::unique_ptr<FileLock>> LockState(Env* env, const std::string& directory) {
  Result<std::unique_ptr<FileLock>> lock = env->Lock(directory + kLockFile);
  for (int n = 0; n < kLockTryCount && !lock.ok() && lock.status().code() == StatusCode::kLocked; ++n) {
    env->SleepMicros(kLockTryEveryUs);
    lock = env->Lock(directory + kLockFile);
  }
  if (lock.ok() || lock.status().code() != StatusCode::kLocked) return lock;
  return Status::Locked(
      "the state in " + directory +
      " is in use by another Freshet process: stop that one, or give this pipeline another place with "
      "`settings.checkpoint.path`");
}

/// A ReplaceState that died halfway left the state under another name.
Status FinishReplacing(Env* env, const std::string& directory) {
  const std::string replaced = directory + kReplaced;
  if (!env->Stat(replaced).ok()) return Status::Ok();
  if (env->Stat(directory + kDatabase).ok()) return env->RemoveTree(replaced);
  return env->Rename(replaced, directory + kDatabase);
}

/// RocksDB would take a directory without its CURRENT file for a new database, and bury what is there.
Status CheckNotHeadless(Env* env, const std::string& directory) {
  const std::string database = directory + kDatabase;
  const Result<FileInfo> info = env->Stat(database);
  if (!info.ok()) return info.status().code() == StatusCode::kNotFound ? Status::Ok() : info.status();
  if (!info->is_directory) return DamagedState(directory, database + " is not a directory");
  if (env->Stat(database + "/CURRENT").ok()) return Status::Ok();
  FRESHET_ASSIGN_OR_RETURN(const std::vector<std::string> names, env->List(database));
  for (const std::string& name : names)
    if (name.ends_with(".sst") || name.ends_with(".log")) return DamagedState(directory, "the file CURRENT is missing");
  return Status::Ok();
}

}  // namespace

Result<std::unique_ptr<CheckpointStore>> OpenRocksDbStoreOn(std::shared_ptr<rocksdb::FileSystem> file_system, Env* env,
                                                            const std::string& directory, bool fresh,
                                                            int64_t batch_key_count_max) {
  FRESHET_RETURN_IF_ERROR(CheckNothingForeign(env, directory));
  FRESHET_RETURN_IF_ERROR(env->MakeDirectories(directory));
  FRESHET_ASSIGN_OR_RETURN(std::unique_ptr<FileLock> lock, LockState(env, directory));
  FRESHET_RETURN_IF_ERROR(FinishReplacing(env, directory));
  if (fresh) FRESHET_RETURN_IF_ERROR(env->RemoveTree(directory + kDatabase));
  FRESHET_RETURN_IF_ERROR(env->RemoveTree(directory + kStaging));
  FRESHET_RETURN_IF_ERROR(env->MakeDirectories(directory + kStaging));
  FRESHET_RETURN_IF_ERROR(CheckNotHeadless(env, directory));
  auto store =
      std::make_unique<RocksDbStore>(env, directory, std::move(lock), std::move(file_system), batch_key_count_max);
  FRESHET_RETURN_IF_ERROR(store->Open());
  return std::unique_ptr<CheckpointStore>(std::move(store));
}

Result<std::unique_ptr<CheckpointStore>> OpenRocksDbStoreReadOnly(Env* env, const std::string& directory) {
  if (!env->Stat(directory + kDatabase).ok())
    return Status::NotFound("there is no state in " + directory + "; a pipeline that ran keeps it there");
  FRESHET_RETURN_IF_ERROR(CheckNotHeadless(env, directory));
  auto store = std::make_unique<RocksDbStore>(env, directory, nullptr, nullptr, kWriteBatchKeyCountMax);
  FRESHET_RETURN_IF_ERROR(store->OpenReadOnly());
  return std::unique_ptr<CheckpointStore>(std::move(store));
}

Status ReplaceState(Env* env, const std::string& directory, const std::string& from) {
  FRESHET_RETURN_IF_ERROR(CheckNothingForeign(env, directory));
  FRESHET_RETURN_IF_ERROR(env->MakeDirectories(directory));
  FRESHET_ASSIGN_OR_RETURN(const std::unique_ptr<FileLock> lock, LockState(env, directory));
  FRESHET_RETURN_IF_ERROR(FinishReplacing(env, directory));
  const std::string incoming = directory + "/incoming";
  FRESHET_RETURN_IF_ERROR(env->RemoveTree(incoming));
  {
    FRESHET_ASSIGN_OR_RETURN(const auto store, OpenRocksDbStoreOn(nullptr, env, from, false));
    FRESHET_RETURN_IF_ERROR(store->CopyTo(incoming));
  }
  const std::string database = directory + kDatabase;
  if (env->Stat(database).ok()) FRESHET_RETURN_IF_ERROR(env->Rename(database, directory + kReplaced));
  FRESHET_RETURN_IF_ERROR(env->Rename(incoming + kDatabase, database));
  FRESHET_RETURN_IF_ERROR(env->SyncDirectory(directory));
  FRESHET_RETURN_IF_ERROR(env->RemoveTree(directory + kReplaced));
  return env->RemoveTree(incoming);
}

Result<std::unique_ptr<CheckpointStore>> OpenRocksDbStore(Env* env, const std::string& directory, bool fresh) {
  return OpenRocksDbStoreOn(nullptr, env, directory, fresh);
}

}  // namespace freshet
