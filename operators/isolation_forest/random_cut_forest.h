#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/status.h"
#include "operators/isolation_forest/point_ring.h"
#include "operators/isolation_forest/random_cut_tree.h"

namespace freshet {

/// Settings of a RandomCutForest. Part of its snapshot's meaning: decode with the settings that encoded.
struct RandomCutForestOptions {
  int features = 0;  ///< 1 to kForestFeaturesMax
  int trees = 40;    ///< 1 to 1,024
  int window = 256;  ///< rows in every tree, 2 to 32,767
  int warmup = 32;   ///< rows before the first score, 2 to window
  uint64_t seed = 1;
};

/// Robust random cut forest (Guha, Mishra, Roy and Schrijvers, ICML 2016): trees of the last `window` rows, into which
/// each row is inserted and from which the oldest is deleted, and the co-displacement of a row: how many rows would
/// move up, per row removed with it, if it were not there. Deviations stand in MODEL.md.
///
/// A plain value, deterministic in options and rows. Score is log(1 + mean co-displacement) by the most that can be, in
/// (0, 1), higher is stranger; no natural cut: feed it to a TailCalibrator. A cut is likelier along a longer side, so
/// features should be on scales that compare. NaN is missing; a row that misses everything scores NaN and is not
/// learned. Not thread-safe; const members may run concurrently.
class RandomCutForest {
 public:
  static Status Validate(const RandomCutForestOptions& options);
  /// REQUIRES: Validate(options).ok().
  explicit RandomCutForest(const RandomCutForestOptions& options);

  bool ready() const { return ring_.end() >= options_.warmup; }
  int64_t learned() const { return ring_.end(); }
  int feature_count() const { return options_.features; }

  /// As if `x` were inserted next. NaN until ready, or when all features are missing.
  double Score(const double* x) const;
  void Learn(const double* x);
  double ScoreAndLearn(const double* x) {
    const double score = Score(x);
    Learn(x);
    return score;
  }
  /// The score of the average row held; what contributions are counted from.
  double Baseline() const;
  /// Fills `per_feature` with each feature's part of Score(x) - Baseline(), to which they sum up to rounding: by how
  /// much a cut that sets x apart is likelier along it, weighed by what the cut would displace. Returns the score;
  /// where that is NaN, all parts are 0.
  double Contributions(const double* x, double* per_feature) const;

  size_t memory_bytes() const;
  void Encode(ByteSink& sink) const;
  /// Replaces the state by an encoded one of equal options; every later score has the same bits as if nothing happened.
  Status Decode(ByteSource& source);

 private:
  double ScoreOf(double displacement) const;
  uint64_t Draw(int64_t row, size_t tree) const;

  RandomCutForestOptions options_;
  PointRing ring_;
  std::vector<RandomCutTree> trees_;
};

}  // namespace freshet
