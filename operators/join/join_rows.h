#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/time.h"

namespace freshet {

/// Which event times the rows that meet a row may have: within a distance, or in the same tumbling window. Both bounds
/// rise with the row's time. A pure value; microseconds, saturating.
class JoinReach {
 public:
  JoinReach() = default;
  static JoinReach Within(Duration distance) { return {distance.us, 0}; }
  static JoinReach Tumbling(Duration size) { return {0, size.us}; }

  int64_t First(int64_t time_us) const { return size_ > 0 ? Floor(time_us) : Saturated(time_us, -distance_); }
  /// A row is needed until time has passed this.
  int64_t Last(int64_t time_us) const {
    return size_ > 0 ? Saturated(Floor(time_us), size_ - 1) : Saturated(time_us, distance_);
  }
  bool tumbling() const { return size_ > 0; }
  std::string ToString() const;

 private:
  JoinReach(int64_t distance, int64_t size) : distance_(distance), size_(size) {}
  static int64_t Saturated(int64_t a, int64_t b);
  int64_t Floor(int64_t time_us) const;

  int64_t distance_ = 0;
  int64_t size_ = 0;
};

/// A row that waits for others to meet it.
struct JoinRow {
  int64_t time_us = 0;
  int64_t watermark_us = 0;  ///< its own; for late ones the moment at which they leave
  uint64_t ordinal = 0;
  bool probed = false;   ///< it has been compared with the rows before it; later ones find it
  bool matched = false;  ///< it is in some result
  bool told = false;     ///< it has left alone, as unmatched
  bool null_key = false;
  bool after_idle = false;  ///< late, but not by its own watermark
  std::string values;       ///< EncodeRow
};

/// The rows of one side in order of (event time, ordinal). Rows leave from its front.
class JoinSide {
 public:
  size_t size() const { return rows_.size() - head_; }
  JoinRow& at(size_t i) { return rows_[head_ + i]; }
  const JoinRow& at(size_t i) const { return rows_[head_ + i]; }
  void Insert(JoinRow row);
  /// The first row that has at least this time.
  size_t FirstFrom(int64_t time_us) const;
  /// The first row of this time and ordinal for which `wanted` holds, or null.
  template <class F>
  JoinRow* Find(int64_t time_us, uint64_t ordinal, F&& wanted) {
    for (size_t i = FirstFrom(time_us); i < size() && at(i).time_us == time_us; ++i)
      if (at(i).ordinal == ordinal && wanted(at(i))) return &at(i);
    return nullptr;
  }
  void PopFront();

 private:
  std::vector<JoinRow> rows_;
  size_t head_ = 0;
};

/// All rows of one key: the value of the join's table.
struct JoinRows {
  std::array<JoinSide, 2> sides;
  std::array<std::vector<JoinRow>, 2> late;  ///< on their way out
  uint32_t hash = 0;
  /// Of a restored key: rows up to this time may have been probed although earlier ones still come (an input that has
  /// grown after its end).
  int64_t probed_until = std::numeric_limits<int64_t>::min();

  bool empty() const { return sides[0].size() + sides[1].size() + late[0].size() + late[1].size() == 0; }
  void Encode(ByteSink& sink) const;
  bool Decode(ByteSource& source, uint16_t codec);
};

}  // namespace freshet
