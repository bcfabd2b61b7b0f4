#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "engine/batch/buffer.h"
#include "engine/batch/type.h"

namespace freshet {

inline bool BitAt(const uint8_t* bits, int64_t i) { return (bits[i >> 3] >> (i & 7)) & 1; }
inline void SetBit(uint8_t* bits, int64_t i) { bits[i >> 3] = static_cast<uint8_t>(bits[i >> 3] | (1u << (i & 7))); }
inline void ClearBit(uint8_t* bits, int64_t i) { bits[i >> 3] = static_cast<uint8_t>(bits[i >> 3] & ~(1u << (i & 7))); }

/// One column in Arrow's memory layout: validity bits (absent: no nulls), values, and for strings and lists int32
/// offsets. An immutable value, cheap to copy; `offset` makes slices free. Row indices below are relative to the slice.
class Column {
 public:
  Column() = default;
  /// `values`: bits (bool), int64 (int64, timestamp), double (float64), bytes (string, json), doubles (list).
  /// `offsets`: length + 1 int32, for strings and lists. `null_count` -1: unknown, may have nulls if validity is given.
  Column(TypeId type, int32_t length, BufferRef validity, BufferRef values, BufferRef offsets = {}, int32_t offset = 0)
      : type_(type),
        length_(length),
        offset_(offset),
        validity_(std::move(validity)),
        values_(std::move(values)),
        offsets_(std::move(offsets)) {}

  TypeId type() const { return type_; }
  int32_t length() const { return length_; }
  bool may_have_nulls() const { return static_cast<bool>(validity_); }
  bool IsNull(int32_t row) const { return validity_ && !BitAt(validity_->data(), offset_ + row); }
  bool IsValid(int32_t row) const { return !IsNull(row); }
  int32_t CountNulls() const;

  /// Raw pointers, already moved by the slice's offset. REQUIRES: the matching type. Values under nulls are undefined.
  const int64_t* int64s() const { return values_.as<int64_t>() + offset_; }
  const double* float64s() const { return values_.as<double>() + offset_; }
  const int32_t* offsets() const { return offsets_.as<int32_t>() + offset_; }
  const char* bytes() const { return values_.as<char>(); }
  bool BoolAt(int32_t row) const { return BitAt(values_->data(), offset_ + row); }
  std::string_view StringAt(int32_t row) const {
    const int32_t* o = offsets() + row;
    return {bytes() + o[0], static_cast<size_t>(o[1] - o[0])};
  }
  std::span<const double> ListAt(int32_t row) const {
    const int32_t* o = offsets() + row;
    return {values_.as<double>() + o[0], static_cast<size_t>(o[1] - o[0])};
  }
  /// For kernels that work on bits directly (bit index = offset() + row).
  const uint8_t* validity_bits() const { return validity_ ? validity_->data() : nullptr; }
  const uint8_t* value_bits() const { return values_->data(); }
  int32_t offset() const { return offset_; }
  const BufferRef& validity_buffer() const { return validity_; }
  const BufferRef& values_buffer() const { return values_; }
  const BufferRef& offsets_buffer() const { return offsets_; }

  Column Slice(int32_t from, int32_t length) const {
    Column c = *this;
    c.offset_ += from;
    c.length_ = length;
    return c;
  }
  /// The rows named by `indices` (each < length()), in that order, copied.
  Column Take(const int32_t* indices, int32_t count) const;
  /// The same values under another type of the same layout (int64 and timestamp, string and json).
  Column Retyped(TypeId type) const {
    Column c = *this;
    c.type_ = type;
    return c;
  }
  /// Bytes of values, offsets and validity that this slice covers.
  int64_t ByteSize() const;

 private:
  TypeId type_ = TypeId::kInt64;
  int32_t length_ = 0;
  int32_t offset_ = 0;
  BufferRef validity_;
  BufferRef values_;
  BufferRef offsets_;
};

/// A column of `length` nulls, and `columns` of one type end to end.
Column NullColumn(TypeId type, int32_t length);
Column ConcatColumns(TypeId type, std::span<const Column> columns);

}  // namespace freshet
