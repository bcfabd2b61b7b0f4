// A checkpoint that fails or is slow costs nothing but time: the run goes on, and its output is that of a quiet run.
#include <doctest/doctest.h>

#include <deque>
#include <future>

#include "engine/base/rng.h"
#include "engine/flow/sim_faults.h"
#include "engine/flow/sim_runtime.h"
#include "engine/flow/tbb_runtime.h"
#include "tests/support/flow_nodes.h"

namespace freshet {
namespace {

using testing::Collected;
using testing::NumbersOptions;

/// A memory store that refuses commits when `refuses` says so.
class RefusingStore final : public CheckpointStore {
 public:
  explicit RefusingStore(std::function<Status()> refuses) : refuses_(std::move(refuses)) {}
  Result<std::optional<Manifest>> Load() override { return store_->Load(); }
  Status Commit(const Manifest& manifest, EpochRows&& rows) override {
    FRESHET_RETURN_IF_ERROR(refuses_());
    return store_->Commit(manifest, std::move(rows));
  }
  Status Scan(TableId table, uint16_t first, uint16_t last,
              const std::function<Status(uint16_t, std::string_view, std::string_view)>& visit) override {
    return store_->Scan(table, first, last, visit);
  }
  Result<std::optional<std::string>> Get(TableId table, uint16_t group, std::string_view key) override {
    return store_->Get(table, group, key);
  }

 private:
  std::unique_ptr<CheckpointStore> store_ = NewMemoryStore();
  const std::function<Status()> refuses_;
};

/// A sink whose calls fail for want of room when `full` says so. It checks the protocol: every epoch is prepared, then
/// committed or aborted, in order.
class FullSink final : public Sink {
 public:
  FullSink(std::unique_ptr<Sink> inner, std::function<bool()> full)
      : inner_(std::move(inner)), full_(std::move(full)) {}
  Status Open(const SinkOpenContext& ctx) override { return inner_->Open(ctx); }
  Status Write(const Batch& batch, int64_t first_ordinal) override {
    if (full_()) return Status::NoSpace("no room to write");
    return inner_->Write(batch, first_ordinal);
  }
  Result<std::string> PrepareCommit(Epoch epoch) override {
    const bool again = !asked_.empty() && asked_.back() == std::pair(epoch, false);
    if (again) asked_.pop_back();
    if (!asked_.empty() && epoch <= asked_.back().first) return Status::Internal("epochs are prepared out of order");
    asked_.emplace_back(epoch, !full_());
    if (!asked_.back().second) return Status::NoSpace("no room to prepare");
    return inner_->PrepareCommit(epoch);
  }
  Status Commit(Epoch epoch) override {
    if (asked_.empty() || asked_.front() != std::pair(epoch, true))
      return Status::Internal("an epoch was committed that was not prepared");
    if (full_()) return Status::NoSpace("no room to commit");
    asked_.pop_front();
    return inner_->Commit(epoch);
  }
  Status Abort(Epoch epoch) override {
    if (asked_.empty() || asked_.front().first != epoch)
      return Status::Internal("an epoch was aborted that was not prepared");
    asked_.pop_front();
    return inner_->Abort(epoch);
  }

 private:
  std::unique_ptr<Sink> inner_;
  const std::function<bool()> full_;
  std::deque<std::pair<Epoch, bool>> asked_;  // prepared, with what success
};

struct Outputs {
  std::shared_ptr<Collected> counted = std::make_shared<Collected>();
  std::shared_ptr<Collected> windows = std::make_shared<Collected>();
};

void MakeFull(NodeSpec* sink, const std::function<bool()>& full) {
  BoundSink& bound = std::get<SinkNode>(sink->kind).bound;
  bound.make_sink = [make = bound.make_sink, full] { return std::make_unique<FullSink>(make(), full); };
}

/// numbers -> running count -> counted; numbers -> windows -> windows.
GraphSpec MakeSpec(const NumbersOptions& numbers, const Outputs& outputs, const std::function<bool()>& full) {
  GraphSpec spec;
  spec.pipeline_name = "test";
  spec.nodes.push_back(testing::NumbersSource("numbers", numbers));
  spec.nodes.push_back(testing::RunningCount("count", {0, 0}, testing::NumbersSchema(), InputOrder::kByArrival));
  spec.nodes.push_back(testing::CountWindow("window", {0, 0}, testing::NumbersSchema(), Duration::Seconds(7)));
  spec.nodes.push_back(testing::CollectSink("counted", {{1, 0}}, outputs.counted));
  spec.nodes.push_back(testing::CollectSink("windows", {{2, 0}}, outputs.windows));
  MakeFull(&spec.nodes[3], full);
  MakeFull(&spec.nodes[4], full);
  return spec;
}

NumbersOptions Numbers(int64_t rows) {
  NumbersOptions numbers;
  numbers.rows = rows;
  numbers.jitter_us = 900000;
  return numbers;
}

Outputs Undisturbed(const NumbersOptions& numbers) {
  const Outputs outputs;
  const auto store = NewMemoryStore();
  SimOptions options;
  options.job.store = store.get();
  const SimResult result = RunSimulation([&] { return MakeSpec(numbers, outputs, [] { return false; }); }, options);
  REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
  return outputs;
}

TEST_CASE("Simulation_CommitsPreparesAndWritesFailAtRandom_OutputIsThatOfAQuietRun") {
  const NumbersOptions numbers = Numbers(2000);
  const Outputs expected = Undisturbed(numbers);
  REQUIRE(expected.windows->lines.size() > 20);
  int64_t failed = 0;
  int64_t crashes = 0;
  for (uint64_t seed = 1; seed <= 120; ++seed) {
    CAPTURE(seed);
    Rng rng(seed * 31);
    RefusingStore store([&] {
      switch (rng.Below(5)) {
        case 0:
          return Status::NoSpace("full");
        case 1:
          return Status::Io("input/output error");
        case 2:
          return Status::Unavailable("busy");
        default:
          return Status::Ok();
      }
    });
    const Outputs outputs;
    const uint64_t fullness = seed % 4;
    SimOptions options;
    options.job.store = &store;
    options.job.lane_count = 1 + static_cast<int>(seed % 3);
    options.job.batch_row_count_max = seed % 2 == 0 ? 64 : 4096;
    if (seed % 3 == 0) options.job.checkpoint_timeout = Duration::Millis(20);
    options.seed = seed;
    options.epoch_chance = 0.2;
    options.crash_chance = 0.002;
    options.crash_count_max = 3;
    options.crash_between_prepare_and_commit = seed % 5 == 0;
    options.step_count_max = 1000000;
    const SimResult result =
        RunSimulation([&] { return MakeSpec(numbers, outputs, [&] { return rng.Below(8) < fullness; }); }, options);
    REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
    const auto manifest = store.Load();  // the last crash may have come after the last commit
    REQUIRE(manifest.ok());
    REQUIRE((*manifest)->finished);
    failed += result.report.checkpoint_failed_count;
    crashes += result.crash_count;
    REQUIRE(outputs.counted->lines == expected.counted->lines);
    REQUIRE(outputs.windows->lines == expected.windows->lines);
  }
  CHECK(failed > 200);
  CHECK(crashes > 50);
}

TEST_CASE("Simulation_EveryEpochIsTooSlow_TheLastOneIsCommitted") {
  const NumbersOptions numbers = Numbers(1500);
  const Outputs expected = Undisturbed(numbers);
  const auto store = NewMemoryStore();
  const Outputs outputs;
  SimOptions options;
  options.job.store = store.get();
  options.job.checkpoint_timeout = Duration{1};
  options.epoch_chance = 0.5;
  const SimResult result = RunSimulation([&] { return MakeSpec(numbers, outputs, [] { return false; }); }, options);
  REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
  CHECK(result.report.finished);
  CHECK(result.report.checkpoint_count <= 2);
  CHECK(result.report.checkpoint_failed_count > 0);
  CHECK(result.report.checkpoint_last_error.find("settings.checkpoint.timeout") != std::string::npos);
  CHECK(outputs.counted->lines == expected.counted->lines);
}

TEST_CASE("Job_EpochTakesTooLong_CountsAsFailedAtOnce") {
  const auto store = NewMemoryStore();
  const Outputs outputs;
  SimEnv env(Env::Posix());
  struct NoCarrier final : Carrier {
    void Send(Envelope) override {}
    void Nudge(int) override {}
  } carrier;
  JobOptions options;
  options.env = &env;
  options.store = store.get();
  options.checkpoint_timeout = Duration::Seconds(5);
  auto job = Job::Make(MakeSpec(Numbers(10), outputs, [] { return false; }), options, &carrier);
  REQUIRE_MESSAGE(job.ok(), job.status().ToString());
  (void)(*job)->BeginEpoch(false);
  env.Advance(4000000);
  (*job)->GiveUpSlowEpoch();
  CHECK((*job)->last_failure().ok());
  env.Advance(2000000);
  for (int again = 0; again < 3; ++again) (*job)->GiveUpSlowEpoch();
  // No cell has answered, and still it is known: a stop would end with this reason.
  CHECK((*job)->epoch_under_way());
  CHECK((*job)->Report().checkpoint_failed_count == 1);
  CHECK((*job)->last_failure().message().find("settings.checkpoint.timeout") != std::string::npos);
  CHECK_FALSE((*job)->paused());
}

/// Waits for something that another thread makes true.
template <class F>
bool Eventually(TbbRuntime& runtime, F&& f) {
  for (int i = 0; i < 6000; ++i) {
    if (f()) return true;
    if (runtime.Wait(Duration::Millis(5))) return f();
  }
  return false;
}

TEST_CASE("TbbRuntime_DiskFullDuringCheckpoints_PausesAndGoesOnWhenThereIsRoom") {
  NumbersOptions numbers = Numbers(400000);
  std::atomic<bool> full{true};
  std::atomic<int> attempts{0};
  RefusingStore store([&] {
    ++attempts;
    return full ? Status::NoSpace("the disk is full") : Status::Ok();
  });
  const Outputs outputs;
  TbbRuntime::Options options;
  options.job.env = Env::Posix();
  options.job.store = &store;
  options.job.checkpoint_every = Duration::Millis(1);
  options.concurrency = 1;
  auto started = TbbRuntime::Start(MakeSpec(numbers, outputs, [] { return false; }), options);
  REQUIRE(started.ok());
  TbbRuntime& runtime = **started;
  REQUIRE(Eventually(runtime, [&] { return runtime.Report().paused; }));
  // What was under way comes to rest, then nothing more is read, however often a checkpoint is tried.
  const auto records = [&] { return runtime.Report().nodes[0].counters.in; };
  int64_t seen = -1;
  REQUIRE(Eventually(runtime, [&] { return std::exchange(seen, records()) == seen && attempts > 3; }));
  const int attempts_before = attempts;
  const int64_t records_before = records();
  REQUIRE(Eventually(runtime, [&] { return attempts > attempts_before + 2; }));
  CHECK(records() == records_before);
  CHECK(records_before < numbers.rows);
  CHECK(runtime.Report().checkpoint_failed_count > 3);
  CHECK(runtime.Report().checkpoint_last_error.find("full") != std::string::npos);
  full = false;
  REQUIRE(runtime.Wait(Duration::Seconds(120)));
  const JobReport report = runtime.Finish();
  CHECK_MESSAGE(report.status.ok(), report.status.ToString());
  CHECK(report.finished);
  CHECK(!report.paused);
  CHECK(static_cast<int64_t>(outputs.counted->lines.size()) == numbers.rows);
}

TEST_CASE("TbbRuntime_OutputFull_WaitsInFrontOfItAndGoesOn") {
  NumbersOptions numbers = Numbers(30000);
  std::atomic<bool> full{false};
  std::atomic<int> refused{0};
  const Outputs outputs;
  const auto store = NewMemoryStore();
  TbbRuntime::Options options;
  options.job.env = Env::Posix();
  options.job.store = store.get();
  options.job.checkpoint_every = Duration::Millis(20);
  options.concurrency = 1;
  auto spec = MakeSpec(numbers, outputs, [&] {
    if (full && refused < 4) return ++refused > 0;
    return false;
  });
  full = true;
  auto started = TbbRuntime::Start(std::move(spec), options);
  REQUIRE(started.ok());
  REQUIRE((*started)->Wait(Duration::Seconds(120)));
  const JobReport report = (*started)->Finish();
  CHECK_MESSAGE(report.status.ok(), report.status.ToString());
  CHECK(report.finished);
  CHECK(refused == 4);
  CHECK(static_cast<int64_t>(outputs.counted->lines.size()) == numbers.rows);
}

TEST_CASE("TbbRuntime_StoppedWhileTheDiskIsFull_EndsWithTheReasonAndTheLastCheckpointCounts") {
  NumbersOptions numbers = Numbers(100000000);
  std::atomic<int> commits{0};
  RefusingStore store([&] { return ++commits > 2 ? Status::NoSpace("the disk is full") : Status::Ok(); });
  const Outputs outputs;
  TbbRuntime::Options options;
  options.job.env = Env::Posix();
  options.job.store = &store;
  options.job.checkpoint_every = Duration::Millis(1);
  options.job.stop_patience = Duration::Millis(100);
  options.concurrency = 1;
  auto started = TbbRuntime::Start(MakeSpec(numbers, outputs, [] { return false; }), options);
  REQUIRE(started.ok());
  REQUIRE(Eventually(**started, [&] { return (*started)->Report().paused; }));
  (*started)->RequestStop();
  REQUIRE((*started)->Wait(Duration::Seconds(60)));
  const JobReport report = (*started)->Finish();
  CHECK(report.status.code() == StatusCode::kNoSpace);
  CHECK(!report.finished);
  CHECK(report.checkpoint_count == 2);
}

TEST_CASE("TbbRuntime_StoppedWhileAnOutputHangs_EndsAndSaysWhatItWaitedFor") {
  std::promise<void> go_on;
  const std::shared_future<void> gone_on = go_on.get_future().share();
  std::atomic<bool> hangs{false};
  const auto store = NewMemoryStore();
  const Outputs outputs;
  TbbRuntime::Options options;
  options.job.env = Env::Posix();
  options.job.store = store.get();
  options.job.checkpoint_every = Duration::Seconds(1000);
  options.job.stop_patience = Duration::Millis(50);
  auto started = TbbRuntime::Start(MakeSpec(Numbers(100000000), outputs,
                                            [&] {
                                              hangs = true;
                                              gone_on.wait();
                                              return false;
                                            }),
                                   options);
  REQUIRE(started.ok());
  REQUIRE(Eventually(**started, [&] { return hangs.load(); }));
  (*started)->RequestStop();
  REQUIRE((*started)->Wait(Duration::Seconds(60)));
  go_on.set_value();
  const JobReport report = (*started)->Finish();
  CHECK(report.status.code() == StatusCode::kUnavailable);
  const std::string text = report.status.ToString();
  CHECK_MESSAGE(text.find("does not come to rest: ") != std::string::npos, text);
  CHECK(!report.finished);
  CHECK(report.checkpoint_count == 0);
}

TEST_CASE("EpochRows_CarriedOverManyGivenUpEpochs_StayAsLargeAsTheKeysThatChanged") {
  EpochRows carried;
  std::string last;
  for (int epoch = 0; epoch < 300; ++epoch) {
    EpochRows newer;
    for (int key = 0; key < 1000; ++key) {
      last = "value " + std::to_string(epoch * 1000 + key) + std::string(50, 'x');
      newer.Put(1, static_cast<uint16_t>(key % 128), "key " + std::to_string(key), last);
    }
    if (epoch == 7) newer.Erase(1, 5, "key 5");
    carried.Merge(std::move(newer));
    carried.Compact();
    REQUIRE(carried.allocated_bytes() < 3 << 20);
  }
  CHECK(carried.count() <= 16000);
  const auto& rows = carried.Sorted();
  REQUIRE(rows.size() == 1000);
  for (const EpochRows::Row& row : rows) CHECK(row.value().substr(0, 9) == "value 299");
}

}  // namespace
}  // namespace freshet
