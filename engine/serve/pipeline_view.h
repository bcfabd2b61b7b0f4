#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/flow/job.h"
#include "engine/serve/json_writer.h"
#include "engine/serve/pipeline_load.h"

namespace freshet {

/// Where a pipeline is in its life.
enum class PipelinePhase : uint8_t { kStarting, kRunning, kReloading, kStopping, kFinished, kStopped, kFailed };
const char* PipelinePhaseName(PipelinePhase phase);

/// What the server knows about one pipeline at one moment: a copy, taken by whoever runs it.
struct PipelineView {
  std::string name;
  std::string state_directory;
  PipelinePhase phase = PipelinePhase::kStarting;
  JobReport report;
  PipelineLoad load;  ///< over the last seconds; its nodes are those of the report
  NodeEdges edges;
  int64_t started_wall_us = 0;
  int64_t reload_count = 0;
  int64_t reload_refused_count = 0;
};

/// One node of /api/v1/pipeline and of `run --json`: the fields are in README.md. `load` may be null; `now_wall_us` 0
/// leaves out what depends on the clock.
void WriteNodeJson(const NodeReport& node, const NodeLoad* load, int64_t now_wall_us, JsonWriter& json);
/// `null`, or the node that limits the rate and how busy it is.
void WriteBottleneckJson(const JobReport& report, const PipelineLoad& load, JsonWriter& json);
/// The figures of the report that are not about a node: checkpoints, progress.
void WriteCheckpointJson(const JobReport& report, JsonWriter& json);
/// One pipeline as /api/v1/pipeline shows it.
void WritePipelineJson(const PipelineView& view, int64_t now_wall_us, JsonWriter& json);
/// All that the workers of a node did, added up.
Activity SumActivity(const NodeReport& node);

/// "source", "row_wise", "stateful", "expanding", "sink"
const char* NodeClassName(NodeClass node_class);
/// The counters a node of this class uses, by name, in the order of its law (SEMANTICS.md §4); zeros included.
std::vector<std::pair<const char*, int64_t>> NamedCounters(NodeClass node_class, const NodeCounters& counters);

}  // namespace freshet
