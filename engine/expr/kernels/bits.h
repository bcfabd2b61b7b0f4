#pragma once

#include <cstdint>

/// Conversions between Arrow's bits and bytes of 0 and 1, and masks. Free functions over raw pointers; `count` values
/// each; ranges do not overlap unless they are the same.
namespace freshet::expr_kernels {

/// bytes[i] = bit (offset + i).
void ExpandBits(const uint8_t* bits, int64_t offset, int32_t count, uint8_t* bytes);
/// Bit i = bytes[i] (0 or 1); the last byte is filled with zeros.
void PackBits(const uint8_t* bytes, int32_t count, uint8_t* bits);
/// Writes the indices of non-zero bytes in order; returns how many. `indices` has room for `count`.
int32_t MaskToIndices(const uint8_t* mask, int32_t count, int32_t* indices);
void IndicesToMask(const int32_t* indices, int32_t index_count, int32_t count, uint8_t* mask);
/// True if any byte is non-zero.
bool AnySet(const uint8_t* mask, int32_t count);
int64_t CountSet(const uint8_t* mask, int32_t count);

/// Bytes of 0 and 1.
void And(const uint8_t* a, const uint8_t* b, int32_t count, uint8_t* out);
void Or(const uint8_t* a, const uint8_t* b, int32_t count, uint8_t* out);
/// a and not b.
void AndNot(const uint8_t* a, const uint8_t* b, int32_t count, uint8_t* out);
void Not(const uint8_t* a, int32_t count, uint8_t* out);

}  // namespace freshet::expr_kernels
