// The same pipelines on both runtimes, at several lane counts and batch sizes, with and without crashes: one answer.
#include <doctest/doctest.h>

#include <atomic>
#include <map>

#include "engine/flow/tbb_runtime.h"
#include "tests/flow/sim_cases.h"

namespace freshet {
namespace {

using testing::CheckSame;
using testing::Disorderly;
using testing::MakeSpec;
using testing::NumbersOptions;
using testing::Outputs;

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

TEST_CASE("Runtime_BothRuntimesLanesAndBatchSizes_GiveOneAnswer") {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    CAPTURE(seed);
    const NumbersOptions numbers = Disorderly(seed);
    Outputs expected;
    const SimResult reference = testing::RunUndisturbed(numbers, &expected, 99);
    REQUIRE_MESSAGE(reference.status.ok(), reference.status.ToString());
    CHECK(!expected["panes"]->lines.empty());
    CHECK(!expected["late"]->lines.empty());
    CHECK(!expected["too_late"]->lines.empty());
    for (const int lanes : {1, 2, 4}) {
      for (const int32_t batch : {1, 7, 4096}) {
        CAPTURE(lanes);
        CAPTURE(batch);
        Outputs sim;
        const SimResult result =
            testing::RunUndisturbed(numbers, &sim, seed * 31 + static_cast<uint64_t>(lanes), lanes, batch);
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

}  // namespace
}  // namespace freshet
