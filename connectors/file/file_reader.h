#pragma once

#include <memory>
#include <optional>
#include <string>

#include "connectors/file/file_position.h"
#include "connectors/format/byte_stream.h"
#include "connectors/format/record_reader.h"

namespace freshet {

/// Reads one file of a source, by name: opens it, finds its place again after a restore, and when following it goes on
/// behind a truncation or a rotation (the old inode is read to its end first). One thread.
class FileReader {
 public:
  FileReader(Env* env, const SourceFormat* format, std::string path, bool follow);

  /// Opens the file at its beginning or where `restored` says. A file that is not the one the position was taken in is
  /// an error, or when following a new generation.
  Status Open(const std::optional<FilePosition>& restored);

  enum class Outcome : uint8_t {
    kChunk,  ///< `*chunk` is filled, its position_after too
    kWait,   ///< following: nothing new
    kEnd,    ///< not following: all read; the last chunk had `partition_end`, or `*chunk` is an empty one that has it
  };
  Result<Outcome> Next(const PollBudget& budget, RawChunk* chunk);

  const std::string& path() const { return path_; }
  /// Bytes of the file itself read so far.
  int64_t file_bytes_read() const { return stream_ != nullptr ? stream_->file_bytes_read() : 0; }
  void Close();

 private:
  Status Attach(const std::string& path);
  Status Start(const std::string& path, const FilePosition& at);
  Status Resume(const FilePosition& at);
  Result<bool> Matches(const FilePosition& at) const;
  std::string FindRotated(const FilePosition& at) const;
  Result<int64_t> ReadHeaderId(const std::string& path) const;
  Result<int64_t> ReadBytes(char* into, int64_t size);
  Result<bool> MoveOn();
  void StartOver(int64_t record);
  std::string Position() const;

  Env* const env_;
  const SourceFormat* const format_;
  const std::string path_;
  const bool follow_;
  std::unique_ptr<ByteStream> stream_;
  std::unique_ptr<RecordReader> records_;
  FileInfo info_;            ///< of the open file
  std::string prefix_;       ///< its first bytes, for the fingerprint
  int64_t read_offset_ = 0;  ///< uncompressed bytes read from the stream
  bool replaced_ = false;    ///< following: another file has taken the name; this one is read to its end
  bool ended_ = false;
  std::optional<FilePosition> start_over_;  ///< the file must be opened anew, from here
};

}  // namespace freshet
