// A job over the state of a run that took all its input.
#include <doctest/doctest.h>

#include "engine/flow/sim_runtime.h"
#include "tests/state/temp_directory.h"
#include "tests/support/flow_nodes.h"

namespace freshet {
namespace {

struct NoCarrier final : Carrier {
  void Send(Envelope) override {}
  void Nudge(int) override {}
};

GraphSpec CountSpec(bool restartable) {
  GraphSpec spec;
  spec.pipeline_name = "counted";
  spec.nodes.push_back(testing::NumbersSource("numbers", {}));
  spec.nodes.push_back(testing::RunningCount("count", {0, 0}, testing::NumbersSchema(), InputOrder::kByArrival));
  spec.nodes.push_back(testing::CollectSink("rows", {{1, 0}}, std::make_shared<testing::Collected>()));
  std::get<SinkNode>(spec.nodes[2].kind).bound.restartable = restartable;
  return spec;
}

TEST_CASE("Job_AlreadyFinished_KnowsItsLastCheckpointAndTables") {
  for (const bool restartable : {false, true}) {
    CAPTURE(restartable);
    const TempDirectory directory;
    SimOptions options;
    options.job.state_directory = directory.path();
    const SimResult run = RunSimulation([&] { return CountSpec(restartable); }, options);
    REQUIRE_MESSAGE(run.status.ok(), run.status.ToString());
    REQUIRE(run.report.finished);
    NoCarrier carrier;
    options.job.env = Env::Posix();
    const auto job = Job::Make(CountSpec(restartable), options.job, &carrier);
    REQUIRE_MESSAGE(job.ok(), job.status().ToString());
    CHECK((*job)->already_finished() == !restartable);
    CheckpointStore* store = nullptr;
    const auto tables = (*job)->ReadCommitted(&store);
    REQUIRE(tables.ok());
    // A sink that keeps nothing lets the run start over, and nothing is known of what was thrown away.
    CHECK(tables->empty() == restartable);
    CHECK((*job)->Report().committed.number == (restartable ? 0 : run.report.committed.number));
    CHECK((*job)->restored_manifest().epoch.number == (restartable ? 0 : run.report.committed.number));
  }
}

}  // namespace
}  // namespace freshet
