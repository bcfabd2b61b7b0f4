#include <xsimd/xsimd.hpp>

#include <cstdint>

namespace freshet::path_depths_sse2 {
namespace {

using Four = xsimd::batch<float, xsimd::sse2>;

/// How far the row is outside the box, summed over the features: lanes apart, four features at a time, then
/// (lane 0 + lane 2) + (lane 1 + lane 3). Max returns its second operand where one is NaN: a missing feature is not
/// outside.
/// The row in the tree's units; value second, so that a NaN stays one.
template <int kBlocks>
inline void ToFrame(const float* row, const float* frame, int64_t stride, float* out) {
  const int64_t end = kBlocks > 0 ? kBlocks * 4 : stride;
  const float* scale = frame + end;
  const float* least = scale + end;
  const float* most = least + end;
  for (int64_t j = 0; j < end; j += 4) {
    const Four x = (Four::load_unaligned(row + j) - Four::load_unaligned(frame + j)) * Four::load_unaligned(scale + j);
    xsimd::max(Four::load_unaligned(least + j), xsimd::min(Four::load_unaligned(most + j), x)).store_unaligned(out + j);
  }
}

template <int kBlocks>
inline float Outside(const float* row, const float* low, const float* high, int64_t stride) {
  const Four zero(0.0f);
  Four sum = zero;
  const int64_t end = kBlocks > 0 ? kBlocks * 4 : stride;
  for (int64_t j = 0; j < end; j += 4) {
    const Four x = Four::load_unaligned(row + j);
    const Four beyond = xsimd::max(Four::load_unaligned(low + j) - x, x - Four::load_unaligned(high + j));
    sum = sum + xsimd::max(beyond, zero);
  }
  const __m128 pairs = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps(pairs, pairs, 1)));
}

}  // namespace
}  // namespace freshet::path_depths_sse2

#define FRESHET_ISA_NAMESPACE path_depths_sse2
#include "operators/isolation_forest/kernels/path_depths_kernel.h"
