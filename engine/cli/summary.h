#pragma once

#include <string>

#include "engine/cli/run_session.h"

namespace freshet::cli {

/// What a run came to, for people: one line that says it, the conservation table (SEMANTICS.md §4), checkpoints, what
/// the sinks say, where dead letters are, samples of late rows, warnings.
std::string SummaryText(const RunSession& session);
/// One line of the table: "window per_minute  in 39,203 = absorbed 39,199 + late 4".
std::string ConservationLine(const NodeReport& node, size_t label_width);
/// The same for programs: an object of `run --json`.
void WriteSummaryJson(const RunSession& session, JsonWriter& json);

}  // namespace freshet::cli
