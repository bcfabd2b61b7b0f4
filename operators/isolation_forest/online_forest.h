#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "operators/isolation_forest/point_ring.h"

namespace freshet {

/// Settings of an OnlineForest. Part of its snapshot's meaning: decode with the settings that encoded.
struct OnlineForestOptions {
  int features = 0;      ///< 1 to kForestFeaturesMax
  int trees = 32;        ///< 1 to 1,024
  int window = 2048;     ///< rows remembered, 2 to 65,535
  int leaf_size = 32;    ///< the paper's eta, 1 to window; ln(window / leaf_size) / ln 4 may not exceed 8
  int first_rows = 100;  ///< rows from which the trees are first grown, at least leaf_size + 1, at most window
  uint64_t seed = 1;
};

/// The online isolation forest of Leveni, Cassales, Pfahringer, Bifet and Boracchi (ICML 2024), adaptive and
/// axis-parallel: the variant `online` of `isolation_forest`. Deviations stand in MODEL.md.
///
/// A plain value, deterministic in options and rows. Score is 2^(-E/c(rows held)), higher is stranger, roughly 0.2 to
/// 0.6, without a natural cut: feed it to a TailCalibrator. NaN is missing: such a row goes to the child with more
/// rows; a row that misses everything scores NaN and is not learned. Memory is bounded by window and depth.
/// Not thread-safe; const members may run concurrently.
class OnlineForest {
 public:
  static Status Validate(const OnlineForestOptions& options);
  /// REQUIRES: Validate(options).ok().
  explicit OnlineForest(const OnlineForestOptions& options);

  /// Whether Score gives numbers yet: once the trees have been grown.
  bool ready() const { return ring_.end() >= first_rows_; }
  /// Rows learned.
  int64_t learned() const { return ring_.end(); }
  int feature_count() const { return options_.features; }

  /// `x` has `features` values. NaN until ready, or when all features are missing.
  double Score(const double* x) const;
  /// Adds the row and, once the window is full, forgets the oldest.
  void Learn(const double* x);
  /// Score, then Learn.
  double ScoreAndLearn(const double* x);
  /// The score of the average row held, by the counts of the leaves; what contributions are counted from.
  double Baseline() const;
  /// Fills `per_feature` with each feature's part of Score(x) - Baseline(), to which they sum up to rounding. Returns
  /// the score; where that is NaN, all parts are 0.
  double Contributions(const double* x, double* per_feature) const;

  size_t memory_bytes() const;
  void Encode(ByteSink& sink) const;
  /// Replaces the state by an encoded one of equal options; every later score has the same bits as if nothing happened.
  Status Decode(ByteSource& source);

 private:
  // A tree is a full binary heap of `levels_` levels of splits over a last level of leaves: node i has the children
  // 2i+1 and 2i+2. Where the tree is shallower, the splits below a leaf are -infinity, so that a walk needs no test
  // and always takes levels_ steps; leaf_[slot] then names the node that the walk belongs to. Counts below a leaf are
  // meaningless and are set when it splits.
  struct Split {
    float at;
    uint32_t feature;
  };
  static constexpr float kNoSplit = -__builtin_inff();

  int64_t held() const { return ring_.end() < options_.window ? ring_.end() : options_.window; }
  Split* splits(int tree) { return splits_.data() + static_cast<size_t>(tree) * inner_count_; }
  const Split* splits(int tree) const { return splits_.data() + static_cast<size_t>(tree) * inner_count_; }
  int32_t* counts(int tree) { return counts_.data() + static_cast<size_t>(tree) * node_count_; }
  const int32_t* counts(int tree) const { return counts_.data() + static_cast<size_t>(tree) * node_count_; }
  uint16_t* leaves(int tree) { return leaves_.data() + static_cast<size_t>(tree) * slot_count_; }
  const uint16_t* leaves(int tree) const { return leaves_.data() + static_cast<size_t>(tree) * slot_count_; }
  float* box(int tree, size_t node) {
    return boxes_.data() + (static_cast<size_t>(tree) * node_count_ + node) * 2 * static_cast<size_t>(ring_.stride());
  }

  bool is_leaf(int tree, size_t node) const { return node >= inner_count_ || splits(tree)[node].at == kNoSplit; }
  /// A leaf of `count` rows at `depth` may split. Depth counts against c(rows held), which is 0 to levels_.
  bool MaySplit(int64_t count, int depth) const;
  size_t Walk(int tree, const float* row, bool complete) const;
  size_t LeafOf(int tree, size_t last) const { return leaves(tree)[last - inner_count_]; }
  double PathLength(int tree, size_t leaf) const;
  double ExpectedLength(int tree, size_t node) const;
  double ScoreOf(double length_sum) const;
  void AllBoxes(int tree, std::vector<float>* boxes) const;
  void AddParts(int tree, const float* row, bool complete, double* per_feature) const;
  double ScoreRow(const float* row, bool complete, uint16_t* walked) const;
  void LearnRow(const float* row, bool complete, const uint16_t* walked);
  void Plant();
  void Widen(int tree, size_t node, const float* row);
  void EmptyBox(int tree, size_t node);
  void MakeLeaf(int tree, size_t node);
  void Divide(int tree, size_t leaf, int depth);
  void DividePoints(int tree, size_t node, int depth, float* points, int64_t count);
  void Forget(int tree, size_t last);
  void Merge(int tree, size_t node);

  OnlineForestOptions options_;
  int64_t first_rows_;
  int levels_ = 0;
  size_t inner_count_ = 0;  // heap nodes that may split
  size_t slot_count_ = 0;   // heap nodes of the last level
  size_t node_count_ = 0;
  PointRing ring_;
  Rng rng_;
  std::vector<Split> splits_;
  std::vector<int32_t> counts_;
  std::vector<uint16_t> leaves_;
  std::vector<float> boxes_;
};

}  // namespace freshet
