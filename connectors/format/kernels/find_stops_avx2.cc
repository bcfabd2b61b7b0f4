#include <immintrin.h>

#include <cstdint>

namespace freshet::find_stops_avx2 {
namespace {

uint64_t StopsIn(const uint8_t* bytes, uint64_t* high) {
  const __m256i quote = _mm256_set1_epi8('"');
  const __m256i backslash = _mm256_set1_epi8('\\');
  const __m256i control = _mm256_set1_epi8(0x1f);
  uint64_t found = 0;
  for (int part = 0; part < 64; part += 32) {
    const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes + part));
    const __m256i stop = _mm256_or_si256(_mm256_or_si256(_mm256_cmpeq_epi8(v, quote), _mm256_cmpeq_epi8(v, backslash)),
                                         _mm256_cmpeq_epi8(_mm256_min_epu8(v, control), v));
    found |= static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_epi8(stop))) << part;
    *high |= static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_epi8(v))) << part;
  }
  return found;
}

void StoreEight(uint32_t* out, uint64_t bytes, uint32_t base) {
  const __m256i places = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<int64_t>(bytes)));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                      _mm256_add_epi32(places, _mm256_set1_epi32(static_cast<int>(base))));
}

}  // namespace
}  // namespace freshet::find_stops_avx2

#define FRESHET_ISA_NAMESPACE find_stops_avx2
#include "connectors/format/kernels/find_stops_kernel.h"
