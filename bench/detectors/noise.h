#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

#include "engine/base/rng.h"

namespace freshet::bench {

/// Streams in which nothing is wrong: what a detector says of them is a false alarm.
enum class Noise : uint8_t {
  kGaussian,     ///< normal, mean 10, deviation 1
  kPoisson,      ///< counts of mean 12
  kHeavyTailed,  ///< Student's t, 3 degrees of freedom
  kSeasonal,     ///< a sine of 3 deviations and 1,440 rows under normal noise
  kDrifting,     ///< a random walk with steps of 0.01 deviations under normal noise
  kBursty,       ///< normal, but 4 times as wide in bursts of 50 rows on average, one every 1,000 or so
};
inline constexpr Noise kNoises[] = {Noise::kGaussian, Noise::kPoisson,  Noise::kHeavyTailed,
                                    Noise::kSeasonal, Noise::kDrifting, Noise::kBursty};

constexpr const char* NoiseName(Noise noise) {
  constexpr const char* kNames[] = {"gaussian", "poisson", "heavy-tailed", "seasonal", "drifting", "bursty"};
  return kNames[static_cast<size_t>(noise)];
}

/// The value around which a noise lies, and its usual distance from there.
struct NoiseLevel {
  double centre, deviation;
};
constexpr NoiseLevel LevelOf(Noise noise) {
  if (noise == Noise::kPoisson) return {12, 3.4641016151377544};
  return {noise == Noise::kHeavyTailed ? 0.0 : 10.0, 1};
}

/// One endless series of a noise, a function of the seed.
class NoiseSeries {
 public:
  NoiseSeries(Noise noise, uint64_t seed) : noise_(noise), rng_(seed), phase_(rng_.NextDouble()) {}

  double Next() {
    ++row_;
    switch (noise_) {
      case Noise::kGaussian:
        return 10 + rng_.NextNormal();
      case Noise::kPoisson:
        return NextPoisson(12);
      case Noise::kHeavyTailed:
        return NextStudent();
      case Noise::kSeasonal: {
        const double turn = phase_ + static_cast<double>(row_ % 1440) / 1440;
        return 10 + 3 * std::sin(2 * std::numbers::pi * turn) + rng_.NextNormal();
      }
      case Noise::kDrifting:
        level_ += 0.01 * rng_.NextNormal();
        return 10 + level_ + rng_.NextNormal();
      case Noise::kBursty:
        bursting_ = bursting_ ? rng_.Below(50) != 0 : rng_.Below(1000) == 0;
        return 10 + (bursting_ ? 4 : 1) * rng_.NextNormal();
    }
    return 0;
  }

  /// A count whose rate is 50, and moves by a tenth with each deviation of the noise.
  double NextCount() { return NextPoisson(50 * Rate()); }
  /// So many of `trials`: the odds are 1 in 10, and move as a count's rate does.
  double NextRatio(int trials) {
    const double odds = 0.1 * Rate(), share = odds / (1 + odds);
    int hits = 0;
    for (int i = 0; i < trials; ++i) hits += rng_.NextDouble() < share;
    return static_cast<double>(hits) / trials;
  }

 private:
  double Rate() {
    const NoiseLevel level = LevelOf(noise_);
    return std::exp(0.1 * std::clamp((Next() - level.centre) / level.deviation, -20.0, 20.0));
  }
  double NextPoisson(double mean) {  // how many exponential gaps fit into `mean`
    int count = -1;
    for (double at = 0; at < mean; ++count) at += rng_.NextExponential();
    return count;
  }
  double NextStudent() {
    const double z = rng_.NextNormal();
    double squares = 0;
    for (int i = 0; i < 3; ++i) squares += std::pow(rng_.NextNormal(), 2);
    return z / std::sqrt(squares / 3);
  }

  Noise noise_;
  Rng rng_;
  double phase_;
  int64_t row_ = 0;
  double level_ = 0;
  bool bursting_ = false;
};

}  // namespace freshet::bench
