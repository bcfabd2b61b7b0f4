// Pipelines of real operators drawn from seeds, disturbed in every way: the output is that of an undisturbed run.
#include <doctest/doctest.h>

#include "tests/flow/sim_graphs_runs.h"

namespace freshet {

TEST_CASE("Simulation_RandomPipelines_OutputEqualsUndisturbedRun") {
  testing::RunRandomPipelines("Simulation_RandomPipelines_OutputEqualsUndisturbedRun", 200);
}

TEST_CASE("Simulation_RandomWindows_OutputEqualsUndisturbedRun") {
  testing::RunRandomPipelines("Simulation_RandomWindows_OutputEqualsUndisturbedRun", 200, true);
}

TEST_CASE("Simulation_PlantedMemoryBugs_AreEachFoundWithin1000Seeds") {
  for (const PlantedBugName& planted : kPlantedMemoryBugs)
    CHECK_MESSAGE(testing::FirstSeedThatFinds(planted, 1000) > 0, std::string(planted.name));
}

}  // namespace freshet
