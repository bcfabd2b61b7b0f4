#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/base/bytes.h"
#include "operators/isolation_forest/point_ring.h"

namespace freshet {

/// One random cut tree over rows of a ring: each inner node cuts the tight box of its rows at a place drawn uniformly
/// along the sum of the box's sides (Guha et al., ICML 2016, sections 2 and 3). Insertion and deletion keep the
/// distribution of trees that were drawn anew. Rows that are equal share a leaf. Rows are named by their slot, which is
/// their number modulo the ring's length. Not thread-safe.
class RandomCutTree {
 public:
  RandomCutTree(int stride, int slots) : stride_(stride), leaf_of_(static_cast<size_t>(slots), kNone) {}

  /// Co-displacement of `row` if it were inserted with `random`; 0 in an empty tree.
  double Displacement(const float* row, uint64_t random) const;
  /// REQUIRES: no row of that slot is in the tree.
  void Insert(int slot, const float* row, uint64_t random);
  /// REQUIRES: a row of that slot was inserted.
  void Delete(int slot);
  /// Mean co-displacement of the rows held.
  double MeanDisplacement() const;
  /// Adds to `out`, per feature, the expected displacement by cuts along it that set `row` apart.
  void AddContributions(const float* row, int features, double* out) const;

  size_t memory_bytes() const;
  /// `ring` holds the rows inserted, which the bytes refer to.
  void Encode(ByteSink& sink, const PointRing& ring) const;
  bool Decode(ByteSource& source, const PointRing& ring);

 private:
  static constexpr int kNone = -1;
  struct Node {
    float cut = 0;
    int32_t parent = kNone;
    int32_t child[2] = {kNone, kNone};  // values <= cut go left; none: a leaf
    int32_t mass = 0;                   // rows below; 0: free
    uint32_t feature = 0;
  };
  /// Where a row enters: beside `node`, cut there; or into it, where it is equal to its rows.
  struct Place {
    int node = kNone;
    bool joins = false;
    bool row_left = false;
    uint32_t feature = 0;
    float cut = 0;
  };
  bool IsLeaf(int node) const { return nodes_[static_cast<size_t>(node)].child[0] == kNone; }
  float* Box(int node) { return boxes_.data() + static_cast<size_t>(node) * 2 * static_cast<size_t>(stride_); }
  const float* Box(int node) const {
    return boxes_.data() + static_cast<size_t>(node) * 2 * static_cast<size_t>(stride_);
  }
  int SideOf(int node, const float* row) const;
  bool Holds(int leaf, const float* row, int features) const;
  Place Find(const float* row, uint64_t random) const;
  int NewNode();
  void Free(int node);
  void SetPoint(int node, const float* row);
  /// The box of an inner node from its children's; whether it changed.
  bool Unite(int node);
  bool DecodeShape(ByteSource& source, const PointRing& ring, std::vector<int>* leaves);

  int stride_;
  int root_ = kNone;
  std::vector<Node> nodes_;
  std::vector<float> boxes_;  // per node: stride lows, stride highs; of an absent feature the low is above the high
  std::vector<int> free_;
  std::vector<int> leaf_of_;  // by slot
};

}  // namespace freshet
