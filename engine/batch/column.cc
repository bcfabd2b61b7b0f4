#include "engine/batch/column.h"

#include <algorithm>
#include <cstring>

#include "engine/batch/column_builder.h"

namespace freshet {
namespace {

int64_t BitBytes(int64_t bits) { return (bits + 7) / 8; }

/// Validity of the taken rows, or none when all are valid.
BufferRef TakeValidity(const Column& column, const int32_t* indices, int32_t count) {
  if (!column.may_have_nulls()) return {};
  BufferRef bits = AllocateZeroedBuffer(BitBytes(count));
  bool any_null = false;
  for (int32_t i = 0; i < count; ++i) {
    if (column.IsNull(indices[i]))
      any_null = true;
    else
      SetBit(bits->data(), i);
  }
  return any_null ? bits : BufferRef();
}

}  // namespace

int32_t Column::CountNulls() const {
  if (!validity_) return 0;
  int32_t nulls = 0;
  for (int32_t i = 0; i < length_; ++i) nulls += IsNull(i) ? 1 : 0;
  return nulls;
}

Column Column::Take(const int32_t* indices, int32_t count) const {
  BufferRef validity = TakeValidity(*this, indices, count);
  switch (type_) {
    case TypeId::kBool: {
      BufferRef values = AllocateZeroedBuffer(BitBytes(count));
      for (int32_t i = 0; i < count; ++i)
        if (BoolAt(indices[i])) SetBit(values->data(), i);
      return {type_, count, std::move(validity), std::move(values)};
    }
    case TypeId::kInt64:
    case TypeId::kTimestamp:
    case TypeId::kFloat64: {
      BufferRef values = AllocateBuffer(int64_t{8} * count);
      const int64_t* from = int64s();
      auto* to = values.as<int64_t>();
      for (int32_t i = 0; i < count; ++i) to[i] = from[indices[i]];
      return {type_, count, std::move(validity), std::move(values)};
    }
    case TypeId::kString:
    case TypeId::kJson:
    case TypeId::kListFloat64: {
      const int64_t width = type_ == TypeId::kListFloat64 ? 8 : 1;
      const int32_t* from = offsets();
      BufferRef taken_offsets = AllocateBuffer(int64_t{4} * (count + 1));
      auto* to = taken_offsets.as<int32_t>();
      int32_t total = 0;
      to[0] = 0;
      for (int32_t i = 0; i < count; ++i) to[i + 1] = total += from[indices[i] + 1] - from[indices[i]];
      BufferRef values = AllocateBuffer(total * width);
      uint8_t* out = values->data();
      const uint8_t* in = values_->data();
      for (int32_t i = 0; i < count; ++i) {
        const int64_t bytes = (to[i + 1] - to[i]) * width;
        // Both buffers have spare bytes behind them; what is too much is overwritten by the next.
        if (bytes <= 16)
          std::memcpy(out + to[i] * width, in + from[indices[i]] * width, 16);
        else
          std::memcpy(out + to[i] * width, in + from[indices[i]] * width, static_cast<size_t>(bytes));
      }
      return {type_, count, std::move(validity), std::move(values), std::move(taken_offsets)};
    }
  }
  return {};
}

int64_t Column::ByteSize() const {
  int64_t bytes = validity_ ? BitBytes(length_) : 0;
  switch (type_) {
    case TypeId::kBool:
      return bytes + BitBytes(length_);
    case TypeId::kInt64:
    case TypeId::kTimestamp:
    case TypeId::kFloat64:
      return bytes + int64_t{8} * length_;
    case TypeId::kString:
    case TypeId::kJson:
      return bytes + 4 * (length_ + 1) + (offsets()[length_] - offsets()[0]);
    case TypeId::kListFloat64:
      return bytes + 4 * (length_ + 1) + 8 * (offsets()[length_] - offsets()[0]);
  }
  return bytes;
}

Column NullColumn(TypeId type, int32_t length) {
  ColumnBuilder builder(type, length);
  for (int32_t i = 0; i < length; ++i) builder.AppendNull();
  return builder.Finish();
}

Column ConcatColumns(TypeId type, std::span<const Column> columns) {
  int32_t rows = 0;
  for (const Column& c : columns) rows += c.length();
  ColumnBuilder builder(type, rows);
  for (const Column& c : columns) builder.AppendSlice(c, 0, c.length());
  return builder.Finish();
}

ColumnBuilder::ColumnBuilder(TypeId type, int32_t expected_rows) : type_(type) { Grow(std::max(expected_rows, 16)); }

void ColumnBuilder::Grow(int32_t rows) {
  const int32_t capacity = std::max(rows, capacity_ * 2);
  const bool variable = IsStringLike(type_) || type_ == TypeId::kListFloat64;
  if (variable) {
    offsets_ = GrowBuffer(offsets_, offsets_ ? int64_t{4} * (length_ + 1) : 0, int64_t{4} * (capacity + 1));
    if (length_ == 0) offsets_.as<int32_t>()[0] = 0;
    if (!values_) values_ = AllocateBuffer(int64_t{16} * capacity);
  } else if (type_ == TypeId::kBool) {
    values_ = GrowBuffer(values_, values_ ? BitBytes(length_) : 0, BitBytes(capacity));
  } else {
    values_ = GrowBuffer(values_, int64_t{8} * length_, int64_t{8} * capacity);
  }
  if (validity_) validity_ = GrowBuffer(validity_, BitBytes(length_), BitBytes(capacity));
  capacity_ = capacity;
}

void ColumnBuilder::GrowBytes(int64_t bytes) {
  values_ = GrowBuffer(values_, byte_count_, std::max(bytes, values_->capacity() * 2));
}

void ColumnBuilder::MarkNull() {
  if (!validity_) {
    validity_ = AllocateBuffer(BitBytes(capacity_));
    std::memset(validity_->data(), 0xff, static_cast<size_t>(BitBytes(length_)));
  }
  ClearBit(validity_->data(), length_);
  ++length_;
}

void ColumnBuilder::AppendNull() {
  if (length_ >= capacity_) Grow(length_ + 1);
  if (offsets_)
    offsets_.as<int32_t>()[length_ + 1] = offsets_.as<int32_t>()[length_];
  else if (type_ == TypeId::kBool)
    ClearBit(values_->data(), length_);
  else
    values_.as<int64_t>()[length_] = 0;
  MarkNull();
}

void ColumnBuilder::AppendList(std::span<const double> v) {
  if (length_ >= capacity_) Grow(length_ + 1);
  const int64_t bytes = static_cast<int64_t>(v.size() * sizeof(double));
  char* const at = ReserveBytes(bytes);
  if (!v.empty()) std::memcpy(at, v.data(), static_cast<size_t>(bytes));
  byte_count_ += bytes;
  offsets_.as<int32_t>()[length_ + 1] = static_cast<int32_t>(byte_count_ / 8);
  MarkValid();
}

void ColumnBuilder::AppendFrom(const Column& column, int32_t row) {
  if (column.IsNull(row)) return AppendNull();
  switch (type_) {
    case TypeId::kBool:
      return AppendBool(column.BoolAt(row));
    case TypeId::kInt64:
    case TypeId::kTimestamp:
      return AppendInt64(column.int64s()[row]);
    case TypeId::kFloat64:
      return AppendFloat64(column.float64s()[row]);
    case TypeId::kString:
    case TypeId::kJson:
      return AppendString(column.StringAt(row));
    case TypeId::kListFloat64:
      return AppendList(column.ListAt(row));
  }
}

void ColumnBuilder::AppendSlice(const Column& column, int32_t from, int32_t count) {
  if (type_ == TypeId::kBool || validity_ || column.may_have_nulls()) {
    for (int32_t i = 0; i < count; ++i) AppendFrom(column, from + i);
    return;
  }
  if (count == 0) return;
  if (length_ + count > capacity_) Grow(length_ + count);
  if (offsets_) {
    const int64_t width = type_ == TypeId::kListFloat64 ? 8 : 1;
    const int32_t* const offsets = column.offsets() + from;
    const int64_t bytes = (offsets[count] - offsets[0]) * width;
    if (bytes > 0) std::memcpy(ReserveBytes(bytes), column.bytes() + offsets[0] * width, static_cast<size_t>(bytes));
    byte_count_ += bytes;
    int32_t* const to = offsets_.as<int32_t>() + length_;
    const int32_t moved = to[0] - offsets[0];
    for (int32_t i = 1; i <= count; ++i) to[i] = offsets[i] + moved;
  } else {
    std::memcpy(values_.as<int64_t>() + length_, column.int64s() + from, static_cast<size_t>(count) * 8);
  }
  length_ += count;
}

void ColumnBuilder::Truncate(int32_t length) {
  length_ = length;
  if (offsets_) byte_count_ = int64_t{offsets_.as<int32_t>()[length]} * (type_ == TypeId::kListFloat64 ? 8 : 1);
}

Column ColumnBuilder::Finish() {
  if (capacity_ == 0) Grow(16);  // finished before and nothing appended since: an empty column has buffers too
  const bool variable = IsStringLike(type_) || type_ == TypeId::kListFloat64;
  const int64_t fixed = type_ == TypeId::kBool ? BitBytes(length_) : int64_t{8} * length_;
  Column column(type_, length_, ShrinkBuffer(std::move(validity_), BitBytes(length_)),
                ShrinkBuffer(std::move(values_), variable ? byte_count_ : fixed),
                ShrinkBuffer(std::move(offsets_), int64_t{4} * (length_ + 1)));
  length_ = 0;
  capacity_ = 0;
  byte_count_ = 0;
  validity_ = {};
  values_ = {};
  offsets_ = {};
  return column;
}

}  // namespace freshet
