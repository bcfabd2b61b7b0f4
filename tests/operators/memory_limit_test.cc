// Keyed nodes whose state does not fit their memory: nearly all keys are dropped again and again, and come back. What
// leaves must be what leaves without a limit, line for line, whatever the lanes, the batches, the crashes.
#include <doctest/doctest.h>

#include <algorithm>

#include "operators/alert.h"
#include "operators/contribution.h"
#include "operators/derive.h"
#include "operators/statistical_outlier.h"
#include "operators/window/window.h"
#include "tests/operators/limited_runs.h"
#include "tests/operators/test_rows.h"
#include "tests/support/flow_runs.h"
#include "tests/support/operator_harness.h"
#include "tests/support/rocksdb_crashing_store.h"

namespace freshet::testing {
namespace {

/// Little credit: else all input is in the graph before memory is full.
WriteGraph GraphOf(const NumbersOptions& numbers, const BoundOperator& bound) {
  return [numbers, bound](FlowGraph& graph) { graph.NodeOverNumbers(numbers, bound, 100); };
}

void CheckNode(const BoundNode& node, const NumbersOptions& numbers, bool some_late) {
  REQUIRE_MESSAGE(node, node.diagnostics());
  constexpr int64_t kLimit = 24000;
  const WriteGraph write = GraphOf(numbers, node.bound());
  const SinkLines expected = RunUnlimited(write);
  CHECK(expected.at("results").size() > 100);
  CHECK((expected.contains("late") && !expected.at("late").empty()) == some_late);
  for (const int crashes : {0, 3}) {
    CAPTURE(crashes);
    ForLanesAndBatches([&](int lanes, int32_t batch_rows, uint64_t seed) {
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

NumbersOptions ManyKeys() {
  NumbersOptions numbers;
  numbers.partitions = 2;
  numbers.rows = 1200;
  numbers.keys = 400;
  numbers.jitter_us = 6000000;
  numbers.lateness = Duration::Seconds(3);
  return numbers;
}

/// Without a state directory keys go to the spill store. A crash is then a start from nothing; there is none here.
void CheckNodeWithoutState(const BoundNode& node, const NumbersOptions& numbers) {
  REQUIRE_MESSAGE(node, node.diagnostics());
  constexpr int64_t kLimit = 24000;
  const WriteGraph write = GraphOf(numbers, node.bound());
  const SinkLines expected = RunGraph(write, OptionsOf(nullptr, 0, 1, 1, 4096, 0));
  CHECK(expected.at("results").size() > 100);
  ForLanesAndBatches([&](int lanes, int32_t batch_rows, uint64_t seed) {
    SimResult result;
    const SinkLines got = RunGraph(write, OptionsOf(nullptr, kLimit, seed, lanes, batch_rows, 0), nullptr, &result);
    REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
    CHECK(got == expected);
    CHECK(result.report.memory_dropped_bytes > 2 * kLimit);
  });
}

TEST_CASE("SpillStore_WindowsWithoutState_EqualTheUnlimitedRun") {
  for (const char* options : {"window: {tumbling: 20s}\nkey: k\naggregates: {n: count(*), s: sum(v), l: last(v)}\n",
                              "window: {hopping: 30s, every: 10s}\nkey: k\naggregates: {n: count(*), s: sum(v)}\n",
                              "window: {hopping: 20s, every: 10s}\nkey: k\naggregates: {n: count(*), s: sum(v)}\n"
                              "allowed_lateness: 2s\n"}) {
    CAPTURE(std::string(options));
    CheckNodeWithoutState(BoundNode(WindowDescriptor(), options, *NumbersSchema()), ManyKeys());
  }
}

TEST_CASE("SpillStore_DeriveAndDetectorWithoutState_EqualTheUnlimitedRun") {
  for (const char* options : {"key: k\ncolumns: {d: delta(v), r: rate(v), l: \"lag(v, 3)\"}\n",
                              "key: k\nstate_ttl: 20s\ncolumns: {d: delta(v), l: \"lag(v, 2)\"}\n"}) {
    CAPTURE(std::string(options));
    CheckNodeWithoutState(BoundNode(DeriveDescriptor(), options, *NumbersSchema()), ManyKeys());
  }
  CheckNodeWithoutState(BoundNode(StatisticalOutlierDescriptor(), "key: k\nmetric: v\n", *NumbersSchema()), ManyKeys());
}

constexpr const char* kAlerts[] = {
    "when: v > 1\nkey: [k]\nfor: 300ms\nkeep_firing_for: 3s\ncooldown: 2s\n",
    "when: v > 5\nkey: [k]\nno_data: fire\nno_data_after: 20s\nremember: 30s\n",
    "value: v\nthreshold: 2\nclear_threshold: 1\nkey: [k]\nno_data: resolve\nno_data_after: 10s\nremember: 0s\n",
};

TEST_CASE("SpillStore_AlertsWithoutState_EqualTheUnlimitedRun") {
  for (const char* options : kAlerts) {
    CAPTURE(std::string(options));
    CheckNodeWithoutState(BoundNode(AlertDescriptor(), options, *NumbersSchema()), ManyKeys());
  }
}

TEST_CASE("MemoryLimit_Alerts_EqualTheUnlimitedRun") {
  for (const char* options : kAlerts) {
    CAPTURE(std::string(options));
    CheckNode(BoundNode(AlertDescriptor(), options, *NumbersSchema()), ManyKeys(), true);
  }
}

TEST_CASE("MemoryLimit_Contribution_EqualsTheUnlimitedRun") {
  for (const char* ttl : {"", "state_ttl: 20s\n"}) {
    CAPTURE(std::string(ttl));
    const BoundNode node(ContributionDescriptor(),
                         std::string("metric: v\ndimensions: [k]\nkey: [k]\nseason: none\n") + ttl, *NumbersSchema());
    CheckNode(node, ManyKeys(), true);
  }
}

TEST_CASE("SpillStore_CommitsFailMostly_EqualsTheUnlimitedRun") {
  const BoundNode window(
      WindowDescriptor(),
      "window: {hopping: 30s, every: 10s}\nkey: k\naggregates: {n: count(*), s: sum(v), l: last(v)}\n",
      *NumbersSchema());
  const BoundNode derive(DeriveDescriptor(), "key: k\nstate_ttl: 20s\ncolumns: {d: delta(v), l: \"lag(v, 2)\"}\n",
                         *NumbersSchema());
  for (const BoundNode* node : {&window, &derive}) {
    REQUIRE_MESSAGE(*node, node->diagnostics());
    const WriteGraph write = GraphOf(ManyKeys(), node->bound());
    const SinkLines expected = RunUnlimited(write);
    int64_t spilled = 0;
    ForLanesAndBatches([&](int lanes, int32_t batch_rows, uint64_t seed) {
      for (const int crashes : {1, 4}) {
        CAPTURE(crashes);
        const auto store = NewMemoryStore();
        SimOptions options =
            OptionsOf(store.get(), 24000, 2 * seed + static_cast<uint64_t>(crashes), lanes, batch_rows, crashes);
        options.crash_chance = 0.002;
        options.faults.commit_unavailable = 0.9;  // sources go on meanwhile
        SimResult result;
        const SinkLines got = RunGraph(write, options, nullptr, &result);
        REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
        spilled += result.report.memory_spilled_bytes;
        CHECK(got == expected);
      }
    });
    CHECK(spilled > 24000);
  }
}

TEST_CASE("MemoryLimit_InputThatEndsWhileCommitsFail_LeavesItsMemoryToTheOthers") {
  const BoundNode derive(DeriveDescriptor(), "key: k\ncolumns: {d: delta(v), l: \"lag(v, 2)\"}\n", *NumbersSchema());
  REQUIRE_MESSAGE(derive, derive.diagnostics());
  NumbersOptions shorter = ManyKeys();
  shorter.rows = 500;
  const WriteGraph write = [&](FlowGraph& graph) {
    graph.Sink("first", graph.Node("over", {graph.Source("short", shorter, 100)}, derive.bound()));
    graph.Sink("second", graph.Node("going", {graph.Source("long", ManyKeys(), 100)}, derive.bound()));
  };
  const SinkLines expected = RunUnlimited(write);
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    CAPTURE(seed);
    const auto store = NewMemoryStore();
    SimOptions options = OptionsOf(store.get(), 24000, seed, 1 + static_cast<int>(seed % 2), 64, 1);
    options.crash_chance = 0;
    options.faults.commit_unavailable = 0.95;
    options.step_count_max = 200000;
    SimResult result;
    const SinkLines got = RunGraph(write, options, nullptr, &result);
    REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
    CHECK(result.report.memory_spilled_bytes > 0);
    CHECK(got == expected);
  }
}

TEST_CASE("MemoryLimit_DiskFullForAWhile_EqualsTheUnlimitedRun") {
  const BoundNode node(WindowDescriptor(),
                       "window: {hopping: 20s, every: 10s}\nkey: k\naggregates: {n: count(*), s: sum(v)}\n",
                       *NumbersSchema());
  REQUIRE_MESSAGE(node, node.diagnostics());
  const WriteGraph write = GraphOf(ManyKeys(), node.bound());
  const SinkLines expected = RunUnlimited(write);
  int64_t failed = 0;
  for (uint64_t seed = 1; seed <= 16; ++seed) {
    CAPTURE(seed);
    CrashingRocksDbStore disk;
    Rng rng(seed);
    SimOptions options = OptionsOf(nullptr, 24000, seed, 1 + static_cast<int>(seed % 3), 64, 2);
    options.store_of_life = [&] {
      Result<CheckpointStore*> store = disk.NextLife(&rng);
      disk.FillAtCall(static_cast<int64_t>(rng.Below(200)), static_cast<int64_t>(1 + rng.Below(40)));
      return store;
    };
    SimResult result;
    const SinkLines got = RunGraph(write, options, nullptr, &result);
    REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
    failed += result.report.checkpoint_failed_count;
    CHECK(got == expected);
  }
  CHECK(failed > 16);
}

TEST_CASE("MemoryLimit_TumblingWindow_EqualsTheUnlimitedRun") {
  const BoundNode node(WindowDescriptor(),
                       "window: {tumbling: 20s}\nkey: k\naggregates: {n: count(*), s: sum(v), l: last(v)}\n",
                       *NumbersSchema());
  CheckNode(node, ManyKeys(), true);
}

TEST_CASE("MemoryLimit_HoppingWindow_EqualsTheUnlimitedRun") {
  const BoundNode node(WindowDescriptor(),
                       "window: {hopping: 30s, every: 10s}\nkey: k\naggregates: {n: count(*), s: sum(v)}\n",
                       *NumbersSchema());
  CheckNode(node, ManyKeys(), false);
}

TEST_CASE("MemoryLimit_WindowWithRevisions_EqualsTheUnlimitedRun") {
  const BoundNode node(
      WindowDescriptor(),
      "window: {hopping: 20s, every: 10s}\nkey: k\naggregates: {n: count(*), s: sum(v)}\nallowed_lateness: 2s\n",
      *NumbersSchema());
  CheckNode(node, ManyKeys(), false);
}

TEST_CASE("MemoryLimit_WindowWithEarlyResults_EqualsTheUnlimitedRun") {
  for (const char* options : {"window: {hopping: 20s, every: 10s}\nallowed_lateness: 2s", "window: {tumbling: 20s}"}) {
    const BoundNode node(WindowDescriptor(),
                         std::string(options) + "\nkey: k\naggregates: {n: count(*), s: sum(v)}\nemit_every: 5s\n",
                         *NumbersSchema());
    CheckNode(node, ManyKeys(), std::string_view(options).ends_with("{tumbling: 20s}"));
  }
}

/// Rows of many keys in few windows: all of a window's results are of one moment.
NumbersOptions KeysOfOneMoment() {
  NumbersOptions numbers = ManyKeys();
  numbers.rows = 6000;
  numbers.keys = 5000;
  return numbers;
}

TEST_CASE("MemoryLimit_ManyKeysAtOneMoment_PeakStaysBounded") {
  for (const char* options : {"window: {tumbling: 3600s}", "window: {tumbling: 3600s}\nallowed_lateness: 2s",
                              "window: {hopping: 3600s, every: 1800s}\nemit_every: 1800s", "window: {global: true}",
                              "window: {session: 3600s}"}) {
    CAPTURE(std::string(options));
    const BoundNode node(WindowDescriptor(),
                         std::string(options) + "\nkey: k\naggregates: {n: count(*), s: sum(v), l: last(v)}\n",
                         *NumbersSchema());
    REQUIRE_MESSAGE(node, node.diagnostics());
    const WriteGraph write = GraphOf(KeysOfOneMoment(), node.bound());
    const auto roomy = NewMemoryStore();
    SimResult unlimited;
    const SinkLines expected = RunGraph(write, OptionsOf(roomy.get(), 0, 1, 1, 4096, 0), nullptr, &unlimited);
    REQUIRE(unlimited.status.ok());
    CHECK(expected.at("results").size() > 3000);
    constexpr int64_t kLimit = 160000;
    CHECK(unlimited.report.memory_peak > 6 * kLimit);
    for (const int32_t batch_rows : {64, 4096}) {
      CAPTURE(batch_rows);
      const auto store = NewMemoryStore();
      SimResult limited;
      const SinkLines got = RunGraph(write, OptionsOf(store.get(), kLimit, 7, 2, batch_rows, 0), nullptr, &limited);
      REQUIRE_MESSAGE(limited.status.ok(), limited.status.ToString());
      CHECK(got == expected);
      MESSAGE("peak without a limit " << unlimited.report.memory_peak << ", with one " << limited.report.memory_peak);
      CHECK(limited.report.memory_peak < kLimit * 17 / 8);
    }
  }
}

TEST_CASE("MemoryLimit_Sessions_EqualTheUnlimitedRun") {
  for (const char* gap : {"3s", "40s", "300s"}) {
    CAPTURE(std::string(gap));
    const BoundNode node(
        WindowDescriptor(),
        std::string("window: {session: ") + gap + "}\nkey: k\naggregates: {n: count(*), s: sum(v), l: last(v)}\n",
        *NumbersSchema());
    CheckNode(node, ManyKeys(), true);
  }
}

TEST_CASE("MemoryLimit_CountWindows_EqualTheUnlimitedRun") {
  for (const char* window : {"{count: 3}", "{count: 4, every: 2}"}) {
    CAPTURE(std::string(window));
    const BoundNode node(WindowDescriptor(),
                         std::string("window: ") + window + "\nkey: k\naggregates: {n: count(*), s: sum(v)}\n",
                         *NumbersSchema());
    CheckNode(node, ManyKeys(), true);
  }
}

TEST_CASE("MemoryLimit_SlidingWindow_EqualsTheUnlimitedRun") {
  for (const char* size : {"5s", "100s"}) {
    CAPTURE(std::string(size));
    const BoundNode node(
        WindowDescriptor(),
        std::string("window: {sliding: ") + size + "}\nkey: k\naggregates: {n: count(*), s: sum(v), l: last(v)}\n",
        *NumbersSchema());
    CheckNode(node, ManyKeys(), true);
  }
}

TEST_CASE("SpillStore_OrderedWindowsWithoutState_EqualTheUnlimitedRun") {
  for (const char* window : {"{session: 40s}", "{count: 4, every: 2}", "{sliding: 30s}"}) {
    CAPTURE(std::string(window));
    CheckNodeWithoutState(
        BoundNode(WindowDescriptor(),
                  std::string("window: ") + window + "\nkey: k\naggregates: {n: count(*), s: sum(v)}\n",
                  *NumbersSchema()),
        ManyKeys());
  }
}

TEST_CASE("MemoryLimit_KeysOfSlidingWindowsAndSessionsThatAreOver_LeaveTheStore") {
  for (const auto& [window, table] : {std::pair{"{sliding: 5s}", "trailing"}, {"{session: 5s}", "sessions"}}) {
    CAPTURE(window);
    const BoundNode node(WindowDescriptor(), std::string("window: ") + window + "\nkey: k\naggregates: {n: count(*)}\n",
                         *NumbersSchema());
    REQUIRE_MESSAGE(node, node.diagnostics());
    const auto store = NewMemoryStore();
    SimResult result;
    (void)RunGraph(GraphOf(ManyKeys(), node.bound()), OptionsOf(store.get(), 24000, 5, 2, 64, 0), nullptr, &result);
    CHECK(result.report.memory_dropped_bytes > 24000);
    CHECK(StoredRows(store.get(), table) < 200);  // of 400 keys
  }
}

TEST_CASE("MemoryLimit_RestartsWithOtherLanesAndLimits_EqualTheUndisturbedRun") {
  const BoundNode node(WindowDescriptor(),
                       "window: {hopping: 20s, every: 10s}\nkey: k\naggregates: {n: count(*), s: sum(v)}\n",
                       *NumbersSchema());
  REQUIRE_MESSAGE(node, node.diagnostics());
  const NumbersOptions numbers = ManyKeys();
  const WriteGraph write = GraphOf(numbers, node.bound());
  const SinkLines expected = RunUnlimited(write);
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    CAPTURE(seed);
    CHECK(RunInLives(write, seed, static_cast<int64_t>(400 + 100 * seed)) == expected);
  }
}

/// Few keys with large values.
NumbersOptions LargeValues() {
  NumbersOptions numbers;
  numbers.rows = 4000;
  numbers.keys = 100;
  numbers.step_us = 50000;
  return numbers;
}

TEST_CASE("MemoryLimit_RestartWithLargeValues_TakesNoMoreThanItsShare") {
  for (const auto& [options, table] :
       {std::pair{"window: {sliding: 1h}\naggregates: {n: count(*), s: sum(v), d: stddev(v)}", "trailing"},
        {"window: {tumbling: 24h}\naggregates: {n: count(*), d: count(distinct v)}", "panes"},
        {"window: {hopping: 100s, every: 10s}\naggregates: {n: count(*), s: sum(v)}", "panes"},
        {"window: {session: 1h}\naggregates: {d: count(distinct v)}", "sessions"},
        {"window: {count: 60, every: 1}\naggregates: {n: count(*), s: sum(v), d: stddev(v)}", "counts"}}) {
    CAPTURE(options);
    const BoundNode node(WindowDescriptor(), std::string(options) + "\nkey: k\n", *NumbersSchema());
    REQUIRE_MESSAGE(node, node.diagnostics());
    const WriteGraph write = GraphOf(LargeValues(), node.bound());
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
      REQUIRE(StoredRows(store.get(), table) == 100);
      SimOptions restarted = OptionsOf(store.get(), limit, 4, lanes, 16, 0);
      restarted.step_count_max = 0;
      (void)RunGraph(write, restarted, &sinks, &result);
      CHECK(result.report.memory_peak > limit / 6);
      CHECK(result.report.memory_peak <= limit / 2 + 4096 * lanes);  // tables without rows take some, too
      result = {};
      const SinkLines got = RunGraph(write, OptionsOf(store.get(), limit, 4, lanes, 16, 0), &sinks, &result);
      REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
      CHECK(got == expected);
      CHECK(result.report.memory_dropped_bytes > 0);
    }
  }
}

TEST_CASE("MemoryLimit_LargeDistinctSets_AreCountedAndLeaveMemory") {
  const BoundNode node(WindowDescriptor(), "window: {tumbling: 24h}\nkey: k\naggregates: {d: count(distinct v)}\n",
                       *NumbersSchema());
  const BoundNode small(WindowDescriptor(), "window: {tumbling: 24h}\nkey: k\naggregates: {d: count(*)}\n",
                        *NumbersSchema());
  REQUIRE_MESSAGE((node && small), node.diagnostics());
  NumbersOptions numbers = LargeValues();
  numbers.rows = 6000;
  const auto peak_of = [&](const BoundNode& of, int64_t limit, const SinkLines* expected, int crashes) {
    const WriteGraph write = GraphOf(numbers, of.bound());
    const auto store = NewMemoryStore();
    SimResult result;
    const SinkLines got =
        RunGraph(write, OptionsOf(store.get(), limit, 5, limit == 0 ? 1 : 2, 16, crashes), nullptr, &result);
    REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
    if (expected != nullptr) CHECK(got == *expected);
    return result.report.memory_peak;
  };
  const SinkLines expected = RunUnlimited(GraphOf(numbers, node.bound()));
  const int64_t all = peak_of(node, 0, &expected, 0);
  CHECK(all - peak_of(small, 0, nullptr, 0) > 100 * 1024);  // sets of some 60 values, in tables of 128 or more
  for (const int crashes : {0, 2}) {
    CAPTURE(crashes);
    const int64_t limited = peak_of(node, all / 5, &expected, crashes);
    MESSAGE("peak without a limit " << all << ", with one of a fifth " << limited);
    CHECK(limited < all / 5 * 3 / 2);
  }
}

TEST_CASE("MemoryLimit_BatchWithNearlyAllKeys_BringsThemBackInPieces") {
  NumbersOptions numbers;
  numbers.rows = 60000;
  numbers.keys = 1000;
  numbers.chunk_rows = 500;
  for (const char* options : {"window: {tumbling: 24h}\naggregates: {d: count(distinct v)}",
                              "window: {session: 24h}\naggregates: {d: count(distinct v)}"}) {
    CAPTURE(std::string(options));
    const BoundNode node(WindowDescriptor(), std::string(options) + "\nkey: k\n", *NumbersSchema());
    REQUIRE_MESSAGE(node, node.diagnostics());
    const WriteGraph write = [&](FlowGraph& graph) { graph.NodeOverNumbers(numbers, node.bound(), 500); };
    SimResult unlimited;
    const auto roomy = NewMemoryStore();
    const SinkLines expected = RunGraph(write, OptionsOf(roomy.get(), 0, 1, 1, 4096, 0), nullptr, &unlimited);
    const int64_t limit = unlimited.report.memory_peak / 8;
    for (const int crashes : {0, 2}) {
      CAPTURE(crashes);
      const auto store = NewMemoryStore();
      SimResult result;
      const SinkLines got = RunGraph(write, OptionsOf(store.get(), limit, 5, 2, 4096, crashes), nullptr, &result);
      REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
      CHECK(got == expected);
      MESSAGE("peak " << result.report.memory_peak << ", limit " << limit);
      CHECK(result.report.memory_peak < limit * 9 / 5);  // the epoch being written takes the most of it
    }
  }
}

TEST_CASE("MemoryLimit_DeriveByKey_EqualsTheUnlimitedRun") {
  const BoundNode node(DeriveDescriptor(), "key: k\ncolumns: {d: delta(v), r: rate(v), l: \"lag(v, 3)\"}\n",
                       *NumbersSchema());
  CheckNode(node, ManyKeys(), true);
}

TEST_CASE("MemoryLimit_DeriveWithTimeToLive_EqualsTheUnlimitedRun") {
  const BoundNode node(DeriveDescriptor(), "key: k\nstate_ttl: 20s\ncolumns: {d: delta(v), l: \"lag(v, 2)\"}\n",
                       *NumbersSchema());
  CheckNode(node, ManyKeys(), true);
}

TEST_CASE("DeriveTimeToLive_KeysInTheStoreOnly_AreErasedThere") {
  const BoundNode node(DeriveDescriptor(), "key: k\nstate_ttl: 5s\ncolumns: {d: delta(v)}\n", *NumbersSchema());
  REQUIRE_MESSAGE(node, node.diagnostics());
  const auto store = NewMemoryStore();
  SimResult result;
  (void)RunGraph(GraphOf(ManyKeys(), node.bound()), OptionsOf(store.get(), 24000, 5, 2, 64, 0), nullptr, &result);
  CHECK(result.report.memory_dropped_bytes > 24000);
  CHECK(StoredRows(store.get(), "derive") < 200);  // of 400 keys, a hundred of which came in the last seconds
}

TEST_CASE("DeriveTimeToLive_EveryRowAKeyOfItsOwn_TheStoreStaysSmall") {
  const BoundNode node(DeriveDescriptor(), "key: k\nstate_ttl: 5s\ncolumns: {d: delta(v)}\n", *NumbersSchema());
  REQUIRE_MESSAGE(node, node.diagnostics());
  NumbersOptions numbers;
  numbers.rows = 90000;
  numbers.keys = int64_t{1} << 40;
  numbers.chunk_rows = 15000;
  numbers.step_us = 1000;
  const auto store = NewMemoryStore();
  SimResult result;
  (void)RunGraph(GraphOf(numbers, node.bound()), OptionsOf(store.get(), 400000, 5, 2, 4096, 0), nullptr, &result);
  REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
  MESSAGE("keys in the store " << StoredRows(store.get(), "derive"));
  CHECK(StoredRows(store.get(), "derive") < 40000);  // 15,000 came last, 5,000 are not over
}

TEST_CASE("DeriveTimeToLive_KeysThatWereAway_StartAnewAndLeaveTheState") {
  const BoundNode node(DeriveDescriptor(), "key: k\nstate_ttl: 10s\ncolumns: {l: lag(v)}\n", *NumbersSchema());
  REQUIRE_MESSAGE(node, node.diagnostics());
  // Key 1 comes at 0, 9.9 and 19.9 s (away for less than 10 s, then for just 10 s); key 2 once.
  std::vector<TestRow> rows;
  for (const auto& [at_ms, k] : {std::pair{0, 1}, {100, 2}, {9900, 1}, {19900, 1}, {19950, 1}}) {
    TestRow row;
    row.time_us = int64_t{at_ms} * 1000;
    row.ordinal = rows.size();
    row.cells = {row.time_us, k, at_ms * 1.0};
    rows.push_back(row);
  }
  for (const size_t batch_rows : {1, 2, 5}) {
    CAPTURE(batch_rows);
    OperatorHarness harness(node.bound(), {});
    for (size_t at = 0; at < rows.size(); at += batch_rows) {
      const size_t count = std::min(batch_rows, rows.size() - at);
      harness.Feed(MakeRows(NumbersSchema(), rows, at, count));
    }
    std::vector<std::string> lags;
    for (const Batch& batch : harness.output(0, 0))
      for (int32_t row = 0; row < batch.row_count(); ++row)
        lags.push_back(batch.column(3).IsNull(row) ? "null" : std::to_string(batch.column(3).float64s()[row]));
    CHECK(lags == std::vector<std::string>{"null", "null", "0.000000", "null", "19900.000000"});
    harness.Watermark(EventTime{19950000});
    CHECK(harness.state_keys() == 1);
    harness.Watermark(EventTime{40000000});
    CHECK(harness.state_keys() == 0);
    CHECK(harness.status().ok());
  }
}

TEST_CASE("MemoryLimit_DetectorByKey_EqualsTheUnlimitedRun") {
  const BoundNode node(StatisticalOutlierDescriptor(), "key: k\nmetric: v\n", *NumbersSchema());
  CheckNode(node, ManyKeys(), false);
  const BoundNode mortal(StatisticalOutlierDescriptor(), "key: k\nmetric: v\nstate_ttl: 20s\n", *NumbersSchema());
  CheckNode(mortal, ManyKeys(), true);
}

}  // namespace
}  // namespace freshet::testing
