#pragma once

#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "engine/batch/batch.h"
#include "engine/expr/value.h"

namespace freshet::expr_internal {

/// A column of intermediate values, laid out for kernels: validity and booleans as bytes (0 or 1), numbers as they are,
/// text as views. A constant has one value that stands for all rows. Values under nulls are undefined (booleans: 0 or
/// 1).
struct Vec {
  Kind kind = Kind::kNull;
  bool constant = false;
  int32_t count = 0;               ///< rows it stands for; a constant stores one
  const uint8_t* valid = nullptr;  ///< a byte per stored value; null: all valid
  const void* values = nullptr;    ///< int64_t, double, uint8_t, std::string_view or std::span<const double>
  std::optional<Column> column;    ///< set if it is just that column
  BufferRef valid_buffer;          ///< owns `valid`, if it is not borrowed
  BufferRef values_buffer;
  std::vector<BufferRef> holds;  ///< what views point into

  template <class T>
  const T* as() const {
    return static_cast<const T*>(values);
  }
  int32_t stored() const { return constant ? 1 : count; }
  bool IsValid(int32_t row) const { return valid == nullptr || valid[constant ? 0 : row] != 0; }
};

/// Reads row i of a Vec, constant or not.
template <class T>
struct Reader {
  explicit Reader(const Vec& vec) : values(vec.as<T>()), step(vec.constant ? 0 : 1) {}
  const T& operator[](int64_t row) const { return values[row * step]; }
  const T* values;
  int64_t step;
};

/// A Vec whose values (and, on request, validity) are to be written.
class VecWriter {
 public:
  /// Room for `rows` values of the kind (1 for a constant).
  VecWriter(Kind kind, int32_t rows, bool constant, int32_t count);
  template <class T>
  T* values() {
    return vec_.values_buffer.as<T>();
  }
  /// Validity bytes, all 1 at first.
  uint8_t* valid();
  /// Takes over the validity of another Vec of the same shape.
  void ShareValid(const Vec& from);
  /// Copies text so that a view of it can be stored.
  std::string_view Keep(std::string_view text);
  /// Room for `size` bytes that lives as long as the result.
  char* Allocate(size_t size);
  /// Keeps what another Vec's views point into alive.
  void Hold(const Vec& from);
  Vec Finish() { return std::move(vec_); }

 private:
  Vec vec_;
  char* chunk_ = nullptr;
  size_t chunk_left_ = 0;
};

/// Views a physical column; text columns get an array of views.
Vec VecFromColumn(const Column& column);
/// The Vec as a column of `rows` rows of TypeOf(kind).
Column ColumnFromVec(const Vec& vec, int32_t rows);
Vec ConstantVec(const Value& value, int32_t count);
/// The value in a row.
Value ValueAt(const Vec& vec, int32_t row);
/// Validity of a row-wise function: the AND of its operands' validity, or null when all are valid. All operands must be
/// of one shape or constants; `buffer` owns the result if it had to be made.
const uint8_t* MergeValid(std::span<const Vec> operands, bool constant, int32_t count, BufferRef* buffer);

}  // namespace freshet::expr_internal
