#include "tests/support/flow_runs.h"

#include <doctest/doctest.h>

namespace freshet::testing {

PortRef FlowGraph::Source(const std::string& id, const NumbersOptions& numbers, int64_t credit_rows) {
  spec_.nodes.push_back(NumbersSource(id, numbers));
  std::get<SourceNode>(spec_.nodes.back().kind).credit_rows = credit_rows;
  return {static_cast<int>(spec_.nodes.size()) - 1, 0};
}

PortRef FlowGraph::Node(const std::string& id, std::vector<PortRef> inputs, const BoundOperator& bound) {
  NodeSpec node;
  node.id = node.type = id;
  node.inputs = std::move(inputs);
  node.kind = OperatorNode{bound};
  spec_.nodes.push_back(std::move(node));
  return {static_cast<int>(spec_.nodes.size()) - 1, 0};
}

void FlowGraph::Sink(const std::string& id, PortRef input) {
  auto& into = (*sinks_)[id];
  if (!into) into = std::make_shared<Collected>();
  spec_.nodes.push_back(CollectSink(id, {input}, into));
}

void FlowGraph::NodeOverNumbers(const NumbersOptions& numbers, const BoundOperator& bound, int64_t credit_rows) {
  const PortRef node = Node("node", {Source("numbers", numbers, credit_rows)}, bound);
  Sink("results", node);
  if (bound.outputs.size() > 1) Sink("late", {node.node, 1});
}

SinkLines RunGraph(const WriteGraph& write, const SimOptions& options, FlowGraph::Sinks* sinks, SimResult* result) {
  FlowGraph::Sinks own;
  if (sinks == nullptr) sinks = &own;
  const SimResult run = RunSimulation(
      [&] {
        FlowGraph graph(sinks);
        write(graph);
        return graph.Take();
      },
      options);
  if (result == nullptr) REQUIRE_MESSAGE(run.status.ok(), run.status.ToString());
  if (result != nullptr) *result = run;
  SinkLines lines;
  for (const auto& [id, collected] : *sinks) lines[id] = collected->lines;
  return lines;
}

SinkLines CheckLanesBatchesAndCrashes(const WriteGraph& write) {
  int crashed = 0;
  const auto run = [&](int lanes, int32_t batch_rows, uint64_t seed, int crashes) {
    const auto store = NewMemoryStore();
    SimOptions options;
    options.job.store = store.get();
    options.job.lane_count = lanes;
    options.job.batch_row_count_max = batch_rows;
    options.seed = seed;
    options.crash_count_max = crashes;
    options.crash_chance = 0.01;
    SimResult result;
    SinkLines lines = RunGraph(write, options, nullptr, &result);
    REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
    crashed += result.crash_count;
    return lines;
  };
  SinkLines expected = run(1, 4096, 1, 0);
  ForLanesAndBatches([&](int lanes, int32_t batch_rows, uint64_t seed) {
    const SinkLines got = run(lanes, batch_rows, seed, 3);
    for (const auto& [id, lines] : expected) {
      CAPTURE(id);
      CHECK(got.at(id) == lines);
    }
  });
  CHECK(crashed > 9);  // of 27
  return expected;
}

void ForLanesAndBatches(const std::function<void(int lanes, int32_t batch_rows, uint64_t seed)>& f) {
  uint64_t seed = 2;
  for (const int lanes : {1, 2, 4}) {
    for (const int32_t batch_rows : {1, 7, 4096}) {
      CAPTURE(lanes);
      CAPTURE(batch_rows);
      CAPTURE(seed);
      f(lanes, batch_rows, seed++);
    }
  }
}

}  // namespace freshet::testing
