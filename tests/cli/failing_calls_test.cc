// Every call to the outside fails once: whatever the run says then, a clean run on the same state ends with the output
// of an undisturbed one.
#include <doctest/doctest.h>

#include "engine/base/fault_env.h"
#include "engine/cli/loading.h"
#include "engine/flow/sim_runtime.h"
#include "tests/cli/program.h"
#include "tests/cli/sample.h"

namespace freshet::testing {
namespace {

constexpr const char* kPipeline = R"(name: faulty
sources:
  in:
    type: file
    path: in.ndjson
    format: ndjson
    schema: {at: timestamp, k: string, v: int64}
    time: {field: at, lateness: 1s}
operators:
  w:
    type: window
    inputs: [in]
    window: {tumbling: 10s}
    key: [k]
    aggregates:
      n: count()
      s: sum(v)
  hot:
    type: alert
    inputs: [w]
    when: s > 300
    key: [k]
    message: "{k} is hot"
sinks:
  windows:
    type: file
    path: windows.ndjson
    inputs: [w]
  alerts:
    type: file
    path: alerts.csv
    inputs: [hot]
)";

std::string Rows() {
  std::string rows = SampleRows(0, 200) + "{torn\n" + SampleRows(200, 400);
  return rows + "also torn\n" + SampleRows(400, 500);
}

struct Outcome {
  SimResult result;
  std::string windows;
  std::string alerts;
  std::string dead;
};

Outcome RunOnce(const Workshop& shop, Env* env, uint64_t seed) {
  Diagnostics diagnostics;
  LoadOptions load;
  load.registry = &cli::AllNodeTypes();
  SimOptions options;
  options.job.env = env;
  options.job.state_directory = shop.Path("state");
  options.job.batch_row_count_max = 64;
  options.seed = seed;
  options.epoch_chance = 0.05;
  Outcome outcome;
  outcome.result = RunSimulation(
      [&] {
        std::optional<Pipeline> pipeline = LoadPipeline(shop.Path("p.yaml"), load, &diagnostics);
        REQUIRE_MESSAGE(pipeline.has_value(), diagnostics.Render(false));
        return pipeline->graph;
      },
      options);
  outcome.windows = shop.Read("windows.ndjson");
  outcome.alerts = shop.Read("alerts.csv");
  outcome.dead = shop.Read("state/dead_letter/in.ndjson");
  for (size_t at; (at = outcome.dead.find(shop.Path(""))) != std::string::npos;)
    outcome.dead.erase(at, shop.Path("").size());
  return outcome;
}

void Fill(const Workshop& shop) {
  shop.Write("p.yaml", kPipeline);
  shop.Write("in.ndjson", Rows());
}

TEST_CASE("Run_AnyFailingCall_ACleanRunAfterItEndsWithTheSameBytes") {
  Outcome expected;
  {
    const Workshop shop;
    Fill(shop);
    expected = RunOnce(shop, Env::Posix(), 1);
    REQUIRE_MESSAGE(expected.result.status.ok(), expected.result.status.ToString());
    REQUIRE(expected.windows.size() > 1000);
    REQUIRE(expected.dead.find("also torn") != std::string::npos);
  }
  for (const bool retryable : {false, true}) {
    int failed_runs = 0;
    int64_t n = 0;
    for (;; ++n) {
      REQUIRE(n < 2000);
      CAPTURE(retryable);
      CAPTURE(n);
      const Workshop shop;
      Fill(shop);
      FaultEnv env(Env::Posix());
      env.FailAfter(n, retryable ? Status::NoSpace("injected: no space left") : Status::Io("injected: input/output"));
      const Outcome first = RunOnce(shop, &env, 1 + static_cast<uint64_t>(n) % 5);
      if (!first.result.status.ok()) ++failed_runs;
      if (env.fault_count() == 0) {
        REQUIRE_MESSAGE(first.result.status.ok(), first.result.status.ToString());
        break;
      }
      const Outcome again = RunOnce(shop, Env::Posix(), 7);
      REQUIRE_MESSAGE(again.result.status.ok(), again.result.status.ToString());
      REQUIRE(again.windows == expected.windows);
      REQUIRE(again.alerts == expected.alerts);
      REQUIRE(again.dead == expected.dead);
    }
    MESSAGE("calls " << n << ", runs that failed " << failed_runs);
    CHECK(n > 30);
    CHECK(failed_runs > 10);
  }
}

}  // namespace
}  // namespace freshet::testing
