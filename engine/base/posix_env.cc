#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <utility>

#include "engine/base/env.h"

namespace freshet {
namespace {

constexpr size_t kWriteBufferBytes = 64 << 10;

/// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

Descriptor OpenDescriptor(const std::string& path, int flags) {
  for (;;) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
    if (fd >= 0 || errno != EINTR) return Descriptor(fd);
  }
}

FileInfo InfoOf(const struct stat& raw) {
  FileInfo info;
  info.inode = raw.st_ino;
  info.size = raw.st_size;
  info.is_directory = S_ISDIR(raw.st_mode);
  info.is_regular = S_ISREG(raw.st_mode);
  info.modified_us = int64_t{raw.st_mtim.tv_sec} * 1000000 + raw.st_mtim.tv_nsec / 1000;
  return info;
}

class PosixReadableFile final : public ReadableFile {
 public:
  PosixReadableFile(std::string path, Descriptor fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  Result<int64_t> Read(char* into, int64_t size) override {
    for (;;) {
      const ssize_t n = ::read(fd_.get(), into, static_cast<size_t>(size));
      if (n >= 0) return static_cast<int64_t>(n);
      if (errno != EINTR) return Status::FromErrno(errno, "cannot read " + path_);
    }
  }
  Status Seek(int64_t offset) override {
    if (::lseek(fd_.get(), offset, SEEK_SET) < 0) return Status::FromErrno(errno, "cannot seek in " + path_);
    return Status::Ok();
  }
  Result<FileInfo> Stat() override {
    struct stat raw;
    if (::fstat(fd_.get(), &raw) != 0) return Status::FromErrno(errno, "cannot inspect " + path_);
    return InfoOf(raw);
  }

 private:
  const std::string path_;
  const Descriptor fd_;
};

class PosixWritableFile final : public WritableFile {
 public:
  PosixWritableFile(std::string path, Descriptor fd, int64_t size)
      : path_(std::move(path)), fd_(std::move(fd)), size_(size) {}
  ~PosixWritableFile() override { (void)Flush(); }

  Status Append(std::string_view bytes) override {
    if (buffer_.size() + bytes.size() > kWriteBufferBytes) FRESHET_RETURN_IF_ERROR(Flush());
    std::string_view rest = bytes;
    if (bytes.size() >= kWriteBufferBytes) {
      Status status = Write(&rest);
      if (rest.size() == bytes.size()) return status;
    }
    buffer_.append(rest);  // also what is left of a write that was cut short
    size_ += static_cast<int64_t>(bytes.size());
    return Status::Ok();
  }
  Status Flush() override {
    std::string_view rest = buffer_;
    const Status status = Write(&rest);
    buffer_.erase(0, buffer_.size() - rest.size());
    return status;
  }
  Status Sync() override {
    FRESHET_RETURN_IF_ERROR(Flush());
    // Pipes and terminals know no fsync; there is nothing behind them that could be lost.
    if (::fdatasync(fd_.get()) != 0 && errno != EINVAL && errno != EROFS)
      return Status::FromErrno(errno, "cannot sync " + path_);
    return Status::Ok();
  }
  int64_t size() const override { return size_; }
  Status Close() override {
    if (fd_.get() < 0) return Status::Ok();
    FRESHET_RETURN_IF_ERROR(Flush());
    if (::close(fd_.Release()) != 0 && errno != EINTR) return Status::FromErrno(errno, "cannot close " + path_);
    return Status::Ok();
  }

 private:
  /// Leaves in `*bytes` what could not be written.
  Status Write(std::string_view* bytes) {
    while (!bytes->empty()) {
      const ssize_t n = ::write(fd_.get(), bytes->data(), bytes->size());
      if (n >= 0) {
        bytes->remove_prefix(static_cast<size_t>(n));
      } else if (errno != EINTR) {
        return Status::FromErrno(errno, "cannot write to " + path_);
      }
    }
    return Status::Ok();
  }

  const std::string path_;
  Descriptor fd_;
  std::string buffer_;
  int64_t size_;
};

class PosixFileLock final : public FileLock {
 public:
  explicit PosixFileLock(Descriptor fd) : fd_(std::move(fd)) {}

 private:
  const Descriptor fd_;
};

int64_t MicrosOf(clockid_t clock) {
  struct timespec now;
  ::clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1000000 + now.tv_nsec / 1000;
}

class PosixEnv final : public Env {
 public:
  int64_t WallMicros() override { return MicrosOf(CLOCK_REALTIME); }
  int64_t SteadyMicros() override { return MicrosOf(CLOCK_MONOTONIC); }
  std::optional<std::string> Variable(const std::string& name) override {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  }

  Result<std::unique_ptr<ReadableFile>> OpenReadable(const std::string& path) override {
    Descriptor fd = OpenDescriptor(path, O_RDONLY);
    if (fd.get() < 0) return Status::FromErrno(errno, "cannot open " + path);
    return std::unique_ptr<ReadableFile>(new PosixReadableFile(path, std::move(fd)));
  }

  Result<std::unique_ptr<WritableFile>> OpenWritable(const std::string& path, int64_t truncate_to) override {
    Descriptor fd = OpenDescriptor(path, O_WRONLY | O_CREAT | O_APPEND);
    if (fd.get() < 0) return Status::FromErrno(errno, "cannot open " + path + " for writing");
    struct stat raw;
    if (::fstat(fd.get(), &raw) != 0) return Status::FromErrno(errno, "cannot inspect " + path);
    int64_t size = raw.st_size;
    if (truncate_to > size)
      return Status::DataLoss(path + " is shorter (" + std::to_string(size) + " bytes) than the " +
                              std::to_string(truncate_to) + " bytes that should be kept of it");
    if (truncate_to >= 0 && truncate_to < size) {
      if (::ftruncate(fd.get(), truncate_to) != 0) return Status::FromErrno(errno, "cannot truncate " + path);
      size = truncate_to;
    }
    return std::unique_ptr<WritableFile>(new PosixWritableFile(path, std::move(fd), size));
  }

  Result<FileInfo> Stat(const std::string& path) override {
    struct stat raw;
    if (::stat(path.c_str(), &raw) != 0) return Status::FromErrno(errno, "cannot inspect " + path);
    return InfoOf(raw);
  }
  Status Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return Status::FromErrno(errno, "cannot rename " + from + " to " + to);
    return Status::Ok();
  }
  Status Remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return Status::FromErrno(errno, "cannot remove " + path);
    return Status::Ok();
  }
  Status RemoveTree(const std::string& path) override {
    std::error_code error;
    std::filesystem::remove_all(path, error);
    return error ? Status::FromErrno(error.value(), "cannot remove " + path) : Status::Ok();
  }
  Status MakeDirectories(const std::string& path) override {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    return error ? Status::FromErrno(error.value(), "cannot create directory " + path) : Status::Ok();
  }
  Status SyncDirectory(const std::string& path) override {
    const Descriptor fd = OpenDescriptor(path, O_RDONLY | O_DIRECTORY);
    if (fd.get() < 0) return Status::FromErrno(errno, "cannot open directory " + path);
    if (::fsync(fd.get()) != 0 && errno != EINVAL) return Status::FromErrno(errno, "cannot sync directory " + path);
    return Status::Ok();
  }

  Result<std::vector<std::string>> List(const std::string& path) override {
    std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), &::closedir);
    if (!directory) return Status::FromErrno(errno, "cannot list " + path);
    std::vector<std::string> names;
    for (;;) {
      errno = 0;
      const dirent* entry = ::readdir(directory.get());
      if (entry == nullptr) break;
      const std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(name);
    }
    if (errno != 0) return Status::FromErrno(errno, "cannot list " + path);
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<std::vector<std::string>> Glob(const std::string& pattern) override {
    glob_t found{};
    const int code = ::glob(pattern.c_str(), GLOB_ERR | GLOB_NOSORT, nullptr, &found);
    std::vector<std::string> paths;
    for (size_t i = 0; code == 0 && i < found.gl_pathc; ++i) paths.emplace_back(found.gl_pathv[i]);
    ::globfree(&found);
    if (code == GLOB_ABORTED) return Status::Io("cannot read a directory of pattern " + pattern);
    if (code == GLOB_NOSPACE) return Status::Io("out of memory while matching " + pattern);
    std::sort(paths.begin(), paths.end());  // by bytes: glob's own order follows the locale
    return paths;
  }

  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    Descriptor fd = OpenDescriptor(path, O_RDWR | O_CREAT);
    if (fd.get() < 0) return Status::FromErrno(errno, "cannot open lock file " + path);
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return Status::Locked(path + " is locked by another process");
      return Status::FromErrno(errno, "cannot lock " + path);
    }
    return std::unique_ptr<FileLock>(new PosixFileLock(std::move(fd)));
  }
};

}  // namespace

Env* Env::Posix() {
  static PosixEnv* const env = new PosixEnv;  // never destroyed: threads may use it until the very end
  return env;
}

}  // namespace freshet
