#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/time.h"
#include "engine/options/config_value.h"
#include "engine/options/diagnostics.h"
#include "engine/options/option_spec.h"

namespace freshet {

/// Typed, defaulted view of one node's options. Make() has already checked keys, types, ranges and enums against the
/// declarations and reported every problem, so getters cannot fail: an absent option without default gives
/// nullopt/empty. Asking for an option that is not declared is a bug and aborts in debug builds. Keeps pointers to
/// `value` and `specs`.
class OptionsNode {
 public:
  /// Checks `value` (a map; null counts as empty) against `specs`. `ignored` are keys that the engine itself reads
  /// (type, inputs, …). Problems go to `diagnostics`; the node is usable even then (bad values count as absent).
  static OptionsNode Make(const ConfigValue* value, const std::vector<OptionSpec>* specs,
                          const std::vector<std::string>& ignored, Diagnostics* diagnostics);

  bool Has(std::string_view name) const;  ///< written in the file
  /// The place of the value if written, else of the node.
  SourceSpan span(std::string_view name) const;
  SourceSpan span() const;

  std::string GetString(
      std::string_view name) const;  ///< kString, kName, kEnum, kPath, kSecret (resolved by the engine)
  std::optional<std::string> FindString(std::string_view name) const;
  int64_t GetInt(std::string_view name) const;  ///< kInt, kSize
  std::optional<int64_t> FindInt(std::string_view name) const;
  double GetFloat(std::string_view name) const;
  std::optional<double> FindFloat(std::string_view name) const;
  bool GetBool(std::string_view name) const;
  Duration GetDuration(std::string_view name) const;
  std::optional<Duration> FindDuration(std::string_view name) const;
  std::optional<EventTime> FindTime(std::string_view name) const;
  /// The text of an expression with its place; nullopt when absent.
  std::optional<SpannedText> FindExpr(std::string_view name) const;
  std::vector<SpannedText> GetList(std::string_view name) const;  ///< kNameList, kExprList, kPathList
  std::vector<std::pair<SpannedText, SpannedText>> GetMap(
      std::string_view name) const;  ///< kExprMap, kStringMap: (key, value)
  /// A nested map's options; an empty node when absent.
  OptionsNode GetObject(std::string_view name) const;
  /// The raw value (kAny, kSchema), or null.
  const ConfigValue* Raw(std::string_view name) const;

 private:
  const OptionSpec* FindSpec(std::string_view name) const;
  /// The value if it is written and passed the checks.
  const ConfigValue* Usable(const OptionSpec& spec) const;
  /// The text of a scalar option, or its default.
  std::optional<std::string> FindText(std::string_view name) const;
  const ConfigValue* value_ = nullptr;  ///< null or a map
  const std::vector<OptionSpec>* specs_ = nullptr;
};

}  // namespace freshet
