#pragma once

#include <limits>
#include <string>
#include <vector>

namespace freshet {

/// What an option's value may be. One declaration gives validation, `freshet help TYPE`, `freshet schema` and getters.
enum class OptionKind : uint8_t {
  kString,  ///< any text
  kName,    ///< the name of a column
  kInt,
  kFloat,
  kBool,
  kDuration,   ///< 10s, 5m, 1h
  kSize,       ///< 64KiB
  kTime,       ///< RFC 3339 or a date
  kEnum,       ///< one of `enum_values`
  kExpr,       ///< an expression over the input's columns (checked when the node is bound)
  kNameList,   ///< [a, b] or a single name
  kExprList,   ///< a list of expressions
  kExprMap,    ///< name: expression, order kept
  kPath,       ///< a file path or glob, relative to the pipeline file
  kPathList,   ///< one path or a list
  kSecret,     ///< {secret: env:NAME} or {secret: file:PATH}; plain text is warned about
  kSchema,     ///< column: type [+ path, pattern]: see connectors/format
  kObject,     ///< a nested map declared by `fields`
  kStringMap,  ///< name: text (HTTP headers)
  kAny,        ///< the node reads the raw ConfigValue itself
};

/// What a change of the option means for state written before (SEMANTICS.md §5.6).
enum class StateEffect : uint8_t { kNone, kCompatible, kBreaking };

/// Declaration of one option of a node type.
struct OptionSpec {
  std::string name;
  OptionKind kind = OptionKind::kString;
  std::string doc;           ///< one or two sentences, with the unit
  std::string default_text;  ///< as a user would write it; empty: no default (absent unless `required`)
  bool required = false;
  StateEffect state = StateEffect::kNone;
  double min = -std::numeric_limits<double>::infinity();  ///< numbers; durations in microseconds; sizes in bytes
  double max = std::numeric_limits<double>::infinity();
  std::vector<std::string> enum_values;  ///< kEnum; for kExpr: bare words that are taken before expressions
  std::vector<OptionSpec> fields;        ///< kObject
};

}  // namespace freshet
