#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "operators/outlier/outlier_verdict.h"

namespace freshet {

/// Keeps an anomaly out of the model that found it, but not for ever. A value outside the band enters as the band's
/// edge; once more than `run_max` values running lay outside on the same side, the level has changed, and they enter in
/// full until one is inside.
class OutsideRun {
 public:
  /// What of x the model should learn. A verdict that is not warm has no band.
  double Admit(double x, const OutlierVerdict& band, int32_t run_max) {
    if (!band.warm() || (x >= band.lower && x <= band.upper)) {
      run_ = 0;
      return x;
    }
    const int32_t side = x > band.upper ? 1 : -1;
    run_ = run_ * side > 0 ? run_ + side : side;
    if (std::abs(run_) <= run_max) return std::clamp(x, band.lower, band.upper);
    run_ = side * run_max;  // stays open, cannot overflow
    return x;
  }
  uint32_t Encoded() const { return static_cast<uint32_t>(run_); }
  void SetEncoded(uint32_t run) { run_ = static_cast<int32_t>(run); }

 private:
  int32_t run_ = 0;  // signed by side
};

}  // namespace freshet
