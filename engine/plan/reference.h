#pragma once

#include <string>

#include "engine/flow/descriptor.h"

namespace freshet {

/// A JSON Schema (draft 2020-12) of pipeline files, for editors: `freshet schema`. Values are left as loose as the
/// reader takes them (`${NAME}` may stand anywhere, a secret may replace any text).
std::string PipelineJsonSchema(const Registry& registry);

/// `freshet help`: all types, a line each.
std::string HelpOverview(const Registry& registry);

/// `freshet help TYPE`: what it does, its options with types, ranges and defaults, its outputs, an example. A type that
/// is a source and a sink gives both. Also `settings` and `time`. Empty if there is no such type.
std::string HelpType(const Registry& registry, const std::string& type);

/// The type nearest to a misspelt one, or empty.
std::string NearestType(const Registry& registry, const std::string& type);

}  // namespace freshet
