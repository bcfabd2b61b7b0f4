#pragma once

#include "engine/flow/graph_spec.h"
#include "engine/options/diagnostics.h"
#include "engine/plan/pipeline.h"

namespace freshet {

/// In which order rows come on an edge (SEMANTICS.md §1).
enum class EdgeOrder : uint8_t {
  kSource,   ///< (partition, row) of one source
  kInput,    ///< that of the step's own input, or of several bounded ones merged by time
  kByTime,   ///< by event time, as watermarks made them
  kArrival,  ///< as several live inputs happened to arrive: another run may give another order
};

/// The order of what leaves `ref`.
EdgeOrder OrderOf(const GraphSpec& graph, const PortRef& ref);
/// As `freshet plan` says it: "source order".
const char* ToText(EdgeOrder order);

/// FR2119 for each step that learns from rows in the order they come, where that order is by arrival.
void WarnOfArrivalOrder(const Pipeline& pipeline, Diagnostics* diagnostics);

}  // namespace freshet
