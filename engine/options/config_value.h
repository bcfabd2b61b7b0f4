#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/options/span.h"

namespace freshet {

/// A YAML value with its place, after anchors, merges and variables have been expanded. Built by engine/plan's reader;
/// tests build it from text with the same reader. Plain data.
struct ConfigValue {
  enum class Kind : uint8_t { kNull, kScalar, kSequence, kMap };
  struct Entry;

  Kind kind = Kind::kNull;
  SpannedText scalar;              ///< kScalar; its span is valid for every kind
  bool quoted = false;             ///< kScalar: written in quotes or as a block, so never a number or a boolean
  bool secret = false;             ///< kScalar: came from {secret: …}; never print it
  bool from_environment = false;   ///< kScalar: begins with a variable's value, so as a path it is relative to the cwd
  bool broken = false;             ///< a problem was already reported here: checks stay silent and take it as absent
  std::vector<ConfigValue> items;  ///< kSequence
  std::vector<Entry> entries;      ///< kMap, in file order, keys unique

  const SourceSpan& span() const { return scalar.span; }
  bool is_null() const { return kind == Kind::kNull; }
  bool is_scalar() const { return kind == Kind::kScalar; }
  bool is_sequence() const { return kind == Kind::kSequence; }
  bool is_map() const { return kind == Kind::kMap; }
  const std::string& text() const { return scalar.value; }
  /// The value under `key`, or null.
  const ConfigValue* Find(std::string_view key) const;
  const Entry* FindEntry(std::string_view key) const;
};

struct ConfigValue::Entry {
  SpannedText key;
  ConfigValue value;
};

}  // namespace freshet
