// Windows in a running graph: gathers, crashes and restores at other lane counts must not change a line of output.
#include <doctest/doctest.h>

#include <array>
#include <map>

#include "engine/flow/sim_runtime.h"
#include "operators/window/window.h"
#include "tests/support/flow_nodes.h"
#include "tests/support/operator_harness.h"

namespace freshet::testing {
namespace {

struct Outputs {
  std::shared_ptr<Collected> results = std::make_shared<Collected>();
  std::shared_ptr<Collected> late = std::make_shared<Collected>();
};

GraphSpec MakeSpec(const NumbersOptions& numbers, const BoundOperator& window, const Outputs& outputs) {
  GraphSpec spec;
  spec.pipeline_name = "test";
  spec.nodes.push_back(NumbersSource("numbers", numbers));
  NodeSpec node;
  node.id = "window";
  node.type = "window";
  node.inputs = {{0, 0}};
  node.kind = OperatorNode{window};
  spec.nodes.push_back(std::move(node));
  spec.nodes.push_back(CollectSink("results", {{1, 0}}, outputs.results));
  spec.nodes.push_back(CollectSink("late", {{1, 1}}, outputs.late));
  return spec;
}

Outputs Simulate(const NumbersOptions& numbers, const BoundOperator& window, uint64_t seed, int lanes,
                 int32_t batch_rows, int crashes) {
  Outputs outputs;
  const auto store = NewMemoryStore();
  SimOptions options;
  options.job.store = store.get();
  options.job.lane_count = lanes;
  options.job.batch_row_count_max = batch_rows;
  options.seed = seed;
  options.crash_count_max = crashes;
  options.crash_chance = 0.01;
  const SimResult result = RunSimulation([&] { return MakeSpec(numbers, window, outputs); }, options);
  REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
  return outputs;
}

TEST_CASE("WindowFlow_RevisionsInLanesBatchesAndCrashes_AreTheSameLines") {
  for (const char* shape : {"{tumbling: 2s}", "{hopping: 4s, every: 1s}"}) {
    CAPTURE(shape);
    const BoundNode window(WindowDescriptor(),
                           std::string("window: ") + shape +
                               "\nkey: k\naggregates: {n: count(*), s: sum(v), l: last(v)}\nallowed_lateness: 500ms\n",
                           *NumbersSchema());
    REQUIRE_MESSAGE(window, window.diagnostics());
    NumbersOptions numbers;
    numbers.partitions = 3;
    numbers.rows = 300;
    numbers.jitter_us = 6000000;
    numbers.lateness = Duration::Seconds(1);
    const Outputs expected = Simulate(numbers, window.bound(), 1, 1, 4096, 0);
    CHECK(!expected.late->lines.empty());
    int64_t revisions = 0;
    for (const std::string& line : expected.results->lines) revisions += line.ends_with("|update");
    CHECK(revisions > 50);
    uint64_t seed = 2;
    for (const int lanes : {1, 2, 4}) {
      for (const int32_t batch_rows : {1, 7, 4096}) {
        CAPTURE(lanes);
        CAPTURE(batch_rows);
        CAPTURE(seed);
        const Outputs got = Simulate(numbers, window.bound(), seed++, lanes, batch_rows, 3);
        CHECK(got.results->lines == expected.results->lines);
        CHECK(got.late->lines == expected.late->lines);
      }
    }
  }
}

}  // namespace
}  // namespace freshet::testing
