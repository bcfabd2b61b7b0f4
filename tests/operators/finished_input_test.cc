// A finished run whose input grew: what it emits then does not depend on lanes, batches or crashes, and no window that
// has left comes again.
#include <doctest/doctest.h>

#include <algorithm>

#include "engine/flow/sim_runtime.h"
#include "operators/derive.h"
#include "operators/window/window.h"
#include "tests/operators/test_rows.h"
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

void CheckGrowth(const BoundNode& node, bool some_late, int64_t keys = 7) {
  REQUIRE_MESSAGE(node, node.diagnostics());
  const Outputs expected = RunInParts(node.bound(), {{.rows = 205, .keys = keys},
                                                     {.rows = 205, .keys = keys},
                                                     {.rows = 431, .keys = keys},
                                                     {.rows = 600, .keys = keys}});
  CHECK(expected.late->lines.empty() != some_late);
  uint64_t seed = 1;
  for (const int lanes : {1, 2, 4})
    for (const int32_t batch_rows : {1, 7, 4096}) {
      CAPTURE(lanes);
      CAPTURE(batch_rows);
      CAPTURE(seed);
      const auto life = [&](int64_t rows, int more_lanes) {
        return Life{rows, seed++, 1 + (lanes + more_lanes) % 4, batch_rows, 3, 0, keys};
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

TEST_CASE("FinishedInput_Grown_PartialResultsForWindowsThatLeftAreTakenApart") {
  for (const char* allowed : {"0s", "60s"}) {
    CAPTURE(std::string(allowed));
    const BoundNode node(WindowDescriptor(),
                         std::string("window: {hopping: 20s, every: 10s}\nkey: k\npre_aggregate: on\n") +
                             "aggregates: {n: count(*), s: sum(v)}\nallowed_lateness: " + allowed + "\n",
                         *NumbersSchema());
    CheckGrowth(node, allowed[0] == '0', 2);
  }
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

/// What leaves does not depend on what was in memory when the input ended.
void CheckGrowthOutOfMemory(const std::string& options, bool some_late) {
  CAPTURE(options);
  const BoundNode node(WindowDescriptor(), options + "\nkey: k\naggregates: {n: count(*), s: sum(v)}\n",
                       *NumbersSchema());
  REQUIRE_MESSAGE(node, node.diagnostics());
  constexpr int64_t kLimit = 16000;
  uint64_t seed = 1;
  const auto run = [&](int64_t limit, int lanes, int32_t batch_rows, int crashes) {
    const auto store = NewMemoryStore();
    const Outputs outputs;
    int64_t dropped = 0;
    for (const int64_t rows : {700, 905, 1200, 1330}) {
      const Life life{rows, seed++, 1 + (lanes + static_cast<int>(rows)) % 4, batch_rows, crashes, limit, 300};
      dropped += Run(store.get(), node.bound(), outputs, life).memory_dropped_bytes;
    }
    if (limit > 0) CHECK(dropped > kLimit);
    return outputs;
  };
  const Outputs expected = run(0, 1, 4096, 0);
  CHECK(expected.late->lines.empty() != some_late);
  for (const int lanes : {1, 2, 4})
    for (const int32_t batch_rows : {7, 64}) {
      CAPTURE(lanes);
      CAPTURE(batch_rows);
      CAPTURE(seed);
      const Outputs got = run(kLimit, lanes, batch_rows, batch_rows == 7 ? 2 : 0);
      CHECK(got.results->lines == expected.results->lines);
      CHECK(got.late->lines == expected.late->lines);
    }
}

TEST_CASE("FinishedInput_GrownWithKeysOutOfMemory_WindowsThatLeftStayGone") {
  CheckGrowthOutOfMemory("window: {tumbling: 1000s}", true);
  CheckGrowthOutOfMemory("window: {hopping: 1000s, every: 500s}", true);
}

TEST_CASE("FinishedInput_GrownWithKeysOutOfMemory_RevisionsGoOn") {
  CheckGrowthOutOfMemory("window: {hopping: 1000s, every: 500s}\nallowed_lateness: 1s", false);
  CheckGrowthOutOfMemory("window: {global: true}", false);
}

TEST_CASE("FinishedInput_GrownWithKeysOutOfMemory_EarlyResultsGoOn") {
  CheckGrowthOutOfMemory("window: {global: true}\nemit_every: 50s", false);
  CheckGrowthOutOfMemory("window: {hopping: 1000s, every: 500s}\nemit_every: 20s\nallowed_lateness: 3s", false);
}

TEST_CASE("FinishedInput_GrownWithKeysOutOfMemory_SessionsAndSlidingWindowsGoOn") {
  CheckGrowthOutOfMemory("window: {session: 300s}", true);
  CheckGrowthOutOfMemory("window: {sliding: 300s}", false);
  CheckGrowthOutOfMemory("window: {count: 4, every: 2}", false);
}

TEST_CASE("FinishedInput_Grown_SessionsThatLeftStayGoneWhateverHappens") {
  const BoundNode node(WindowDescriptor(), "window: {session: 9s}\nkey: k\naggregates: {n: count(*), s: sum(v)}\n",
                       *NumbersSchema());
  CheckGrowth(node, true);
}

TEST_CASE("FinishedInput_Grown_RowsOfASessionThatLeftAreLateUntilTimeHasClosedIt") {
  const BoundNode node(WindowDescriptor(), "window: {session: 10s}\nkey: k\naggregates: {n: count(*)}\n",
                       *NumbersSchema());
  REQUIRE_MESSAGE(node, node.diagnostics());
  const auto row_at = [](int64_t at_s, uint64_t ordinal) {
    TestRow row;
    row.time_us = at_s * 1000000;
    row.ordinal = ordinal;
    row.cells = {row.time_us, 1, 0.0};
    return row;
  };
  HarnessCheckpoint checkpoint;
  OperatorHarness first(node.bound(), {});
  first.Feed(MakeRows(NumbersSchema(), {row_at(100, 0), row_at(105, 1)}, 0, 2));
  first.End();
  CHECK(first.output(0, 0).size() == 1);
  first.Snapshot(&checkpoint);
  OperatorHarness::Options options;
  options.restore = &checkpoint;
  OperatorHarness second(node.bound(), options);
  CHECK(second.state_keys() == 1);
  // Before the session's reach, within it on both sides, behind it.
  second.Feed(
      MakeRows(NumbersSchema(), {row_at(90, 2), row_at(91, 3), row_at(107, 4), row_at(114, 5), row_at(115, 6)}, 0, 5));
  std::vector<std::string> late;
  for (const Batch& batch : second.output(0, 1))
    for (const std::string& text : RowTexts(batch)) late.push_back(text);
  REQUIRE(late.size() == 3);
  CHECK(late[0].find("after_end") != std::string::npos);
  second.Watermark(EventTime{114999999});
  CHECK(second.state_keys() == 1);
  second.Watermark(EventTime{200000000});
  CHECK(second.state_keys() == 0);
  CHECK(second.counters().panes_emitted == 3);
  CHECK(second.counters().late == 3);
  CHECK(second.status().ok());
}

TEST_CASE("WindowState_OfTheCodecBefore_IsReadAsWellAsTheNewest") {
  struct Case {
    const char* window;
    uint16_t codec;
    size_t from, to;  // bytes of the present codec that were not there
  };
  for (const Case& c : {Case{"{tumbling: 20s}", 2, 1, 0}, Case{"{session: 10s}", 1, 0, 1}, Case{"{count: 4}", 1, 0, 1},
                        Case{"{sliding: 10s}", 1, 8, 0}}) {
    CAPTURE(c.window);
    const BoundNode node(WindowDescriptor(),
                         std::string("window: ") + c.window + "\nkey: k\naggregates: {n: count(*), s: sum(v)}\n",
                         *NumbersSchema());
    REQUIRE_MESSAGE(node, node.diagnostics());
    std::vector<TestRow> rows;
    for (int i = 0; i < 30; ++i) {
      TestRow row;
      row.time_us = 100000000 + int64_t{i} * 300000;
      row.ordinal = rows.size();
      row.cells = {row.time_us, i % 4, i * 0.5};
      rows.push_back(row);
    }
    HarnessCheckpoint checkpoint;
    OperatorHarness first(node.bound(), {});
    first.Feed(MakeRows(NumbersSchema(), rows, 0, 18));
    first.Snapshot(&checkpoint);
    HarnessCheckpoint before = checkpoint;
    for (auto& [where, row] : before.rows) {
      row.codec = c.codec;
      row.value = row.value.substr(c.from, row.value.size() - c.from - c.to);
    }
    std::vector<std::string> texts[2];
    for (const HarnessCheckpoint* restore : {&checkpoint, &before}) {
      OperatorHarness::Options options;
      options.restore = restore;
      OperatorHarness second(node.bound(), options);
      second.Feed(MakeRows(NumbersSchema(), rows, 18, 12));
      second.End();
      CHECK_MESSAGE(second.status().ok(), second.status().ToString());
      for (const Batch& batch : second.output(0, 0))
        for (const std::string& text : RowTexts(batch)) texts[restore == &before].push_back(text);
    }
    CHECK(texts[0].size() >= 4);
    CHECK(texts[0] == texts[1]);
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
