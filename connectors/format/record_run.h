#pragma once

#include <cstdint>
#include <vector>

#include "connectors/format/record_layout.h"
#include "connectors/format/row_columns.h"

namespace freshet {

/// Decodes runs of records that have one layout, field by field instead of record by record. In such records the n-th
/// quote always belongs to the same key or value, so a list of all places where plain text stops (kernels/find_stops.h)
/// says where each field of each record is: no load waits for the value before it, and each field is one tight loop.
///
/// A record belongs to the run iff every literal between its values is where it must be and every value is good. The
/// quotes around text count as part of the literals beside it: between two stops that are quotes nothing can lie that
/// has to be looked at closely. Immutable.
class RecordRun {
 public:
  RecordRun() = default;
  explicit RecordRun(const RecordLayout& layout);
  /// False if records of this layout need a closer look: objects or arrays as values, JSON that is no text.
  bool usable() const { return stop_count_ > 0; }
  /// Stops in one record, its line feed included.
  int32_t stop_count() const { return stop_count_; }

  struct Text {
    const char* begin = nullptr;      ///< what stops count from
    const char* record = nullptr;     ///< where the first record begins
    const uint32_t* stops = nullptr;  ///< the first one at or behind `record`; REQUIRES: count * stop_count() of them
    int64_t record_bytes_max = 0;
  };
  /// Looks at `count` records and returns how many, from the first on, belong to the run: their rows are set and not
  /// committed. 64 bytes behind the text must be readable. REQUIRES: usable().
  int32_t Decode(const Text& text, int32_t count, RowColumns* rows) const;

 private:
  static constexpr int kLiteralBytesMax = RecordLayout::kLiteralBytesMax + 16;
  /// What stands between two values, the quotes of text included.
  struct Gap {
    char literal[kLiteralBytesMax] = {};
    int32_t size = 0;
    uint32_t mask = 0;       ///< one bit per byte of the last block of 16
    int32_t first_stop = 0;  ///< where in the literal its first stop is
    int32_t stop = 0;        ///< which of the record's stops that is
  };
  struct Value {
    RecordLayout::Op op = RecordLayout::Op::kSkip;
    bool text = false;
    int column = -1;
    const TimestampParser* time = nullptr;
  };
  /// Where the value behind a gap lies, of each record of a run.
  struct Places;
  static int32_t CountBeginnings(const Text& text, const Gap& first, int32_t stop_count, int32_t count);
  static int32_t CountMatches(const Gap& gap, const Text& text, int32_t stop_count, int32_t count);
  static int32_t ReadValues(const Value& value, const Places& places, int32_t count, RowColumns* rows);

  std::vector<Gap> gaps_;
  std::vector<Value> values_;  ///< of gap i the one behind it; the last gap has none
  std::vector<int> absent_;
  int32_t stop_count_ = 0;
};

}  // namespace freshet
