// What a restore and a busy store may not do to a run: stop it, hang it, or miscount it.
#include <doctest/doctest.h>

#include "engine/flow/cell.h"
#include "engine/flow/sim_runtime.h"
#include "engine/flow/tbb_runtime.h"
#include "engine/state/keyed_table_impl.h"
#include "tests/support/flow_nodes.h"

namespace freshet {
namespace {

struct Number {
  int64_t value = 0;
  void Encode(ByteSink& sink) const { sink.PutI64(value); }
  bool Decode(ByteSource& source, uint16_t) {
    value = source.GetI64();
    return true;
  }
  size_t ByteSize() const { return 0; }
};

TEST_CASE("TableDirectory_RowsInAnOlderCodec_EveryLaneIsTold") {
  Manifest manifest;
  manifest.tables = {{"node", "kept", 7, 2, "as before"}};
  TableDirectory directory;
  directory.Load(manifest);
  const KeyedTable<Number> kept("kept", TableOptions{3, "as before", false});
  const KeyedTable<Number> fresh("fresh", TableOptions{3, "", false});
  for (int lane = 0; lane < 3; ++lane) {
    CAPTURE(lane);
    uint16_t stored = 99;
    const Result<TableId> id = directory.Resolve("node", kept, &stored);
    REQUIRE(id.ok());
    CHECK(*id == 7);
    CHECK(stored == 2);
    const Result<TableId> other = directory.Resolve("node", fresh, &stored);
    REQUIRE(other.ok());
    CHECK(*other == 8);
    CHECK(stored == 0);
  }
  // What is written from now on is all in the new one.
  CHECK(directory.tables()[0].codec == 3);
  const KeyedTable<Number> older("kept", TableOptions{1, "as before", false});
  uint16_t stored = 0;
  CHECK(directory.Resolve("node", older, &stored).status().code() == StatusCode::kUnsupported);
}

TEST_CASE("TableDirectory_RowsInAnotherLayout_AreForWhoTakesThem") {
  Manifest manifest;
  manifest.tables = {{"node", "kept", 7, 1, "as before"}};
  TableDirectory directory;
  directory.Load(manifest);
  const KeyedTable<Number> kept("kept", TableOptions{1, "as now", false});
  uint16_t stored = 99;
  CHECK(directory.Resolve("node", kept, &stored).status().code() == StatusCode::kInvalidArgument);
  CHECK(directory.tables()[0].fingerprint == "as before");
  for (int lane = 0; lane < 3; ++lane) {
    CAPTURE(lane);
    CHECK(directory.StoredFingerprint("node", "kept") == "as before");
    const Result<TableId> id = directory.Resolve("node", kept, &stored, true);
    REQUIRE(id.ok());
    CHECK(*id == 7);
    CHECK(stored == 1);
  }
  CHECK(directory.tables()[0].fingerprint == "as now");
  CHECK_FALSE(directory.StoredFingerprint("node", "fresh").has_value());
}

using testing::Collected;
using testing::NumbersOptions;

/// A store that asks to skip so many epochs.
class BusyStore final : public CheckpointStore {
 public:
  explicit BusyStore(int skip_count) : left_(skip_count) {}
  Result<std::optional<Manifest>> Load() override { return store_->Load(); }
  Status Commit(const Manifest& manifest, EpochRows&& rows) override {
    if (left_-- > 0) return Status::Unavailable("busy");
    return store_->Commit(manifest, std::move(rows));
  }
  Status Scan(TableId table, uint16_t first, uint16_t last,
              const std::function<Status(uint16_t, std::string_view, std::string_view)>& visit) override {
    return store_->Scan(table, first, last, visit);
  }
  Result<std::optional<std::string>> Get(TableId table, uint16_t group, std::string_view key) override {
    return store_->Get(table, group, key);
  }
  int left() const { return left_; }

 private:
  std::unique_ptr<CheckpointStore> store_ = NewMemoryStore();
  int left_;
};

struct Sinks {
  std::shared_ptr<Collected> rows = std::make_shared<Collected>();
  std::shared_ptr<Collected> counted = std::make_shared<Collected>();
};

/// numbers -> rows; with `grown` also numbers -> running count -> counted.
GraphSpec MakeSpec(const NumbersOptions& numbers, const Sinks& sinks, bool grown) {
  GraphSpec spec;
  spec.pipeline_name = "test";
  spec.nodes.push_back(testing::NumbersSource("numbers", numbers));
  spec.nodes.push_back(testing::CollectSink("rows", {{0, 0}}, sinks.rows));
  if (!grown) return spec;
  spec.nodes.push_back(testing::RunningCount("count", {0, 0}, testing::NumbersSchema(), InputOrder::kByArrival));
  spec.nodes.push_back(testing::CollectSink("counted", {{2, 0}}, sinks.counted));
  return spec;
}

TEST_CASE("Simulation_RestoreWithAnAddedOperatorAndSink_TheyTakeWhatComesFromThere") {
  NumbersOptions numbers;
  numbers.rows = 3000;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    const auto store = NewMemoryStore();
    const Sinks sinks;
    SimOptions options;
    options.job.store = store.get();
    options.job.lane_count = 1 + static_cast<int>(seed % 3);
    options.seed = seed;
    options.epoch_chance = 0.5;
    options.step_count_max = 160;
    (void)RunSimulation([&] { return MakeSpec(numbers, sinks, false); }, options);
    const auto manifest = store->Load();
    REQUIRE(manifest.ok());
    REQUIRE(manifest->has_value());
    REQUIRE(!(*manifest)->finished);
    options.step_count_max = 1000000;
    const SimResult result = RunSimulation([&] { return MakeSpec(numbers, sinks, true); }, options);
    REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
    CHECK(sinks.rows->lines.size() == 3000);
    CHECK(!sinks.counted->lines.empty());
    CHECK(sinks.counted->lines.size() < 3000);
    CHECK(result.report.finished);
  }
}

TEST_CASE("TbbRuntime_StoreAsksToSkip_TheLastEpochIsTriedAgain") {
  NumbersOptions numbers;
  BusyStore store(3);
  const Sinks sinks;
  TbbRuntime::Options options;
  options.job.env = Env::Posix();
  options.job.store = &store;
  options.job.checkpoint_every = Duration::Seconds(3600);
  options.concurrency = 1;
  auto runtime = TbbRuntime::Start(MakeSpec(numbers, sinks, true), options);
  REQUIRE(runtime.ok());
  REQUIRE((*runtime)->Wait(Duration::Seconds(60)));
  const JobReport report = (*runtime)->Finish();
  CHECK_MESSAGE(report.status.ok(), report.status.ToString());
  CHECK(report.finished);
  CHECK(report.checkpoint_skipped_count == 3);
  CHECK(store.left() < 0);
}

TEST_CASE("TbbRuntime_StoreAsksToSkipAfterASignal_ALastCheckpointIsTakenAllTheSame") {
  NumbersOptions numbers;
  numbers.rows = 100000000;
  BusyStore store(2);
  const Sinks sinks;
  TbbRuntime::Options options;
  options.job.env = Env::Posix();
  options.job.store = &store;
  options.job.checkpoint_every = Duration::Seconds(3600);
  options.concurrency = 1;
  auto runtime = TbbRuntime::Start(MakeSpec(numbers, sinks, false), options);
  REQUIRE(runtime.ok());
  (*runtime)->RequestStop();
  REQUIRE((*runtime)->Wait(Duration::Seconds(60)));
  const JobReport report = (*runtime)->Finish();
  CHECK_MESSAGE(report.status.ok(), report.status.ToString());
  CHECK(!report.finished);
  CHECK(report.checkpoint_skipped_count == 2);
  CHECK(report.checkpoint_count == 1);
  const auto manifest = store.Load();
  REQUIRE(manifest.ok());
  CHECK(manifest->has_value());
}

}  // namespace
}  // namespace freshet
