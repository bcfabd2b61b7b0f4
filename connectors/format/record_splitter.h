#pragma once

#include <cstdint>
#include <memory>

namespace freshet {

/// Finds where records end, so that a source can cut its bytes into chunks of whole records. Which records a stream has
/// depends on its bytes alone, not on how they are cut. Immutable, thread-safe.
class RecordSplitter {
 public:
  struct Piece {
    int64_t bytes = 0;    ///< whole records at the front; 0: the first one is not whole yet
    int64_t records = 0;  ///< how many (blank lines and headers count)
  };
  virtual ~RecordSplitter() = default;
  /// How much of [data, data + size) to hand out: whole records of up to `bytes_max` bytes and `records_max` records in
  /// all, but at least one if there is a whole one. `data` begins a record; `final`: nothing follows, so the rest is
  /// whole.
  virtual Piece Cut(const char* data, int64_t size, int64_t bytes_max, int64_t records_max, bool final) const = 0;
};

/// A record is a line.
std::unique_ptr<RecordSplitter> MakeLineSplitter();
/// RFC 4180: a line feed inside a quoted field belongs to it. A record of more than `record_bytes_max` bytes is given
/// up at its first line feed, so that one stray quote costs one line; one that is open at the end of the input is the
/// rest of it.
std::unique_ptr<RecordSplitter> MakeCsvSplitter(char delimiter, int64_t record_bytes_max);

/// Number of line feeds in [p, end).
int64_t CountLines(const char* p, const char* end);

}  // namespace freshet
