#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "engine/base/bytes.h"

namespace freshet {

/// How unlike the last 4 and the last 8 values are to every run of 4 and of 8 consecutive values in the last `history`:
/// the Euclidean distance to the fifth nearest run (distance-based outliers: Ramaswamy, Rastogi and Shim, SIGMOD 2000,
/// on shingles). Runs that overlap the newest are no neighbours. One pass over the history a value, all lags at once.
/// Values are held as floats, twice, so that the history is one piece: 8 bytes a value. Deterministic; not thread-safe.
class PatternDistance {
 public:
  static constexpr int kShort = 4;
  static constexpr int kLong = 8;
  static constexpr int kNeighbour = 5;

  /// REQUIRES: history >= 64.
  explicit PatternDistance(int history) : history_(static_cast<size_t>(history)) {}

  struct Distances {
    double short_run = 0;  ///< NaN while there are fewer than 50 runs
    double long_run = 0;
  };
  /// Takes the next value; the distances of the runs that end with it. REQUIRES: finite.
  Distances Push(double x);
  /// As Push gave, if the last `kLong` values had been these, the newest last. REQUIRES: after a Push; finite.
  Distances Instead(const std::array<float, kLong>& run);
  /// The value `ago` rows before the newest. REQUIRES: ago < the number of values held.
  float Last(size_t ago) const { return values()[filled_ - 1 - ago]; }
  size_t memory_bytes() const { return (ring_.capacity() + short_.capacity() + long_.capacity()) * sizeof(float); }

  void Encode(ByteSink& sink) const;
  bool Decode(ByteSource& source);

 private:
  size_t size() const { return filled_; }
  /// Oldest first, `filled_` of them.
  const float* values() const { return ring_.data() + first_; }
  void Append(float x);
  /// Of the run of kLong values that ends in `run`, kShort of them where there are fewer.
  Distances Measure(const float* run);

  size_t history_;
  size_t first_ = 0;
  size_t filled_ = 0;
  std::vector<float> ring_;
  std::vector<float> short_, long_;  // scratch: squared distances by the run's first value
};

}  // namespace freshet
