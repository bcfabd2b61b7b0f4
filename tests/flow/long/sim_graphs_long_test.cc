// The long run of the simulator: ten thousand seeds.
#include <doctest/doctest.h>

#include "tests/flow/sim_graphs_runs.h"

namespace freshet {

TEST_CASE("Simulation_TenThousandRandomPipelines_OutputEqualsUndisturbedRun") {
  testing::RunRandomPipelines("Simulation_TenThousandRandomPipelines_OutputEqualsUndisturbedRun", 10000);
}

TEST_CASE("Simulation_TenThousandRandomWindows_OutputEqualsUndisturbedRun") {
  testing::RunRandomPipelines("Simulation_TenThousandRandomWindows_OutputEqualsUndisturbedRun", 10000, true);
}

}  // namespace freshet
