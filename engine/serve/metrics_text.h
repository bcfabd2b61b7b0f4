#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/serve/pipeline_view.h"

namespace freshet {

/// What /metrics answers: Prometheus text 0.0.4; README.md lists the names. Counters of rows go on over a restart, as
/// the checkpoint keeps them; those of time, bytes and checkpoints begin at 0 with each run.
std::string RenderMetrics(const std::vector<PipelineView>& views, int64_t now_wall_us);

}  // namespace freshet
