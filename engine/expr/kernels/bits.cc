#include "engine/expr/kernels/bits.h"

#include <cstring>

namespace freshet::expr_kernels {

void ExpandBits(const uint8_t* bits, int64_t offset, int32_t count, uint8_t* bytes) {
  int32_t i = 0;
  while (i < count && ((offset + i) & 7) != 0) {
    bytes[i] = (bits[(offset + i) >> 3] >> ((offset + i) & 7)) & 1;
    ++i;
  }
  for (; i + 8 <= count; i += 8) {
    // Spreads the eight bits of a byte over the eight bytes of a word: copies it to all, keeps one bit in each.
    const uint64_t b = bits[(offset + i) >> 3];
    const uint64_t spread = (b * 0x0101010101010101ull) & 0x8040201008040201ull;
    const uint64_t ones = ((spread + 0x7f7f7f7f7f7f7f7full) | spread) >> 7 & 0x0101010101010101ull;
    std::memcpy(bytes + i, &ones, 8);
  }
  for (; i < count; ++i) bytes[i] = (bits[(offset + i) >> 3] >> ((offset + i) & 7)) & 1;
}

void PackBits(const uint8_t* bytes, int32_t count, uint8_t* bits) {
  int32_t i = 0;
  for (; i + 8 <= count; i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes + i, 8);
    bits[i >> 3] = static_cast<uint8_t>((word * 0x0102040810204080ull) >> 56);
  }
  if (i == count) return;
  uint8_t last = 0;
  for (int32_t k = i; k < count; ++k) last = static_cast<uint8_t>(last | bytes[k] << (k - i));
  bits[i >> 3] = last;
}

int32_t MaskToIndices(const uint8_t* mask, int32_t count, int32_t* indices) {
  int32_t n = 0;
  int32_t i = 0;
  for (; i + 8 <= count; i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, mask + i, 8);
    if (word == 0) continue;
    for (int32_t k = 0; k < 8; ++k) {
      indices[n] = i + k;
      n += mask[i + k] != 0;
    }
  }
  for (; i < count; ++i)
    if (mask[i] != 0) indices[n++] = i;
  return n;
}

void IndicesToMask(const int32_t* indices, int32_t index_count, int32_t count, uint8_t* mask) {
  std::memset(mask, 0, static_cast<size_t>(count));
  for (int32_t i = 0; i < index_count; ++i) mask[indices[i]] = 1;
}

bool AnySet(const uint8_t* mask, int32_t count) { return std::memchr(mask, 1, static_cast<size_t>(count)) != nullptr; }

int64_t CountSet(const uint8_t* mask, int32_t count) {
  int64_t n = 0;
  for (int32_t i = 0; i < count; ++i) n += mask[i];
  return n;
}

void And(const uint8_t* a, const uint8_t* b, int32_t count, uint8_t* out) {
  for (int32_t i = 0; i < count; ++i) out[i] = a[i] & b[i];
}

void Or(const uint8_t* a, const uint8_t* b, int32_t count, uint8_t* out) {
  for (int32_t i = 0; i < count; ++i) out[i] = a[i] | b[i];
}

void AndNot(const uint8_t* a, const uint8_t* b, int32_t count, uint8_t* out) {
  for (int32_t i = 0; i < count; ++i) out[i] = static_cast<uint8_t>(a[i] & (b[i] ^ 1));
}

void Not(const uint8_t* a, int32_t count, uint8_t* out) {
  for (int32_t i = 0; i < count; ++i) out[i] = a[i] ^ 1;
}

}  // namespace freshet::expr_kernels
