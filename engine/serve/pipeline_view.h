#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/flow/job.h"
#include "engine/serve/json_writer.h"

namespace freshet {

/// Where a pipeline is in its life.
enum class PipelinePhase : uint8_t { kStarting, kRunning, kStopping, kFinished, kStopped, kFailed };
const char* PipelinePhaseName(PipelinePhase phase);

/// What the server knows about one pipeline at one moment: a copy, taken by whoever runs it.
struct PipelineView {
  std::string name;
  std::string state_directory;
  PipelinePhase phase = PipelinePhase::kStarting;
  JobReport report;
  std::vector<std::pair<std::string, std::string>> edges;  ///< ("edits", "per_minute"), ("edits.dead_letter", "bad")
  int64_t started_wall_us = 0;
};

/// One node of /api/v1/pipeline and of `run --json`: id, type, class, counters that mean something for the class,
/// watermark (RFC 3339 or null), queue and state.
void WriteNodeJson(const NodeReport& node, JsonWriter& json);
/// The figures of the report that are not about a node: checkpoints, progress.
void WriteCheckpointJson(const JobReport& report, JsonWriter& json);
/// One pipeline as /api/v1/pipeline shows it.
void WritePipelineJson(const PipelineView& view, JsonWriter& json);

/// "source", "row_wise", "stateful", "expanding", "sink"
const char* NodeClassName(NodeClass node_class);
/// The counters a node of this class uses, by name, in the order of its law (SEMANTICS.md §4); zeros included.
std::vector<std::pair<const char*, int64_t>> NamedCounters(NodeClass node_class, const NodeCounters& counters);

}  // namespace freshet
