#pragma once

// The kernel for instruction sets that cannot compress a register. The including file defines FRESHET_ISA_NAMESPACE
// and, in it, StopsIn: the stops among 64 bytes as bits, and which bytes are not ASCII; and StoreEight: eight bytes as
// eight numbers, each plus `base`. Only <cstdint> and intrinsics may be included here (LIBRARIES.md).
#include <cstdint>

namespace freshet::FRESHET_ISA_NAMESPACE {
namespace {

/// For each byte of a mask: which bits are set, lowest first, a byte for each; and how many.
struct BitPlaces {
  uint64_t places[256];
  uint8_t counts[256];
  constexpr BitPlaces() : places(), counts() {
    for (int mask = 0; mask < 256; ++mask) {
      for (int bit = 0; bit < 8; ++bit) {
        if ((mask >> bit & 1) == 0) continue;
        places[mask] |= static_cast<uint64_t>(bit) << (8 * counts[mask]);
        ++counts[mask];
      }
    }
  }
};
constexpr BitPlaces kBitPlaces;

}  // namespace

int64_t Find(const uint8_t* bytes, int64_t size, uint32_t* stops, bool* ascii) {
  uint64_t high = 0;
  uint32_t* out = stops;
  for (int64_t at = 0; at < size; at += 64) {
    const int64_t left = size - at;
    const uint64_t inside = left >= 64 ? ~uint64_t{0} : (uint64_t{1} << left) - 1;
    uint64_t beyond = 0;
    const uint64_t found = StopsIn(bytes + at, &beyond) & inside;
    high |= beyond & inside;
    // Without branches on what is there: what is too much is overwritten.
    for (int part = 0; part < 64; part += 8) {
      const auto mask = static_cast<uint8_t>(found >> part);
      StoreEight(out, kBitPlaces.places[mask], static_cast<uint32_t>(at + part));
      out += kBitPlaces.counts[mask];
    }
  }
  *ascii = high == 0;
  return out - stops;
}

}  // namespace freshet::FRESHET_ISA_NAMESPACE
