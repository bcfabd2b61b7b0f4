#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/flow/graph_spec.h"

namespace freshet {

enum class CellKind : uint8_t {
  kSource,   ///< a source's rows after decode, in order; fused stateless operators behind it
  kChain,    ///< one operator, or several stateless ones fused
  kSorter,   ///< holds rows until the watermark passes; sorted by (event time, ordinal)
  kMerge,    ///< several bounded inputs, or a source's partitions, merged by (place in event time, input): ordering.cc
  kArrival,  ///< several live inputs as they come, with one numbering of their batches for the lanes behind
  kGather,   ///< puts the lanes' rows of one port in order again
  kSink,
};

/// From one port of one element of a cell's chain to one consumer.
struct LinkPlan {
  int element = 0;
  PortIndex port = 0;
  std::vector<int> edges;         ///< one, or one per lane
  std::vector<int> exchange_key;  ///< key columns when rows are divided over lanes
  bool exchanged = false;
  bool combines = false;  ///< rows become partial results before they are divided
  bool marks = false;     ///< leads to a gather that restores input order
};

struct EdgePlan {
  int from = -1;
  int to = -1;
  InputIndex input = 0;
};

/// One cell: which nodes it runs, which lane it is.
struct CellPlan {
  int id = -1;
  CellKind kind = CellKind::kChain;
  std::vector<int> nodes;  ///< the chain; for sources [0] is the source
  int lane = 0;
  int lane_count = 1;
  int input_count = 0;
  std::vector<LinkPlan> links;
  PortIndex gathered_port = 0;    ///< kGather: which port of nodes[0]
  bool counts_in = true;          ///< rows in are counted here, not in a sorter or merge before it
  bool counts_out = true;         ///< rows on the main output of the first node are counted here
  bool stamps_ordinals = false;   ///< rows made by time get their ordinals here
  bool lanes_may_differ = false;  ///< kGather: its lanes in the time at which they stand at a barrier
  bool wants_clock = false;       ///< to be nudged every kClockTickUs
};

/// The physical graph: what `freshet plan` shows and what a runtime instantiates.
struct GraphPlan {
  std::vector<CellPlan> cells;
  std::vector<EdgePlan> edges;
  int lane_count = 1;
};

/// Divides a pipeline into cells: stateless operators are fused onto their producer, keyed operators get `lane_count`
/// lanes between an exchange and a gather, by-event-time operators a sorter, several bounded inputs a merge.
GraphPlan PlanGraph(const GraphSpec& spec, int lane_count);

/// "source clicks + clean + motion → 2 lanes by video_id", one line per group of cells.
std::string DescribeGraph(const GraphSpec& spec, const GraphPlan& plan);

}  // namespace freshet
