#pragma once

#include <memory>

#include "engine/plan/pipeline.h"

namespace freshet {

/// Checks the structure of an expanded tree: keys of the top level, settings, ids, types, options of every node,
/// inputs, cycles, tests. Everything wrong is reported; what could be understood is returned, nodes on a cycle left
/// out.
std::shared_ptr<PipelineFile> ReadPipelineFile(const ConfigValue& root, const std::string& path,
                                               const LoadOptions& options, Diagnostics* diagnostics);

}  // namespace freshet
