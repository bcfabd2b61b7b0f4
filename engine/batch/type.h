#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace freshet {

/// Column types. The numbers are frozen: they stand in state and in FORMAT.md.
enum class TypeId : uint8_t {
  kBool = 1,  ///< bit-packed
  kInt64 = 2,
  kFloat64 = 3,
  kString = 4,     ///< UTF-8
  kTimestamp = 5,  ///< int64 microseconds since 1970 UTC
  kListFloat64 = 6,
  kJson = 7,  ///< UTF-8 text of a JSON value
};

constexpr bool IsStringLike(TypeId type) { return type == TypeId::kString || type == TypeId::kJson; }
constexpr bool IsInt64Like(TypeId type) { return type == TypeId::kInt64 || type == TypeId::kTimestamp; }
constexpr bool IsNumeric(TypeId type) { return type == TypeId::kInt64 || type == TypeId::kFloat64; }

/// "bool", "int64", "float64", "string", "timestamp", "list<float64>", "json": as written in pipeline files.
const char* TypeName(TypeId type);
std::optional<TypeId> ParseTypeName(std::string_view name);

}  // namespace freshet
