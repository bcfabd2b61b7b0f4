// A finished run whose input grew: what it emits then does not depend on lanes, batches or crashes, and no window that
// has left comes again.
#include <doctest/doctest.h>

#include <algorithm>

#include "engine/flow/sim_runtime.h"
#include "operators/derive.h"
#include "operators/window/window.h"
#include "tests/support/flow_nodes.h"
#include "tests/support/operator_harness.h"
#include "tests/support/paced_source.h"

namespace freshet::testing {
namespace {

struct Outputs {
  std::shared_ptr<Collected> results = std::make_shared<Collected>();
  std::shared_ptr<Collected> late = std::make_shared<Collected>();
};

PacedOptions Paced(int64_t rows, int64_t keys) {
  PacedOptions paced;
  paced.partitions = 2;
  paced.rows = rows;
  paced.keys = keys;
  paced.lateness = Duration::Seconds(3);
  // Up to two seconds out of order, and the partitions half a second apart.
  paced.at = [](int partition, int64_t i) { return i * 1000000 - (i * 7919 % 21) * 100000 + partition * 500000; };
  return paced;
}

struct Life {
  int64_t rows;
  uint64_t seed = 1;
  int lanes = 1;
  int32_t batch_rows = 4096;
  int crashes = 0;
  int64_t memory_limit = 0;
  int64_t keys = 7;
};

GraphSpec MakeSpec(const Life& life, const BoundOperator& bound, const Outputs& outputs) {
  GraphSpec spec;
  spec.pipeline_name = "test";
  spec.nodes.push_back(PacedSource("numbers", Paced(life.rows, life.keys)));
  NodeSpec node;
  node.id = "node";
  node.type = "node";
  node.inputs = {{0, 0}};
  node.kind = OperatorNode{bound};
  spec.nodes.push_back(std::move(node));
  spec.nodes.push_back(CollectSink("results", {{1, 0}}, outputs.results));
  spec.nodes.push_back(CollectSink("late", {{1, 1}}, outputs.late));
  return spec;
}

JobReport Run(CheckpointStore* store, const BoundOperator& bound, const Outputs& outputs, const Life& life) {
  SimOptions options;
  options.job.store = store;
  options.job.lane_count = life.lanes;
  options.job.batch_row_count_max = life.batch_rows;
  options.seed = life.seed;
  options.job.memory_limit = life.memory_limit;
  options.crash_count_max = life.crashes;
  options.crash_chance = 0.01;
  const SimResult result = RunSimulation([&] { return MakeSpec(life, bound, outputs); }, options);
  REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
  CHECK(result.report.finished);
  return result.report;
}

Outputs RunInParts(const BoundOperator& bound, std::vector<Life> lives) {
  const auto store = NewMemoryStore();
  Outputs outputs;
  for (const Life& life : lives) (void)Run(store.get(), bound, outputs, life);
  return outputs;
}

void CheckGrowth(const BoundNode& node, bool some_late) {
  REQUIRE_MESSAGE(node, node.diagnostics());
  const Outputs expected = RunInParts(node.bound(), {{205}, {205}, {431}, {600}});
  CHECK(expected.late->lines.empty() != some_late);
  uint64_t seed = 1;
  for (const int lanes : {1, 2, 4})
    for (const int32_t batch_rows : {1, 7, 4096}) {
      CAPTURE(lanes);
      CAPTURE(batch_rows);
      CAPTURE(seed);
      const auto life = [&](int64_t rows, int more_lanes) {
        return Life{rows, seed++, 1 + (lanes + more_lanes) % 4, batch_rows, 3};
      };
      const Outputs got = RunInParts(node.bound(), {life(205, 0), life(205, 1), life(431, 2), life(600, 3)});
      CHECK(got.results->lines == expected.results->lines);
      CHECK(got.late->lines == expected.late->lines);
    }
}

TEST_CASE("FinishedInput_Grown_WindowsThatLeftStayGoneWhateverHappens") {
  const BoundNode node(WindowDescriptor(),
                       "window: {hopping: 20s, every: 10s}\nkey: k\naggregates: {n: count(*), s: sum(v)}\n",
                       *NumbersSchema());
  CheckGrowth(node, true);
}

TEST_CASE("FinishedInput_Grown_WindowsWithRevisionsAreRevised") {
  const BoundNode node(WindowDescriptor(),
                       "window: {tumbling: 20s}\nkey: k\naggregates: {n: count(*), s: sum(v)}\nallowed_lateness: 60s\n",
                       *NumbersSchema());
  CheckGrowth(node, false);
}

TEST_CASE("FinishedInput_Grown_OrderedOperatorsGoOn") {
  const BoundNode node(DeriveDescriptor(), "key: k\ncolumns: {d: delta(v), l: \"lag(v, 3)\"}\n", *NumbersSchema());
  CheckGrowth(node, false);
}

TEST_CASE("FinishedInput_GrownWithKeysOutOfMemory_GlobalAndEarlyResultsGoOn") {
  for (const char* window : {"global: true", "tumbling: 40s"}) {
    CAPTURE(window);
    const BoundNode node(WindowDescriptor(),
                         std::string("window: {") + window + "}\nkey: k\naggregates: {n: count(*), s: sum(v)}\n" +
                             (window[0] == 't' ? "emit_every: 10s\n" : ""),
                         *NumbersSchema());
    REQUIRE_MESSAGE(node, node.diagnostics());
    const auto life = [](int64_t rows, int64_t limit) { return Life{rows, 5, 2, 64, 0, limit, 300}; };
    const Outputs expected = RunInParts(node.bound(), {life(900, 0), life(1100, 0)});
    const auto store = NewMemoryStore();
    const Outputs got;
    CHECK(Run(store.get(), node.bound(), got, life(900, 16000)).memory_dropped_bytes > 16000);
    (void)Run(store.get(), node.bound(), got, life(1100, 16000));
    CHECK(got.results->lines == expected.results->lines);
  }
}

TEST_CASE("FinishedInput_Unchanged_NothingRunsAgain") {
  const BoundNode node(WindowDescriptor(), "window: {tumbling: 20s}\nkey: k\naggregates: {n: count(*)}\n",
                       *NumbersSchema());
  REQUIRE_MESSAGE(node, node.diagnostics());
  const auto store = NewMemoryStore();
  const Outputs outputs;
  (void)Run(store.get(), node.bound(), outputs, {205});
  const size_t lines = outputs.results->lines.size();
  const Epoch epoch = (*store->Load())->epoch;
  (void)Run(store.get(), node.bound(), outputs, {205, 7});
  CHECK(outputs.results->lines.size() == lines);
  CHECK((*store->Load())->epoch == epoch);
}

}  // namespace
}  // namespace freshet::testing
