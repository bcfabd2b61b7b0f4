// What a source driver does without threads: clocks of idleness, credits, overflow, drain, lies. SEMANTICS.md §2, §3,
// §7.
#include "engine/flow/source_driver.h"

#include <doctest/doctest.h>

#include <map>

#include "engine/base/fault_env.h"
#include "engine/base/rng.h"
#include "engine/flow/job.h"
#include "tests/support/flow_nodes.h"
#include "tests/support/paced_source.h"

namespace freshet::testing {
namespace {

constexpr int64_t kSecond = 1000000;

/// A source whose polls are written by hand.
struct Script {
  std::vector<std::string> partitions = {"a", "b"};
  /// Partitions that have something, each for one poll; then nothing. -2: a passing failure.
  std::deque<int> polls;
  bool tells = true;  ///< which partitions were silent
  int64_t bytes = 0;  ///< of a chunk
  int64_t retry_after_us = 1000;
};
class ScriptedSource final : public Source {
 public:
  explicit ScriptedSource(std::shared_ptr<Script> script) : script_(std::move(script)) {}
  Status Open(const SourceOpenContext&) override { return Status::Ok(); }
  std::vector<std::string> Partitions() const override { return script_->partitions; }
  Result<PollOutcome> Poll(const PollBudget&, RawChunk* chunk) override {
    const int what = script_->polls.empty() ? -1 : script_->polls.front();
    if (!script_->polls.empty()) script_->polls.pop_front();
    if (what == -2) return Status::Unavailable("out of order");
    for (size_t p = 0; p < script_->partitions.size(); ++p)
      if (static_cast<int>(p) != what) quiet_.push_back(static_cast<uint32_t>(p));
    if (what < 0) return PollOutcome::kNothing;
    chunk->partition = static_cast<uint32_t>(what);
    chunk->finished = std::make_shared<DecodedBlock>();
    chunk->row_count_hint = 1;
    chunk->size = script_->bytes;
    return PollOutcome::kChunk;
  }
  std::optional<std::vector<uint32_t>> TakeQuiet() override {
    std::vector<uint32_t> quiet = std::exchange(quiet_, {});
    if (!script_->tells) return std::nullopt;
    return quiet;
  }
  int64_t retry_after_us() const override { return script_->retry_after_us; }

 private:
  const std::shared_ptr<Script> script_;
  std::vector<uint32_t> quiet_;
};

/// One source and a sink in a job whose messages go nowhere.
class Bench final : public Carrier {
 public:
  explicit Bench(NodeSpec source, CheckpointStore* store = nullptr, bool drain = false,
                 std::shared_ptr<Collected> rows = std::make_shared<Collected>(), Duration linger = {})
      : rows_(std::move(rows)) {
    env_.FreezeClock(1700000000 * kSecond);
    GraphSpec spec;
    spec.pipeline_name = "bench";
    spec.nodes.push_back(std::move(source));
    spec.nodes.push_back(CollectSink("rows", {{0, 0}}, rows_));
    JobOptions options;
    options.env = &env_;
    options.store = store;
    options.drain = drain;
    options.linger = linger;
    auto job = Job::Make(std::move(spec), options, this);
    REQUIRE_MESSAGE(job.ok(), job.status().ToString());
    job_ = std::move(*job);
  }
  void Send(Envelope envelope) override { sent_.push_back(std::move(envelope)); }
  void Nudge(int) override {}
  FaultEnv& env() { return env_; }
  SourceDriver& driver() { return *job_->drivers()[0]; }
  Job& job() { return *job_; }
  std::vector<Envelope>& sent() { return sent_; }
  /// One step; what it gives goes through the source's cell.
  SourceDriver::Outcome Step() {
    item_ = SourceItem();
    const SourceDriver::Outcome outcome = driver().Step(&item_, &error_);
    if (outcome == SourceDriver::Outcome::kChunk || outcome == SourceDriver::Outcome::kSignal) {
      SourceItem copy = item_;
      if (copy.kind == SourceItem::Kind::kBlock && !copy.chunk.finished) {
        if (!decoder_) decoder_ = driver().bound().make_decoder();
        decoder_->Decode(copy.chunk, &copy.block);
      }
      driver().cell().Push(std::move(copy));
      driver().cell().Run();
    }
    return outcome;
  }
  const SourceItem& item() const { return item_; }
  void DropItem() { item_ = SourceItem(); }

 private:
  FaultEnv env_{Env::Posix()};
  std::shared_ptr<Collected> rows_;
  std::vector<Envelope> sent_;
  std::unique_ptr<Job> job_;
  std::unique_ptr<Decoder> decoder_;
  SourceItem item_;
  Status error_;
};

NodeSpec Scripted(std::shared_ptr<Script> script, int64_t credit_rows = 100) {
  NodeSpec node = PacedSource("in", {});
  SourceNode& source = std::get<SourceNode>(node.kind);
  source.bound.bounded = false;
  source.bound.make_source = [script] { return std::make_unique<ScriptedSource>(script); };
  source.time.idle = Duration::Seconds(10);
  source.credit_rows = credit_rows;
  return node;
}

using Outcome = SourceDriver::Outcome;

TEST_CASE("SourceDriver_OnePartitionSilent_IsIdleAloneAndOnlyOnce") {
  const auto script = std::make_shared<Script>();
  Bench bench(Scripted(script));
  std::vector<std::vector<uint32_t>> idle;
  for (int i = 0; i < 40; ++i) {
    script->polls.push_back(0);
    const Outcome outcome = bench.Step();
    if (outcome == Outcome::kSignal && bench.item().kind == SourceItem::Kind::kIdle) idle.push_back(bench.item().idle);
    bench.env().AdvanceMicros(kSecond);
  }
  CHECK(idle == std::vector<std::vector<uint32_t>>{{1}});
  // It comes back, and falls silent again.
  script->polls = {1};
  (void)bench.Step();
  CHECK(bench.item().chunk.partition == 1);
  idle.clear();
  for (int i = 0; i < 30; ++i) {
    bench.env().AdvanceMicros(kSecond);
    if (bench.Step() == Outcome::kSignal && bench.item().kind == SourceItem::Kind::kIdle)
      idle.push_back(bench.item().idle);
  }
  REQUIRE(idle.size() == 2);
  CHECK(idle[0] == std::vector<uint32_t>{0});
  CHECK(idle[1] == std::vector<uint32_t>{1});
}

TEST_CASE("SourceDriver_SourceThatTellsNoPartitionsApart_IsIdleAsAWhole") {
  const auto script = std::make_shared<Script>();
  script->tells = false;
  Bench bench(Scripted(script));
  for (int i = 0; i < 9; ++i) {
    CHECK(bench.Step() == Outcome::kNothing);
    bench.env().AdvanceMicros(kSecond);
  }
  script->polls = {0};
  CHECK(bench.Step() == Outcome::kSignal);
  std::vector<uint32_t> idle;
  for (int i = 0; i < 12; ++i) {
    bench.env().AdvanceMicros(kSecond);
    if (bench.Step() == Outcome::kSignal) {
      idle = bench.item().idle;
      CHECK(i == 10);
    }
  }
  CHECK(idle == std::vector<uint32_t>{0, 1});
}

TEST_CASE("SourceDriver_NoPartitionsAtAll_TheSourceIsIdle") {
  const auto script = std::make_shared<Script>();
  script->partitions.clear();
  Bench bench(Scripted(script));
  int idle_messages = 0;
  for (int i = 0; i < 15; ++i) {
    (void)bench.Step();
    bench.env().AdvanceMicros(kSecond);
  }
  for (const Envelope& e : bench.sent()) idle_messages += std::holds_alternative<Idle>(e.message) ? 1 : 0;
  CHECK(idle_messages == 1);
  CHECK(bench.driver().cell().idle());
}

TEST_CASE("SourceDriver_WaitingForCreditOrARetryOrStoppedByTheSystem_TheClockOfIdleStands") {
  const auto script = std::make_shared<Script>();
  Bench bench(Scripted(script, 1));
  CHECK(bench.Step() == Outcome::kNothing);
  for (int i = 0; i < 5; ++i) {
    bench.env().AdvanceMicros(kSecond);
    CHECK(bench.Step() == Outcome::kNothing);
  }
  CHECK(bench.driver().quiet_us() == 5 * kSecond);
  // A row that nobody takes: no credit for an hour.
  const Batch::Hold hold = bench.driver().credits().Take(1, 1);
  for (int i = 0; i < 3600; ++i) {
    bench.env().AdvanceMicros(kSecond);
    CHECK(bench.Step() == Outcome::kNoCredit);
  }
  const_cast<Batch::Hold&>(hold).reset();
  CHECK(bench.Step() == Outcome::kNothing);
  // An outage: what came before the first failure counts, at most a second of it.
  script->polls.assign(20, -2);
  for (int i = 0; i < 20; ++i) {
    bench.env().AdvanceMicros(30 * kSecond);
    CHECK(bench.Step() == Outcome::kRetry);
  }
  CHECK(bench.Step() == Outcome::kNothing);
  // The process stood still (SIGSTOP): the source was not polled, though its thread knew of no pause.
  bench.env().AdvanceMicros(3600 * kSecond);
  CHECK(bench.Step() == Outcome::kNothing);
  CHECK(bench.driver().quiet_us() < 8 * kSecond);
  for (int i = 0; i < 2; ++i) {
    bench.env().AdvanceMicros(kSecond);
    CHECK(bench.Step() == Outcome::kNothing);
  }
  bench.env().AdvanceMicros(kSecond);
  CHECK(bench.Step() == Outcome::kSignal);
  CHECK(bench.item().idle == std::vector<uint32_t>{0, 1});
}

TEST_CASE("SourceDriver_WallClockStepsBack_IdleAndStampsDoNot") {
  PacedOptions options;
  options.timed = false;
  options.rows = 40;
  options.chunk_rows = 2;
  options.lateness = {};
  Bench bench(PacedSource("in", options));
  int64_t last = INT64_MIN;
  for (int i = 0; i < 20; ++i) {
    (void)bench.Step();
    bench.env().AdvanceMicros(1000);
    if (i % 3 == 0) bench.env().StepWallMicros(-5000000);
    if (i == 10) bench.env().StepWallMicros(9000000);
  }
  int64_t rows = 0;
  for (const Envelope& e : bench.sent()) {
    const auto* batch = std::get_if<Batch>(&e.message);
    for (int32_t r = 0; batch != nullptr && r < batch->row_count(); ++r, ++rows) {
      CHECK(batch->time(r).us >= last);
      CHECK(batch->time(r) >= batch->row_watermark(r));
      last = batch->time(r).us;
    }
  }
  CHECK(rows == 40);
}

TEST_CASE("SourceDriver_StampsAfterARestartWithTheClockSetBack_GoOnRising") {
  PacedOptions options;
  options.timed = false;
  options.rows = 40;
  options.chunk_rows = 2;
  const auto store = NewMemoryStore();
  const auto rows = std::make_shared<Collected>();
  int64_t last = INT64_MIN;
  for (int life = 0; life < 2; ++life) {
    Bench bench(PacedSource("in", options), store.get(), false, rows);
    if (life == 1) bench.env().StepWallMicros(-3600 * kSecond);
    for (int i = 0; i < 5; ++i) (void)bench.Step();
    for (const Envelope& e : bench.sent())
      if (const auto* batch = std::get_if<Batch>(&e.message)) {
        CHECK(batch->time(0).us >= last);
        last = batch->time(batch->row_count() - 1).us;
      }
    if (life == 1) break;
    bench.job().BeginEpoch(false);
    bench.driver().cell().Run();
    for (Envelope& e : std::exchange(bench.sent(), {}))
      if (const int to = bench.job().plan().edges[static_cast<size_t>(e.edge)].to; to != bench.driver().cell().id()) {
        bench.job().cell(to).Deliver(std::move(e));
        bench.job().cell(to).Run();
      }
    REQUIRE(bench.job().commit_ready());
    REQUIRE(bench.job().CommitReady().ok());
  }
}

TEST_CASE("SourceDriver_MaxFutureWithTheClockSetBack_KeepsRowsOfNow") {
  PacedOptions options;
  options.at = [](int, int64_t row) { return 1700000000 * kSecond + row * 1000; };
  options.rows = 20;
  options.chunk_rows = 1;
  NodeSpec node = PacedSource("in", options);
  std::get<SourceNode>(node.kind).time.max_future = Duration::Seconds(60);
  Bench bench(std::move(node));
  for (int i = 0; i < 20; ++i) {
    (void)bench.Step();
    if (i == 5) bench.env().StepWallMicros(-3600 * kSecond);
  }
  const NodeCounters counters = bench.driver().cell().published().counters[0].second;
  CHECK(counters.out == 20);
  CHECK(counters.dead == 0);
}

TEST_CASE("SourceDriver_Drain_EndsTheInputAndKeepsThePositionsOpen") {
  PacedOptions options;
  options.live = true;
  options.rows = 1000;
  for (const bool drain : {false, true}) {
    CAPTURE(drain);
    Bench bench(PacedSource("in", options), nullptr, drain);
    for (int i = 0; i < 3; ++i) CHECK(bench.Step() == Outcome::kChunk);
    bench.driver().RequestStop();
    CHECK(bench.Step() == Outcome::kSignal);
    CHECK(bench.item().kind == (drain ? SourceItem::Kind::kEnd : SourceItem::Kind::kStopped));
    CHECK(bench.Step() == Outcome::kDone);
    CHECK(bench.driver().cell().finished() == drain);
    CHECK(bench.driver().cell().stopped() == !drain);
    // The partition has more: the next run goes on from here.
    CHECK_FALSE(bench.driver().cell().restored_partitions()[0].ended);
    const bool ended = !bench.sent().empty() && std::holds_alternative<End>(bench.sent().back().message);
    CHECK(ended == drain);
  }
}

TEST_CASE("SourceDriver_Linger_FollowsAShortChunkOfALiveSource") {
  const auto script = std::make_shared<Script>();
  for (const bool bounded : {false, true}) {
    NodeSpec node = Scripted(script);
    std::get<SourceNode>(node.kind).bound.bounded = bounded;
    Bench bench(std::move(node), nullptr, false, std::make_shared<Collected>(), Duration::Millis(6));
    script->polls = {0, 1, 0, 1};
    script->bytes = 10;
    // What was read goes on at once. Of two partitions each is asked again within 6 ms.
    CHECK(bench.Step() == Outcome::kSignal);
    if (bounded) {
      CHECK(bench.Step() == Outcome::kSignal);
      CHECK(bench.driver().linger_us() == 0);
      continue;
    }
    CHECK(bench.Step() == Outcome::kLinger);
    CHECK(bench.driver().linger_us() == 3000);
    bench.env().AdvanceMicros(2999);
    CHECK(bench.Step() == Outcome::kLinger);
    CHECK(script->polls.size() == 3);
    bench.env().AdvanceMicros(1);
    script->bytes = kChunkBytes / 4;
    CHECK(bench.Step() == Outcome::kSignal);
    // There is more where much came from.
    script->bytes = 10;
    CHECK(bench.Step() == Outcome::kSignal);
    CHECK(bench.driver().linger_us() == 3000);
    bench.env().AdvanceMicros(3000);
    CHECK(bench.Step() == Outcome::kSignal);
    bench.driver().RequestStop();
    CHECK(bench.Step() == Outcome::kSignal);
    CHECK(bench.item().kind == SourceItem::Kind::kStopped);
  }
  Bench none(Scripted(script));
  script->polls = {0, 1, -1};
  for (const Outcome expected : {Outcome::kSignal, Outcome::kSignal, Outcome::kNothing}) CHECK(none.Step() == expected);
}

TEST_CASE("SourceDriver_PartitionsThatChangeTheirNames_AreRefused") {
  const auto script = std::make_shared<Script>();
  script->polls = {0, 1, 0};
  Bench bench(Scripted(script));
  CHECK(bench.Step() == Outcome::kSignal);
  script->partitions = {"a", "c", "b"};
  CHECK(bench.Step() == Outcome::kSignal);
  CHECK(bench.job().failed());
  CHECK(bench.job().failure().ToString().find("partition `b` is `c`") != std::string::npos);
}

// ---- on_overflow

/// Chunks of one record each in a plain list: what a queue of so many records would hold.
TEST_CASE("OverflowQueue_RandomUse_EqualsAPlainList") {
  int64_t dropped_all = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const OnOverflow policy = seed % 2 == 0 ? OnOverflow::kDropOldest : OnOverflow::kDropNewest;
    const auto limit = static_cast<size_t>(1 + rng.Below(6));
    OverflowQueue queue(policy, static_cast<int64_t>(limit), 1000);
    std::deque<std::pair<uint32_t, int64_t>> kept;           // (partition, record)
    std::vector<int64_t> given(3), next_out(3), dropped(3);  // per partition
    for (int step = 0; step < 300; ++step) {
      if (rng.Below(2) == 0) {
        RawChunk chunk;
        chunk.partition = static_cast<uint32_t>(rng.Below(3));
        chunk.row_count_hint = 1;
        chunk.size = 1;
        chunk.position_after = std::to_string(given[chunk.partition] + 1);
        if (kept.size() == limit && policy == OnOverflow::kDropOldest) {
          ++dropped[kept.front().first];
          kept.pop_front();
        }
        if (kept.size() < limit)
          kept.emplace_back(chunk.partition, given[chunk.partition]);
        else
          ++dropped[chunk.partition];
        ++given[chunk.partition];
        queue.Add(std::move(chunk));
      } else if (!queue.empty()) {
        const bool account = queue.front_is_dropped();
        const RawChunk chunk = queue.Pop();
        int64_t& next = next_out[chunk.partition];
        if (account) {
          next += chunk.finished->record_count;
          dropped[chunk.partition] -= chunk.finished->dropped;
          dropped_all += chunk.finished->dropped;
          CHECK(chunk.finished->skipped == chunk.finished->dropped);
        } else {
          REQUIRE(!kept.empty());
          // In order, and every record before it was told of: ordinals and positions are right.
          CHECK(kept.front() == std::pair(chunk.partition, next));
          kept.pop_front();
          ++next;
        }
        CHECK(chunk.position_after == std::to_string(next));
      }
    }
    while (!queue.empty()) {
      const bool account = queue.front_is_dropped();
      const RawChunk chunk = queue.Pop();
      next_out[chunk.partition] += account ? chunk.finished->record_count : 1;
      if (account) dropped[chunk.partition] -= chunk.finished->dropped;
    }
    CHECK(next_out == given);
    CHECK(dropped == std::vector<int64_t>(3));
  }
  CHECK(dropped_all > 1000);
}

TEST_CASE("SourceDriver_Overflow_DropsWholeChunksBeforeTheyTakeACredit") {
  for (const OnOverflow policy : {OnOverflow::kDropOldest, OnOverflow::kDropNewest}) {
    CAPTURE(static_cast<int>(policy));
    PacedOptions options;
    options.rows = 100;
    options.chunk_rows = 10;
    options.credit_rows = 20;
    options.on_overflow = policy;
    Bench bench(PacedSource("in", options));
    const Batch::Hold hold = bench.driver().credits().Take(20, 1);  // a pipeline that stands still
    for (int i = 0; i < 40; ++i) (void)bench.Step();
    CHECK(bench.driver().credits().rows_in_use() == 20);
    const_cast<Batch::Hold&>(hold).reset();
    while (bench.Step() != Outcome::kDone) bench.sent().clear();
    const NodeCounters counters = bench.driver().cell().published().counters[0].second;
    CHECK(counters.in == 100);
    CHECK(counters.out == 20);
    CHECK(counters.skipped == 80);
    CHECK(counters.dropped == 80);
    CHECK(CheckConservation(NodeClass::kSource, counters) == "");
  }
}

}  // namespace
}  // namespace freshet::testing
