// Time in whole pipelines, in the simulator and on oneTBB: inputs kept together, idle ones that come back, restores,
// partitions merged by time, lanes for several live inputs, overflow, fairness, drain. SEMANTICS.md §1-§3, §7.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

#include "engine/flow/sim_runtime.h"
#include "engine/flow/skew_gate.h"
#include "engine/flow/tbb_runtime.h"
#include "tests/support/flow_nodes.h"
#include "tests/support/paced_source.h"

namespace freshet::testing {
namespace {

constexpr int64_t kSecond = 1000000;
using Lines = std::shared_ptr<Collected>;
Lines NewLines() { return std::make_shared<Collected>(); }

/// The fields of a collected line behind its event time.
std::vector<std::string> Fields(const std::string& line) {
  std::vector<std::string> fields;
  size_t from = line.find('|');
  while (from != std::string::npos) {
    const size_t to = line.find('|', from + 1);
    fields.push_back(line.substr(from + 1, to == std::string::npos ? to : to - from - 1));
    from = to;
  }
  return fields;
}

SimOptions Sim(CheckpointStore* store, uint64_t seed, int crashes = 0) {
  SimOptions options;
  options.job.store = store;
  options.job.lane_count = 1 + static_cast<int>(seed % 3);
  options.job.batch_row_count_max = seed % 2 == 0 ? 4096 : 5;
  options.seed = seed;
  options.crash_chance = 0.004;
  options.crash_count_max = crashes;
  options.epoch_chance = 0.05;
  return options;
}

// ---- max_skew

/// How far source 0 has run ahead of source 1, and the other way, at most: in event time, as it is decoded.
struct Lead {
  int64_t at_us[2] = {0, 0};
  int64_t most_us[2] = {0, 0};
  std::function<void(int64_t)> Watch(int source) {
    return [this, source](int64_t at) {
      at_us[source] = std::max(at_us[source], at);
      most_us[source] = std::max(most_us[source], at_us[source] - at_us[1 - source]);
    };
  }
};

/// A dense file (a row a second) and a sparse one (a row in 40 seconds) into one window.
GraphSpec TwoDensities(std::optional<Duration> max_skew, Lead* lead, const Lines& panes) {
  GraphSpec spec;
  spec.pipeline_name = "skew";
  PacedOptions dense;
  dense.rows = 2000;
  dense.credit_rows = 16;
  dense.on_decode = lead->Watch(0);
  PacedOptions sparse = dense;
  sparse.rows = 50;
  sparse.at = [](int, int64_t row) { return row * 40 * kSecond; };
  sparse.on_decode = lead->Watch(1);
  spec.nodes.push_back(PacedSource("dense", dense));
  spec.nodes.push_back(PacedSource("sparse", sparse));
  NodeSpec window = CountWindow("window", {0, 0}, NumbersSchema(), Duration::Seconds(10));
  window.inputs.push_back({1, 0});
  window.max_skew = max_skew;
  spec.nodes.push_back(std::move(window));
  spec.nodes.push_back(CollectSink("panes", {{2, 0}}, panes));
  return spec;
}

TEST_CASE("Simulation_MaxSkew_BoundsHowFarOneFileRunsAheadAndChangesNoResult") {
  constexpr int64_t kSkew = 20 * kSecond;
  std::vector<std::string> expected;
  int64_t without = 0;
  for (uint64_t seed = 1; seed <= 24; ++seed) {
    CAPTURE(seed);
    const bool gated = seed > 4;
    Lead lead;
    const Lines panes = NewLines();
    const auto store = NewMemoryStore();
    const SimResult result =
        RunSimulation([&] { return TwoDensities(gated ? std::optional(Duration{kSkew}) : std::nullopt, &lead, panes); },
                      Sim(store.get(), seed, gated ? 3 : 0));
    REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
    if (expected.empty()) expected = panes->lines;
    CHECK(panes->lines == expected);
    if (!gated) {
      without = std::max(without, lead.most_us[1]);
      continue;
    }
    // max_skew, lateness, and what has been read before the watermark of it is known: the credits.
    CHECK(lead.most_us[0] <= kSkew + 5 * kSecond + 2 * 16 * kSecond);
    CHECK(lead.most_us[1] <= kSkew + 5 * kSecond + 2 * 16 * 40 * kSecond);
  }
  MESSAGE("without max_skew the sparse file ran ahead by ", without / kSecond, " s of 2000");
  CHECK(without > kSkew + 5 * kSecond + 2 * 16 * 40 * kSecond);
}

/// a and b into one node, b and c into another, all of different pace: gates that overlap.
TEST_CASE("Simulation_OverlappingGatesWithTheSmallestCredits_NoDeadlock") {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    const Lines ab = NewLines(), bc = NewLines();
    const auto store = NewMemoryStore();
    const auto make = [&] {
      GraphSpec spec;
      spec.pipeline_name = "gates";
      for (int s = 0; s < 3; ++s) {
        PacedOptions options;
        options.rows = 60 + 40 * s;
        options.credit_rows = 1;
        options.at = [s](int, int64_t row) { return row * (1 + 7 * ((s + 1) % 3)) * kSecond; };
        options.live = s == static_cast<int>(seed % 4);
        options.quiet_seed = options.live ? seed : 0;
        options.idle = Duration::Millis(1);
        spec.nodes.push_back(PacedSource("s" + std::to_string(s), options));
      }
      for (int n = 0; n < 2; ++n) {
        NodeSpec window = CountWindow("w" + std::to_string(n), {n, 0}, NumbersSchema(), Duration::Seconds(10));
        window.inputs.push_back({n + 1, 0});
        window.max_skew = Duration{};
        spec.nodes.push_back(std::move(window));
      }
      spec.nodes.push_back(CollectSink("ab", {{3, 0}}, ab));
      spec.nodes.push_back(CollectSink("bc", {{4, 0}}, bc));
      return spec;
    };
    SimOptions options = Sim(store.get(), seed, 2);
    options.job.edge_budget_bytes = 1;
    options.step_count_max = 400000;
    const SimResult result = RunSimulation(make, options);
    REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
    CHECK(result.report.finished);
    CHECK(!ab->lines.empty());
  }
}

TEST_CASE("TbbRuntime_MaxSkewAndBarriersInFlight_Finishes") {
  Lead lead;
  const Lines panes = NewLines(), expected = NewLines();
  const auto store = NewMemoryStore();
  Lead other;
  REQUIRE(RunSimulation([&] { return TwoDensities(std::nullopt, &other, expected); }, Sim(store.get(), 1)).status.ok());
  TbbRuntime::Options options;
  options.job.env = Env::Posix();
  const auto tbb_store = NewMemoryStore();
  options.job.store = tbb_store.get();
  options.job.checkpoint_every = Duration::Millis(1);
  options.job.lane_count = 2;
  options.concurrency = 2;
  // Decoders of two sources run side by side there: nobody watches.
  GraphSpec spec = TwoDensities(Duration{}, &lead, panes);
  for (int n = 0; n < 2; ++n) {
    auto& bound = std::get<SourceNode>(spec.nodes[static_cast<size_t>(n)].kind).bound;
    PacedOptions plain;
    if (n == 1) plain.at = [](int, int64_t row) { return row * 40 * kSecond; };
    const NodeSpec fresh = PacedSource("x", plain);
    bound.make_decoder = std::get<SourceNode>(fresh.kind).bound.make_decoder;
  }
  auto runtime = TbbRuntime::Start(std::move(spec), options);
  REQUIRE(runtime.ok());
  REQUIRE((*runtime)->Wait(Duration::Seconds(60)));
  const JobReport report = (*runtime)->Finish();
  CHECK_MESSAGE(report.status.ok(), report.status.ToString());
  CHECK(report.finished);
  CHECK(panes->lines == expected->lines);
}

// ---- idle inputs, restores

/// Two live sources of two partitions each, one of them far behind in time, with silences -> a window by key.
GraphSpec LiveSpec(uint64_t seed, const Lines& panes, const Lines& late) {
  GraphSpec spec;
  spec.pipeline_name = "live";
  for (int s = 0; s < 2; ++s) {
    PacedOptions options;
    options.rows = 120;
    options.partitions = 2;
    options.live = true;
    options.quiet_seed = seed * 10 + static_cast<uint64_t>(s) + 1;
    options.quiet_in = 2;
    options.idle = Duration::Millis(1 + static_cast<int64_t>(seed % 4) * 30);
    options.credit_rows = 24;
    options.lateness = Duration::Seconds(2);
    options.at = [s](int p, int64_t row) { return row * (s == 0 ? 3 : 1) * kSecond + p * 500000; };
    spec.nodes.push_back(PacedSource("s" + std::to_string(s), options));
  }
  NodeSpec window = CountWindow("window", {0, 0}, NumbersSchema(), Duration::Seconds(5));
  window.inputs.push_back({1, 0});
  spec.nodes.push_back(std::move(window));
  spec.nodes.push_back(CollectSink("panes", {{2, 0}}, panes));
  spec.nodes.push_back(CollectSink("late", {{2, 1}}, late));
  return spec;
}

TEST_CASE("Simulation_IdleInputsAndRestores_NoWindowLeavesTwiceAndNoRowIsLost") {
  int64_t late_rows = 0;
  int crashes = 0;
  for (uint64_t seed = 1; seed <= 80; ++seed) {
    CAPTURE(seed);
    const Lines panes = NewLines(), late = NewLines();
    const auto store = NewMemoryStore();
    SimOptions options = Sim(store.get(), seed, 4);
    options.crash_chance = 0.01;
    const SimResult result = RunSimulation([&] { return LiveSpec(seed, panes, late); }, options);
    REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
    crashes += result.crash_count;
    late_rows += static_cast<int64_t>(late->lines.size());
    std::set<std::string> seen;
    int64_t counted = 0;
    for (const std::string& line : panes->lines) {
      const auto fields = Fields(line);  // end, key, count, sum
      CAPTURE(line);
      CHECK(seen.insert(fields[0] + "|" + fields[1]).second);
      counted += std::stoll(fields[2]);
    }
    CHECK(counted + static_cast<int64_t>(late->lines.size()) == 480);
  }
  MESSAGE("late rows ", late_rows, ", crashes ", crashes);
  CHECK(late_rows > 200);
  CHECK(crashes > 100);
}

// ---- linger

TEST_CASE("Simulation_LingerThroughCrashes_ChangesNoResult") {
  std::vector<std::string> expected;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    const Lines panes = NewLines();
    const auto store = NewMemoryStore();
    SimOptions options = Sim(store.get(), seed, seed == 1 ? 0 : 3);
    options.job.linger = Duration::Millis(seed == 1 ? 0 : static_cast<int64_t>(1 + seed % 20));
    const auto make = [&] {
      GraphSpec spec;
      spec.pipeline_name = "linger";
      PacedOptions live;
      live.rows = 300;
      live.live = true;
      live.quiet_seed = seed;
      live.credit_rows = seed % 4 == 0 ? 9 : 64;
      spec.nodes.push_back(PacedSource("s", live));
      spec.nodes.push_back(CountWindow("window", {0, 0}, NumbersSchema(), Duration::Seconds(5)));
      spec.nodes.push_back(CollectSink("panes", {{1, 0}}, panes));
      return spec;
    };
    const SimResult result = RunSimulation(make, options);
    REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
    if (expected.empty()) expected = panes->lines;
    CHECK(panes->lines == expected);
  }
  CHECK(expected.size() > 100);
}

// ---- by_time

/// Rows of partition p in `by_time` order: (place, partition, row); a place is the smallest moment from a row on.
std::vector<std::pair<int, int64_t>> ByTimeOracle(const PacedOptions& o) {
  std::vector<std::tuple<int64_t, int, int64_t>> rows;
  for (int p = 0; p < o.partitions; ++p) {
    std::vector<int64_t> moments;
    int64_t frontier = INT64_MIN;
    for (int64_t i = 0; i < o.rows; ++i) {
      const int64_t own = frontier == INT64_MIN ? INT64_MIN : frontier - o.lateness.us;
      moments.push_back(std::max(o.at(p, i), own));
      frontier = std::max(frontier, o.at(p, i));
    }
    int64_t place = INT64_MAX;
    for (int64_t i = o.rows; i-- > 0;) {
      place = std::min(place, moments[static_cast<size_t>(i)]);
      rows.emplace_back(place, p, i);
    }
  }
  std::sort(rows.begin(), rows.end());
  std::vector<std::pair<int, int64_t>> order;
  for (const auto& [place, p, i] : rows) order.emplace_back(p, i);
  return order;
}

PacedOptions Disordered(uint64_t seed) {
  PacedOptions o;
  o.partitions = 3;
  o.rows = 150;
  o.by_time = true;
  o.credit_rows = 40;
  o.lateness = Duration::Seconds(2);
  // Densities of 1, 3 and 9; disorder beyond the lateness.
  o.at = [seed](int p, int64_t row) {
    const int64_t step = p == 0 ? 9 : p == 1 ? 3 : 1;
    return row * step * 100000 -
           static_cast<int64_t>(Mix64(seed + static_cast<uint64_t>(p * 1000 + row)) % 40) * 100000;
  };
  return o;
}

GraphSpec ByTimeSpec(const PacedOptions& o, const Lines& rows, const Lines& counted) {
  GraphSpec spec;
  spec.pipeline_name = "by_time";
  spec.nodes.push_back(PacedSource("files", o));
  spec.nodes.push_back(DropMultiples("kept", {0, 0}, NumbersSchema(), 1000));
  spec.nodes.push_back(CollectSink("rows", {{1, 0}}, rows));
  spec.nodes.push_back(RunningCount("counted", {1, 0}, NumbersSchema(), InputOrder::kByArrival));
  spec.nodes.push_back(CollectSink("counts", {{3, 0}}, counted));
  return spec;
}

TEST_CASE("Simulation_ReadByTime_MergesPartitionsAsTheSlowOracleDoes") {
  int crashes = 0;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    const PacedOptions o = Disordered(seed);
    const Lines rows = NewLines(), counted = NewLines();
    const auto store = NewMemoryStore();
    const SimResult result = RunSimulation([&] { return ByTimeSpec(o, rows, counted); }, Sim(store.get(), seed, 4));
    REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
    crashes += result.crash_count;
    const auto expected = ByTimeOracle(o);
    size_t n = 0;
    for (const auto& [p, i] : expected) {
      if (i % o.keys == 0) continue;  // k = 0 is dropped
      REQUIRE(n < rows->lines.size());
      const auto fields = Fields(rows->lines[n++]);
      REQUIRE(fields[0] == std::to_string(o.at(p, i)));
      REQUIRE(fields[2] == std::to_string(i));
    }
    CHECK(n == rows->lines.size());
    CHECK(counted->lines.size() == rows->lines.size());
    const NodeCounters& c = result.report.nodes[0].counters;
    CHECK(c.in == 450);
    CHECK(c.out == 450);
    CHECK(c.held == 0);
  }
  CHECK(crashes > 20);
}

TEST_CASE("Runtime_ReadByTime_TheSameOnOneTbb") {
  const PacedOptions o = Disordered(5);
  const Lines rows = NewLines(), counted = NewLines(), expected = NewLines(), expected_counted = NewLines();
  const auto store = NewMemoryStore(), other = NewMemoryStore();
  REQUIRE(RunSimulation([&] { return ByTimeSpec(o, expected, expected_counted); }, Sim(store.get(), 4)).status.ok());
  TbbRuntime::Options options;
  options.job.env = Env::Posix();
  options.job.store = other.get();
  options.job.lane_count = 4;
  options.job.checkpoint_every = Duration::Millis(2);
  options.concurrency = 2;
  auto runtime = TbbRuntime::Start(ByTimeSpec(o, rows, counted), options);
  REQUIRE(runtime.ok());
  REQUIRE((*runtime)->Wait(Duration::Seconds(60)));
  CHECK((*runtime)->Finish().finished);
  CHECK(rows->lines == expected->lines);
  CHECK(counted->lines == expected_counted->lines);
}

TEST_CASE("Simulation_ReadByTimeOfDifferentDensities_HoldsFewRows") {
  // Partition 1 has a row where partition 0 has 200: read side by side without care it would be in memory whole.
  std::vector<int64_t> at(2);
  int64_t most = 0;
  PacedOptions o;
  o.partitions = 2;
  o.rows = 1500;
  o.by_time = true;
  o.at = [](int p, int64_t row) { return row * (p == 0 ? 1 : 200) * kSecond + p; };
  o.on_decode = [&](int64_t time) {
    const size_t p = time % kSecond == 1 ? 1 : 0;
    at[p] = std::max(at[p], time);
    if (at[0] < 1490 * kSecond) most = std::max(most, at[1] - at[0]);
  };
  const Lines rows = NewLines(), counted = NewLines();
  const auto store = NewMemoryStore();
  const SimResult result = RunSimulation([&] { return ByTimeSpec(o, rows, counted); }, Sim(store.get(), 3));
  REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
  MESSAGE("the sparse partition was ahead by at most ", most / (200 * kSecond), " rows");
  CHECK(most <= 5 * 8 * 200 * kSecond);
}

// ---- lanes for several live inputs

TEST_CASE("Simulation_SeveralLiveInputsOfAKeyedStep_UseLanesAndCountEveryRowOnce") {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    const Lines counts = NewLines();
    const auto store = NewMemoryStore();
    const auto make = [&] {
      GraphSpec spec;
      spec.pipeline_name = "union";
      for (int s = 0; s < 3; ++s) {
        PacedOptions options;
        options.rows = 70;
        options.live = true;
        spec.nodes.push_back(PacedSource("s" + std::to_string(s), options));
      }
      NodeSpec count = RunningCount("count", {0, 0}, NumbersSchema(), InputOrder::kByArrival);
      count.inputs = {{0, 0}, {1, 0}, {2, 0}};
      spec.nodes.push_back(std::move(count));
      spec.nodes.push_back(CollectSink("counts", {{3, 0}}, counts));
      return spec;
    };
    SimOptions options = Sim(store.get(), seed, 3);
    options.job.lane_count = 3;
    const GraphPlan plan = PlanGraph(make(), 3);
    CHECK(std::count_if(plan.cells.begin(), plan.cells.end(),
                        [](const CellPlan& c) { return c.kind == CellKind::kChain && c.lane_count == 3; }) == 3);
    const SimResult result = RunSimulation(make, options);
    REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
    REQUIRE(counts->lines.size() == 210);
    std::map<std::string, int64_t> seen;
    for (const std::string& line : counts->lines) {
      const auto fields = Fields(line);  // at, k, v, n
      REQUIRE(fields[3] == std::to_string(++seen[fields[1]]));
    }
    CHECK(seen.size() == 5);
  }
}

// ---- overflow, fairness, drain

TEST_CASE("Simulation_OverflowIntoASlowPipeline_WhatIsLeftIsInOrderAndAllIsAccountedFor") {
  int64_t dropped = 0, kept = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    const Lines rows = NewLines();
    const auto store = NewMemoryStore();
    PacedOptions o;
    o.live = true;
    o.rows = 300;
    o.partitions = 2;
    o.chunk_rows = 3;
    o.credit_rows = 6;
    o.on_overflow = seed % 2 == 0 ? OnOverflow::kDropOldest : OnOverflow::kDropNewest;
    const auto make = [&] {
      GraphSpec spec;
      spec.pipeline_name = "overflow";
      spec.nodes.push_back(PacedSource("in", o));
      spec.nodes.push_back(RunningCount("count", {0, 0}, NumbersSchema(), InputOrder::kByArrival));
      spec.nodes.push_back(CollectSink("rows", {{1, 0}}, rows));
      return spec;
    };
    const SimResult result = RunSimulation(make, Sim(store.get(), seed, 3));
    REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
    const NodeCounters& c = result.report.nodes[0].counters;
    CHECK(c.in == 600);
    CHECK(c.out == static_cast<int64_t>(rows->lines.size()));
    CHECK(c.out + c.skipped == 600);
    CHECK(c.dropped == c.skipped);
    dropped += c.dropped;
    kept += c.out;
  }
  MESSAGE("dropped ", dropped, ", kept ", kept);
  CHECK(dropped > 1000);
  CHECK(kept > 1000);
}

GraphSpec FastAndSlow(const Lines& rows) {
  GraphSpec spec;
  spec.pipeline_name = "fair";
  for (int s = 0; s < 2; ++s) {
    PacedOptions o;
    o.live = true;  // no merge: rows go as they come
    o.rows = s == 0 ? 20000 : 1000;
    o.chunk_rows = s == 0 ? 64 : 4;
    o.credit_rows = s == 0 ? 640 : 8;
    o.keys = s == 0 ? 5 : 1;
    o.at = [s](int, int64_t row) { return row * kSecond + s; };
    spec.nodes.push_back(PacedSource("s" + std::to_string(s), o));
  }
  spec.nodes.push_back(CollectSink("rows", {{0, 0}, {1, 0}}, rows));
  return spec;
}

int64_t FromSlow(const Lines& rows, size_t count) {
  int64_t n = 0;
  for (size_t i = 0; i < count; ++i) n += Fields(rows->lines[i])[0].ends_with("000001") ? 1 : 0;
  return n;
}

TEST_CASE("Simulation_OneFastAndOneSmallSource_EachGetsItsShare") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    const Lines rows = NewLines();
    const auto store = NewMemoryStore();
    const SimResult result = RunSimulation([&] { return FastAndSlow(rows); }, Sim(store.get(), seed));
    REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
    REQUIRE(rows->lines.size() == 21000);
    // Of equal turns, a chunk each: 4 rows for 64.
    CHECK(FromSlow(rows, 10000) > 10000 * 4 / 64 / 4);
  }
}

TEST_CASE("TbbRuntime_OneFastAndOneSmallSource_EachGetsItsShare") {
  const Lines rows = NewLines();
  TbbRuntime::Options options;
  options.job.env = Env::Posix();
  options.concurrency = 2;
  GraphSpec spec = FastAndSlow(rows);
  auto runtime = TbbRuntime::Start(std::move(spec), options);
  REQUIRE(runtime.ok());
  REQUIRE((*runtime)->Wait(Duration::Seconds(60)));
  REQUIRE((*runtime)->Finish().finished);
  REQUIRE(rows->lines.size() == 21000);
  // Credits bound what the fast one has under way: the other's rows are never behind more than that for long.
  CHECK(FromSlow(rows, 20000) > 20);
}

TEST_CASE("TbbRuntime_DrainOfALiveSource_ClosesItsWindowsAndFinishes") {
  const auto store = NewMemoryStore();
  const Lines panes = NewLines(), late = NewLines();
  PacedOptions o;
  o.live = true;
  o.rows = int64_t{1} << 40;
  const auto make = [&] {
    GraphSpec spec;
    spec.pipeline_name = "drain";
    spec.nodes.push_back(PacedSource("in", o));
    spec.nodes.push_back(CountWindow("window", {0, 0}, NumbersSchema(), Duration::Seconds(3600)));
    spec.nodes.push_back(CollectSink("panes", {{1, 0}}, panes));
    return spec;
  };
  TbbRuntime::Options options;
  options.job.env = Env::Posix();
  options.job.store = store.get();
  options.job.drain = true;
  options.concurrency = 2;
  auto runtime = TbbRuntime::Start(make(), options);
  REQUIRE(runtime.ok());
  (*runtime)->RequestStop();
  REQUIRE((*runtime)->Wait(Duration::Seconds(60)));
  const JobReport report = (*runtime)->Finish();
  CHECK_MESSAGE(report.status.ok(), report.status.ToString());
  CHECK(report.finished);
  int64_t counted = 0;
  for (const std::string& line : panes->lines) counted += std::stoll(Fields(line)[2]);
  CHECK(counted == report.nodes[0].counters.out);
  const auto manifest = store->Load();
  REQUIRE(manifest.ok());
  CHECK((*manifest)->finished);
}

}  // namespace
}  // namespace freshet::testing
