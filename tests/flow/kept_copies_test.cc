// Copies of the state that a run keeps beside it.
#include <doctest/doctest.h>

#include "engine/flow/sim_runtime.h"
#include "tests/state/temp_directory.h"
#include "tests/support/flow_nodes.h"

namespace freshet {
namespace {

TEST_CASE("Job_KeepsCopies_TheNewestTwoEachAWholeState") {
  TempDirectory directory;
  const auto lines = std::make_shared<testing::Collected>();
  testing::NumbersOptions numbers;
  numbers.rows = 2000;
  SimOptions options;
  options.job.state_directory = directory.path();
  options.job.keep_every = Duration{};
  options.epoch_chance = 0.3;
  const SimResult result = RunSimulation(
      [&] {
        GraphSpec spec;
        spec.pipeline_name = "kept";
        spec.nodes.push_back(testing::NumbersSource("numbers", numbers));
        spec.nodes.push_back(testing::RunningCount("count", {0, 0}, testing::NumbersSchema(), InputOrder::kByArrival));
        spec.nodes.push_back(testing::CollectSink("rows", {{1, 0}}, lines));
        return spec;
      },
      options);
  REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
  REQUIRE(result.report.checkpoint_count > 3);
  const auto names = Env::Posix()->List(directory.path() + "/kept");
  REQUIRE(names.ok());
  REQUIRE(names->size() == 2);
  uint64_t before = 0;
  for (const std::string& name : *names) {
    const auto store = OpenRocksDbStoreReadOnly(Env::Posix(), directory.path() + "/kept/" + name);
    REQUIRE_MESSAGE(store.ok(), store.status().message());
    const auto manifest = (*store)->Load();
    REQUIRE(manifest.ok());
    REQUIRE(manifest->has_value());
    CHECK((*manifest)->epoch.number == std::stoull(name));
    CHECK((*manifest)->epoch.number > before);
    before = (*manifest)->epoch.number;
  }
  CHECK(before == result.report.committed.number);
}

}  // namespace
}  // namespace freshet
