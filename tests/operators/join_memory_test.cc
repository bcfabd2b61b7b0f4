// Joins whose rows do not fit their memory: what leaves must be what leaves without a limit, line for line.
#include <doctest/doctest.h>

#include <algorithm>

#include "operators/join.h"
#include "tests/operators/limited_runs.h"
#include "tests/support/flow_nodes.h"
#include "tests/support/operator_harness.h"

namespace freshet::testing {
namespace {

constexpr int64_t kLimit = 24000;
constexpr const char* kJoins[] = {
    "within: 4s\nhow: left\n",
    "within: 4s\nhow: inner\n",
    "window: {tumbling: 20s}\nhow: left\n",
    "window: {tumbling: 20s}\nhow: inner\n",
    "within: 0s\nhow: left\n",
    "within: 1h\nhow: inner\n",
};

BoundNode Join(const std::string& options) {
  static const Schema& numbers = *NumbersSchema();
  return BoundNode(JoinDescriptor(), options + "key: k\nright_prefix: r_\n", {&numbers, &numbers});
}

/// Two inputs of many keys, some of whose rows are late.
NumbersOptions Side(uint64_t seed) {
  NumbersOptions numbers;
  numbers.seed = seed;
  numbers.partitions = 2;
  numbers.rows = 500;
  numbers.keys = 300;
  numbers.jitter_us = 6000000;
  numbers.lateness = Duration::Seconds(3);
  return numbers;
}

/// Little credit: else all input is in the graph before memory is full.
WriteGraph GraphOf(const BoundOperator& bound, const NumbersOptions& left, const NumbersOptions& right) {
  return [bound, left, right](FlowGraph& graph) {
    const PortRef joined = graph.Node("join", {graph.Source("a", left, 100), graph.Source("b", right, 100)}, bound);
    graph.Sink("results", joined);
    graph.Sink("late", {joined.node, 1});
  };
}
WriteGraph GraphOf(const BoundOperator& bound) { return GraphOf(bound, Side(1), Side(2)); }

TEST_CASE("JoinMemory_UnderALimit_EqualsTheUnlimitedRun") {
  for (const char* options : kJoins) {
    CAPTURE(std::string(options));
    const BoundNode node = Join(options);
    REQUIRE_MESSAGE(node, node.diagnostics());
    const WriteGraph write = GraphOf(node.bound());
    const SinkLines expected = RunUnlimited(write);
    CHECK(expected.at("results").size() > 100);
    CHECK(expected.at("late").size() > 50);
    ForLanesAndBatches([&](int lanes, int32_t batch_rows, uint64_t seed) {
      const int crashes = seed % 2 == 0 ? 0 : 3;
      const auto store = NewMemoryStore();
      SimResult result;
      const SinkLines got =
          RunGraph(write, OptionsOf(store.get(), kLimit, seed, lanes, batch_rows, crashes), nullptr, &result);
      REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
      CHECK(got == expected);
      if (crashes == 0) CHECK(result.report.memory_dropped_bytes > 2 * kLimit);
    });
  }
}

TEST_CASE("JoinMemory_WithoutState_EqualsTheUnlimitedRun") {
  for (const char* options : kJoins) {
    CAPTURE(std::string(options));
    const BoundNode node = Join(options);
    REQUIRE_MESSAGE(node, node.diagnostics());
    const WriteGraph write = GraphOf(node.bound());
    const SinkLines expected = RunGraph(write, OptionsOf(nullptr, 0, 1, 1, 4096, 0));
    ForLanesAndBatches([&](int lanes, int32_t batch_rows, uint64_t seed) {
      SimResult result;
      const SinkLines got = RunGraph(write, OptionsOf(nullptr, kLimit, seed, lanes, batch_rows, 0), nullptr, &result);
      REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
      CHECK(got == expected);
      CHECK(result.report.memory_dropped_bytes > 2 * kLimit);
    });
  }
}

TEST_CASE("JoinMemory_CommitsFailMostly_EqualsTheUnlimitedRun") {
  const BoundNode node = Join("within: 4s\nhow: left\n");
  REQUIRE_MESSAGE(node, node.diagnostics());
  const WriteGraph write = GraphOf(node.bound());
  const SinkLines expected = RunUnlimited(write);
  int64_t spilled = 0;
  ForLanesAndBatches([&](int lanes, int32_t batch_rows, uint64_t seed) {
    const auto store = NewMemoryStore();
    SimOptions options = OptionsOf(store.get(), kLimit, seed, lanes, batch_rows, 3);
    options.crash_chance = 0.002;
    options.faults.commit_unavailable = 0.9;
    SimResult result;
    const SinkLines got = RunGraph(write, options, nullptr, &result);
    REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
    spilled += result.report.memory_spilled_bytes;
    CHECK(got == expected);
  });
  CHECK(spilled > kLimit);
}

TEST_CASE("JoinMemory_RestartsWithOtherLanesAndLimits_EqualTheUndisturbedRun") {
  for (const char* options : kJoins) {
    CAPTURE(std::string(options));
    const BoundNode node = Join(options);
    REQUIRE_MESSAGE(node, node.diagnostics());
    const WriteGraph write = GraphOf(node.bound());
    const SinkLines expected = RunUnlimited(write);
    for (uint64_t seed = 1; seed <= 6; ++seed) {
      CAPTURE(seed);
      CHECK(RunInLives(write, seed, static_cast<int64_t>(300 + 80 * seed)) == expected);
    }
  }
}

TEST_CASE("JoinMemory_ManyRows_PeakStaysBounded") {
  NumbersOptions left = Side(1), right = Side(2);
  left.rows = right.rows = 3000;
  left.keys = right.keys = 2000;
  for (const char* options :
       {"within: 1h\nhow: inner\n", "within: 200s\nhow: left\n", "window: {tumbling: 1h}\nhow: left\n"}) {
    CAPTURE(std::string(options));
    const BoundNode node = Join(options);
    REQUIRE_MESSAGE(node, node.diagnostics());
    const WriteGraph write = GraphOf(node.bound(), left, right);
    SimResult unlimited;
    const auto roomy = NewMemoryStore();
    const SinkLines expected = RunGraph(write, OptionsOf(roomy.get(), 0, 1, 1, 4096, 0), nullptr, &unlimited);
    REQUIRE(unlimited.status.ok());
    CHECK(unlimited.report.memory_peak > 12000 * 100);  // all rows, with their values
    const int64_t limit = unlimited.report.memory_peak / 6;
    for (const int32_t batch_rows : {64, 4096}) {
      CAPTURE(batch_rows);
      for (const bool with_state : {true, false}) {
        CAPTURE(with_state);
        const auto store = NewMemoryStore();
        SimResult limited;
        const SinkLines got = RunGraph(write, OptionsOf(with_state ? store.get() : nullptr, limit, 7, 2, batch_rows, 0),
                                       nullptr, &limited);
        REQUIRE_MESSAGE(limited.status.ok(), limited.status.ToString());
        CHECK(got == expected);
        MESSAGE("peak without a limit " << unlimited.report.memory_peak << ", with one of " << limit << " "
                                        << limited.report.memory_peak);
        CHECK(limited.report.memory_peak < 2 * limit);
      }
    }
  }
}

TEST_CASE("JoinMemory_OneKeyLargerThanTheLimit_EqualsTheUnlimitedRun") {
  NumbersOptions left = Side(1), right = Side(2);
  left.keys = 1;
  right.keys = 3;
  left.rows = right.rows = 250;
  for (const char* options : {"within: 10s\nhow: left\n", "window: {tumbling: 10s}\nhow: inner\n"}) {
    CAPTURE(std::string(options));
    const BoundNode node = Join(options);
    REQUIRE_MESSAGE(node, node.diagnostics());
    const WriteGraph write = GraphOf(node.bound(), left, right);
    const SinkLines expected = RunUnlimited(write);
    // A row that finds many is interrupted when the batch is full, and its key may leave then.
    for (const int32_t batch_rows : {1, 7, 64}) {
      CAPTURE(batch_rows);
      for (const bool with_state : {true, false}) {
        CAPTURE(with_state);
        const auto store = NewMemoryStore();
        SimResult result;
        const SinkLines got =
            RunGraph(write, OptionsOf(with_state ? store.get() : nullptr, 4000, 3, 2, batch_rows, 0), nullptr, &result);
        REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
        CHECK(got == expected);
        CHECK(result.report.memory_peak > 4000);
        CHECK(result.report.memory_dropped_bytes > 4000);
      }
    }
  }
}

TEST_CASE("JoinMemory_RestartWithManyRows_TakesNoMoreThanItsShare") {
  NumbersOptions left = Side(1), right = Side(2);
  left.keys = right.keys = 100;
  for (const char* options : {"within: 1h\nhow: left\n", "window: {tumbling: 1h}\nhow: inner\n"}) {
    CAPTURE(std::string(options));
    const BoundNode node = Join(options);
    REQUIRE_MESSAGE(node, node.diagnostics());
    const WriteGraph write = GraphOf(node.bound(), left, right);
    SimResult unlimited;
    const auto roomy = NewMemoryStore();
    const SinkLines expected = RunGraph(write, OptionsOf(roomy.get(), 0, 1, 1, 16, 0), nullptr, &unlimited);
    const int64_t limit = unlimited.report.memory_peak / 6;
    for (const int lanes : {1, 3}) {
      CAPTURE(lanes);
      const auto store = NewMemoryStore();
      FlowGraph::Sinks sinks;
      SimOptions first = OptionsOf(store.get(), 0, 3, 2, 16, 0);
      first.step_count_max = unlimited.step_count * 4 / 5;
      SimResult result;
      (void)RunGraph(write, first, &sinks, &result);
      REQUIRE(StoredRows(store.get(), "rows") == 100);
      SimOptions restarted = OptionsOf(store.get(), limit, 4, lanes, 16, 0);
      restarted.step_count_max = 0;
      (void)RunGraph(write, restarted, &sinks, &result);
      CHECK(result.report.memory_peak > limit / 6);
      CHECK(result.report.memory_peak <= limit / 2 + 4096 * lanes);
      result = {};
      const SinkLines got = RunGraph(write, OptionsOf(store.get(), limit, 4, lanes, 16, 0), &sinks, &result);
      REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
      CHECK(got == expected);
      CHECK(result.report.memory_dropped_bytes > 0);
    }
  }
}

TEST_CASE("JoinMemory_KeysThatAreOver_LeaveTheStore") {
  for (const char* options : {"within: 2s\nhow: inner\n", "within: 2s\nhow: left\n"}) {
    CAPTURE(std::string(options));
    const BoundNode node = Join(options);
    REQUIRE_MESSAGE(node, node.diagnostics());
    NumbersOptions left = Side(1), right = Side(2);
    left.keys = right.keys = 1000;
    left.rows = right.rows = 1500;
    const auto store = NewMemoryStore();
    SimResult result;
    (void)RunGraph(GraphOf(node.bound(), left, right), OptionsOf(store.get(), kLimit, 5, 2, 64, 0), nullptr, &result);
    CHECK(result.report.memory_dropped_bytes > kLimit);
    CHECK(StoredRows(store.get(), "rows") < 400);  // of 1,000 keys
  }
}

TEST_CASE("JoinMemory_EveryRowAKeyOfItsOwn_TheStoreStaysSmall") {
  const BoundNode node = Join("within: 2s\nhow: left\n");
  REQUIRE_MESSAGE(node, node.diagnostics());
  NumbersOptions left = Side(1), right = Side(2);
  for (NumbersOptions* side : {&left, &right}) {
    side->rows = 45000;
    side->keys = int64_t{1} << 40;
    side->chunk_rows = 15000;
    side->step_us = 1000;
    side->jitter_us = 0;
    side->partitions = 1;
  }
  const auto store = NewMemoryStore();
  SimResult result;
  (void)RunGraph(GraphOf(node.bound(), left, right), OptionsOf(store.get(), 400000, 5, 2, 4096, 0), nullptr, &result);
  REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
  MESSAGE("keys in the store " << StoredRows(store.get(), "rows"));
  CHECK(StoredRows(store.get(), "rows") < 40000);  // 30,000 came last
}

}  // namespace
}  // namespace freshet::testing
