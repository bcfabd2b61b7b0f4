#pragma once

#include <algorithm>
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
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
  /// How long a row is needed at most.
  int64_t length_us() const { return std::max(distance_, size_); }
  bool tumbling() const { return size_ > 0; }
  std::string ToString() const;

 private:
  JoinReach(int64_t distance, int64_t size) : distance_(distance), size_(size) {}
  static int64_t Saturated(int64_t a, int64_t b);
  int64_t Floor(int64_t time_us) const;

  int64_t distance_ = 0;
  int64_t size_ = 0;
};

/// When there is something to do for a key: at a moment in event time; then what concerns rows on time, before late
/// rows by their event times, before what nobody sees.
struct JoinPlace {
  static constexpr int64_t kOnTime = std::numeric_limits<int64_t>::min();
  static constexpr int64_t kForget = std::numeric_limits<int64_t>::max();
  static constexpr JoinPlace Never() { return {std::numeric_limits<int64_t>::max(), kForget}; }
  static JoinPlace OfLate(int64_t moment, int64_t time_us) { return {moment, std::max(time_us, kOnTime + 1)}; }
  bool late() const { return turn != kOnTime && turn != kForget; }
  std::strong_ordering operator<=>(const JoinPlace&) const = default;

  int64_t moment = 0;
  int64_t turn = 0;
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

/// Rows in the order `Before`. They leave from the front.
template <class Before>
class JoinQueue {
 public:
  size_t size() const { return rows_.size() - head_; }
  JoinRow& at(size_t i) { return rows_[head_ + i]; }
  const JoinRow& at(size_t i) const { return rows_[head_ + i]; }
  void Reserve(size_t count) { rows_.reserve(count); }
  /// Returns where it is.
  size_t Insert(JoinRow row) {
    text_bytes_ += TextBytes(row);
    const auto place = std::upper_bound(front(), back(), row, Before());
    const auto at = rows_.insert(place, std::move(row));
    return static_cast<size_t>(at - front());
  }
  void PopFront() {
    text_bytes_ -= TextBytes(rows_[head_]);
    rows_[head_++].values = std::string();
    if (head_ * size_t{2} < rows_.size()) return;
    rows_.erase(rows_.begin(), front());
    head_ = 0;
    if (rows_.capacity() > kSpareRows && rows_.size() * 4 < rows_.capacity()) rows_.shrink_to_fit();
  }
  /// Of memory beside the object.
  int64_t bytes() const { return static_cast<int64_t>(rows_.capacity() * sizeof(JoinRow)) + text_bytes_; }

 protected:
  typename std::vector<JoinRow>::const_iterator front() const {
    return rows_.begin() + static_cast<std::ptrdiff_t>(head_);
  }
  typename std::vector<JoinRow>::const_iterator back() const { return rows_.end(); }

 private:
  static constexpr size_t kSpareRows = 8;
  /// Short strings have no memory of their own. By the size, which moves of rows do not change.
  static int64_t TextBytes(const JoinRow& row) {
    return row.values.size() > 15 ? static_cast<int64_t>(row.values.size()) + 17 : 0;
  }

  std::vector<JoinRow> rows_;
  int64_t text_bytes_ = 0;
  uint32_t head_ = 0;
};

struct ByEventTime {
  bool operator()(const JoinRow& a, const JoinRow& b) const {
    return std::tie(a.time_us, a.ordinal) < std::tie(b.time_us, b.ordinal);
  }
};
struct ByLeaving {
  bool operator()(const JoinRow& a, const JoinRow& b) const {
    return std::tie(a.watermark_us, a.time_us, a.ordinal) < std::tie(b.watermark_us, b.time_us, b.ordinal);
  }
};

/// The rows of one side that are on time.
class JoinSide : public JoinQueue<ByEventTime> {
 public:
  void Insert(JoinRow row);
  void PopFront();
  /// The first row that has at least this time.
  size_t FirstFrom(int64_t time_us) const;
  /// The first row that still has to look for others, or null. A null key finds nothing.
  JoinRow* NextUnprobed();
  /// The first row that is in no result, or null.
  JoinRow* NextUntold();

 private:
  uint32_t probe_from_ = 0;  ///< no row before it is one
  uint32_t tell_from_ = 0;
};

using LateJoinRows = JoinQueue<ByLeaving>;

/// All rows of one key: the value of the join's table.
struct JoinRows {
  static constexpr uint16_t kCodec = 1;
  static constexpr uint32_t kUnscheduled = std::numeric_limits<uint32_t>::max();

  std::array<JoinSide, 2> sides;
  std::unique_ptr<std::array<LateJoinRows, 2>> late;  ///< on their way out; null: none
  uint32_t hash = 0;
  uint32_t scheduled_at = kUnscheduled;  ///< in the JoinSchedule
  /// Of a key that was read: rows up to this time may have been probed although earlier ones still come (an input that
  /// has grown after its end).
  int64_t probed_until = std::numeric_limits<int64_t>::min();

  bool empty() const { return sides[0].size() + sides[1].size() == 0 && late == nullptr; }
  size_t late_count() const { return late == nullptr ? 0 : (*late)[0].size() + (*late)[1].size(); }
  void InsertLate(size_t side, JoinRow row);
  void PopLate(size_t side);
  /// When the next row looks for others or leaves, or Never.
  JoinPlace NextAction(const JoinReach& reach, bool left_outer);
  /// When the first row, or with `all` the last one, may be forgotten; Never: there are no rows on time.
  JoinPlace NextForgetting(const JoinReach& reach, bool all) const;
  /// Of memory beside the object.
  int64_t bytes() const;

  void Encode(ByteSink& sink) const;
  bool Decode(ByteSource& source, uint16_t codec);
};

}  // namespace freshet
