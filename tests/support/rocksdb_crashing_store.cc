#include "tests/support/rocksdb_crashing_store.h"

#include <rocksdb/file_system.h>
#include <stdlib.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/flow/planted_bugs.h"
#include "engine/state/forwarding_store.h"
#include "engine/state/rocksdb_store_testing.h"

namespace freshet::testing {

namespace fs = std::filesystem;
using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

/// Names and bytes count as durable once synced: bytes by the file, names by their directory. What was done to names
/// since is kept in a journal that a crash undoes from some point on; removed and replaced files wait in a trash.
class CrashingRocksDbStore::FileSystem final : public rocksdb::FileSystemWrapper {
 public:
  explicit FileSystem(std::string trash)
      : FileSystemWrapper(rocksdb::FileSystem::Default()), trash_(std::move(trash)) {}
  const char* Name() const override { return "CrashingFileSystem"; }

  IOStatus NewWritableFile(const std::string& name, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* file, IODebugContext* debug) override {
    const std::lock_guard lock(mutex_);
    IOStatus s = Next();
    if (!s.ok()) return s;
    const bool existed = fs::exists(name);
    if (existed) Keep(name, false);
    std::unique_ptr<rocksdb::FSWritableFile> real;
    s = target()->NewWritableFile(name, options, &real, debug);
    if (!s.ok()) return s;
    if (!existed) journal_.push_back({Change::kCreated, name, {}, {}});
    synced_[name] = 0;
    *file = std::make_unique<File>(std::move(real), this, name);
    return s;
  }
  IOStatus ReopenWritableFile(const std::string& name, const FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* file, IODebugContext* debug) override {
    const std::lock_guard lock(mutex_);
    IOStatus s = Next();
    if (!s.ok()) return s;
    std::unique_ptr<rocksdb::FSWritableFile> real;
    s = target()->ReopenWritableFile(name, options, &real, debug);
    if (!s.ok()) return s;
    std::error_code gone;
    synced_.try_emplace(name, fs::file_size(name, gone));
    *file = std::make_unique<File>(std::move(real), this, name);
    return s;
  }
  IOStatus ReuseWritableFile(const std::string&, const std::string&, const FileOptions&,
                             std::unique_ptr<rocksdb::FSWritableFile>*, IODebugContext*) override {
    return IOStatus::NotSupported("files are not recycled here");
  }
  IOStatus NewRandomRWFile(const std::string&, const FileOptions&, std::unique_ptr<rocksdb::FSRandomRWFile>*,
                           IODebugContext*) override {
    return IOStatus::NotSupported("nothing is written in place here");
  }
  IOStatus NewDirectory(const std::string& name, const IOOptions& options,
                        std::unique_ptr<rocksdb::FSDirectory>* directory, IODebugContext* debug) override {
    std::unique_ptr<rocksdb::FSDirectory> real;
    IOStatus s = target()->NewDirectory(name, options, &real, debug);
    if (s.ok()) *directory = std::make_unique<Directory>(std::move(real), this, name);
    return s;
  }
  IOStatus DeleteFile(const std::string& name, const IOOptions&, IODebugContext*) override {
    const std::lock_guard lock(mutex_);
    IOStatus s = Next();
    if (!s.ok()) return s;
    if (!fs::exists(name)) return IOStatus::PathNotFound(name);
    Keep(name, true);
    return s;
  }
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                      IODebugContext* debug) override {
    const std::lock_guard lock(mutex_);
    IOStatus s = Next();
    if (!s.ok()) return s;
    std::string kept;
    if (fs::exists(to)) {
      kept = NextTrash();
      fs::create_hard_link(to, kept);
    }
    s = target()->RenameFile(from, to, options, debug);
    if (!s.ok()) return s;
    journal_.push_back({Change::kRenamed, to, from, kept});
    if (const auto at = synced_.find(from); at != synced_.end()) {
      synced_[to] = at->second;
      synced_.erase(from);
    }
    return s;
  }
  IOStatus LinkFile(const std::string& from, const std::string& to, const IOOptions& options,
                    IODebugContext* debug) override {
    const std::lock_guard lock(mutex_);
    IOStatus s = Next();
    if (s.ok()) s = target()->LinkFile(from, to, options, debug);
    if (s.ok()) journal_.push_back({Change::kCreated, to, {}, {}});
    return s;
  }

  void BeginCommit() { committing_ = std::this_thread::get_id(); }
  void EndCommit() { committing_ = std::thread::id(); }
  void CrashAtCall(int64_t n) { crash_left_ = n; }
  void FillAtCall(int64_t n, int64_t count) {
    fail_left_ = n;
    full_left_ = count;
  }
  bool powerless() const { return powerless_; }
  /// Nothing reaches the disk any more.
  void CutPower() {
    const std::lock_guard lock(mutex_);
    powerless_ = true;
  }
  /// What a disk holds after the power came back. `mark` is written past this file system; its first record is synced.
  void Restart(Rng rng, const std::string& mark) {
    const std::lock_guard lock(mutex_);
    TearTail(mark, 20, rng);
    for (const auto& [name, synced] : synced_) TearTail(name, synced, rng);
    synced_.clear();
    for (size_t survive = rng.Below(journal_.size() + 1); journal_.size() > survive; journal_.pop_back())
      Undo(journal_.back());
    journal_.clear();
    fs::remove_all(trash_);
    fs::create_directories(trash_);
    powerless_ = false;
    crash_left_ = fail_left_ = -1;
    full_left_ = 0;
  }

 private:
  struct Change {
    enum Kind : uint8_t { kCreated, kRemoved, kRenamed } kind;
    std::string name;
    std::string from;  // kRenamed
    std::string kept;  // kRemoved; kRenamed: what it replaced, or ""
  };

  class File final : public rocksdb::FSWritableFileOwnerWrapper {
   public:
    File(std::unique_ptr<rocksdb::FSWritableFile> real, FileSystem* owner, std::string name)
        : FSWritableFileOwnerWrapper(std::move(real)), owner_(owner), name_(std::move(name)) {}
    IOStatus Append(const rocksdb::Slice& data, const IOOptions& options, IODebugContext* debug) override {
      const std::lock_guard lock(owner_->mutex_);
      IOStatus s = owner_->Next();
      return s.ok() ? FSWritableFileOwnerWrapper::Append(data, options, debug) : s;
    }
    IOStatus Append(const rocksdb::Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo&,
                    IODebugContext* debug) override {
      return Append(data, options, debug);
    }
    IOStatus Truncate(uint64_t size, const IOOptions& options, IODebugContext* debug) override {
      const std::lock_guard lock(owner_->mutex_);
      IOStatus s = owner_->Next();
      return s.ok() ? FSWritableFileOwnerWrapper::Truncate(size, options, debug) : s;
    }
    IOStatus Sync(const IOOptions&, IODebugContext*) override {
      const std::lock_guard lock(owner_->mutex_);
      IOStatus s = owner_->Next();
      if (!s.ok() || (IsPlanted(PlantedBug::kUnsyncedCommit) && name_.ends_with(".log"))) return s;
      std::error_code gone;
      const uint64_t size = fs::file_size(name_, gone);
      if (!gone) owner_->synced_[name_] = size;
      return s;
    }
    IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override { return Sync(options, debug); }
    IOStatus RangeSync(uint64_t, uint64_t, const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }

   private:
    FileSystem* owner_;
    const std::string name_;
  };

  class Directory final : public rocksdb::FSDirectoryWrapper {
   public:
    Directory(std::unique_ptr<rocksdb::FSDirectory> real, FileSystem* owner, const std::string& name)
        : FSDirectoryWrapper(std::move(real)), owner_(owner), name_(fs::path(name + "/").parent_path()) {}
    IOStatus Fsync(const IOOptions&, IODebugContext*) override {
      const std::lock_guard lock(owner_->mutex_);
      IOStatus s = owner_->Next();
      if (!s.ok()) return s;
      std::erase_if(owner_->journal_, [&](const Change& c) { return fs::path(c.name).parent_path() == name_; });
      return s;
    }
    IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* debug,
                                 const rocksdb::DirFsyncOptions&) override {
      return Fsync(options, debug);
    }

   private:
    FileSystem* owner_;
    const fs::path name_;
  };

  IOStatus Next() {
    if (std::this_thread::get_id() == committing_.load()) {
      if (crash_left_ >= 0 && crash_left_-- == 0) powerless_ = true;
      if (fail_left_ >= 0 && fail_left_-- == 0) full_left_ = std::max<int64_t>(full_left_, 1);
      if (full_left_ > 0 && fail_left_ < 0) {
        --full_left_;
        return IOStatus::NoSpace("simulated full disk");
      }
    }
    return powerless_ ? IOStatus::IOError("the power is off") : IOStatus::OK();
  }
  std::string NextTrash() { return trash_ + "/" + std::to_string(trash_count_++); }
  void Keep(const std::string& name, bool removed) {
    const std::string kept = NextTrash();
    fs::rename(name, kept);
    journal_.push_back({Change::kRemoved, name, {}, kept});
    if (removed) synced_.erase(name);
  }
  static void Undo(const Change& change) {
    switch (change.kind) {
      case Change::kCreated:
        fs::remove(change.name);
        break;
      case Change::kRemoved:
        fs::rename(change.kept, change.name);
        break;
      case Change::kRenamed:
        fs::rename(change.name, change.from);
        if (!change.kept.empty()) fs::rename(change.kept, change.name);
        break;
    }
  }
  /// Of what was not synced, some is there, cut or whole; a part of that may be zeros or garbage.
  static void TearTail(const std::string& name, uint64_t synced, Rng& rng) {
    std::error_code gone;
    const uint64_t size = fs::file_size(name, gone);
    if (gone || size <= synced) return;
    const uint64_t left = rng.Below(3) == 0 ? size : synced + rng.Below(size - synced + 1);
    fs::resize_file(name, left);
    if (left == synced || rng.Below(2) > 0) return;
    const uint64_t from = synced + (rng.Below(4) == 0 ? 0 : rng.Below(left - synced));
    const uint64_t count = rng.Below(2) == 0 ? left - from : 1 + rng.Below(std::min<uint64_t>(left - from, 64));
    const bool zeros = rng.Below(3) == 0;
    std::fstream file(name, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(from));
    for (uint64_t i = 0; i < count; ++i) file.put(zeros ? '\0' : static_cast<char>(rng.Next()));
  }

  const std::string trash_;
  uint64_t trash_count_ = 0;
  std::mutex mutex_;
  std::map<std::string, uint64_t> synced_;
  std::vector<Change> journal_;
  std::atomic<bool> powerless_{false};
  std::atomic<int64_t> crash_left_{-1};
  std::atomic<int64_t> fail_left_{-1};
  std::atomic<int64_t> full_left_{0};
  std::atomic<std::thread::id> committing_;
};

class CrashingRocksDbStore::Store final : public ForwardingStore {
 public:
  Store(std::unique_ptr<CheckpointStore> real, std::shared_ptr<FileSystem> files)
      : ForwardingStore(real.get()), files_(std::move(files)), real_(std::move(real)) {}
  Status Commit(const Manifest& manifest, EpochRows&& rows) override {
    files_->BeginCommit();
    Status status = ForwardingStore::Commit(manifest, std::move(rows));
    files_->EndCommit();
    if (files_->powerless()) return Status(StatusCode::kCancelled, "the power failed during the commit");
    return status;
  }

 private:
  std::shared_ptr<FileSystem> files_;
  std::unique_ptr<CheckpointStore> real_;
};

CrashingRocksDbStore::CrashingRocksDbStore() {
  // Nothing is really synced, so memory will do where there is such a folder.
  std::string pattern = fs::exists("/dev/shm") ? "/dev/shm" : fs::temp_directory_path().string();
  pattern += "/freshet_crash_XXXXXX";
  if (::mkdtemp(pattern.data()) != nullptr) directory_ = pattern;
  fs::create_directories(directory_ + "/trash");
  files_ = std::make_shared<FileSystem>(directory_ + "/trash");
}

CrashingRocksDbStore::~CrashingRocksDbStore() {
  files_->CutPower();
  store_.reset();
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
}

Result<CheckpointStore*> CrashingRocksDbStore::NextLife(Rng* rng) {
  if (store_) {
    files_->CutPower();
    store_.reset();
    files_->Restart(Rng(rng->Next()), directory_ + "/state/db/SYNCED");
  }
  FRESHET_ASSIGN_OR_RETURN(
      std::unique_ptr<CheckpointStore> real,
      OpenRocksDbStoreOn(files_, Env::Posix(), directory_ + "/state", false, batch_key_count_max_));
  store_ = std::make_unique<Store>(std::move(real), files_);
  return static_cast<CheckpointStore*>(store_.get());
}

void CrashingRocksDbStore::CrashAtCall(int64_t n) { files_->CrashAtCall(n); }
void CrashingRocksDbStore::FailAtCall(int64_t n) { files_->FillAtCall(n, 1); }
void CrashingRocksDbStore::FillAtCall(int64_t n, int64_t count) { files_->FillAtCall(n, count); }

}  // namespace freshet::testing
