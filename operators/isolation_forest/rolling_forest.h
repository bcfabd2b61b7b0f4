#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/status.h"
#include "operators/isolation_forest/point_ring.h"
#include "operators/isolation_forest/rolling_tree.h"

namespace freshet {

/// Settings of a RollingForest. Part of its snapshot's meaning: decode with the settings that encoded.
struct RollingForestOptions {
  int features = 0;       ///< 1 to kForestFeaturesMax
  int trees = 64;         ///< 1 to 1,024
  int window = 2048;      ///< rows remembered, 2 to 65,535
  int leaf_size = 32;     ///< rows in the sample of every even tree; odd trees take eight times as many
  int rebuild_every = 8;  ///< rows between two rebuilds
  int warmup = 32;        ///< rows before the first score; at least 2
  uint64_t seed = 1;
};

/// Isolation forest over the last `window` rows, in which one tree is rebuilt every `rebuild_every` rows: the default
/// variant of `isolation_forest`. MODEL.md says where it comes from and what was measured.
///
/// A plain value, deterministic in options and rows. Score is 2^(-mean normalised depth), in (0, 1), higher is
/// stranger; it has no natural cut, so feed it to a TailCalibrator. NaN is missing (see PointRing); a row that misses
/// everything scores NaN and is not learned. Memory is bounded, see memory_bytes(); a young forest is small: it holds
/// its rows, and no tree before `warmup` rows.
/// Not thread-safe; const members may run concurrently.
class RollingForest {
 public:
  static Status Validate(const RollingForestOptions& options);
  /// REQUIRES: Validate(options).ok().
  explicit RollingForest(const RollingForestOptions& options);

  /// Whether Score gives numbers yet.
  bool ready() const { return ring_.end() >= options_.warmup; }
  /// Rows learned.
  int64_t learned() const { return ring_.end(); }
  int feature_count() const { return options_.features; }

  /// `x` has `features` values. NaN until ready, or when all features are missing.
  double Score(const double* x) const;
  void Learn(const double* x);
  /// Score, then Learn.
  double ScoreAndLearn(const double* x) {
    const double score = Score(x);
    Learn(x);
    return score;
  }
  /// The score of the average row in the trees' samples; what contributions are counted from.
  double Baseline() const;
  /// Fills `per_feature` with each feature's part of Score(x) - Baseline(), to which they sum up to rounding. Returns
  /// the score; where that is NaN, all parts are 0.
  double Contributions(const double* x, double* per_feature) const;

  size_t memory_bytes() const;
  /// Writes rows and counters; trees are functions of these and are grown again by Decode.
  void Encode(ByteSink& sink) const;
  /// Replaces the state by an encoded one of equal options; every later score has the same bits as if nothing happened.
  Status Decode(ByteSource& source);

 private:
  int64_t RowsAtBirth(int64_t birth) const;
  void Bear(int64_t birth);

  RollingForestOptions options_;
  int64_t first_births_;
  PointRing ring_;
  int64_t births_ = 0;
  std::vector<RollingTree> trees_;
};

}  // namespace freshet
