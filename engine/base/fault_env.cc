#include "engine/base/fault_env.h"

#include <utility>

namespace freshet {
namespace {

/// What only reads does not fail for want of room.
Status ForReading(Status fault) { return fault.code() == StatusCode::kNoSpace ? Status::Ok() : std::move(fault); }

class FaultyReadable final : public ReadableFile {
 public:
  FaultyReadable(FaultEnv* env, std::unique_ptr<ReadableFile> base) : env_(env), base_(std::move(base)) {}
  Result<int64_t> Read(char* into, int64_t size) override {
    FRESHET_RETURN_IF_ERROR(ForReading(env_->Enter()));
    return base_->Read(into, size);
  }
  Status Seek(int64_t offset) override {
    FRESHET_RETURN_IF_ERROR(ForReading(env_->Enter()));
    return base_->Seek(offset);
  }
  Result<FileInfo> Stat() override {
    FRESHET_RETURN_IF_ERROR(ForReading(env_->Enter()));
    return base_->Stat();
  }

 private:
  FaultEnv* const env_;
  const std::unique_ptr<ReadableFile> base_;
};

class FaultyWritable final : public WritableFile {
 public:
  FaultyWritable(FaultEnv* env, std::unique_ptr<WritableFile> base) : env_(env), base_(std::move(base)) {}
  Status Append(std::string_view bytes) override {
    if (Status fault = env_->Enter(); !fault.ok()) {
      if (fault.retry() == RetryHint::kNever) FRESHET_RETURN_IF_ERROR(base_->Append(bytes.substr(0, bytes.size() / 2)));
      return fault;
    }
    return base_->Append(bytes);
  }
  Status Flush() override {
    FRESHET_RETURN_IF_ERROR(env_->Enter());
    return base_->Flush();
  }
  Status Sync() override {
    FRESHET_RETURN_IF_ERROR(env_->Enter());
    return base_->Sync();
  }
  int64_t size() const override { return base_->size(); }
  Status Close() override {
    FRESHET_RETURN_IF_ERROR(env_->Enter());
    return base_->Close();
  }

 private:
  FaultEnv* const env_;
  const std::unique_ptr<WritableFile> base_;
};

}  // namespace

void FaultEnv::FailAfter(int64_t n, Status status, bool sticky) {
  const std::lock_guard lock(mutex_);
  fail_at_ = calls_ + n;
  fault_ = std::move(status);
  sticky_ = sticky;
}

void FaultEnv::Heal() {
  const std::lock_guard lock(mutex_);
  fail_at_ = -1;
}

int64_t FaultEnv::call_count() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

int64_t FaultEnv::fault_count() const {
  const std::lock_guard lock(mutex_);
  return faults_;
}

Status FaultEnv::Enter() {
  const std::lock_guard lock(mutex_);
  const int64_t call = calls_++;
  if (fail_at_ < 0 || call < fail_at_ || (call > fail_at_ && !sticky_)) return Status::Ok();
  ++faults_;
  return fault_;
}

void FaultEnv::FreezeClock(int64_t wall_us) {
  const std::lock_guard lock(mutex_);
  frozen_ = true;
  wall_us_ = wall_us;
  steady_us_ = 0;
}

void FaultEnv::AdvanceMicros(int64_t us) {
  const std::lock_guard lock(mutex_);
  wall_us_ += us;
  steady_us_ += us;
}

void FaultEnv::StepWallMicros(int64_t us) {
  const std::lock_guard lock(mutex_);
  wall_us_ += us;
}

int64_t FaultEnv::WallMicros() {
  const std::lock_guard lock(mutex_);
  return frozen_ ? wall_us_ : base_->WallMicros();
}

int64_t FaultEnv::SteadyMicros() {
  const std::lock_guard lock(mutex_);
  return frozen_ ? steady_us_ : base_->SteadyMicros();
}

Result<std::unique_ptr<ReadableFile>> FaultEnv::OpenReadable(const std::string& path) {
  FRESHET_RETURN_IF_ERROR(ForReading(Enter()));
  FRESHET_ASSIGN_OR_RETURN(std::unique_ptr<ReadableFile> file, base_->OpenReadable(path));
  return std::unique_ptr<ReadableFile>(new FaultyReadable(this, std::move(file)));
}

Result<std::unique_ptr<WritableFile>> FaultEnv::OpenWritable(const std::string& path, int64_t truncate_to) {
  FRESHET_RETURN_IF_ERROR(Enter());
  FRESHET_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file, base_->OpenWritable(path, truncate_to));
  return std::unique_ptr<WritableFile>(new FaultyWritable(this, std::move(file)));
}

Result<FileInfo> FaultEnv::Stat(const std::string& path) {
  FRESHET_RETURN_IF_ERROR(ForReading(Enter()));
  return base_->Stat(path);
}
Status FaultEnv::Rename(const std::string& from, const std::string& to) {
  FRESHET_RETURN_IF_ERROR(Enter());
  return base_->Rename(from, to);
}
Status FaultEnv::Remove(const std::string& path) {
  FRESHET_RETURN_IF_ERROR(Enter());
  return base_->Remove(path);
}
Status FaultEnv::RemoveTree(const std::string& path) {
  FRESHET_RETURN_IF_ERROR(Enter());
  return base_->RemoveTree(path);
}
Status FaultEnv::MakeDirectories(const std::string& path) {
  FRESHET_RETURN_IF_ERROR(Enter());
  return base_->MakeDirectories(path);
}
Status FaultEnv::SyncDirectory(const std::string& path) {
  FRESHET_RETURN_IF_ERROR(Enter());
  return base_->SyncDirectory(path);
}
Result<std::vector<std::string>> FaultEnv::List(const std::string& path) {
  FRESHET_RETURN_IF_ERROR(ForReading(Enter()));
  return base_->List(path);
}
Result<std::vector<std::string>> FaultEnv::Glob(const std::string& pattern) {
  FRESHET_RETURN_IF_ERROR(ForReading(Enter()));
  return base_->Glob(pattern);
}
Result<std::unique_ptr<FileLock>> FaultEnv::Lock(const std::string& path) {
  FRESHET_RETURN_IF_ERROR(Enter());
  return base_->Lock(path);
}

}  // namespace freshet
