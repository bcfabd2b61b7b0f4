// Several runtimes in one arena: all finish, none starves, the answer is that of one alone.
#include <doctest/doctest.h>

#include "engine/flow/tbb_runtime.h"
#include "tests/support/flow_nodes.h"

namespace freshet {
namespace {

using testing::Collected;
using testing::NumbersOptions;

NumbersOptions Numbers(uint64_t seed, int64_t rows) {
  NumbersOptions options;
  options.seed = seed;
  options.rows = rows;
  return options;
}

/// numbers -> running count -> out; with `modulus` 1 nothing gets past the filter.
GraphSpec MakeSpec(const NumbersOptions& numbers, int64_t modulus, std::shared_ptr<Collected> into) {
  GraphSpec spec;
  spec.pipeline_name = "test";
  spec.nodes.push_back(testing::NumbersSource("numbers", numbers));
  const SchemaRef schema = testing::NumbersSchema();
  spec.nodes.push_back(testing::DropMultiples("kept", {0, 0}, schema, modulus));
  spec.nodes.push_back(testing::RunningCount("counted", {1, 0}, schema, InputOrder::kByArrival));
  spec.nodes.push_back(testing::CollectSink("out", {{2, 0}}, std::move(into)));
  return spec;
}

std::unique_ptr<TbbRuntime> Start(GraphSpec spec, std::shared_ptr<TbbArena> arena, int lanes = 2) {
  TbbRuntime::Options options;
  options.job.env = Env::Posix();
  options.job.lane_count = lanes;
  options.job.checkpoint_every = Duration::Millis(50);
  options.arena = std::move(arena);
  auto runtime = TbbRuntime::Start(std::move(spec), options);
  REQUIRE(runtime.ok());
  return std::move(*runtime);
}

int64_t RowsRead(const TbbRuntime& runtime) { return runtime.Report().nodes[0].counters.in; }

TEST_CASE("Arena_FourRuntimesAtOnce_EachGivesWhatItGivesAlone") {
  for (const int concurrency : {1, 2}) {
    CAPTURE(concurrency);
    const auto arena = std::make_shared<TbbArena>(concurrency);
    CHECK(arena->concurrency() == concurrency);
    std::vector<std::shared_ptr<Collected>> outputs;
    std::vector<std::unique_ptr<TbbRuntime>> runtimes;
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      outputs.push_back(std::make_shared<Collected>());
      runtimes.push_back(Start(MakeSpec(Numbers(seed, 3000), 5, outputs.back()), arena));
    }
    for (const auto& runtime : runtimes) {
      while (!runtime->Wait(Duration::Seconds(60))) {
      }
      const JobReport report = runtime->Finish();
      CHECK_MESSAGE(report.status.ok(), report.status.ToString());
      CHECK(report.finished);
    }
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      const auto alone = std::make_shared<Collected>();
      const auto runtime = Start(MakeSpec(Numbers(seed, 3000), 5, alone), nullptr);
      while (!runtime->Wait(Duration::Seconds(60))) {
      }
      runtime->Finish();
      CHECK(!alone->lines.empty());
      CHECK(outputs[seed - 1]->lines == alone->lines);
    }
  }
}

TEST_CASE("Arena_RunsThatAreOverAtOnce_AllEnd") {
  for (int round = 0; round < 200; ++round) {
    const auto runtime = Start(MakeSpec(Numbers(1, 20), 5, std::make_shared<Collected>()), nullptr);
    while (!runtime->Wait(Duration::Seconds(60))) {
    }
    CHECK(runtime->Finish().finished);
  }
}

/// Rows of the node `id` that came in.
int64_t RowsIn(const JobReport& report, const std::string& id) {
  for (const NodeReport& node : report.nodes)
    if (node.id == id) return node.counters.in;
  return 0;
}

constexpr int64_t kWithoutEnd = int64_t{1} << 40;
NumbersOptions Flood() {
  NumbersOptions options = Numbers(1, kWithoutEnd);
  options.step_us = 0;
  return options;
}
/// What a source that never pauses may read while another one of as many rows gets done; measured: 1 to 3 times as
/// much.
constexpr int64_t kShareMax = 100;

TEST_CASE("Arena_OneRuntimeFloods_AnotherStillGetsItsTurn") {
  const auto arena = std::make_shared<TbbArena>(1);
  // Where all rows are dropped at once and time stands still, the flood's credits are back before its next chunk:
  // nothing but turns stops it.
  const auto flood = Start(MakeSpec(Flood(), 1, std::make_shared<Collected>()), arena);
  while (RowsRead(*flood) < 200000) flood->Wait(Duration::Millis(1));
  const int64_t rows = 50000;
  const auto out = std::make_shared<Collected>();
  const int64_t before = RowsRead(*flood);
  const auto small = Start(MakeSpec(Numbers(2, rows), 5, out), arena);
  while (!small->Wait(Duration::Millis(20))) {
    // A flood that is served first would let the other one wait for ever.
    REQUIRE(RowsRead(*flood) - before < kShareMax * (rows + kSourceCreditRows));
  }
  CHECK(small->Finish().finished);
  while (RowsRead(*flood) <= before) flood->Wait(Duration::Millis(1));  // it goes on
  flood->StopNow();
  flood->Finish();
}

TEST_CASE("Arena_OneSourceFloods_AnotherOfThePipelineStillGetsItsTurn") {
  GraphSpec spec = MakeSpec(Flood(), 1, std::make_shared<Collected>());
  const int64_t rows = 50000;
  const auto out = std::make_shared<Collected>();
  spec.nodes.push_back(testing::NumbersSource("few", Numbers(2, rows)));
  spec.nodes.push_back(testing::CollectSink("few_out", {{4, 0}}, out));
  const auto runtime = Start(std::move(spec), std::make_shared<TbbArena>(1));
  for (;;) {
    runtime->Wait(Duration::Millis(1));
    const JobReport report = runtime->Report();
    if (RowsIn(report, "few") == rows) break;
    REQUIRE(RowsIn(report, "numbers") < kShareMax * (rows + kSourceCreditRows));
  }
  runtime->StopNow();
  runtime->Finish();
}

TEST_CASE("Arena_AllRowsDropped_WhatIsSentIsStillBounded") {
  // Only watermarks get past the filter: without credits of their own they would pile up before the next step.
  for (const int concurrency : {1, 2}) {
    CAPTURE(concurrency);
    const auto arena = std::make_shared<TbbArena>(concurrency);
    const auto runtime = Start(MakeSpec(Numbers(1, kWithoutEnd), 1, std::make_shared<Collected>()), arena);
    int64_t queued = 0;
    while (RowsRead(*runtime) < 3000000) {
      runtime->Wait(Duration::Millis(1));
      for (const NodeReport& node : runtime->Report().nodes) queued = std::max(queued, node.queued);
    }
    // A chunk has 64 rows: that many chunks may be under way, a watermark each to two lanes, and barriers.
    CHECK(queued <= 3 * (kSourceCreditRows / 64));
    runtime->StopNow();
    runtime->Finish();
  }
}

TEST_CASE("Arena_OneRuntimeIsStoppedOrFails_TheOthersGoOn") {
  const auto arena = std::make_shared<TbbArena>(2);
  const auto out = std::make_shared<Collected>();
  auto stopped = Start(MakeSpec(Numbers(1, int64_t{1} << 40), 1, std::make_shared<Collected>()), arena);
  const auto other = Start(MakeSpec(Numbers(2, 100000), 5, out), arena);
  stopped->StopNow();
  stopped->Finish();
  stopped.reset();
  while (!other->Wait(Duration::Seconds(60))) {
  }
  CHECK(other->Finish().finished);
  CHECK(!out->lines.empty());
}

}  // namespace
}  // namespace freshet
