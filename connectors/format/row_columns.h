#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "engine/batch/column.h"
#include "engine/batch/schema.h"

namespace freshet {

/// Columns that are filled row by row by decoders which may give a row up half-way: nothing counts until CommitRow, and
/// an abandoned row is overwritten by the next. Each column must be set exactly once, or set to null, before CommitRow.
/// A row costs no validity work until the first null of its column. One thread.
class RowColumns {
 public:
  /// Starts `schema`'s columns anew with room for about `expected_rows`.
  void Start(const Schema& schema, int32_t expected_rows);
  int32_t row_count() const { return row_; }
  /// Begins a row, also after a row that was given up.
  void BeginRow() {
    if (row_ >= capacity_) Grow();
    if (has_nulls_) ResetValidity();
  }
  void CommitRow() { ++row_; }
  /// The same for several rows at once: then values are set with the …At calls, `ahead` rows behind the committed ones.
  void BeginRows(int32_t count) {
    while (row_ + count > capacity_) Grow();
    if (has_nulls_)
      for (int32_t i = 0; i < count; ++i) ResetValidity(i);
  }
  void CommitRows(int32_t count) { row_ += count; }

  void SetInt64(int c, int64_t v) { columns_[static_cast<size_t>(c)].words[row_] = v; }
  void SetFloat64(int c, double v) { std::memcpy(&columns_[static_cast<size_t>(c)].words[row_], &v, sizeof v); }
  void SetBool(int c, bool v) {
    uint8_t* bits = columns_[static_cast<size_t>(c)].bytes;
    v ? SetBit(bits, row_) : ClearBit(bits, row_);
  }
  /// `text` must have 16 readable bytes beyond its end when `padded`.
  void SetString(int c, const char* text, int64_t size, bool padded = false) {
    Filling& column = columns_[static_cast<size_t>(c)];
    const int64_t at = column.offsets[row_];
    if (at + size + 16 > column.byte_capacity) GrowBytes(column, at, at + size + 16);
    if (padded && size <= 16)
      std::memcpy(column.bytes + at, text, 16);
    else
      std::memcpy(column.bytes + at, text, static_cast<size_t>(size));
    column.offsets[row_ + 1] = static_cast<int32_t>(at + size);
  }
  void SetList(int c, std::span<const double> values);
  void SetNull(int c) { SetNullAt(c, 0); }

  /// Of int64, float64 and timestamp columns, from the first row that is not committed.
  int64_t* words(int c) { return columns_[static_cast<size_t>(c)].words + row_; }
  void SetBoolAt(int c, int32_t ahead, bool v) {
    uint8_t* bits = columns_[static_cast<size_t>(c)].bytes;
    v ? SetBit(bits, row_ + ahead) : ClearBit(bits, row_ + ahead);
  }
  void SetNullAt(int c, int32_t ahead);
  /// Text of `count` rows: text_of(i) is a view with 16 readable bytes behind it.
  template <class TextOf>
  void SetStrings(int c, int32_t count, TextOf&& text_of) {
    Filling& column = columns_[static_cast<size_t>(c)];
    int32_t* const offsets = column.offsets + row_;
    uint8_t* bytes = column.bytes;
    int64_t capacity = column.byte_capacity;
    int64_t at = offsets[0];
    for (int32_t i = 0; i < count; ++i) {
      const std::string_view text = text_of(i);
      const auto size = static_cast<int64_t>(text.size());
      if (at + size + 16 > capacity) [[unlikely]] {
        GrowBytes(column, at, at + size + 16);
        bytes = column.bytes;
        capacity = column.byte_capacity;
      }
      if (size <= 16) [[likely]]
        std::memcpy(bytes + at, text.data(), 16);
      else
        std::memcpy(bytes + at, text.data(), text.size());
      at += size;
      offsets[i + 1] = static_cast<int32_t>(at);
    }
  }
  /// The committed rows as columns.
  std::vector<Column> Finish();

 private:
  struct Filling {
    TypeId type = TypeId::kInt64;
    int64_t* words = nullptr;  ///< int64, float64, timestamp
    uint8_t* bytes = nullptr;  ///< bits of bools, bytes of strings and lists
    int32_t* offsets = nullptr;
    uint8_t* validity = nullptr;
    int64_t byte_capacity = 0;
    BufferRef values_buffer, offsets_buffer, validity_buffer;
  };
  void Grow();
  static void GrowBytes(Filling& column, int64_t used, int64_t bytes);
  void ResetValidity(int32_t ahead = 0);

  std::vector<Filling> columns_;
  int32_t row_ = 0;
  int32_t capacity_ = 0;
  bool has_nulls_ = false;
};

}  // namespace freshet
