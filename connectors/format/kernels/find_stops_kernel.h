#pragma once

// The kernel for instruction sets that cannot compress a register. The including file defines FRESHET_ISA_NAMESPACE
// and, in it, StopsIn: the stops among 64 bytes as bits, and which bytes are not ASCII. Only <cstdint> and intrinsics
// may be included here (LIBRARIES.md).
#include <cstdint>

namespace freshet::FRESHET_ISA_NAMESPACE {

int64_t Find(const uint8_t* bytes, int64_t size, uint32_t* stops, bool* ascii) {
  uint64_t high = 0;
  uint32_t* out = stops;
  for (int64_t at = 0; at < size; at += 64) {
    const int64_t left = size - at;
    const uint64_t inside = left >= 64 ? ~uint64_t{0} : (uint64_t{1} << left) - 1;
    uint64_t beyond = 0;
    uint64_t found = StopsIn(bytes + at, &beyond) & inside;
    high |= beyond & inside;
    // Eight at a time, so that the branch hangs on how many eights there are: what is too much is overwritten.
    const int count = __builtin_popcountll(found);
    for (int done = 0; done < count; done += 8) {
      for (int i = 0; i < 8; ++i) {
        out[done + i] = static_cast<uint32_t>(at + __builtin_ctzll(found | uint64_t{1} << 63));
        found &= found - 1;
      }
    }
    out += count;
  }
  *ascii = high == 0;
  return out - stops;
}

}  // namespace freshet::FRESHET_ISA_NAMESPACE
