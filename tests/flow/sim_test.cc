// The simulator: whatever is drawn, the output is that of a run to which nothing happened; and it finds what is
// planted.
#include <doctest/doctest.h>

#include "engine/flow/planted_bugs.h"
#include "tests/flow/sim_cases.h"

namespace freshet {
namespace {

using testing::CheckSame;
using testing::Disorderly;
using testing::Disturbance;
using testing::MakeSpec;
using testing::NumbersOptions;
using testing::Outputs;

/// One disturbed run of the fixed pipeline; "" or what was wrong.
std::string RunDisturbed(const NumbersOptions& numbers, const Outputs& expected, const JobReport& report, uint64_t seed,
                         const Disturbance& disturbance, SimResult* result) {
  Outputs outputs;
  // With little credit a source cannot run ahead: more epochs fall between its rows.
  constexpr int64_t kCreditRows[] = {1, 40, 300, kSourceCreditRows};
  const int64_t credit_rows = kCreditRows[Mix64(seed * 3) % 4];
  *result = testing::RunDisturbed([&] { return MakeSpec(numbers, &outputs, credit_rows); }, seed, disturbance);
  if (!result->status.ok()) return result->status.ToString();
  const std::string difference = testing::DifferenceOf(expected, outputs);
  return difference.empty() ? testing::CounterDifferenceOf(report, result->report) : difference;
}

void RunSeeds(const std::string& test_case, uint64_t count, const Disturbance& disturbance) {
  NumbersOptions numbers = Disorderly(11);
  numbers.chunk_rows = 20;
  Outputs expected;
  const SimResult quiet = testing::RunUndisturbed(numbers, &expected, 1);
  REQUIRE(quiet.status.ok());
  SimResult total;
  for (const uint64_t seed : testing::SeedsOf(count)) {
    SimResult result;
    const std::string wrong = RunDisturbed(numbers, expected, quiet.report, seed, disturbance, &result);
    REQUIRE_MESSAGE(wrong.empty(), wrong, "\nreplay: ", testing::ReplayCommand(test_case, seed));
    testing::Add(result, &total);
  }
  MESSAGE(testing::SummaryOf(total));
  if (testing::ReplaySeed() == 0) CHECK(total.crash_before_commit_count * 4 > total.crash_count);
}

TEST_CASE("Simulation_CrashesAnywhere_OutputEqualsUndisturbedRun") {
  Disturbance disturbance;
  disturbance.faults = false;
  RunSeeds("Simulation_CrashesAnywhere_OutputEqualsUndisturbedRun", 60, disturbance);
}

TEST_CASE("Simulation_AllFaults_OutputEqualsUndisturbedRun") {
  RunSeeds("Simulation_AllFaults_OutputEqualsUndisturbedRun", 100, {});
}

TEST_CASE("Simulation_PowerCutsUnderRocksDb_OutputEqualsUndisturbedRun") {
  Disturbance disturbance;
  disturbance.rocksdb = true;
  RunSeeds("Simulation_PowerCutsUnderRocksDb_OutputEqualsUndisturbedRun", 30, disturbance);
}

TEST_CASE("Simulation_RestoreAtAnotherLaneCount_OutputEqual") {
  const NumbersOptions numbers = Disorderly(21);
  Outputs expected;
  REQUIRE(testing::RunUndisturbed(numbers, &expected, 1).status.ok());
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
  REQUIRE(testing::RunUndisturbed(numbers, &expected, 1).status.ok());
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

/// The first seed at which a planted mistake shows, or 0.
uint64_t FindBug(const PlantedBugName& planted, uint64_t seeds) {
  NumbersOptions numbers = Disorderly(41);
  numbers.keys = 60;  // rarely touched ones show what a checkpoint lost
  numbers.chunk_rows = 20;
  Outputs expected;
  const SimResult quiet = testing::RunUndisturbed(numbers, &expected, 1);
  REQUIRE(quiet.status.ok());
  Disturbance disturbance;
  disturbance.rocksdb = planted.bug == PlantedBug::kUnsyncedCommit;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    SimResult result;
    g_planted_bugs = static_cast<uint32_t>(planted.bug);
    const std::string wrong = RunDisturbed(numbers, expected, quiet.report, seed, disturbance, &result);
    g_planted_bugs = 0;
    if (wrong.empty()) continue;
    MESSAGE("seed ", seed, " finds \"", std::string(planted.name), "\": ", wrong);
    return seed;
  }
  return 0;
}

TEST_CASE("Simulation_PlantedBugs_AreEachFoundWithin1000Seeds") {
  for (const PlantedBugName& planted : kPlantedBugs)
    CHECK_MESSAGE(FindBug(planted, 1000) > 0, std::string(planted.name));
}

}  // namespace
}  // namespace freshet
