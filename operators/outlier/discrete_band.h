#pragma once

#include <cmath>

namespace freshet {

/// The outermost whole number on one side (`side` 1 or -1) of a distribution whose two-sided p-value is not below
/// `p_min`, in steps of spread / 32 where that is more than one; between `least` and `most`. Starts from Cornish and
/// Fisher's expansion with the skewness and doubles its steps from there, so that a few evaluations of `p_of` do, and
/// some more where the expansion is far off, as for strongly skewed distributions.
/// REQUIRES: z is the normal score of p_min; p_of(mean) >= p_min, and p_of falls from there to both sides.
template <class P>
double DiscreteBandEdge(const P& p_of, int side, double p_min, double z, double mean, double spread, double skew,
                        double least, double most) {
  const double step = side * std::fmax(1, std::floor(spread / 32));
  const auto inside = [&](double k) { return k >= least && k <= most && p_of(k) >= p_min; };
  double start = std::round(mean + side * z * spread + (z * z - 1) / 6 * skew * spread);
  if (side * (start - mean) < 0) start = side > 0 ? std::ceil(mean) : std::floor(mean);
  start = std::fmin(std::fmax(start, least), most);
  // In steps from `start`, outwards: `in` is inside, `out` is not.
  double in = 0, out = 1;
  if (inside(start)) {
    for (; inside(start + out * step); out *= 2) in = out;
  } else {
    const double at_mean = -std::ceil((start - mean) / step);
    out = 0;
    for (in = -1; in > at_mean && !inside(start + in * step); in *= 2) out = in;
    in = std::fmax(in, at_mean);
  }
  while (out - in > 1) {
    const double middle = std::floor((in + out) / 2);
    (inside(start + middle * step) ? in : out) = middle;
  }
  return std::fmin(std::fmax(start + in * step, least), most) + 0.0;  // no -0
}

}  // namespace freshet
