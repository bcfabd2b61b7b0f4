#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/status.h"
#include "operators/isolation_forest/point_ring.h"

namespace freshet {

/// Settings of HalfSpaceTrees. Part of its snapshot's meaning: decode with the settings that encoded.
struct HalfSpaceTreesOptions {
  int features = 0;    ///< 1 to kForestFeaturesMax
  int trees = 25;      ///< 1 to 1,024
  int window = 250;    ///< rows of a window, 10 to 65,535
  int leaf_size = 25;  ///< a node of at most so many rows is not looked into, 1 to window
  int depth = 15;      ///< 1 to 24
  uint64_t seed = 1;
};

/// Streaming half-space trees (Tan, Ting and Liu, IJCAI 2011): how many rows of the window before fell into the same
/// boxes, which halve a random feature at each level. Deviations stand in MODEL.md.
///
/// A plain value, deterministic in options and rows. Score is 1 - log(1 + mean of mass 2^depth) by the most that can
/// be, in [0, 1], higher is stranger; no natural cut: feed it to a TailCalibrator. None until the first window is full.
/// NaN is missing: such a row follows the majority; a row that misses everything scores NaN and is not learned.
/// Not thread-safe; const members may run concurrently.
class HalfSpaceTrees {
 public:
  static Status Validate(const HalfSpaceTreesOptions& options);
  /// REQUIRES: Validate(options).ok().
  explicit HalfSpaceTrees(const HalfSpaceTreesOptions& options);

  bool ready() const { return ring_.end() >= options_.window; }
  int64_t learned() const { return ring_.end(); }
  int feature_count() const { return options_.features; }

  /// `x` has `features` values. NaN until ready, or when all features are missing.
  double Score(const double* x) const;
  void Learn(const double* x);
  double ScoreAndLearn(const double* x) {
    const double score = Score(x);
    Learn(x);
    return score;
  }
  /// The score of the average row of the window before; what contributions are counted from.
  double Baseline() const { return ready() ? ScoreOf(mean_mass_) : NoScore(); }
  /// Fills `per_feature` with each feature's part of Score(x) - Baseline(), to which they sum up to rounding. Returns
  /// the score; where that is NaN, all parts are 0.
  double Contributions(const double* x, double* per_feature) const;

  size_t memory_bytes() const;
  /// Writes rows; trees are functions of these and are grown again by Decode.
  void Encode(ByteSink& sink) const;
  /// Replaces the state by an encoded one of equal options; every later score has the same bits as if nothing happened.
  Status Decode(ByteSource& source);

 private:
  struct Node {
    float split = 0;
    int32_t child = 0;  // the left one; the right one follows it; 0: a leaf
    uint16_t feature = 0;
    uint8_t missing_to = 0;  // the child with more rows
    float mass = 0;          // leaf: rows * 2^depth; else the mean of that over the node's rows
    float level = 0;         // log2(1 + mass) of a leaf; else its mean
  };
  static double NoScore();
  double ScoreOf(double mean_mass) const;
  void Grow();
  void GrowTree(int tree, const std::vector<float>& low, const std::vector<float>& high);
  void Split(size_t node, uint64_t path, int depth, size_t first, size_t count, std::vector<float>& low,
             std::vector<float>& high);
  const Node& Leaf(int tree, const float* row) const;
  void AddParts(int tree, const float* row, std::vector<const float*> rows, double* per_feature) const;

  HalfSpaceTreesOptions options_;
  PointRing ring_;  // the window before and the one that is filling
  std::vector<Node> nodes_;
  std::vector<int32_t> roots_;
  double mean_mass_ = 0;  // over rows and trees
  std::vector<int64_t> order_;
};

}  // namespace freshet
