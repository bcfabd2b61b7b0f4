#pragma once

#include <cstdint>
#include <string>

#include "engine/batch/type.h"

namespace freshet::expr_internal {

/// Types inside an expression: the column types, durations (int64 µs, seen outside as float64 seconds) and the type of
/// a bare `null`, which takes whatever type is asked of it.
enum class Kind : uint8_t { kNull, kBool, kInt64, kFloat64, kString, kTimestamp, kDuration, kList, kJson };

const char* KindName(Kind kind);
Kind KindOf(TypeId type);
/// The column type in which a value leaves the expression.
TypeId TypeOf(Kind kind);

constexpr bool IsInteger64(Kind kind) {
  return kind == Kind::kInt64 || kind == Kind::kTimestamp || kind == Kind::kDuration;
}
constexpr bool IsText(Kind kind) { return kind == Kind::kString || kind == Kind::kJson; }
constexpr bool IsNumber(Kind kind) { return kind == Kind::kInt64 || kind == Kind::kFloat64; }
/// Bytes of one value in a Vec: bool 1, numbers 8, text and lists a 16-byte view.
constexpr int WidthOf(Kind kind) {
  if (kind == Kind::kBool || kind == Kind::kNull) return 1;
  return IsInteger64(kind) || kind == Kind::kFloat64 ? 8 : 16;
}

/// One value: a literal or a folded constant. Which member counts follows from `kind`.
struct Value {
  Kind kind = Kind::kNull;
  bool null = true;
  bool boolean = false;
  int64_t integer = 0;  ///< int64, timestamp and duration (µs)
  double number = 0;
  std::string text = {};  ///< string and json

  static Value Bool(bool v) { return {.kind = Kind::kBool, .null = false, .boolean = v}; }
  static Value Integer(Kind kind, int64_t v) { return {.kind = kind, .null = false, .integer = v}; }
  static Value Number(double v) { return {.kind = Kind::kFloat64, .null = false, .number = v}; }
  static Value Text(std::string v) { return {.kind = Kind::kString, .null = false, .text = std::move(v)}; }
  static Value Null(Kind kind) { return {.kind = kind}; }
  /// As it would be written in an expression.
  std::string ToString() const;
};

/// The shortest text that reads back as the same double; always with a point, an exponent, "nan" or "inf".
std::string FormatDouble(double value);

}  // namespace freshet::expr_internal
