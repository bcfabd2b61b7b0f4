#pragma once

#include <string>

#include "connectors/format/json_value.h"

namespace freshet::cli {

struct TopStyle {
  size_t width = 80;   ///< columns of the terminal
  size_t height = 0;   ///< lines of it; 0: as many as are needed
  bool color = false;  ///< ANSI: bold heads, the bottleneck in reverse
};

/// What `/api/v1/pipeline` says, as a table: of each pipeline its state, its bottleneck and its nodes, the bottleneck
/// first, then the busiest.
std::string RenderTop(const JsonValue& answer, const TopStyle& style);

}  // namespace freshet::cli
