#pragma once

#include <cmath>
#include <cstdint>

namespace freshet {

/// Expected depth at which a random binary search tree of n points ends a failed search: the c(n) of Liu, Ting and
/// Zhou, "Isolation Forest" (ICDM 2008). 0 for n < 2.
inline double AveragePathLength(int64_t n) {
  if (n < 2) return 0;
  if (n == 2) return 1;
  const auto m = static_cast<double>(n);
  double harmonic = 0;
  if (n <= 64) {
    for (int64_t i = 1; i < n; ++i) harmonic += 1 / static_cast<double>(i);
  } else {
    harmonic = std::log(m - 1) + 0.57721566490153286 + 1 / (2 * (m - 1));
  }
  return 2 * harmonic - 2 * (m - 1) / m;
}

/// The c(n) of the online forest (Leveni et al., ICML 2024): 0 for n < leaf_size, else ln(n / leaf_size) / ln 4.
inline double OnlinePathLength(int64_t n, int64_t leaf_size) {
  if (n <= leaf_size) return 0;
  return std::log(static_cast<double>(n) / static_cast<double>(leaf_size)) / std::log(4.0);
}

}  // namespace freshet
