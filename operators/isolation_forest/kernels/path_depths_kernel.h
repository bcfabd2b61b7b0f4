#pragma once

// The walk itself, compiled once per instruction set: the including file defines FRESHET_ISA_NAMESPACE and, in it,
// ToFrame and Outside. Only xsimd and <cstdint> may be included here (LIBRARIES.md): no template of std may end up in
// an object for a newer processor.
#include <cstdint>

#include "operators/isolation_forest/kernels/path_depths.h"

namespace freshet::FRESHET_ISA_NAMESPACE {
namespace {

template <int kBlocks, bool kMissing>
struct Walk {
  const RollingNode* nodes;
  const float* boxes;
  const float* row;
  int64_t stride;
  int64_t at = 0;
  float expected = 0, survival = 1, depth = 0;

  /// One level; true at the end, when `expected` is the path's depth.
  bool Step() {
    const RollingNode& node = nodes[at];
    const float* box = boxes + at * 2 * stride;
    const float outside = Outside<kBlocks>(row, box, box + stride, stride);
    // out / (out + width) must not be 0 / 0 where both vanish.
    const float leaves = outside / (outside + node.width + 1e-37f);
    expected += survival * leaves * depth;
    survival -= survival * leaves;
    if (node.feature == RollingNode::kLeaf) {
      expected += survival * node.split;
      return true;
    }
    const float x = row[node.feature];
    int side = x >= node.split;
    if constexpr (kMissing) {
      if (x != x) side = node.missing_to;
    }
    depth += 1;
    if (node.child[side] == RollingNode::kSingleRow) {
      expected += survival * depth;
      return true;
    }
    at = node.child[side];
    return false;
  }
};

template <int kBlocks, bool kMissing>
void Both(const RollingPath& a, const RollingPath& b, const float* row, int64_t stride, float* depths) {
  if constexpr (kBlocks > 0) stride = kBlocks * 4;
  alignas(32) float xa[kBlocks > 0 ? kBlocks * 4 : 256], xb[kBlocks > 0 ? kBlocks * 4 : 256];
  ToFrame<kBlocks>(row, a.frame, stride, xa);
  ToFrame<kBlocks>(row, b.frame, stride, xb);
  Walk<kBlocks, kMissing> wa{a.nodes, a.boxes, xa, stride}, wb{b.nodes, b.boxes, xb, stride};
  for (;;) {
    if (wa.Step()) {
      while (!wb.Step()) {
      }
      break;
    }
    if (wb.Step()) {
      while (!wa.Step()) {
      }
      break;
    }
  }
  depths[0] = wa.expected;
  depths[1] = wb.expected;
}

}  // namespace

void Depths(const RollingPath& a, const RollingPath& b, const float* row, int64_t stride, bool missing, float* depths) {
  if (missing) return Both<0, true>(a, b, row, stride, depths);
  switch (stride) {
    case 4:
      return Both<1, false>(a, b, row, stride, depths);
    case 8:
      return Both<2, false>(a, b, row, stride, depths);
    case 12:
      return Both<3, false>(a, b, row, stride, depths);
    case 16:
      return Both<4, false>(a, b, row, stride, depths);
    default:
      return Both<0, true>(a, b, row, stride, depths);
  }
}

}  // namespace freshet::FRESHET_ISA_NAMESPACE
