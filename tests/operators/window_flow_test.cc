// Windows in a running graph: gathers, crashes and restores at other lane counts must not change a line of output.
#include <doctest/doctest.h>

#include "engine/flow/graph.h"
#include "operators/window/window.h"
#include "tests/support/flow_runs.h"
#include "tests/support/operator_harness.h"

namespace freshet::testing {
namespace {

TEST_CASE("WindowFlow_RevisionsInLanesBatchesAndCrashes_AreTheSameLines") {
  for (const char* shape :
       {"{tumbling: 2s}\nallowed_lateness: 500ms", "{hopping: 4s, every: 1s}\nallowed_lateness: 500ms",
        "{tumbling: 2s}\nemit_every: 250ms", "{hopping: 4s, every: 1s}\nemit_every: 500ms\nallowed_lateness: 700ms",
        "{global: true}\nemit_every: 1s", "{global: true}"}) {
    CAPTURE(std::string(shape));
    const BoundNode window(
        WindowDescriptor(),
        std::string("window: ") + shape + "\nkey: k\naggregates: {n: count(*), s: sum(v), l: last(v)}\n",
        *NumbersSchema());
    REQUIRE_MESSAGE(window, window.diagnostics());
    NumbersOptions numbers;
    numbers.partitions = 3;
    numbers.rows = 300;
    numbers.jitter_us = 6000000;
    numbers.lateness = Duration::Seconds(1);
    const SinkLines expected =
        CheckLanesBatchesAndCrashes([&](FlowGraph& graph) { graph.NodeOverNumbers(numbers, window.bound()); });
    const bool global = std::string_view(shape).starts_with("{global");
    CHECK(expected.at("late").empty() == global);
    int64_t revisions = 0;
    for (const std::string& line : expected.at("results")) revisions += line.ends_with("|update");
    CHECK(revisions > 50 * (std::string_view(shape) != "{global: true}") - 1);
  }
}

TEST_CASE("WindowFlow_ByRowsOfAKeyInLanesBatchesAndCrashes_AreTheSameLines") {
  for (const char* shape :
       {"{session: 300ms}", "{count: 12, every: 4}", "{cumulate: 4s, every: 1s}", "{sliding: 2s}"}) {
    CAPTURE(std::string(shape));
    const BoundNode window(
        WindowDescriptor(),
        std::string("window: ") + shape + "\nkey: k\naggregates: {n: count(*), s: sum(v), l: last(v)}\n",
        *NumbersSchema());
    REQUIRE_MESSAGE(window, window.diagnostics());
    NumbersOptions numbers;
    numbers.partitions = 2;
    numbers.rows = 300;
    numbers.jitter_us = 3000000;
    numbers.lateness = Duration::Seconds(1);
    const SinkLines expected =
        CheckLanesBatchesAndCrashes([&](FlowGraph& graph) { graph.NodeOverNumbers(numbers, window.bound()); });
    CHECK(!expected.at("late").empty());
    CHECK(expected.at("results").size() > 50);
  }
}

TEST_CASE("WindowFlow_PreAggregatedInLanesBatchesAndCrashes_AreTheSameLines") {
  for (const char* shape : {"{tumbling: 2s}", "{hopping: 4s, every: 1s}",
                            "{cumulate: 4s, every: 1s}\nallowed_lateness: 700ms", "{global: true}"})
    for (const char* mode : {"on", "auto"}) {
      CAPTURE(std::string(shape));
      CAPTURE(std::string(mode));
      const BoundNode window(WindowDescriptor(),
                             std::string("window: ") + shape + "\npre_aggregate: " + mode +
                                 "\nkey: k\naggregates: {n: count(*), s: sum(v), m: max(v), d: count(distinct v)}\n",
                             *NumbersSchema());
      REQUIRE_MESSAGE(window, window.diagnostics());
      NumbersOptions numbers;
      numbers.partitions = 3;
      numbers.rows = 400;
      numbers.keys = 3;
      numbers.jitter_us = 6000000;
      numbers.lateness = Duration::Seconds(1);
      const WriteGraph write = [&](FlowGraph& graph) { graph.NodeOverNumbers(numbers, window.bound()); };
      const SinkLines expected = CheckLanesBatchesAndCrashes(write);
      CHECK(expected.at("late").empty() == std::string_view(shape).starts_with("{global"));
      const auto store = NewMemoryStore();
      SimOptions options;
      options.job.store = store.get();
      options.job.lane_count = 2;
      SimResult result;
      CHECK(RunGraph(write, options, nullptr, &result) == expected);
      const NodeReport& node = result.report.nodes[1];
      CHECK(node.law == "");
      if (mode[1] == 'n') CHECK(node.pre_aggregated > 100);
      CHECK(node.counters.in == 1200);
      CHECK(node.counters.absorbed + node.counters.late == 1200);
    }
}

TEST_CASE("WindowFlow_FewRowsOfAKeyInABatch_TravelAsTheyAre") {
  const BoundNode window(WindowDescriptor(), "window: {tumbling: 1s}\nkey: k\naggregates: {n: count(*)}\n",
                         *NumbersSchema());
  REQUIRE_MESSAGE(window, window.diagnostics());
  NumbersOptions numbers;
  numbers.keys = 1000;
  numbers.rows = 5000;
  const auto store = NewMemoryStore();
  SimOptions options;
  options.job.store = store.get();
  options.job.lane_count = 2;
  SimResult result;
  (void)RunGraph([&](FlowGraph& graph) { graph.NodeOverNumbers(numbers, window.bound()); }, options, nullptr, &result);
  CHECK(result.report.nodes[1].counters.in == 5000);
  CHECK(result.report.nodes[1].pre_aggregated == 0);
}

TEST_CASE("WindowFlow_PreAggregate_PlanSaysWhere") {
  FlowGraph::Sinks sinks;
  const auto cells = [&](const std::string& mode, int lanes) {
    const BoundNode window(WindowDescriptor(),
                           "{window: {tumbling: 1s}, key: k, aggregates: {n: count(*)}, pre_aggregate: " + mode + "}",
                           *NumbersSchema());
    REQUIRE_MESSAGE(window, window.diagnostics());
    FlowGraph graph(&sinks);
    graph.NodeOverNumbers({}, window.bound());
    const GraphSpec spec = graph.Take();
    return DescribeGraph(spec, PlanGraph(spec, lanes));
  };
  CHECK(cells("auto", 2).find("source numbers -> step node by key, pre-aggregated\n") != std::string::npos);
  CHECK(cells("off", 2).find("source numbers -> step node by key\n") != std::string::npos);
  CHECK(cells("on", 1).find("pre-aggregated") == std::string::npos);
}

TEST_CASE("WindowFlow_PreAggregate_OnlyWhereTheOrderOfRowsDoesNotMatter") {
  const auto combines = [](const char* options) {
    const BoundNode node(WindowDescriptor(), options, *NumbersSchema());
    REQUIRE_MESSAGE(node, node.diagnostics());
    return static_cast<bool>(node->make_combiner);
  };
  CHECK(combines("{window: {tumbling: 1s}, key: k, aggregates: {a: avg(v), s: stddev(v)}}"));
  CHECK(combines("{window: {hopping: 2s, every: 1s}, key: k, aggregates: {n: count(*)}, allowed_lateness: 1s}"));
  CHECK(!combines("{window: {tumbling: 1s}, key: k, aggregates: {n: count(*)}, pre_aggregate: off}"));
  CHECK(!combines("{window: {tumbling: 1s}, aggregates: {n: count(*)}}"));
  CHECK(!combines("{window: {tumbling: 1s}, key: k, aggregates: {n: count(*), l: last(v)}}"));
  CHECK(!combines("{window: {tumbling: 1s}, key: k, aggregates: {f: first(v)}}"));
  CHECK(!combines("{window: {tumbling: 1s}, key: k, aggregates: {n: count(*)}, emit_every: 500ms}"));
  CHECK(!combines("{window: {tumbling: 1s}, key: k, aggregates: {n: count(*)}, time: processing}"));
  for (const char* window : {"{session: 1s}", "{count: 4}", "{sliding: 1s}"})
    CHECK(!combines((std::string("{key: k, aggregates: {n: count(*)}, window: ") + window + "}").c_str()));
}

/// Calls of OnClock, seen from outside.
class ClockCounter final : public Operator {
 public:
  explicit ClockCounter(int64_t* calls) : calls_(calls) {}
  Status Open(OpenContext& ctx) override {
    counters_ = &ctx.counters();
    return Status::Ok();
  }
  Status ProcessBatch(InputIndex, const Batch& in, Emitter& out) override {
    out.Emit(in);
    return Status::Ok();
  }
  Result<Progress> OnClock(EventTime now, Emitter&) override {
    CHECK(now >= last_);
    last_ = now;
    ++*calls_;
    return Progress::kDone;
  }

 private:
  int64_t* calls_;
  NodeCounters* counters_ = nullptr;
  EventTime last_ = EventTime::Min();
};

TEST_CASE("WindowFlow_ClockTimers_AreCalledWhileTheInputLasts") {
  int64_t calls = 0;
  BoundOperator counter;
  counter.outputs = {{"", NumbersSchema(), OutputOrder::kInputOrder, {}},
                     {"late", NumbersSchema(), OutputOrder::kInputOrder, {}}};
  counter.wants_clock = true;
  counter.instantiate = [&calls] { return std::make_unique<ClockCounter>(&calls); };
  NumbersOptions numbers;
  numbers.rows = 2000;
  numbers.chunk_rows = 8;
  SimOptions options;
  const auto store = NewMemoryStore();
  options.job.store = store.get();
  options.job.lane_count = 4;
  options.job.batch_row_count_max = 64;
  RunGraph([&](FlowGraph& graph) { graph.NodeOverNumbers(numbers, counter); }, options);
  CHECK(calls > 3);
}

TEST_CASE("WindowFlow_ProcessingTime_CountsEveryRowOnce") {
  const BoundNode window(WindowDescriptor(), "window: {tumbling: 100ms}\ntime: processing\naggregates: {n: count(*)}\n",
                         *NumbersSchema());
  REQUIRE_MESSAGE(window, window.diagnostics());
  NumbersOptions numbers;
  numbers.rows = 500;
  numbers.chunk_rows = 8;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    const auto store = NewMemoryStore();
    SimOptions options;
    options.job.store = store.get();
    options.job.lane_count = 2;
    options.job.batch_row_count_max = 7;
    options.seed = seed;
    options.crash_count_max = 3;
    options.crash_chance = 0.01;
    const SinkLines got = RunGraph([&](FlowGraph& graph) { graph.NodeOverNumbers(numbers, window.bound()); }, options);
    int64_t rows = 0;
    for (const std::string& line : got.at("results")) rows += std::stoll(line.substr(line.rfind('|') + 1));
    CHECK(rows == 500);
    CHECK(got.at("results").size() > 1);
  }
}

}  // namespace
}  // namespace freshet::testing
