#pragma once

#include <cmath>

namespace freshet {

/// The outermost whole number on one side (`side` 1 or -1) of a distribution whose two-sided p-value is not below
/// `p_min`, in steps of spread / 32 where that is more than one; between `least` and `most`. Starts from Cornish and
/// Fisher's expansion with the skewness, so that a few evaluations of `p_of` do.
/// REQUIRES: z is the normal score of p_min; p_of(mean) >= p_min.
template <class P>
double DiscreteBandEdge(const P& p_of, int side, double p_min, double z, double mean, double spread, double skew,
                        double least, double most) {
  const double step = side * std::fmax(1, std::floor(spread / 32));
  const auto inside = [&](double k) { return k >= least && k <= most && p_of(k) >= p_min; };
  double k = std::round(mean + side * z * spread + (z * z - 1) / 6 * skew * spread);
  k = std::fmin(std::fmax(k, least), most);
  constexpr int kStepsMax = 200;
  if (inside(k)) {
    for (int i = 0; i < kStepsMax && inside(k + step); ++i) k += step;
    return k + 0.0;  // no -0
  }
  for (int i = 0; i < kStepsMax && !inside(k) && side * (k - mean) > 0; ++i) k -= step;
  return std::fmin(std::fmax(k, least), most) + 0.0;
}

}  // namespace freshet
