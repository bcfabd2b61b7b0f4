#pragma once

#include <memory>
#include <string>
#include <utility>

#include "engine/base/env.h"

namespace freshet::test {

/// The real environment, except that the n-th call that touches a file (from 1; -1: none) fails with "no space left",
/// and a failing Append writes half of its bytes first, as a full disk does. One thread.
class FaultEnv : public Env {
 public:
  explicit FaultEnv(int fail_at) : fail_at_(fail_at) {}
  bool failed() const { return fail_at_ > 0 && count_ >= fail_at_; }
  Status Step() { return ++count_ == fail_at_ ? Status::NoSpace("injected: no space left on device") : Status::Ok(); }

  int64_t WallMicros() override { return real_->WallMicros(); }
  int64_t SteadyMicros() override { return real_->SteadyMicros(); }
  std::optional<std::string> Variable(const std::string& name) override { return real_->Variable(name); }
  Result<std::unique_ptr<ReadableFile>> OpenReadable(const std::string& path) override {
    FRESHET_RETURN_IF_ERROR(Step());
    return real_->OpenReadable(path);
  }
  Result<std::unique_ptr<WritableFile>> OpenWritable(const std::string& path, int64_t truncate_to) override {
    FRESHET_RETURN_IF_ERROR(Step());
    FRESHET_ASSIGN_OR_RETURN(auto file, real_->OpenWritable(path, truncate_to));
    return std::unique_ptr<WritableFile>(new File(this, std::move(file)));
  }
  /// A question about a name that does not exist is no failure of the disk, so Stat is never made to fail.
  Result<FileInfo> Stat(const std::string& path) override { return real_->Stat(path); }
  Status Rename(const std::string& from, const std::string& to) override {
    FRESHET_RETURN_IF_ERROR(Step());
    return real_->Rename(from, to);
  }
  Status Remove(const std::string& path) override {
    FRESHET_RETURN_IF_ERROR(Step());
    return real_->Remove(path);
  }
  Status RemoveTree(const std::string& path) override { return real_->RemoveTree(path); }
  Status MakeDirectories(const std::string& path) override {
    FRESHET_RETURN_IF_ERROR(Step());
    return real_->MakeDirectories(path);
  }
  Status SyncDirectory(const std::string& path) override {
    FRESHET_RETURN_IF_ERROR(Step());
    return real_->SyncDirectory(path);
  }
  Result<std::vector<std::string>> List(const std::string& path) override { return real_->List(path); }
  Result<std::vector<std::string>> Glob(const std::string& pattern) override { return real_->Glob(pattern); }
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    FRESHET_RETURN_IF_ERROR(Step());
    return real_->Lock(path);
  }

 private:
  class File final : public WritableFile {
   public:
    File(FaultEnv* env, std::unique_ptr<WritableFile> file) : env_(env), file_(std::move(file)) {}
    Status Append(std::string_view bytes) override {
      if (Status status = env_->Step(); !status.ok()) {
        (void)file_->Append(bytes.substr(0, bytes.size() / 2));
        (void)file_->Flush();
        return status;
      }
      return file_->Append(bytes);
    }
    Status Flush() override {
      FRESHET_RETURN_IF_ERROR(env_->Step());
      return file_->Flush();
    }
    Status Sync() override {
      FRESHET_RETURN_IF_ERROR(env_->Step());
      return file_->Sync();
    }
    int64_t size() const override { return file_->size(); }
    Status Close() override { return file_->Close(); }

   private:
    FaultEnv* env_;
    std::unique_ptr<WritableFile> file_;
  };

  const int fail_at_;
  int count_ = 0;
  Env* const real_ = Env::Posix();
};

/// The real environment with a steady clock that moves only when told.
class ManualClockEnv final : public FaultEnv {
 public:
  ManualClockEnv() : FaultEnv(-1) {}
  int64_t SteadyMicros() override { return now_us; }
  int64_t WallMicros() override { return now_us; }
  int64_t now_us = 1000000;
};

}  // namespace freshet::test
