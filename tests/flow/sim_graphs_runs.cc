#include "tests/flow/sim_graphs_runs.h"

#include <doctest/doctest.h>

#include "tests/flow/sim_graphs.h"

namespace freshet::testing {
namespace {

/// Where no two runs are the same: that all rows were read and nothing broke.
std::string LooseRun(const RandomPipeline& pipeline, const SimResult& result) {
  if (!result.status.ok()) return result.status.ToString() + "\n" + pipeline.text();
  int64_t read = 0;
  for (const NodeReport& node : result.report.nodes)
    if (node.id.starts_with("s")) read += node.counters.in;
  if (read == pipeline.row_count() || result.report.checkpoint_count == 0) return {};
  return "read " + std::to_string(read) + " of " + std::to_string(pipeline.row_count()) + " rows\n" + pipeline.text();
}

std::string RunOne(uint64_t seed, bool windows, SimResult* result, PlantedBug bug = PlantedBug::kNone) {
  const RandomPipeline pipeline(seed, windows);
  if (ReplaySeed() > 0) MESSAGE(pipeline.text());
  if (!pipeline.problems().empty()) return "the generator writes wrong pipelines: " + pipeline.problems();
  Outputs expected;
  const SimResult undisturbed = RunUndisturbed([&] { return pipeline.Spec(&expected); }, seed);
  if (!undisturbed.status.ok()) return "undisturbed: " + undisturbed.status.ToString() + "\n" + pipeline.text();
  Disturbance disturbance;
  disturbance.rocksdb = seed % 8 == 0;
  disturbance.memory_limits = true;
  Outputs outputs;
  g_planted_bugs = static_cast<uint32_t>(bug);
  *result = RunDisturbed([&] { return pipeline.Spec(&outputs); }, seed, disturbance);
  g_planted_bugs = 0;
  if (!pipeline.comparable()) return LooseRun(pipeline, *result);
  std::string wrong = result->status.ok() ? DifferenceOf(expected, outputs) : result->status.ToString();
  if (wrong.empty()) wrong = CounterDifferenceOf(undisturbed.report, result->report);
  return wrong.empty() ? wrong : wrong + "\n" + pipeline.text();
}

}  // namespace

uint64_t FirstSeedThatFinds(const PlantedBugName& planted, uint64_t count) {
  for (uint64_t seed = 1; seed <= count; ++seed) {
    SimResult result;
    const std::string wrong = RunOne(seed, seed % 2 == 0, &result, planted.bug);
    if (wrong.empty()) continue;
    MESSAGE("seed ", seed, " finds \"", std::string(planted.name), "\": ", wrong);
    return seed;
  }
  return 0;
}

void RunRandomPipelines(const std::string& test_case, uint64_t count, bool windows) {
  SimResult total;
  for (const uint64_t seed : SeedsOf(count)) {
    SimResult result;
    const std::string wrong = RunOne(seed, windows, &result);
    CHECK_MESSAGE(wrong.empty(), wrong, "replay: ", ReplayCommand(test_case, seed));
    Add(result, &total);
  }
  MESSAGE(count, " seeds: ", SummaryOf(total));
  if (ReplaySeed() > 0) return;
  CHECK(total.report.memory_dropped_bytes > 0);
  CHECK(total.report.memory_spilled_bytes > 0);
}

}  // namespace freshet::testing
