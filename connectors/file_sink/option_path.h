#pragma once

#include <string>

#include "engine/flow/descriptor.h"

namespace freshet {

/// A kPath option as a path to open: relative to the pipeline file when written there, to the current directory when it
/// came from the command line (`--set`) or is a default (SEMANTICS.md §8.4). Empty when absent.
inline std::string ResolveOptionPath(const OptionsNode& options, const BindContext& bind, const std::string& name) {
  const std::string path = options.GetString(name);
  if (path.empty() || !options.Has(name)) return path;
  const SourceSpan span = options.span(name);
  if (span.text != nullptr && span.text->name.rfind("--", 0) == 0) return path;
  return ResolvePath(bind.directory, path);
}

}  // namespace freshet
