#pragma once

#include <functional>
#include <memory>
#include <string>

#include "connectors/format/source_format.h"
#include "engine/flow/source.h"

namespace freshet {

/// Cuts a stream of bytes into chunks of whole records: the part of a byte source that knows no files. Over-long
/// records are skipped without being held whole and leave as one dead record. One thread.
class RecordReader {
 public:
  /// Reads up to `size` bytes; 0: none now.
  using ReadBytes = std::function<Result<int64_t>(char* into, int64_t size)>;
  /// `name` is for messages. `offset` bytes and `record` records came before; `header` is CsvHeaders' id if it is
  /// known.
  RecordReader(const SourceFormat* format, std::string name, int64_t offset, int64_t record, int64_t header);

  enum class Outcome : uint8_t { kChunk, kDry };
  /// Fills bytes, size, numbers, row_count_hint and finished of `*chunk`. kDry: `read` gave nothing and what is
  /// buffered is no whole record; with `final` nothing is buffered any more either. An error of `read` is returned
  /// after the whole records before it.
  Result<Outcome> Next(const PollBudget& budget, const ReadBytes& read, bool final, RawChunk* chunk);

  int64_t offset() const { return offset_; }  ///< behind the chunks given out
  int64_t record() const { return record_; }
  int64_t header() const { return header_; }
  /// True if the last read found nothing and the buffer is empty: a final reader is done.
  bool drained() const { return dry_ && used_ == 0 && !skipping_; }

 private:
  void Fill(const ReadBytes& read);
  Status TakeError();
  Status FindHeader(bool final);
  void Give(RecordSplitter::Piece piece, RawChunk* chunk);
  bool SkipLongLine(bool final, RawChunk* chunk);

  const SourceFormat& format_;
  const std::string name_;
  BufferRef buffer_;
  int64_t used_ = 0;
  bool dry_ = false;
  Status error_;
  int64_t offset_ = 0;
  int64_t record_ = 0;
  int64_t header_ = 0;
  bool skipping_ = false;   ///< inside a line that is too long
  int64_t long_bytes_ = 0;  ///< of that line, so far
  std::string long_raw_;    ///< its beginning
};

}  // namespace freshet
