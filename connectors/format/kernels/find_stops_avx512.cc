// Like find_stops_kernel.h, but positions are picked out of a register by the mask. Only <cstdint> and intrinsics may
// be included here (LIBRARIES.md).
// GCC 12 takes the undefined registers in its own headers for a mistake.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include <cstdint>

namespace freshet::find_stops_avx512 {

__attribute__((target("avx512vbmi2,popcnt"))) int64_t Find(const uint8_t* bytes, int64_t size, uint32_t* stops,
                                                           bool* ascii) {
  const __m512i quote = _mm512_set1_epi8('"');
  const __m512i backslash = _mm512_set1_epi8('\\');
  const __m512i space = _mm512_set1_epi8(' ');
  alignas(64) uint8_t counted[64];
  for (int i = 0; i < 64; ++i) counted[i] = static_cast<uint8_t>(i);
  const __m512i places = _mm512_load_si512(counted);
  uint64_t high = 0;
  uint32_t* out = stops;
  for (int64_t at = 0; at < size; at += 64) {
    const int64_t left = size - at;
    const uint64_t inside = left >= 64 ? ~uint64_t{0} : (uint64_t{1} << left) - 1;
    const __m512i v = _mm512_loadu_si512(bytes + at);
    const uint64_t found =
        (_mm512_cmpeq_epi8_mask(v, quote) | _mm512_cmpeq_epi8_mask(v, backslash) | _mm512_cmplt_epu8_mask(v, space)) &
        inside;
    high |= _mm512_movepi8_mask(v) & inside;
    const __m512i base = _mm512_set1_epi32(static_cast<int>(at));
    const __m512i kept = _mm512_maskz_compress_epi8(found, places);
    const auto count = static_cast<int>(_mm_popcnt_u64(found));
    // Sixteen at a time; 64 bytes of common text hold fewer. What is too much is overwritten.
    _mm512_storeu_si512(out, _mm512_add_epi32(base, _mm512_cvtepu8_epi32(_mm512_castsi512_si128(kept))));
    if (count > 16) [[unlikely]] {
      _mm512_storeu_si512(out + 16, _mm512_add_epi32(base, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(kept, 1))));
      _mm512_storeu_si512(out + 32, _mm512_add_epi32(base, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(kept, 2))));
      _mm512_storeu_si512(out + 48, _mm512_add_epi32(base, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(kept, 3))));
    }
    out += count;
  }
  *ascii = high == 0;
  return out - stops;
}

}  // namespace freshet::find_stops_avx512
