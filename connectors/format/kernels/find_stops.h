#pragma once

#include <cstdint>

namespace freshet {

/// Positions of all bytes at which plain JSON text ends: quotes, backslashes and whatever is below a space (line feeds
/// too). `stops` takes them in order and must have room for `size` + 64. Returns how many; `*ascii` becomes whether all
/// bytes are below 0x80. 64 bytes behind `size` must be readable. Picks the widest instruction set this processor has;
/// the environment variable FRESHET_ISA=sse2 or avx2 forces a narrower one (tests). All give the same.
int64_t FindStops(const char* bytes, int64_t size, uint32_t* stops, bool* ascii);

namespace find_stops_sse2 {
int64_t Find(const uint8_t* bytes, int64_t size, uint32_t* stops, bool* ascii);
}
namespace find_stops_avx2 {
int64_t Find(const uint8_t* bytes, int64_t size, uint32_t* stops, bool* ascii);
}
namespace find_stops_avx512 {
int64_t Find(const uint8_t* bytes, int64_t size, uint32_t* stops, bool* ascii);
}

}  // namespace freshet
