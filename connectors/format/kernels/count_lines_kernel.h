#pragma once

// The kernel itself, compiled once per instruction set: the including file defines FRESHET_ISA_NAMESPACE and
// FRESHET_ISA_ARCH. Only xsimd and <cstdint> may be included here (LIBRARIES.md): no template of std may end up in an
// object for a newer processor.
#include <xsimd/xsimd.hpp>

#include <cstdint>

namespace freshet::FRESHET_ISA_NAMESPACE {

int64_t Count(const uint8_t* bytes, int64_t size) {
  using Bytes = xsimd::batch<uint8_t, FRESHET_ISA_ARCH>;
  constexpr int64_t kWidth = static_cast<int64_t>(Bytes::size);
  const Bytes line_feed(static_cast<uint8_t>('\n'));
  const Bytes one(static_cast<uint8_t>(1));
  const Bytes zero(static_cast<uint8_t>(0));
  int64_t count = 0;
  int64_t at = 0;
  alignas(64) uint8_t lanes[Bytes::size];
  while (size - at >= kWidth) {
    // A lane of eight bits counts at most 255 matches.
    int64_t blocks = (size - at) / kWidth;
    if (blocks > 255) blocks = 255;
    Bytes counts = zero;
    for (int64_t b = 0; b < blocks; ++b, at += kWidth)
      counts = counts + xsimd::select(Bytes::load_unaligned(bytes + at) == line_feed, one, zero);
    counts.store_aligned(lanes);
    for (int64_t i = 0; i < kWidth; ++i) count += lanes[i];
  }
  for (; at < size; ++at) count += bytes[at] == '\n' ? 1 : 0;
  return count;
}

}  // namespace freshet::FRESHET_ISA_NAMESPACE
