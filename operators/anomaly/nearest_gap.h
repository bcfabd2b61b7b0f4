#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "operators/outlier/sorted_window.h"

namespace freshet {

/// How far a number is from the nearest of the last `history` numbers: 0 for one seen before, the step beyond the range
/// for a new extreme, something in between for a value in a gap that the series has always jumped over. The
/// one-dimensional case of distance-based outliers (Knorr and Ng, VLDB 1998). Held as floats, at most 8 bytes a number.
/// Deterministic; not thread-safe.
class NearestGap {
 public:
  /// REQUIRES: history > 0.
  explicit NearestGap(int history) : window_(static_cast<size_t>(history)) {}

  size_t size() const { return window_.size(); }
  /// In the unit of x, from the state before x. REQUIRES: size() > 0, x finite.
  double Gap(double x) const {
    const auto value = static_cast<float>(x);
    const size_t at = window_.Below(value);
    float gap = std::numeric_limits<float>::max();
    if (at < window_.size()) gap = window_[at] - value;
    if (at > 0) gap = std::min(gap, value - window_[at - 1]);
    return static_cast<double>(gap);
  }
  void Learn(double x) { window_.Push(static_cast<float>(x)); }
  size_t memory_bytes() const { return window_.memory_bytes(); }
  void Encode(ByteSink& sink) const { window_.Encode(sink); }
  bool Decode(ByteSource& source) { return window_.Decode(source); }

 private:
  SortedWindow<float> window_;
};

}  // namespace freshet
