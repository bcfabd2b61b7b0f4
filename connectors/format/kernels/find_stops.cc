#include "connectors/format/kernels/find_stops.h"

#include <cstdlib>
#include <cstring>

namespace freshet {
namespace {

using Kernel = int64_t (*)(const uint8_t*, int64_t, uint32_t*, bool*);

Kernel Choose() {
  const char* const forced = std::getenv("FRESHET_ISA");
  const bool sse2 = forced != nullptr && std::strcmp(forced, "sse2") == 0;
  const bool avx2 = forced != nullptr && std::strcmp(forced, "avx2") == 0;
  if (!sse2 && !avx2 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vbmi2"))
    return &find_stops_avx512::Find;
  return !sse2 && __builtin_cpu_supports("avx2") ? &find_stops_avx2::Find : &find_stops_sse2::Find;
}

}  // namespace

int64_t FindStops(const char* bytes, int64_t size, uint32_t* stops, bool* ascii) {
  static const Kernel kernel = Choose();
  return kernel(reinterpret_cast<const uint8_t*>(bytes), size, stops, ascii);
}

}  // namespace freshet
