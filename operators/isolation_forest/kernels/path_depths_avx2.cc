#include <xsimd/xsimd.hpp>

#include <cstdint>

namespace freshet::path_depths_avx2 {
namespace {

using Eight = xsimd::batch<float, xsimd::avx2>;

inline __m128 Beyond(__m128 x, __m128 low, __m128 high) {
  return _mm_max_ps(_mm_max_ps(_mm_sub_ps(low, x), _mm_sub_ps(x, high)), _mm_setzero_ps());
}

/// The row in the tree's units; value second, so that a NaN stays one.
template <int kBlocks>
inline void ToFrame(const float* row, const float* frame, int64_t stride, float* out) {
  const int64_t end = kBlocks > 0 ? kBlocks * 4 : stride;
  const float* scale = frame + end;
  const float* least = scale + end;
  const float* most = least + end;
  int64_t j = 0;
  for (; j + 8 <= end; j += 8) {
    const Eight x =
        (Eight::load_unaligned(row + j) - Eight::load_unaligned(frame + j)) * Eight::load_unaligned(scale + j);
    xsimd::max(Eight::load_unaligned(least + j), xsimd::min(Eight::load_unaligned(most + j), x))
        .store_unaligned(out + j);
  }
  if (j < end) {
    const __m128 x = _mm_mul_ps(_mm_sub_ps(_mm_loadu_ps(row + j), _mm_loadu_ps(frame + j)), _mm_loadu_ps(scale + j));
    _mm_storeu_ps(out + j, _mm_max_ps(_mm_loadu_ps(least + j), _mm_min_ps(_mm_loadu_ps(most + j), x)));
  }
}

/// The same sums as the narrow kernel's: eight features are measured at once, but added four by four. What is left of a
/// row is done by intrinsics, as xsimd's batches of four would be shared with code for older processors.
template <int kBlocks>
inline float Outside(const float* row, const float* low, const float* high, int64_t stride) {
  const Eight zero(0.0f);
  __m128 sum = _mm_setzero_ps();
  const int64_t end = kBlocks > 0 ? kBlocks * 4 : stride;
  int64_t j = 0;
  for (; j + 8 <= end; j += 8) {
    const Eight x = Eight::load_unaligned(row + j);
    const Eight either = xsimd::max(Eight::load_unaligned(low + j) - x, x - Eight::load_unaligned(high + j));
    const __m256 beyond = xsimd::max(either, zero).data;
    sum = _mm_add_ps(sum, _mm256_castps256_ps128(beyond));
    sum = _mm_add_ps(sum, _mm256_extractf128_ps(beyond, 1));
  }
  if (j < end) sum = _mm_add_ps(sum, Beyond(_mm_loadu_ps(row + j), _mm_loadu_ps(low + j), _mm_loadu_ps(high + j)));
  const __m128 pairs = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps(pairs, pairs, 1)));
}

}  // namespace
}  // namespace freshet::path_depths_avx2

#define FRESHET_ISA_NAMESPACE path_depths_avx2
#include "operators/isolation_forest/kernels/path_depths_kernel.h"
