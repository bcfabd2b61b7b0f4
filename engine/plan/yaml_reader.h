#pragma once

#include <cstddef>
#include <memory>
#include <optional>

#include "engine/options/config_value.h"
#include "engine/options/diagnostics.h"

namespace freshet {

/// Reads YAML into values with places. Anchors, aliases and `<<` are expanded; what an alias brings in names both its
/// own place and the alias's. Reported, all at once: duplicate keys, keys that are no text, unknown tags, expressions
/// that a comma cut in two inside `[…]` or `{…}` (they are put together again, so that nothing else complains), aliases
/// to something that contains them, a file too deep or too large. A syntax error ends the reading: nullopt.
///
/// Variables, secrets and includes are expanded by expand.h. `begin` leaves out that many bytes at the start (for
/// `--set key=value`).
std::optional<ConfigValue> ReadYaml(std::shared_ptr<const SourceText> text, Diagnostics* diagnostics, size_t begin = 0);

/// Notes on every span below `value` that it was brought in at `use`; the outermost use comes last.
void MarkUsed(ConfigValue* value, const std::shared_ptr<const SourceSpan>& use);

}  // namespace freshet
