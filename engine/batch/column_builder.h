#pragma once

#include <cstring>
#include <span>
#include <string_view>

#include "engine/batch/column.h"

namespace freshet {

/// Builds one column row by row. One thread. Validity bits are only allocated when the first null comes.
class ColumnBuilder {
 public:
  explicit ColumnBuilder(TypeId type, int32_t expected_rows = 0);
  TypeId type() const { return type_; }
  int32_t length() const { return length_; }

  void AppendNull();
  void AppendBool(bool v) {
    if (length_ >= capacity_) Grow(length_ + 1);
    uint8_t* bits = values_->data();
    v ? SetBit(bits, length_) : ClearBit(bits, length_);
    MarkValid();
  }
  void AppendInt64(int64_t v) {  ///< int64 and timestamp
    if (length_ >= capacity_) Grow(length_ + 1);
    values_.as<int64_t>()[length_] = v;
    MarkValid();
  }
  void AppendFloat64(double v) {
    if (length_ >= capacity_) Grow(length_ + 1);
    values_.as<double>()[length_] = v;
    MarkValid();
  }
  void AppendString(std::string_view v) {  ///< string and json
    if (length_ >= capacity_) Grow(length_ + 1);
    char* const at = ReserveBytes(static_cast<int64_t>(v.size()));
    if (!v.empty()) std::memcpy(at, v.data(), v.size());
    byte_count_ += static_cast<int64_t>(v.size());
    offsets_.as<int32_t>()[length_ + 1] = static_cast<int32_t>(byte_count_);
    MarkValid();
  }
  void AppendList(std::span<const double> v);
  /// Copies one row of a column of the same type.
  void AppendFrom(const Column& column, int32_t row);
  /// Copies rows [from, from + count).
  void AppendSlice(const Column& column, int32_t from, int32_t count);
  /// Undoes the last append(s): keeps the first `length` rows.
  void Truncate(int32_t length);
  /// Bytes of string data so far; with `length` they decide when a batch is full.
  int64_t byte_count() const { return byte_count_; }
  /// The column, in buffers that are not much larger than it is; the builder is empty afterwards.
  Column Finish();

 private:
  void Grow(int32_t rows);
  char* ReserveBytes(int64_t more) {
    if (byte_count_ + more > values_->capacity()) GrowBytes(byte_count_ + more);
    return values_.as<char>() + byte_count_;
  }
  void GrowBytes(int64_t bytes);
  void MarkValid() {
    if (validity_) SetBit(validity_->data(), length_);
    ++length_;
  }
  void MarkNull();

  TypeId type_;
  int32_t length_ = 0;
  int32_t capacity_ = 0;
  int64_t byte_count_ = 0;
  BufferRef validity_;
  BufferRef values_;
  BufferRef offsets_;
};

}  // namespace freshet
