#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "engine/base/rng.h"
#include "operators/isolation_forest/kernels/path_depths.h"

namespace freshet {
namespace {

/// A tree of random nodes: not one that rows would grow, but one that a walk can go down.
struct Tree {
  std::vector<RollingNode> nodes;
  std::vector<float> boxes, frame;
  RollingPath path() const { return {nodes.data(), boxes.data(), frame.data()}; }
};

float Draw(Rng& rng, double low, double high) { return static_cast<float>(low + (high - low) * rng.NextDouble()); }

Tree MakeTree(Rng& rng, int stride, bool missing) {
  Tree tree;
  const int count = 1 + static_cast<int>(rng.Below(60));
  for (int i = 0; i < count; ++i) {
    const auto child = [&](int c) { return static_cast<uint16_t>(c < count ? c : RollingNode::kSingleRow); };
    const bool leaf = 2 * i + 1 >= count && rng.Below(2) == 0;
    tree.nodes.push_back({Draw(rng, leaf ? 1 : 0, leaf ? 9 : 1),
                          Draw(rng, 0, 3),
                          leaf ? RollingNode::kLeaf : static_cast<uint16_t>(rng.Below(static_cast<uint64_t>(stride))),
                          {child(2 * i + 1), child(2 * i + 2)},
                          static_cast<uint16_t>(rng.Below(2))});
    for (int j = 0; j < stride; ++j) tree.boxes.push_back(rng.Below(9) == 0 ? -INFINITY : Draw(rng, 0, 0.5));
    for (int j = 0; j < stride; ++j) tree.boxes.push_back(rng.Below(9) == 0 ? INFINITY : Draw(rng, 0.5, 1));
  }
  for (int j = 0; j < stride; ++j) tree.frame.push_back(missing && rng.Below(9) == 0 ? NAN : Draw(rng, -1, 1));
  for (int j = 0; j < stride; ++j) tree.frame.push_back(rng.Below(9) == 0 ? 1e30f : Draw(rng, 0.1, 3));
  tree.frame.insert(tree.frame.end(), static_cast<size_t>(stride), -8);
  tree.frame.insert(tree.frame.end(), static_cast<size_t>(stride), 9);
  return tree;
}

/// The depth of MODEL.md, in floats and in the order the lanes add: feature j goes to lane j % 4.
float PlainDepth(const Tree& tree, const float* row, int stride) {
  std::vector<float> x;
  for (int j = 0; j < stride; ++j) {
    const auto at = [&](int part) { return tree.frame[static_cast<size_t>(part * stride + j)]; };
    const float inside = (row[j] - at(0)) * at(1);
    x.push_back(std::isnan(inside) ? inside : std::max(at(2), std::min(at(3), inside)));
  }
  float expected = 0, survival = 1, depth = 0;
  for (size_t id = 0;; depth += 1) {
    const RollingNode& node = tree.nodes[id];
    float lanes[4] = {};
    for (int j = 0; j < stride; ++j) {
      const float low = tree.boxes[id * 2 * static_cast<size_t>(stride) + static_cast<size_t>(j)];
      const float high = tree.boxes[(id * 2 + 1) * static_cast<size_t>(stride) + static_cast<size_t>(j)];
      const float v = x[static_cast<size_t>(j)];
      if (v < low) lanes[j % 4] += low - v;
      if (v > high) lanes[j % 4] += v - high;
    }
    const float outside = (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
    const float leaves = outside / (outside + node.width + 1e-37f);
    expected += survival * leaves * depth;
    survival -= survival * leaves;
    if (node.feature == RollingNode::kLeaf) return expected + survival * node.split;
    const float v = x[node.feature];
    const uint16_t next = node.child[std::isnan(v) ? node.missing_to : static_cast<uint16_t>(v >= node.split)];
    if (next == RollingNode::kSingleRow) return expected + survival * (depth + 1);
    id = next;
  }
}

TEST_CASE("PathDepths_EveryInstructionSet_GivesThePlainBits") {
  const uint64_t seed = 20;
  Rng rng(seed);
  int differences = 0;
  for (int i = 0; i < 4000; ++i) {
    const int stride = 4 * (1 + static_cast<int>(rng.Below(6)));
    const bool missing = rng.Below(2) != 0;
    const Tree a = MakeTree(rng, stride, missing), b = MakeTree(rng, stride, missing);
    std::vector<float> row;
    for (int j = 0; j < stride; ++j) row.push_back(missing && rng.Below(5) == 0 ? NAN : Draw(rng, -2, 2));
    const float plain[2] = {PlainDepth(a, row.data(), stride), PlainDepth(b, row.data(), stride)};
    const auto check = [&](auto kernel) {
      float depths[2];
      kernel(a.path(), b.path(), row.data(), stride, missing, depths);
      for (int t = 0; t < 2; ++t) {
        if (std::bit_cast<uint32_t>(depths[t]) != std::bit_cast<uint32_t>(plain[t])) ++differences;
      }
    };
    check(PathDepths);
    check(path_depths_sse2::Depths);
    if (__builtin_cpu_supports("avx2")) check(path_depths_avx2::Depths);
  }
  INFO("seed " << seed);
  CHECK(differences == 0);
}

}  // namespace
}  // namespace freshet
