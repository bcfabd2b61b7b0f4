#include "connectors/format/row_columns.h"

#include <algorithm>

namespace freshet {
namespace {

int64_t BitBytes(int64_t bits) { return (bits + 7) / 8; }

}  // namespace

void RowColumns::Start(const Schema& schema, int32_t expected_rows) {
  row_ = 0;
  capacity_ = std::max(expected_rows, 16);
  has_nulls_ = false;
  columns_.assign(static_cast<size_t>(schema.size()), {});
  for (int i = 0; i < schema.size(); ++i) {
    Filling& column = columns_[static_cast<size_t>(i)];
    column.type = schema.field(i).type;
    const bool variable = IsStringLike(column.type) || column.type == TypeId::kListFloat64;
    if (variable) {
      column.offsets_buffer = AllocateBuffer(int64_t{4} * (capacity_ + 1));
      column.offsets = column.offsets_buffer.as<int32_t>();
      column.offsets[0] = 0;
      column.values_buffer = AllocateBuffer(int64_t{16} * capacity_ + 64);
      column.byte_capacity = column.values_buffer->capacity();
    } else {
      column.values_buffer =
          AllocateBuffer(column.type == TypeId::kBool ? BitBytes(capacity_) : int64_t{8} * capacity_);
      column.words = column.values_buffer.as<int64_t>();
    }
    column.bytes = column.values_buffer->data();
  }
}

void RowColumns::Grow() {
  const int32_t capacity = capacity_ * 2;
  for (Filling& column : columns_) {
    if (column.offsets != nullptr) {
      column.offsets_buffer = GrowBuffer(column.offsets_buffer, int64_t{4} * (row_ + 1), int64_t{4} * (capacity + 1));
      column.offsets = column.offsets_buffer.as<int32_t>();
    } else {
      const bool bits = column.type == TypeId::kBool;
      column.values_buffer = GrowBuffer(column.values_buffer, bits ? BitBytes(row_) : int64_t{8} * row_,
                                        bits ? BitBytes(capacity) : int64_t{8} * capacity);
      column.words = column.values_buffer.as<int64_t>();
      column.bytes = column.values_buffer->data();
    }
    if (column.validity != nullptr) {
      column.validity_buffer = GrowBuffer(column.validity_buffer, BitBytes(capacity_), BitBytes(capacity));
      column.validity = column.validity_buffer->data();
      std::memset(column.validity + BitBytes(capacity_), 0xff,
                  static_cast<size_t>(BitBytes(capacity) - BitBytes(capacity_)));
    }
  }
  capacity_ = capacity;
}

void RowColumns::GrowBytes(Filling& column, int64_t used, int64_t bytes) {
  column.values_buffer = GrowBuffer(column.values_buffer, used, std::max(bytes, column.byte_capacity * 2));
  column.bytes = column.values_buffer->data();
  column.byte_capacity = column.values_buffer->capacity();
}

void RowColumns::ResetValidity(int32_t ahead) {
  for (Filling& column : columns_)
    if (column.validity != nullptr) SetBit(column.validity, row_ + ahead);
}

void RowColumns::SetList(int c, std::span<const double> values) {
  Filling& column = columns_[static_cast<size_t>(c)];
  const int32_t at = column.offsets[row_];
  const int64_t from = int64_t{8} * at;
  const int64_t bytes = static_cast<int64_t>(values.size_bytes());
  if (from + bytes > column.byte_capacity) {
    column.values_buffer = GrowBuffer(column.values_buffer, from, std::max(from + bytes, column.byte_capacity * 2));
    column.bytes = column.values_buffer->data();
    column.byte_capacity = column.values_buffer->capacity();
  }
  if (bytes > 0) std::memcpy(column.bytes + from, values.data(), static_cast<size_t>(bytes));
  column.offsets[row_ + 1] = at + static_cast<int32_t>(values.size());
}

void RowColumns::SetNullAt(int c, int32_t ahead) {
  const int32_t row = row_ + ahead;
  Filling& column = columns_[static_cast<size_t>(c)];
  if (column.validity == nullptr) {
    column.validity_buffer = AllocateBuffer(BitBytes(capacity_));
    column.validity = column.validity_buffer->data();
    std::memset(column.validity, 0xff, static_cast<size_t>(BitBytes(capacity_)));
    has_nulls_ = true;
  }
  ClearBit(column.validity, row);
  if (column.offsets != nullptr)
    column.offsets[row + 1] = column.offsets[row];
  else if (column.type == TypeId::kBool)
    ClearBit(column.bytes, row);
  else
    column.words[row] = 0;
}

std::vector<Column> RowColumns::Finish() {
  std::vector<Column> result;
  result.reserve(columns_.size());
  for (Filling& column : columns_)
    result.emplace_back(column.type, row_, std::move(column.validity_buffer), std::move(column.values_buffer),
                        std::move(column.offsets_buffer));
  columns_.clear();
  row_ = 0;
  return result;
}

}  // namespace freshet
