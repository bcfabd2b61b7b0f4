#pragma once

#include <memory>
#include <optional>

#include "engine/plan/pipeline.h"

namespace freshet {

/// Turns a checked file into a graph: binds every node to its inputs' schemas in topological order, checks the columns
/// named in tests, then works out which columns each source must give and binds everything once more with just those.
/// Problems go to `diagnostics`; nullopt if there is an error (also one found before).
std::optional<Pipeline> BindPipeline(std::shared_ptr<const PipelineFile> file, const LoadOptions& options,
                                     Diagnostics* diagnostics);

}  // namespace freshet
