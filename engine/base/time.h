#pragma once

#include <compare>
#include <cstdint>
#include <limits>

namespace freshet {

/// A span of time in microseconds.
struct Duration {
  int64_t us = 0;
  static constexpr Duration Micros(int64_t n) { return {n}; }
  static constexpr Duration Millis(int64_t n) { return {n * 1000}; }
  static constexpr Duration Seconds(int64_t n) { return {n * 1000000}; }
  static constexpr Duration Max() { return {std::numeric_limits<int64_t>::max()}; }
  friend constexpr auto operator<=>(Duration, Duration) = default;
};

/// A moment of event time: microseconds since 1970-01-01 00:00:00 UTC. Min() is "before everything" (no watermark yet),
/// Max() is "after everything" (the watermark of an ended input, never stored).
struct EventTime {
  int64_t us = std::numeric_limits<int64_t>::min();
  static constexpr EventTime Min() { return {std::numeric_limits<int64_t>::min()}; }
  static constexpr EventTime Max() { return {std::numeric_limits<int64_t>::max()}; }
  friend constexpr auto operator<=>(EventTime, EventTime) = default;
};

/// Saturating: Min() and Max() stay what they are.
constexpr EventTime operator+(EventTime t, Duration d) {
  if (t == EventTime::Min() || t == EventTime::Max()) return t;
  int64_t sum = 0;
  if (__builtin_add_overflow(t.us, d.us, &sum)) return d.us > 0 ? EventTime::Max() : EventTime::Min();
  return {sum};
}
constexpr EventTime operator-(EventTime t, Duration d) {
  if (t == EventTime::Min() || t == EventTime::Max()) return t;
  int64_t difference = 0;
  if (__builtin_sub_overflow(t.us, d.us, &difference)) return d.us > 0 ? EventTime::Min() : EventTime::Max();
  return {difference};
}

/// Number of a checkpoint; the first is 1, 0 means none.
struct Epoch {
  uint64_t number = 0;
  friend constexpr auto operator<=>(Epoch, Epoch) = default;
};

}  // namespace freshet
