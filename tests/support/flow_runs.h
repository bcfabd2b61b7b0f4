#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/flow/sim_runtime.h"
#include "tests/support/flow_nodes.h"

namespace freshet::testing {

/// What the sinks of a graph received, by their ids.
using SinkLines = std::map<std::string, std::vector<std::string>>;

/// A graph of numbers, operators and sinks that survive crashes, written down node by node.
class FlowGraph {
 public:
  using Sinks = std::map<std::string, std::shared_ptr<Collected>>;
  /// `sinks`: filled, and read again by the graph of the next life.
  explicit FlowGraph(Sinks* sinks) : sinks_(sinks) { spec_.pipeline_name = "test"; }
  PortRef Source(const std::string& id, const NumbersOptions& numbers, int64_t credit_rows = kSourceCreditRows);
  /// Its main output; the others have the same `node`.
  PortRef Node(const std::string& id, std::vector<PortRef> inputs, const BoundOperator& bound);
  void Sink(const std::string& id, PortRef input);
  /// An operator over numbers, its output in `results` and, if it has one, its second in `late`.
  void NodeOverNumbers(const NumbersOptions& numbers, const BoundOperator& bound,
                       int64_t credit_rows = kSourceCreditRows);
  GraphSpec Take() { return std::move(spec_); }

 private:
  Sinks* const sinks_;
  GraphSpec spec_;
};
using WriteGraph = std::function<void(FlowGraph&)>;

/// Runs it in the simulator until it has ended or stopped (`step_count_max`), each life with the graph anew. `sinks`:
/// what earlier runs over the same store left. Fails the test if the run fails, unless `result` is given.
SinkLines RunGraph(const WriteGraph& write, const SimOptions& options, FlowGraph::Sinks* sinks = nullptr,
                   SimResult* result = nullptr);
/// 1, 2 and 4 lanes, batches of 1, 7 and 4,096 rows, with up to three crashes: all lines are those of a run in one lane
/// to which nothing happens. Returns these.
SinkLines CheckLanesBatchesAndCrashes(const WriteGraph& write);
/// f(lanes, batch rows, seed) for these lanes and batches, with a seed for each.
void ForLanesAndBatches(const std::function<void(int lanes, int32_t batch_rows, uint64_t seed)>& f);

}  // namespace freshet::testing
