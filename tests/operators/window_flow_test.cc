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
  for (const char* shape :
       {"{tumbling: 2s}\nallowed_lateness: 500ms", "{hopping: 4s, every: 1s}\nallowed_lateness: 500ms",
        "{tumbling: 2s}\nemit_every: 250ms", "{hopping: 4s, every: 1s}\nemit_every: 500ms\nallowed_lateness: 700ms",
        "{global: true}\nemit_every: 1s", "{global: true}"}) {
    CAPTURE(shape);
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
    const Outputs expected = Simulate(numbers, window.bound(), 1, 1, 4096, 0);
    const bool global = std::string_view(shape).starts_with("{global");
    CHECK(expected.late->lines.empty() == global);
    int64_t revisions = 0;
    for (const std::string& line : expected.results->lines) revisions += line.ends_with("|update");
    CHECK(revisions > 50 * (std::string_view(shape) != "{global: true}") - 1);
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

TEST_CASE("WindowFlow_ByRowsOfAKeyInLanesBatchesAndCrashes_AreTheSameLines") {
  for (const char* shape :
       {"{session: 300ms}", "{count: 12, every: 4}", "{cumulate: 4s, every: 1s}", "{sliding: 2s}"}) {
    CAPTURE(shape);
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
    const Outputs expected = Simulate(numbers, window.bound(), 1, 1, 4096, 0);
    CHECK(!expected.late->lines.empty());
    CHECK(expected.results->lines.size() > 50);
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
  Simulate(numbers, counter, 1, 4, 64, 0);
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
    const Outputs got = Simulate(numbers, window.bound(), seed, 2, 7, 3);
    int64_t rows = 0;
    for (const std::string& line : got.results->lines) rows += std::stoll(line.substr(line.rfind('|') + 1));
    CHECK(rows == 500);
    CHECK(got.results->lines.size() > 1);
  }
}

}  // namespace
}  // namespace freshet::testing
