#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "operators/isolation_forest/kernels/path_depths.h"
#include "operators/isolation_forest/point_ring.h"

namespace freshet {

/// One tree of the rolling forest: an isolation tree over a sample of real rows, whose nodes know the tight box of
/// their rows. Built once, then only read; a rebuild replaces it.
///
/// Inside a tree, features are in units of the sample's range: (x - low) / (high - low), at most 8 of these beyond
/// it on either side. A feature that is constant in the sample reads 0 where equal and one unit away elsewhere. A
/// feature missing in the whole sample has no opinion.
class RollingTree {
 public:
  /// Builds from `sample` rows drawn without replacement from rows [begin, end) of the ring (all, if there are fewer).
  /// The same ring content, range and seed give the same tree. REQUIRES: begin < end, end - begin <= 65,535.
  void Build(const PointRing& ring, int64_t begin, int64_t end, int sample, uint64_t seed);

  bool empty() const { return nodes_.empty(); }
  /// Box-aware depth of a row of the ring's stride in each of two trees, divided by c(sample). The same bits whichever
  /// tree a tree is paired with.
  static void Depths(const RollingTree& a, const RollingTree& b, const float* row, RowKind kind, double* depths);
  /// The mean depth over the rows the tree was built from.
  double ExpectedDepth() const;
  /// Adds to `out`, one per feature, what each contributed to the depth of `row` beyond ExpectedDepth(). Sums to it up
  /// to rounding.
  void AddContributions(const float* row, int features, double* out) const;
  size_t memory_bytes() const;

 private:
  using Node = RollingNode;
  struct Work;

  void Frame(const PointRing& ring, int64_t begin, int64_t end, int sample, uint64_t& random, Work& work);
  template <size_t kBlocks>
  static void BoundBlocks(const Work& work, int first, int count, size_t from, float* low, float* high);
  static void BoundingBox(const Work& work, int first, int count, float* low, float* high);
  static void Grow(Work& work, uint64_t seed);
  static int AddNode(Work& work, int first, int count, int depth);
  static int Divide(Work& work, int first, int count, size_t feature, float split);
  void ToFrame(const float* row, float* out) const;
  const float* Box(size_t node) const { return boxes_.data() + node * 2 * static_cast<size_t>(stride_); }

  bool has_absent_ = false;  // some feature was missing in the whole sample
  int stride_ = 0;
  float norm_ = 1;               // 1 / c(sample)
  std::vector<Node> nodes_;      // parents before children; 0 is the root
  std::vector<float> boxes_;     // per node: stride lows, stride highs
  std::vector<float> expected_;  // per node: mean path length of its rows
  // Lows, scales (1 / range), least and most value in the frame: stride of each.
  std::vector<float> frame_;
};

}  // namespace freshet
