#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/status.h"

namespace freshet {

/// What stat(2) says, as far as we use it.
struct FileInfo {
  uint64_t inode = 0;
  int64_t size = 0;  ///< bytes
  bool is_directory = false;
  bool is_regular = false;  ///< false for pipes, terminals and devices
  int64_t modified_us = 0;  ///< microseconds since the epoch
};

/// A file opened for reading. One thread at a time.
class ReadableFile {
 public:
  virtual ~ReadableFile() = default;
  /// Reads up to `size` bytes at the current position; 0 means the end of the file (for now).
  virtual Result<int64_t> Read(char* into, int64_t size) = 0;
  /// Moves the position. Not possible on a pipe.
  virtual Status Seek(int64_t offset) = 0;
  virtual Result<FileInfo> Stat() = 0;
};

/// A file opened for appending. One thread at a time. Append and Flush may be called again after an error (a full disk
/// gets room again): what was taken and could not be written yet stays and is tried again.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  /// Takes all of `bytes` or, on an error, none of them.
  virtual Status Append(std::string_view bytes) = 0;
  /// Flushes user-space buffers to the operating system.
  virtual Status Flush() = 0;
  /// Flush and fsync: when it returns OK the bytes survive a power cut. An error of the fsync itself may have lost
  /// bytes that another fsync would not miss: then the file must be read again or given up.
  virtual Status Sync() = 0;
  /// Bytes in the file after all appends so far.
  virtual int64_t size() const = 0;
  virtual Status Close() = 0;
};

/// Held while alive: an exclusive flock(2).
class FileLock {
 public:
  virtual ~FileLock() = default;
};

/// Time, files and variables of the outside world: the seam where tests put faults and a clock of their own.
/// Thread-safe. Nothing else in Freshet asks the operating system for these.
class Env {
 public:
  virtual ~Env() = default;
  /// Microseconds since 1970 UTC; may step backwards.
  virtual int64_t WallMicros() = 0;
  /// Microseconds since some start; never steps backwards.
  virtual int64_t SteadyMicros() = 0;
  /// Waits on the calling thread, which must not be one of the arena's. Tests make it return at once.
  virtual void SleepMicros(int64_t us);
  virtual std::optional<std::string> Variable(const std::string& name) = 0;

  virtual Result<std::unique_ptr<ReadableFile>> OpenReadable(const std::string& path) = 0;
  /// Opens for appending, creating it if need be; with `truncate_to >= 0` cuts it to that many bytes first.
  virtual Result<std::unique_ptr<WritableFile>> OpenWritable(const std::string& path, int64_t truncate_to = -1) = 0;
  virtual Result<FileInfo> Stat(const std::string& path) = 0;
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  virtual Status Remove(const std::string& path) = 0;
  /// Removes a directory and all in it; OK if it does not exist.
  virtual Status RemoveTree(const std::string& path) = 0;
  virtual Status MakeDirectories(const std::string& path) = 0;
  virtual Status SyncDirectory(const std::string& path) = 0;
  /// Names (not paths) in a directory, sorted.
  virtual Result<std::vector<std::string>> List(const std::string& path) = 0;
  /// Files matching a shell pattern, sorted by name; empty if none.
  virtual Result<std::vector<std::string>> Glob(const std::string& pattern) = 0;
  /// kLocked if another holder has it.
  virtual Result<std::unique_ptr<FileLock>> Lock(const std::string& path) = 0;

  /// Whole small files, for configuration and secrets.
  Result<std::string> ReadFile(const std::string& path);
  /// Writes a temporary file beside it, syncs and renames: readers see the old or the new content, never half.
  Status WriteFileAtomically(const std::string& path, std::string_view bytes);

  /// The real one, alive for the whole program.
  static Env* Posix();
};

/// Directory part of a path ("." when it has none), and a path resolved against a directory unless it is absolute.
std::string DirectoryOf(const std::string& path);
std::string ResolvePath(const std::string& directory, const std::string& path);

}  // namespace freshet
