#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/options/config_value.h"
#include "engine/options/diagnostics.h"
#include "engine/options/option_spec.h"

namespace freshet {

/// The value if it is a map, else null.
inline const ConfigValue* AsMap(const ConfigValue* value) {
  return value != nullptr && value->is_map() ? value : nullptr;
}
/// The numbers as options write them; nullopt for anything else. Shared by the check of options and their getters.
std::optional<int64_t> ParseInt(std::string_view text);
std::optional<double> ParseFloat(std::string_view text);

/// Checks one written value against its declaration; says whether it may be used. `diagnostics` may be null.
bool CheckOptionValue(const OptionSpec& spec, const ConfigValue& value, Diagnostics* diagnostics);

}  // namespace freshet
