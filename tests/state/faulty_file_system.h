#pragma once

#include <rocksdb/file_system.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

namespace freshet {

/// Counts and fails writes, and can hold back the files that compactions make.
class FaultyFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  FaultyFileSystem() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  const char* Name() const override { return "FaultyFileSystem"; }

  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override {
    if (name.find("/db/") != std::string::npos && name.ends_with(".sst")) {
      std::unique_lock lock(mutex_);
      opened_.wait(lock, [&] { return !gate_closed_; });
    }
    std::unique_ptr<rocksdb::FSWritableFile> real;
    rocksdb::IOStatus s = Next();
    if (s.ok()) s = target()->NewWritableFile(name, options, &real, debug);
    if (s.ok()) *file = std::make_unique<File>(std::move(real), this);
    return s;
  }
  rocksdb::IOStatus LinkFile(const std::string& from, const std::string& to, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) override {
    rocksdb::IOStatus s = Next();
    return s.ok() ? target()->LinkFile(from, to, options, debug) : s;
  }

  void SetGate(bool closed) {
    const std::lock_guard lock(mutex_);
    gate_closed_ = closed;
    opened_.notify_all();
  }
  /// The n-th call from now (and, like a disk that stays full, those after it) fails.
  void FailFrom(int64_t n) { left_ = n; }
  void Heal() { left_ = INT64_MAX; }
  bool failed() const { return left_ < 0; }

 private:
  class File final : public rocksdb::FSWritableFileOwnerWrapper {
   public:
    File(std::unique_ptr<rocksdb::FSWritableFile> real, FaultyFileSystem* owner)
        : FSWritableFileOwnerWrapper(std::move(real)), owner_(owner) {}
    using FSWritableFileOwnerWrapper::Append;
    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) override {
      rocksdb::IOStatus s = owner_->Next();
      return s.ok() ? FSWritableFileOwnerWrapper::Append(data, options, debug) : s;
    }
    rocksdb::IOStatus Sync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
      rocksdb::IOStatus s = owner_->Next();
      return s.ok() ? FSWritableFileOwnerWrapper::Sync(options, debug) : s;
    }

   private:
    FaultyFileSystem* owner_;
  };

  rocksdb::IOStatus Next() {
    if (left_ == INT64_MAX || --left_ >= 0) return rocksdb::IOStatus::OK();
    left_ = -1;
    return rocksdb::IOStatus::NoSpace("injected");
  }

  std::atomic<int64_t> left_{INT64_MAX};
  std::mutex mutex_;
  std::condition_variable opened_;
  bool gate_closed_ = false;
};

}  // namespace freshet
