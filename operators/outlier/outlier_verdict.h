#pragma once

#include <cmath>
#include <limits>
#include <numbers>

namespace freshet {

/// What a univariate detector says about one value. All NaN until the detector is warm, or for a missing value.
struct OutlierVerdict {
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  double score = kNone;    ///< signed, in the method's own unit (standard deviations); at most kOutlierScoreMax
  double p_value = kNone;  ///< two-sided, under the method's own model of noise; NaN where it has none
  double expected = kNone;
  double lower = kNone;  ///< expected - threshold units
  double upper = kNone;  ///< expected + threshold units
  bool warm() const { return !std::isnan(score); }
};

/// Scores are clamped to plus or minus this; an infinite value scores it.
inline constexpr double kOutlierScoreMax = 1e6;

/// P(|Z| >= |z|) of a standard normal.
inline double TwoSidedNormalTail(double z) { return std::erfc(std::abs(z) / std::numbers::sqrt2); }

/// P(|T| >= |t|) of Student's t, by Wallace's transform to a normal ("Bounds on normal approximations to Student's and
/// the chi-square distributions", 1959). Within a few per cent for freedom >= 8 down to p = 1e-6.
inline double TwoSidedStudentTail(double t, double freedom) {
  const double scale = (8 * freedom + 1) / (8 * freedom + 3);
  return TwoSidedNormalTail(scale * std::sqrt(freedom * std::log1p(t * t / freedom)));
}

}  // namespace freshet
