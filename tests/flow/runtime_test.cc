// The same pipelines on both runtimes, at several lane counts and batch sizes, with and without crashes: one answer.
#include <doctest/doctest.h>

#include <atomic>
#include <map>

#include "engine/flow/planted_bugs.h"
#include "engine/flow/sim_runtime.h"
#include "engine/flow/tbb_runtime.h"
#include "tests/support/flow_nodes.h"

namespace freshet {
namespace {

using testing::Collected;
using testing::NumbersOptions;

/// Sinks by name: what each received.
using Outputs = std::map<std::string, std::shared_ptr<Collected>>;

/// numbers -> drop (fused) -> {running count by key, by arrival} -> rows; -> window -> panes, late; -> running sum ->
/// sums;
/// -> by event time count -> sorted; window and sorted merged -> both.
GraphSpec MakeSpec(const NumbersOptions& numbers, Outputs* outputs, int64_t credit_rows = kSourceCreditRows) {
  GraphSpec spec;
  spec.pipeline_name = "test";
  const auto add = [&](NodeSpec node) {
    spec.nodes.push_back(std::move(node));
    return PortRef{static_cast<int>(spec.nodes.size()) - 1, 0};
  };
  const auto sink = [&](const std::string& id, std::vector<PortRef> inputs) {
    auto& into = (*outputs)[id];
    if (!into) into = std::make_shared<Collected>();
    add(testing::CollectSink(id, std::move(inputs), into));
  };
  const PortRef source = add(testing::NumbersSource("numbers", numbers));
  std::get<SourceNode>(spec.nodes[0].kind).credit_rows = credit_rows;
  const SchemaRef schema = testing::NumbersSchema();
  const PortRef kept = add(testing::DropMultiples("kept", source, schema, 5));
  const PortRef counted = add(testing::RunningCount("counted", kept, schema, InputOrder::kByArrival));
  const PortRef window = add(testing::CountWindow("window", kept, schema, Duration::Seconds(3)));
  const PortRef sums = add(testing::RunningSum("sums", kept, schema));
  const PortRef sorted = add(testing::RunningCount("sorted", kept, schema, InputOrder::kByEventTime));
  sink("rows", {counted});
  sink("panes", {window});
  sink("late", {{window.node, 1}});
  sink("summed", {sums});
  sink("by_time", {sorted});
  sink("too_late", {{sorted.node, 1}});
  sink("both", {window, sorted});
  return spec;
}

NumbersOptions Disorderly(uint64_t seed) {
  NumbersOptions options;
  options.seed = seed;
  options.partitions = 2;
  options.rows = 400;
  options.jitter_us = 4000000;
  options.lateness = Duration::Seconds(2);
  return options;
}

JobReport RunTbb(const NumbersOptions& numbers, Outputs* outputs, int lanes, int32_t batch_rows, int concurrency) {
  TbbRuntime::Options options;
  options.job.env = Env::Posix();
  options.job.lane_count = lanes;
  options.job.batch_row_count_max = batch_rows;
  options.job.checkpoint_every = Duration::Millis(5);
  options.concurrency = concurrency;
  const auto store = NewMemoryStore();
  options.job.store = store.get();
  auto runtime = TbbRuntime::Start(MakeSpec(numbers, outputs), options);
  REQUIRE(runtime.ok());
  while (!(*runtime)->Wait(Duration::Seconds(60))) {
  }
  JobReport report = (*runtime)->Finish();
  CHECK((*runtime)->body_count() > 0);
  CHECK_MESSAGE(report.status.ok(), report.status.ToString());
  CHECK(report.finished);
  return report;
}

SimResult RunSim(const NumbersOptions& numbers, Outputs* outputs, uint64_t seed, int lanes, int32_t batch_rows,
                 int crashes = 0, bool before_commit = false) {
  const auto store = NewMemoryStore();
  SimOptions options;
  options.job.store = store.get();
  options.job.lane_count = lanes;
  options.job.batch_row_count_max = batch_rows;
  options.seed = seed;
  options.crash_count_max = crashes;
  options.crash_chance = 0.003;
  options.crash_between_prepare_and_commit = before_commit;
  return RunSimulation([&] { return MakeSpec(numbers, outputs); }, options);
}

void CheckSame(const Outputs& expected, const Outputs& actual) {
  for (const auto& [id, collected] : expected) {
    CAPTURE(id);
    const auto& other = actual.at(id)->lines;
    REQUIRE(other.size() == collected->lines.size());
    for (size_t i = 0; i < other.size(); ++i) REQUIRE(other[i] == collected->lines[i]);
  }
}

TEST_CASE("Runtime_BothRuntimesLanesAndBatchSizes_GiveOneAnswer") {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    CAPTURE(seed);
    const NumbersOptions numbers = Disorderly(seed);
    Outputs expected;
    const SimResult reference = RunSim(numbers, &expected, 99, 1, 4096);
    REQUIRE_MESSAGE(reference.status.ok(), reference.status.ToString());
    CHECK(!expected["panes"]->lines.empty());
    CHECK(!expected["late"]->lines.empty());
    CHECK(!expected["too_late"]->lines.empty());
    for (const int lanes : {1, 2, 4}) {
      for (const int32_t batch : {1, 7, 4096}) {
        CAPTURE(lanes);
        CAPTURE(batch);
        Outputs sim;
        const SimResult result = RunSim(numbers, &sim, seed * 31 + static_cast<uint64_t>(lanes), lanes, batch);
        REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
        CheckSame(expected, sim);
        Outputs tbb;
        RunTbb(numbers, &tbb, lanes, batch, lanes);
        CheckSame(expected, tbb);
      }
    }
  }
}

TEST_CASE("Runtime_WindowsAgainstAPlainLoop_AreEqual") {
  NumbersOptions numbers = Disorderly(5);
  numbers.partitions = 1;
  Outputs outputs;
  RunTbb(numbers, &outputs, 2, 64, 2);
  std::map<std::pair<int64_t, int64_t>, int64_t> panes;
  int64_t late = 0, frontier = INT64_MIN;
  for (int64_t i = 0; i < numbers.rows; ++i) {
    const auto row = testing::NumbersRowAt(numbers, 0, i);
    const int64_t end = (row.at_us / 3000000 + 1) * 3000000;
    const bool is_late = frontier != INT64_MIN && end <= frontier - 2000000;
    frontier = std::max(frontier, row.at_us);
    if (row.k % 5 == 0) continue;
    if (is_late)
      ++late;
    else
      ++panes[{end, row.k}];
  }
  REQUIRE(outputs["late"]->lines.size() == static_cast<size_t>(late));
  REQUIRE(outputs["panes"]->lines.size() == panes.size());
  size_t i = 0;
  for (const auto& [key, count] : panes) {
    const std::string expected =
        "|" + std::to_string(key.first) + "|" + std::to_string(key.second) + "|" + std::to_string(count) + "|";
    CHECK(outputs["panes"]->lines[i++].find(expected) != std::string::npos);
  }
}

TEST_CASE("Simulation_CrashesAnywhere_OutputEqualsUndisturbedRun") {
  const NumbersOptions numbers = Disorderly(11);
  Outputs expected;
  REQUIRE(RunSim(numbers, &expected, 1, 1, 4096).status.ok());
  int crashes = 0, before_commit = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    Outputs outputs;
    const SimResult result =
        RunSim(numbers, &outputs, seed, 1 + static_cast<int>(seed % 4), seed % 3 == 0 ? 7 : 512, 5, seed % 2 == 0);
    REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
    crashes += result.crash_count;
    before_commit += result.crash_before_commit_count;
    CheckSame(expected, outputs);
  }
  MESSAGE("crashes ", crashes, ", of these between prepare and commit ", before_commit);
  CHECK(crashes > 100);
  CHECK(before_commit * 2 > crashes);
}

TEST_CASE("Simulation_RestoreAtAnotherLaneCount_OutputEqual") {
  const NumbersOptions numbers = Disorderly(21);
  Outputs expected;
  REQUIRE(RunSim(numbers, &expected, 1, 1, 4096).status.ok());
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Outputs outputs;
    const auto store = NewMemoryStore();
    SimOptions options;
    options.job.store = store.get();
    options.seed = seed;
    options.crash_chance = 0.01;
    // One life at each lane count: the first two end with a step limit in the middle, as a kill would.
    const int lanes[] = {1, 4, 2};
    SimResult result;
    options.epoch_chance = 0.2;
    for (int life = 0; life < 3; ++life) {
      options.job.lane_count = lanes[life];
      options.step_count_max = life < 2 ? 150 : 20000000;
      result = RunSimulation([&] { return MakeSpec(numbers, &outputs); }, options);
    }
    REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
    CheckSame(expected, outputs);
  }
}

TEST_CASE("Simulation_CreditOfOneRowAndTinyEdgeBudget_NoDeadlock") {
  NumbersOptions numbers = Disorderly(31);
  numbers.rows = 150;
  Outputs expected;
  REQUIRE(RunSim(numbers, &expected, 1, 1, 4096).status.ok());
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Outputs outputs;
    const auto store = NewMemoryStore();
    SimOptions options;
    options.job.store = store.get();
    options.job.lane_count = 1 + static_cast<int>(seed % 3);
    options.job.edge_budget_bytes = 1;
    options.job.batch_row_count_max = 3;
    options.seed = seed;
    const SimResult result = RunSimulation([&] { return MakeSpec(numbers, &outputs, 1); }, options);
    REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
    CheckSame(expected, outputs);
  }
}

TEST_CASE("TbbRuntime_ArenaOccupied_NothingMovesUntilItIsFree") {
  NumbersOptions numbers = Disorderly(51);
  numbers.rows = 200000;
  Outputs outputs;
  TbbRuntime::Options options;
  options.job.env = Env::Posix();
  options.job.checkpoint_every = Duration::Seconds(1);
  options.concurrency = 2;  // of one slot oneTBB makes two for enqueued tasks
  auto runtime = TbbRuntime::Start(MakeSpec(numbers, &outputs), options);
  REQUIRE(runtime.ok());
  const auto release = std::make_shared<std::atomic<bool>>(false);
  const auto started = std::make_shared<std::atomic<int>>(0);
  const int slots = (*runtime)->OccupyArena(release, started);
  for (int i = 0; i < 60000 && started->load() < slots; ++i) (*runtime)->Wait(Duration::Millis(1));
  REQUIRE(started->load() == slots);
  const int64_t bodies = (*runtime)->body_count();
  const size_t rows = outputs["rows"]->lines.size();
  CHECK(!(*runtime)->Wait(Duration::Millis(100)));
  CHECK((*runtime)->body_count() == bodies);
  CHECK(outputs["rows"]->lines.size() == rows);
  CHECK(rows < 300000);
  release->store(true);
  while (!(*runtime)->Wait(Duration::Seconds(60))) {
  }
  const JobReport report = (*runtime)->Finish();
  CHECK(report.finished);
  CHECK((*runtime)->body_count() > bodies);
}

/// The first seed at which a planted mistake shows, or 0.
uint64_t FindBug(PlantedBug bug, uint64_t seeds) {
  NumbersOptions numbers = Disorderly(41);
  Outputs expected;
  REQUIRE(RunSim(numbers, &expected, 1, 1, 4096).status.ok());
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    Outputs outputs;
    g_planted_bugs = static_cast<uint32_t>(bug);
    const SimResult result = RunSim(numbers, &outputs, seed, 1 + static_cast<int>(seed % 3), 64, 6, seed % 2 == 0);
    g_planted_bugs = 0;
    bool wrong = !result.status.ok();
    for (const auto& [id, collected] : expected) wrong = wrong || collected->lines != outputs[id]->lines;
    if (wrong) return seed;
  }
  return 0;
}

TEST_CASE("Simulation_PlantedBugs_AreEachFoundWithin1000Seeds") {
  const std::pair<PlantedBug, std::string> bugs[] = {
      {PlantedBug::kDropCredit, "drop a credit"},
      {PlantedBug::kForgetTimer, "forget a timer"},
      {PlantedBug::kLoseDirtyKey, "lose a dirty key"},
      {PlantedBug::kCommitPositionsFirst, "commit positions before state"},
      {PlantedBug::kSwapMessages, "swap two messages"}};
  for (const auto& [bug, name] : bugs) {
    CAPTURE(name);
    const uint64_t seed = FindBug(bug, 1000);
    MESSAGE(name, ": found at seed ", seed);
    CHECK(seed > 0);
  }
}

}  // namespace
}  // namespace freshet
