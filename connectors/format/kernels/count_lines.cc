#include "connectors/format/kernels/count_lines.h"

#include <cstdlib>
#include <cstring>

namespace freshet {
namespace {

using Kernel = int64_t (*)(const uint8_t*, int64_t);

Kernel Choose() {
  const char* forced = std::getenv("FRESHET_ISA");
  const bool narrow = forced != nullptr && std::strcmp(forced, "sse2") == 0;
  return !narrow && __builtin_cpu_supports("avx2") ? &count_lines_avx2::Count : &count_lines_sse2::Count;
}

}  // namespace

int64_t CountLineFeeds(const char* bytes, int64_t size) {
  static const Kernel kernel = Choose();
  return kernel(reinterpret_cast<const uint8_t*>(bytes), size);
}

}  // namespace freshet
