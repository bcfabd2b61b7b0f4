#include "connectors/format/record_splitter.h"

#include <algorithm>
#include <cstring>

#include "connectors/format/csv_scan.h"
#include "connectors/format/kernels/count_lines.h"

namespace freshet {
namespace {

const char* FindLineFeed(const char* p, const char* end) {
  return p < end ? static_cast<const char*>(std::memchr(p, '\n', static_cast<size_t>(end - p))) : nullptr;
}

class LineSplitter final : public RecordSplitter {
 public:
  Piece Cut(const char* data, int64_t size, int64_t bytes_max, int64_t records_max, bool final) const override {
    const char* const end = data + size;
    if (final && size <= bytes_max) {
      const int64_t lines = CountLines(data, end) + (size > 0 && end[-1] != '\n' ? 1 : 0);
      if (lines <= records_max) return {size, lines};
    }
    const int64_t window = std::min(size, bytes_max);
    const auto* last =
        window > 0 ? static_cast<const char*>(::memrchr(data, '\n', static_cast<size_t>(window))) : nullptr;
    if (last == nullptr) {
      const char* const first = FindLineFeed(data + window, end);
      if (first != nullptr) return {first + 1 - data, 1};
      return final && size > 0 ? Piece{size, 1} : Piece{};
    }
    const int64_t lines = CountLines(data, last + 1);
    if (lines <= records_max) return {last + 1 - data, lines};
    const char* p = data;
    const int64_t taken = std::max<int64_t>(records_max, 1);
    for (int64_t i = 0; i < taken; ++i) p = FindLineFeed(p, end) + 1;
    return {p - data, taken};
  }
};

class CsvSplitter final : public RecordSplitter {
 public:
  CsvSplitter(char delimiter, int64_t record_bytes_max) : delimiter_(delimiter), record_bytes_max_(record_bytes_max) {}

  Piece Cut(const char* data, int64_t size, int64_t bytes_max, int64_t records_max, bool final) const override {
    const char* const end = data + size;
    Piece piece;
    for (const char* p = data; p < end;) {
      const CsvRecordEnd record = ScanCsvRecord(p, end, delimiter_, nullptr);
      const bool whole = record.whole || final;
      const bool too_long = record.next - p > record_bytes_max_ + 1;  // its line feed does not count
      const char* next = record.next;
      if (too_long) {
        const char* const line_feed = FindLineFeed(p, end);
        if (line_feed == nullptr && !final) return piece;
        next = line_feed != nullptr ? line_feed + 1 : end;
      } else if (!whole) {
        return piece;
      }
      if (piece.records > 0 && (next - data > bytes_max || piece.records >= records_max)) return piece;
      piece.bytes = next - data;
      ++piece.records;
      // A torn line ends its chunk: the decoder then sees its quote open at the end, whatever comes next.
      if (too_long) return piece;
      p = next;
    }
    return piece;
  }

 private:
  const char delimiter_;
  const int64_t record_bytes_max_;
};

}  // namespace

int64_t CountLines(const char* p, const char* end) { return CountLineFeeds(p, end - p); }

std::unique_ptr<RecordSplitter> MakeLineSplitter() { return std::make_unique<LineSplitter>(); }
std::unique_ptr<RecordSplitter> MakeCsvSplitter(char delimiter, int64_t record_bytes_max) {
  return std::make_unique<CsvSplitter>(delimiter, record_bytes_max);
}

}  // namespace freshet
