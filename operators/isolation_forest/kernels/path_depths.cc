#include "operators/isolation_forest/kernels/path_depths.h"

#include <cstdlib>
#include <cstring>

namespace freshet {
namespace {

using Kernel = void (*)(const RollingPath&, const RollingPath&, const float*, int64_t, bool, float*);

Kernel Choose() {
  const char* forced = std::getenv("FRESHET_ISA");
  const bool narrow = forced != nullptr && std::strcmp(forced, "sse2") == 0;
  return !narrow && __builtin_cpu_supports("avx2") ? &path_depths_avx2::Depths : &path_depths_sse2::Depths;
}

}  // namespace

void PathDepths(const RollingPath& a, const RollingPath& b, const float* row, int64_t stride, bool missing,
                float* depths) {
  static const Kernel kernel = Choose();
  kernel(a, b, row, stride, missing, depths);
}

}  // namespace freshet
