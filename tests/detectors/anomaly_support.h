#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "engine/base/rng.h"

namespace freshet {

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr int64_t kMinuteUs = 60'000'000;

/// A day's shape with noise, five minutes a value.
inline double Daily(int64_t i, Rng& rng) {
  return 100 + 40 * std::sin(static_cast<double>(i) * 2 * 3.14159265 / 288) + 2 * rng.NextNormal();
}

}  // namespace freshet
