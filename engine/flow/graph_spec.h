#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/base/limits.h"
#include "engine/base/time.h"
#include "engine/flow/descriptor.h"

namespace freshet {

/// How a source's rows get their time (SEMANTICS.md §2), bound by the planner.
struct TimeSpec {
  /// Gives a timestamp column for a batch of the source; absent: rows are stamped on arrival.
  std::function<Column(const Batch&)> evaluate;
  std::string text;  ///< the expression, for `plan`
  Duration lateness = Duration::Seconds(5);
  Duration idle = Duration::Seconds(30);
  std::optional<Duration> max_future;  ///< live sources; default 1 min there
  std::optional<Duration> max_jump;    ///< replays
  std::optional<EventTime> not_before;
  std::optional<EventTime> not_after;
};

enum class OnError : uint8_t { kDeadLetter, kSkip, kFail };
/// What a source does while it has no credit: wait, or read on and drop whole chunks, before they take a credit.
enum class OnOverflow : uint8_t { kBlock, kDropOldest, kDropNewest };

/// One output of one node: `nodes[node]`, port 0 or a side port. Sources have ports 0 (rows) and 1 ("dead_letter").
struct PortRef {
  int node = -1;
  PortIndex port = 0;
  bool operator==(const PortRef&) const = default;
};

struct SourceNode {
  BoundSource bound;
  TimeSpec time;
  OnError on_error = OnError::kDeadLetter;
  OnOverflow on_overflow = OnOverflow::kBlock;
  int64_t credit_rows = kSourceCreditRows;
  int64_t credit_bytes = kSourceCreditBytes;
  int64_t limit = -1;  ///< --limit N
};
struct OperatorNode {
  BoundOperator bound;
};
struct SinkNode {
  BoundSink bound;
};

struct NodeSpec {
  std::string id;
  std::string type;
  std::vector<PortRef> inputs;  ///< empty for sources
  /// Several inputs: how far in event time the sources of one may be ahead of another's (skew_gate.h). Absent: any.
  std::optional<Duration> max_skew;
  std::variant<SourceNode, OperatorNode, SinkNode> kind;
};

/// A pipeline ready to be built: nodes in topological order (inputs name earlier nodes). Made by engine/plan, turned
/// into cells by engine/flow/graph.h, run by a runtime.
struct GraphSpec {
  std::string pipeline_name;
  std::vector<NodeSpec> nodes;
};

}  // namespace freshet
