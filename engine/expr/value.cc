#include "engine/expr/value.h"

#include <charconv>
#include <cmath>

#include "engine/base/units.h"

namespace freshet::expr_internal {

const char* KindName(Kind kind) {
  switch (kind) {
    case Kind::kNull:
      return "null";
    case Kind::kBool:
      return "bool";
    case Kind::kInt64:
      return "int64";
    case Kind::kFloat64:
      return "float64";
    case Kind::kString:
      return "string";
    case Kind::kTimestamp:
      return "timestamp";
    case Kind::kDuration:
      return "duration";
    case Kind::kList:
      return "list<float64>";
    case Kind::kJson:
      return "json";
  }
  return "unknown";
}

Kind KindOf(TypeId type) {
  switch (type) {
    case TypeId::kBool:
      return Kind::kBool;
    case TypeId::kInt64:
      return Kind::kInt64;
    case TypeId::kFloat64:
      return Kind::kFloat64;
    case TypeId::kString:
      return Kind::kString;
    case TypeId::kTimestamp:
      return Kind::kTimestamp;
    case TypeId::kListFloat64:
      return Kind::kList;
    case TypeId::kJson:
      return Kind::kJson;
  }
  return Kind::kNull;
}

TypeId TypeOf(Kind kind) {
  switch (kind) {
    case Kind::kBool:
      return TypeId::kBool;
    case Kind::kInt64:
      return TypeId::kInt64;
    case Kind::kFloat64:
    case Kind::kDuration:
      return TypeId::kFloat64;
    case Kind::kTimestamp:
      return TypeId::kTimestamp;
    case Kind::kList:
      return TypeId::kListFloat64;
    case Kind::kJson:
      return TypeId::kJson;
    case Kind::kString:
    case Kind::kNull:
      return TypeId::kString;
  }
  return TypeId::kString;
}

std::string FormatDouble(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  std::string out(text, end);
  if (out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

std::string Value::ToString() const {
  if (null) return "null";
  switch (kind) {
    case Kind::kBool:
      return boolean ? "true" : "false";
    case Kind::kInt64:
      return std::to_string(integer);
    case Kind::kFloat64:
      return FormatDouble(number);
    case Kind::kTimestamp:
      return "timestamp '" + FormatTime(EventTime{integer}) + "'";
    case Kind::kDuration:
      return "interval '" + FormatDuration(Duration{integer}) + "'";
    default:
      break;
  }
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') out += '\'';
    out += c;
  }
  return out + "'";
}

}  // namespace freshet::expr_internal
