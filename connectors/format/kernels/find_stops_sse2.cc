#include <emmintrin.h>

#include <cstdint>

namespace freshet::find_stops_sse2 {
namespace {

uint64_t StopsIn(const uint8_t* bytes, uint64_t* high) {
  const __m128i quote = _mm_set1_epi8('"');
  const __m128i backslash = _mm_set1_epi8('\\');
  const __m128i control = _mm_set1_epi8(0x1f);
  uint64_t found = 0;
  for (int part = 0; part < 64; part += 16) {
    const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + part));
    const __m128i stop = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, backslash)),
                                      _mm_cmpeq_epi8(_mm_min_epu8(v, control), v));
    found |= static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(stop))) << part;
    *high |= static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(v))) << part;
  }
  return found;
}

void StoreEight(uint32_t* out, uint64_t bytes, uint32_t base) {
  const __m128i zero = _mm_setzero_si128();
  const __m128i bases = _mm_set1_epi32(static_cast<int>(base));
  const __m128i words = _mm_unpacklo_epi8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(&bytes)), zero);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_add_epi32(_mm_unpacklo_epi16(words, zero), bases));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 4), _mm_add_epi32(_mm_unpackhi_epi16(words, zero), bases));
}

}  // namespace
}  // namespace freshet::find_stops_sse2

#define FRESHET_ISA_NAMESPACE find_stops_sse2
#include "connectors/format/kernels/find_stops_kernel.h"
