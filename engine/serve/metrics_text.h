#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/serve/pipeline_view.h"

namespace freshet {

/// What /metrics answers: Prometheus text 0.0.4. Per node `freshet_rows_in_total{pipeline,node}` and its siblings,
/// watermark and checkpoint figures per pipeline, memory and CPU of the process. Counters go on over a restart, as the
/// checkpoint keeps them.
std::string RenderMetrics(const std::vector<PipelineView>& views, int64_t now_wall_us);

/// Bytes of this process in memory now, and the most there ever were; 0 when /proc does not say.
int64_t ResidentBytes();
int64_t PeakResidentBytes();

}  // namespace freshet
