#include "tests/flow/sim_graphs_runs.h"

#include <doctest/doctest.h>

#include "tests/flow/sim_graphs.h"

namespace freshet::testing {
namespace {

std::string RunOne(uint64_t seed, SimResult* result) {
  const RandomPipeline pipeline(seed);
  if (!pipeline.problems().empty()) return "the generator writes wrong pipelines: " + pipeline.problems();
  Outputs expected;
  const SimResult undisturbed = RunUndisturbed([&] { return pipeline.Spec(&expected); }, seed);
  if (!undisturbed.status.ok()) return "undisturbed: " + undisturbed.status.ToString() + "\n" + pipeline.text();
  Disturbance disturbance;
  disturbance.rocksdb = seed % 8 == 0;
  Outputs outputs;
  *result = RunDisturbed([&] { return pipeline.Spec(&outputs); }, seed, disturbance);
  std::string wrong = result->status.ok() ? DifferenceOf(expected, outputs) : result->status.ToString();
  if (wrong.empty()) wrong = CounterDifferenceOf(undisturbed.report, result->report);
  return wrong.empty() ? wrong : wrong + "\n" + pipeline.text();
}

}  // namespace

void RunRandomPipelines(const std::string& test_case, uint64_t count) {
  SimResult total;
  for (const uint64_t seed : SeedsOf(count)) {
    SimResult result;
    const std::string wrong = RunOne(seed, &result);
    CHECK_MESSAGE(wrong.empty(), wrong, "replay: ", ReplayCommand(test_case, seed));
    Add(result, &total);
  }
  MESSAGE(count, " seeds: ", SummaryOf(total));
}

}  // namespace freshet::testing
