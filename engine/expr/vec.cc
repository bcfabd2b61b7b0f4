#include "engine/expr/vec.h"

#include <algorithm>

#include "engine/expr/kernels/bits.h"

namespace freshet::expr_internal {
namespace {

constexpr size_t kTextChunkBytes = 16 << 10;

template <class T>
int64_t SumSizes(const Vec& vec, int32_t rows) {
  const Reader<T> in(vec);
  int64_t total = 0;
  for (int32_t i = 0; i < rows; ++i)
    if (vec.IsValid(i)) total += static_cast<int64_t>(in[i].size());
  return total;
}

/// Offsets and contiguous values of text or lists.
template <class T>
Column PackViews(const Vec& vec, int32_t rows, BufferRef validity) {
  constexpr int64_t kWidth = sizeof(*T().data());
  const Reader<T> in(vec);
  BufferRef offsets = AllocateBuffer(int64_t{4} * (rows + 1));
  BufferRef bytes = AllocateBuffer(std::max<int64_t>(SumSizes<T>(vec, rows) * kWidth, 1));
  auto* ends = offsets.as<int32_t>();
  int64_t at = 0;
  ends[0] = 0;
  for (int32_t i = 0; i < rows; ++i) {
    if (vec.IsValid(i) && !in[i].empty()) {
      std::memcpy(bytes->data() + at * kWidth, in[i].data(), in[i].size() * kWidth);
      at += static_cast<int64_t>(in[i].size());
    }
    ends[i + 1] = static_cast<int32_t>(at);
  }
  return {TypeOf(vec.kind), rows, std::move(validity), std::move(bytes), std::move(offsets)};
}

BufferRef PackValidity(const Vec& vec, int32_t rows) {
  if (vec.valid == nullptr) return {};
  BufferRef bits = AllocateBuffer((rows + 7) / 8 + 1);
  if (vec.constant)
    std::memset(bits->data(), vec.valid[0] != 0 ? 0xff : 0, static_cast<size_t>((rows + 7) / 8));
  else if (std::memchr(vec.valid, 0, static_cast<size_t>(rows)) == nullptr)
    return {};
  else
    expr_kernels::PackBits(vec.valid, rows, bits->data());
  return bits;
}

template <class T>
void Broadcast(const Vec& vec, int32_t rows, T* out) {
  if (vec.constant)
    std::fill_n(out, rows, *vec.as<T>());
  else if (rows > 0)
    std::memcpy(out, vec.values, sizeof(T) * static_cast<size_t>(rows));
}

}  // namespace

VecWriter::VecWriter(Kind kind, int32_t rows, bool constant, int32_t count) {
  vec_.kind = kind;
  vec_.constant = constant;
  vec_.count = count;
  vec_.values_buffer = AllocateBuffer(int64_t{WidthOf(kind)} * std::max(rows, 1));
  vec_.values = vec_.values_buffer->data();
}

uint8_t* VecWriter::valid() {
  if (!vec_.valid_buffer) {
    const auto rows = static_cast<size_t>(std::max(vec_.stored(), 1));
    vec_.valid_buffer = AllocateBuffer(static_cast<int64_t>(rows));
    std::memset(vec_.valid_buffer->data(), 1, rows);
    vec_.valid = vec_.valid_buffer->data();
  }
  return vec_.valid_buffer->data();
}

void VecWriter::ShareValid(const Vec& from) {
  vec_.valid = from.valid;
  vec_.valid_buffer = from.valid_buffer;
}

char* VecWriter::Allocate(size_t size) {
  if (size > chunk_left_) {
    const size_t chunk = std::max(size, kTextChunkBytes);
    vec_.holds.push_back(AllocateBuffer(static_cast<int64_t>(chunk)));
    chunk_ = vec_.holds.back().as<char>();
    chunk_left_ = chunk;
  }
  char* place = chunk_;
  chunk_ += size;
  chunk_left_ -= size;
  return place;
}

std::string_view VecWriter::Keep(std::string_view text) {
  if (text.empty()) return {};
  char* place = Allocate(text.size());
  std::memcpy(place, text.data(), text.size());
  return {place, text.size()};
}

void VecWriter::Hold(const Vec& from) { vec_.holds.insert(vec_.holds.begin(), from.holds.begin(), from.holds.end()); }

Vec VecFromColumn(const Column& column) {
  Vec vec;
  const int32_t rows = column.length();
  vec.kind = KindOf(column.type());
  vec.count = rows;
  vec.column = column;
  if (column.may_have_nulls()) {
    vec.valid_buffer = AllocateBuffer(std::max(rows, 1));
    expr_kernels::ExpandBits(column.validity_bits(), column.offset(), rows, vec.valid_buffer->data());
    vec.valid = vec.valid_buffer->data();
  }
  if (IsInteger64(vec.kind)) {
    vec.values = column.int64s();
  } else if (vec.kind == Kind::kFloat64) {
    vec.values = column.float64s();
  } else {
    vec.values_buffer = AllocateBuffer(int64_t{WidthOf(vec.kind)} * std::max(rows, 1));
    vec.values = vec.values_buffer->data();
    if (vec.kind == Kind::kBool) {
      expr_kernels::ExpandBits(column.value_bits(), column.offset(), rows, vec.values_buffer->data());
    } else if (IsText(vec.kind)) {
      auto* views = vec.values_buffer.as<std::string_view>();
      for (int32_t i = 0; i < rows; ++i) views[i] = vec.IsValid(i) ? column.StringAt(i) : std::string_view();
    } else {
      auto* views = vec.values_buffer.as<std::span<const double>>();
      for (int32_t i = 0; i < rows; ++i) views[i] = vec.IsValid(i) ? column.ListAt(i) : std::span<const double>();
    }
    if (vec.kind != Kind::kBool) {
      vec.holds.push_back(column.values_buffer());
    }
  }
  return vec;
}

Column ColumnFromVec(const Vec& vec, int32_t rows) {
  if (vec.column) return *vec.column;
  if (vec.kind == Kind::kNull) return NullColumn(TypeOf(vec.kind), rows);
  BufferRef validity = PackValidity(vec, rows);
  if (vec.kind == Kind::kBool) {
    BufferRef bits = AllocateBuffer((rows + 7) / 8 + 1);
    if (vec.constant)
      std::memset(bits->data(), *vec.as<uint8_t>() != 0 ? 0xff : 0, static_cast<size_t>((rows + 7) / 8));
    else
      expr_kernels::PackBits(vec.as<uint8_t>(), rows, bits->data());
    return {TypeId::kBool, rows, std::move(validity), std::move(bits)};
  }
  if (IsText(vec.kind)) return PackViews<std::string_view>(vec, rows, std::move(validity));
  if (vec.kind == Kind::kList) return PackViews<std::span<const double>>(vec, rows, std::move(validity));
  if (!vec.constant && vec.values_buffer && vec.values == vec.values_buffer->data() && vec.kind != Kind::kDuration)
    return {TypeOf(vec.kind), rows, std::move(validity), vec.values_buffer};
  BufferRef values = AllocateBuffer(std::max<int64_t>(int64_t{8} * rows, 8));
  Broadcast<int64_t>(vec, rows, values.as<int64_t>());
  return {TypeOf(vec.kind), rows, std::move(validity), std::move(values)};
}

Vec ConstantVec(const Value& value, int32_t count) {
  VecWriter out(value.kind, 1, true, count);
  if (value.null) {
    std::memset(out.values<uint8_t>(), 0, static_cast<size_t>(WidthOf(value.kind)));
    *out.valid() = 0;
  } else if (value.kind == Kind::kBool) {
    *out.values<uint8_t>() = value.boolean ? 1 : 0;
  } else if (value.kind == Kind::kFloat64) {
    *out.values<double>() = value.number;
  } else if (IsInteger64(value.kind)) {
    *out.values<int64_t>() = value.integer;
  } else {
    *out.values<std::string_view>() = out.Keep(value.text);
  }
  return out.Finish();
}

Value ValueAt(const Vec& vec, int32_t row) {
  Value value = Value::Null(vec.kind);
  if (vec.kind == Kind::kNull || !vec.IsValid(row)) return value;
  value.null = false;
  const int32_t at = vec.constant ? 0 : row;
  if (vec.kind == Kind::kBool)
    value.boolean = vec.as<uint8_t>()[at] != 0;
  else if (vec.kind == Kind::kFloat64)
    value.number = vec.as<double>()[at];
  else if (IsInteger64(vec.kind))
    value.integer = vec.as<int64_t>()[at];
  else if (IsText(vec.kind))
    value.text = std::string(vec.as<std::string_view>()[at]);
  return value;
}

const uint8_t* MergeValid(std::span<const Vec> operands, bool constant, int32_t count, BufferRef* buffer) {
  const uint8_t* merged = nullptr;
  const int32_t rows = constant ? 1 : count;
  for (const Vec& operand : operands) {
    if (operand.valid == nullptr) continue;
    if (operand.constant && !constant) {
      if (operand.valid[0] != 0) continue;
      *buffer = AllocateZeroedBuffer(std::max(rows, 1));
      return (*buffer)->data();
    }
    if (merged == nullptr) {
      merged = operand.valid;
      *buffer = operand.valid_buffer;
      continue;
    }
    BufferRef both = AllocateBuffer(std::max(rows, 1));
    expr_kernels::And(merged, operand.valid, rows, both->data());
    *buffer = both;
    merged = both->data();
  }
  return merged;
}

}  // namespace freshet::expr_internal
