#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/base/time.h"

namespace freshet {

/// Cuts event time into slices such that every window is a whole number of them (Traub et al., EDBT 2019): one partial
/// aggregate per slice serves all windows over it. Windows are [start, start + size) with start a multiple of `slide`,
/// counted from 1970; slices end only where a window starts or ends, so there are at most two per slide (the paired
/// windows of Krishnamurthy et al., SIGMOD 2006), fewer than the greatest common divisor of size and slide would give.
/// All times in microseconds. Times beyond 73,000 years from 1970 are taken as that. A pure value.
///
/// The global window is one slice of all time; it ends with the year 9999.
class SliceAssigner {
 public:
  struct Slice {
    int64_t begin = 0;
    int64_t end = 0;
    int64_t first_window_end = 0;  ///< of the windows that hold the slice; they end `slide` apart
    int64_t last_window_end = 0;
  };

  SliceAssigner() = default;
  /// REQUIRES: 0 < slide <= size <= 2^60 µs.
  SliceAssigner(Duration size, Duration slide) : size_(size.us), slide_(slide.us), rest_(size.us % slide.us) {}
  /// Windows that begin together every `size` and end one `step` after the other, the last with the next beginning.
  /// REQUIRES: `step` divides `size`.
  static SliceAssigner Cumulate(Duration size, Duration step) {
    SliceAssigner assigner(size, step);
    assigner.cumulates_ = true;
    return assigner;
  }

  static SliceAssigner Global() {
    SliceAssigner assigner(Duration{kLimit}, Duration{kLimit});
    assigner.global_ = true;
    return assigner;
  }

  Slice SliceOf(int64_t time_us) const {
    if (global_) return {-kLimit, kGlobalEnd, kGlobalEnd, kGlobalEnd};
    const int64_t time = Clamp(time_us);
    const int64_t base = Floor(time, slide_);
    if (cumulates_) return {base, base + slide_, base + slide_, Floor(base, size_) + size_};
    Slice slice{base, base + slide_, 0, base + size_};
    if (rest_ != 0) (time - base < rest_ ? slice.end : slice.begin) = base + rest_;
    // The earliest window that reaches the slice's end.
    slice.first_window_end = Floor(slice.end - size_ + slide_ - 1, slide_) + size_;
    return slice;
  }
  /// The least window end that is greater than `time_us`.
  int64_t FirstEndAfter(int64_t time_us) const {
    if (global_) return time_us < kGlobalEnd ? kGlobalEnd : kGlobalEnd + slide_;
    return Floor(Clamp(time_us) - size_, slide_) + slide_ + size_;
  }
  int64_t StartOf(int64_t end) const {
    if (global_) return -kLimit;
    return cumulates_ ? Floor(end - 1, size_) : end - size_;
  }
  /// The least multiple of `step` that is greater than `time_us`.
  static int64_t NextTick(int64_t time_us, int64_t step) { return Floor(Clamp(time_us), step) + step; }

  int64_t size() const { return size_; }
  int64_t slide() const { return slide_; }
  bool cumulates() const { return cumulates_; }
  bool global() const { return global_; }

 private:
  static constexpr int64_t kLimit = int64_t{1} << 61;
  static constexpr int64_t kGlobalEnd = 253402300800000000;  ///< 10000-01-01 00:00 UTC

  static int64_t Clamp(int64_t time_us) { return std::clamp(time_us, -kLimit, kLimit); }
  static int64_t Floor(int64_t t, int64_t unit) {
    int64_t rest = t % unit;
    if (rest < 0) rest += unit;
    return t - rest;
  }

  int64_t size_ = 1;
  int64_t slide_ = 1;
  int64_t rest_ = 0;
  bool cumulates_ = false;
  bool global_ = false;
};

}  // namespace freshet
