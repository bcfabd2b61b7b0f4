// Orders to a node: obeyed by every lane at one barrier, durable with its commit or the next that succeeds, else lost.
#include "engine/flow/command.h"

#include <doctest/doctest.h>

#include <atomic>

#include "engine/flow/tbb_runtime.h"
#include "tests/support/flow_nodes.h"

namespace freshet {
namespace {

struct Obeyed {
  std::string text;
  void Encode(ByteSink& sink) const { sink.PutString(text); }
  bool Decode(ByteSource& source, uint16_t) {
    text = source.GetString();
    return source.ok();
  }
};

/// Drops every row; writes down what it was ordered, under a name of its own.
class Listener final : public Operator {
 public:
  explicit Listener(std::string name) : name_(std::move(name)) {}
  Status Open(OpenContext& ctx) override {
    counters_ = &ctx.counters();
    FRESHET_ASSIGN_OR_RETURN(table_, ctx.state().OpenKeyed<Obeyed>("obeyed", {1, "text"}));
    return Status::Ok();
  }
  Status ProcessBatch(InputIndex, const Batch& in, Emitter&) override {
    counters_->filtered += in.row_count();
    return Status::Ok();
  }
  void OnCommand(Command& command) override {
    table_->FindOrCreate(HashKey(name_), name_).text += command.text;
    command.Answer(name_);
  }

 private:
  const std::string name_;
  KeyedTable<Obeyed>* table_ = nullptr;
  NodeCounters* counters_ = nullptr;
};

/// Refuses the first commits of a run, and looks at `watched` when it does.
class RefusingStore final : public CheckpointStore {
 public:
  Result<std::optional<Manifest>> Load() override { return store_->Load(); }
  Status Commit(const Manifest& manifest, EpochRows&& rows) override {
    if (watched && watched->outcome() != Command::Outcome::kWaiting) settled_early = true;
    if (watched && !watched->answers().empty() && refusals-- > 0) return Status::Unavailable("not now");
    return store_->Commit(manifest, std::move(rows));
  }
  Status Scan(TableId table, uint16_t first, uint16_t last,
              const std::function<Status(uint16_t, std::string_view, std::string_view)>& visit) override {
    return store_->Scan(table, first, last, visit);
  }
  Result<std::optional<std::string>> Get(TableId table, uint16_t group, std::string_view key) override {
    return store_->Get(table, group, key);
  }

  std::shared_ptr<Command> watched;
  std::atomic<int> refusals{0};
  std::atomic<bool> settled_early{false};

 private:
  std::unique_ptr<CheckpointStore> store_ = NewMemoryStore();
};

constexpr int64_t kForever = int64_t{1} << 40;  // rows; until it is stopped

/// `rows` go to the listener; with `beside` a source that does not end goes to the sink past it.
GraphSpec ListenerSpec(int64_t rows, bool beside) {
  testing::NumbersOptions numbers;
  numbers.rows = rows;
  BoundOperator bound;
  bound.outputs = {{"", testing::NumbersSchema(), OutputOrder::kInputOrder, {}}};
  bound.key = std::vector<int>{1};
  const auto lanes = std::make_shared<std::atomic<int>>(0);
  bound.instantiate = [lanes] { return std::make_unique<Listener>("lane " + std::to_string(lanes->fetch_add(1))); };
  GraphSpec spec;
  spec.pipeline_name = "test";
  spec.nodes.push_back(testing::NumbersSource("numbers", numbers));
  NodeSpec node;
  node.id = "listener";
  node.type = "listener";
  node.inputs = {{0, 0}};
  node.kind = OperatorNode{std::move(bound)};
  spec.nodes.push_back(std::move(node));
  if (beside) {
    numbers.rows = kForever;
    spec.nodes.push_back(testing::NumbersSource("more", numbers));
    spec.nodes.push_back(
        testing::DropMultiples("none", {static_cast<int>(spec.nodes.size()) - 1, 0}, testing::NumbersSchema(), 1));
  }
  std::vector<PortRef> read = {{1, 0}};
  if (beside) read.push_back({3, 0});
  spec.nodes.push_back(testing::CollectSink("out", read, std::make_shared<testing::Collected>()));
  return spec;
}

std::unique_ptr<TbbRuntime> Start(CheckpointStore* store, int64_t rows = kForever, bool beside = false) {
  TbbRuntime::Options options;
  options.job.env = Env::Posix();
  options.job.store = store;
  options.job.lane_count = 2;
  options.job.checkpoint_every = Duration::Seconds(3600);  // only what is asked for
  options.concurrency = 2;
  auto runtime = TbbRuntime::Start(ListenerSpec(rows, beside), options);
  REQUIRE_MESSAGE(runtime.ok(), runtime.status().ToString());
  return std::move(*runtime);
}

TEST_CASE("Command_EpochsGivenUpFirst_DurableOnceWithTheOneThatSucceeds") {
  RefusingStore store;
  store.refusals = 3;
  const auto command = std::make_shared<Command>("listener", "x");
  const auto other = std::make_shared<Command>("nobody", "y");
  store.watched = command;
  const auto runtime = Start(&store);
  runtime->job().Submit(command);
  runtime->job().Submit(other);
  for (int look = 0; look < 6000 && command->outcome() == Command::Outcome::kWaiting; ++look)
    REQUIRE_FALSE(runtime->Wait(Duration::Millis(10)));
  CHECK(command->outcome() == Command::Outcome::kDurable);
  CHECK(command->answers().size() == 2);  // both lanes, once
  CHECK(store.refusals.load() < 0);
  CHECK_FALSE(store.settled_early.load());
  CHECK(other->outcome() == Command::Outcome::kLost);  // there is no such node
  CHECK(other->answers().empty());
  CheckpointStore* committed = nullptr;
  const auto tables = runtime->job().ReadCommitted(&committed);
  REQUIRE(tables.ok());
  int rows = 0;
  for (const Manifest::Table& table : *tables) {
    if (table.name != "obeyed") continue;
    const Status status =
        committed->Scan(table.id, 0, kKeyGroupCount - 1, [&](uint16_t, std::string_view, std::string_view value) {
          ByteSource source(value);
          CHECK(source.GetString() == "x");
          ++rows;
          return Status::Ok();
        });
    CHECK(status.ok());
  }
  CHECK(rows == 2);
  runtime->RequestStop();
  while (!runtime->Wait(Duration::Millis(100))) {
  }
  CHECK(runtime->Finish().status.ok());
}

TEST_CASE("Command_RunThatEndsBeforeACheckpoint_IsLost") {
  RefusingStore store;
  store.refusals = INT32_MAX;
  const auto command = std::make_shared<Command>("listener", "x");
  store.watched = command;
  {
    const auto runtime = Start(&store);
    runtime->job().Submit(command);
    for (int look = 0; look < 6000 && command->answers().empty(); ++look)
      REQUIRE_FALSE(runtime->Wait(Duration::Millis(10)));
    CHECK(command->outcome() == Command::Outcome::kWaiting);
    runtime->StopNow();
    while (!runtime->Wait(Duration::Millis(100))) {
    }
    (void)runtime->Finish();
  }
  CHECK(command->outcome() == Command::Outcome::kLost);
}

TEST_CASE("Command_InputOfItsNodeHasEnded_IsLostWhileTheRunGoesOn") {
  RefusingStore store;
  const auto runtime = Start(&store, 10, true);
  const SourceCell& numbers = runtime->job().drivers()[0]->cell();
  for (int look = 0; look < 6000 && !numbers.finished(); ++look) REQUIRE_FALSE(runtime->Wait(Duration::Millis(10)));
  REQUIRE(numbers.finished());
  const auto command = std::make_shared<Command>("listener", "x");
  runtime->job().Submit(command);
  for (int look = 0; look < 6000 && command->outcome() == Command::Outcome::kWaiting; ++look)
    REQUIRE_FALSE(runtime->Wait(Duration::Millis(10)));
  CHECK(command->outcome() == Command::Outcome::kLost);
  CHECK(command->answers().empty());
  runtime->RequestStop();
  while (!runtime->Wait(Duration::Millis(100))) {
  }
  CHECK(runtime->Finish().status.ok());
}

TEST_CASE("Command_AfterTheRun_IsLostAtOnce") {
  RefusingStore store;
  const auto runtime = Start(&store, 10);
  while (!runtime->Wait(Duration::Millis(100))) {
  }
  CHECK(runtime->Finish().status.ok());
  const auto command = std::make_shared<Command>("listener", "x");
  runtime->job().Submit(command);
  CHECK(command->outcome() == Command::Outcome::kLost);
}

}  // namespace
}  // namespace freshet
