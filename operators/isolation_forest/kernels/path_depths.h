#pragma once

#include <cstdint>

namespace freshet {

/// A node of a rolling tree (rolling_tree.h), 16 bytes. A child that is a leaf of one row has no node of its own: its
/// depth says all.
struct RollingNode {
  static constexpr uint16_t kLeaf = 0xffff;
  static constexpr uint16_t kSingleRow = 0xffff;
  float split;          // leaf: depth + c(rows), its path length
  float width;          // sum over the features of the box's width
  uint16_t feature;     // kLeaf for a leaf
  uint16_t child[2];    // kSingleRow, or an index
  uint16_t missing_to;  // the child with more rows: where a row goes whose `feature` is missing
};

/// A tree as the walk sees it, for rows of `stride` floats (a multiple of 4, at most 256; features beyond the last one
/// are 0). `boxes`: per node, lows and highs. `frame`: lows, scales, least and most, by which a row is put into the
/// tree's units.
struct RollingPath {
  const RollingNode* nodes;
  const float* boxes;
  const float* frame;
};

/// Box-aware depths (MODEL.md) of a row in two trees, walked in turn so that one's arithmetic fills the other's waits.
/// `missing`: some feature may be NaN, in the row or in a frame. Picks the widest instruction set this processor has;
/// the environment variable FRESHET_ISA=sse2 forces the narrow one (tests). All give the same bits.
void PathDepths(const RollingPath& a, const RollingPath& b, const float* row, int64_t stride, bool missing,
                float* depths);

namespace path_depths_sse2 {
void Depths(const RollingPath& a, const RollingPath& b, const float* row, int64_t stride, bool missing, float* depths);
}
namespace path_depths_avx2 {
void Depths(const RollingPath& a, const RollingPath& b, const float* row, int64_t stride, bool missing, float* depths);
}

}  // namespace freshet
