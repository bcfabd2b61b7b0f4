// One network sink and its outbox, without cells: what is kept, what leaves when, under which name, how often.
#include "engine/flow/outbox_sink.h"
#include "engine/flow/cell.h"

#include <doctest/doctest.h>

#include <map>

#include "engine/base/fault_env.h"
#include "engine/base/rng.h"
#include "tests/connectors/test_rows.h"
#include "tests/flow/receiver.h"
#include "tests/state/temp_directory.h"

namespace freshet {
namespace {
using test::Later;
using test::MakeBatch;
using test::MakeSchema;
using test::Receiver;
using test::ReceiverSink;
using test::Refused;

const SchemaRef kRows = MakeSchema({{"n", TypeId::kInt64}});
const SchemaRef kAlerts =
    MakeSchema({{"alert_id", TypeId::kString}, {"state", TypeId::kString}, {"n", TypeId::kInt64}});

Batch Rows(int64_t from, int64_t to) {
  std::vector<test::Row> rows;
  for (int64_t n = from; n < to; ++n) rows.push_back({n});
  return MakeBatch(kRows, rows);
}
Batch Alert(const std::string& id, const std::string& state, int64_t n = 0) {
  return MakeBatch(kAlerts, {{id, state, n}});
}

/// A sink through its lives: the store, the receiver and the clock outlive it.
struct Lives {
  Lives() {
    env.FreezeClock(1700000000000000);
    options.eager_schemas = {kAlerts};
    options.seed = 5;
  }

  /// A restart at the last epoch that was committed; `committed` is what was prepared then.
  void Open(Epoch epoch = {}, const std::string& committed = {}) {
    sink = std::make_unique<OutboxSink>(std::make_unique<ReceiverSink>(receiver), options);
    SinkOpenContext context;
    context.env = &env;
    context.pipeline_name = "p";
    context.node_id = "hook";
    context.restored_epoch = epoch;
    context.committed = committed;
    context.outbox = store.get();
    context.request_checkpoint = [this] { ++wanted; };
    context.dead_letter_path = dead_letters;
    const Status status = sink->Open(context);
    REQUIRE_MESSAGE(status.ok(), status.message());
    ordinal = 0;
  }
  void Write(const Batch& batch) {
    const Status status = sink->Write(batch, ordinal);
    REQUIRE_MESSAGE(status.ok(), status.message());
    ordinal += batch.row_count();
  }
  std::string Prepare(uint64_t epoch) {
    auto prepared = sink->PrepareCommit({epoch});
    REQUIRE(prepared.ok());
    return *prepared;
  }
  std::string Commit(uint64_t epoch) {
    const std::string prepared = Prepare(epoch);
    REQUIRE(sink->Commit({epoch}).ok());
    return prepared;
  }
  /// Steps until nothing is to be done now; returns the wait.
  int64_t Deliver() {
    for (;;) {
      auto step = sink->DeliverStep();
      REQUIRE_MESSAGE(step.ok(), step.status().message());
      if (!step->worked) return step->wait_us;
    }
  }
  /// The law of a sink's rows.
  void CheckLaw(int64_t in) const {
    NodeCounters c;
    sink->FillCounters(&c);
    CAPTURE(c.out);
    CAPTURE(c.dead);
    CAPTURE(c.held);
    CHECK(c.out + c.dead + c.held == in);
  }

  FaultEnv env{Env::Posix()};
  OutboxOptions options;
  std::shared_ptr<Receiver> receiver = std::make_shared<Receiver>();
  std::unique_ptr<OutboxStore> store = NewMemoryOutbox();
  std::unique_ptr<OutboxSink> sink;
  std::string dead_letters;
  int64_t ordinal = 0;
  int wanted = 0;
};

TEST_CASE("OutboxSink_EagerRows_LeaveAtOnceUnderTheirOwnName") {
  Lives l;
  l.Open();
  l.Write(Alert("a1", "firing", 7));
  l.Deliver();
  REQUIRE(l.receiver->taken.size() == 1);
  CHECK(l.receiver->taken[0].id == "a1-firing");
  CHECK(l.receiver->taken[0].payload == "{\"alert_id\":\"a1\",\"state\":\"firing\",\"n\":7}");
  CHECK(l.wanted == 0);
  l.CheckLaw(1);
  l.Write(MakeBatch(kAlerts, {{std::string("a b"), std::string("firing"), int64_t{1}}}));
  l.Deliver();
  CHECK(l.receiver->taken[1].id.size() == 32);  // what does not fit into a header goes by its hash
}

TEST_CASE("OutboxSink_OtherRows_LeaveOnceTheirEpochIsCommitted") {
  Lives l;
  l.Open();
  l.Write(Rows(0, 3));
  CHECK(l.wanted == 1);
  l.Deliver();
  CHECK(l.receiver->attempts.empty());
  const std::string prepared = l.Prepare(1);
  l.Write(Rows(3, 5));  // already of the next epoch
  l.Deliver();
  CHECK(l.receiver->attempts.empty());
  CHECK(l.sink->settled(true));
  REQUIRE(l.sink->Commit({1}).ok());
  CHECK_FALSE(l.sink->settled(true));
  l.Deliver();
  REQUIRE(l.receiver->taken.size() == 3);
  CHECK(l.receiver->taken[2].payload == "{\"n\":2}");
  CHECK(l.receiver->ids().size() == 3);
  l.CheckLaw(5);
  CHECK(l.sink->counts().waiting == 2);

  SUBCASE("a restart forgets what was not committed, and names it the same again") {
    l.Open({1}, prepared);
    l.CheckLaw(3);
    CHECK(l.sink->counts().waiting == 0);
    l.Write(Rows(3, 5));
    l.Commit(2);
    l.Deliver();
    REQUIRE(l.receiver->taken.size() == 5);
    Lives undisturbed;
    undisturbed.Open();
    undisturbed.Write(Rows(0, 5));
    undisturbed.Commit(1);
    undisturbed.Deliver();
    CHECK(l.receiver->ids() == undisturbed.receiver->ids());
  }
  SUBCASE("an epoch that is given up leaves its rows to the next one") {
    l.Prepare(2);
    const int wanted = l.wanted;
    REQUIRE(l.sink->Abort({2}).ok());
    CHECK(l.wanted == wanted + 1);
    l.Deliver();
    CHECK(l.receiver->taken.size() == 3);
    l.Commit(3);
    l.Deliver();
    CHECK(l.receiver->taken.size() == 5);
  }
}

TEST_CASE("OutboxSink_CommittedButNotSent_LeavesAfterARestart") {
  Lives l;
  l.receiver->answer = [](const Parcel&) { return Later(); };
  l.Open();
  l.Write(Rows(0, 3));
  l.Write(Alert("a", "firing"));
  const std::string prepared = l.Commit(1);
  l.Deliver();
  CHECK(l.receiver->attempts.size() == 1);
  CHECK(l.sink->Summary().find("4 rows wait") != std::string::npos);
  l.receiver->answer = [](const Parcel&) { return DeliveryResult(); };
  l.Open({1}, prepared);
  l.CheckLaw(4);
  CHECK(l.sink->counts().waiting == 4);
  l.Deliver();
  REQUIRE(l.receiver->taken.size() == 4);
  CHECK(l.receiver->taken[0].id == "a-firing");  // alerts first
  CHECK(l.receiver->taken[1].id == l.receiver->taken[1].id);
  l.CheckLaw(4);
  CHECK(l.sink->Finish().ok());
  CHECK(l.sink->Summary().find("sent 4 rows") == 0);
}

TEST_CASE("OutboxSink_ReplayedAlert_IsNotSentAgain") {
  Lives l;
  l.Open();
  const std::string prepared = l.Commit(1);
  l.Write(Alert("a", "firing", 1));
  l.Write(Alert("b", "firing", 2));
  auto step = l.sink->DeliverStep();  // a leaves; then the process dies
  REQUIRE(step.ok());
  l.Open({1}, prepared);
  l.CheckLaw(0);
  CHECK(l.sink->counts().waiting == 1);
  l.Deliver();
  CHECK(l.receiver->taken.size() == 2);  // b, without waiting for its replay
  l.Write(Alert("a", "firing", 99));     // whatever a replay says now
  l.Write(Alert("b", "firing", 2));
  l.Write(Alert("a", "resolved", 3));
  l.Deliver();
  CHECK(l.receiver->taken.size() == 3);
  l.CheckLaw(3);
  // Once more, after the rows' epoch was committed under another number than at first.
  const std::string later = l.Commit(7);
  l.Open({7}, later);
  l.CheckLaw(3);
  CHECK(l.sink->counts().sent == 3);
}

TEST_CASE("OutboxSink_TwoRowsWithOneIdentity_SecondIsCountedNotSent") {
  Lives l;
  l.Open();
  l.Write(MakeBatch(kAlerts, {{std::string("a"), std::string("firing"), int64_t{1}},
                              {std::string("a"), std::string("firing"), int64_t{2}}}));
  l.Write(Alert("a", "firing", 3));
  l.Deliver();
  CHECK(l.receiver->taken.size() == 1);
  l.CheckLaw(3);
  CHECK(l.sink->counts().repeated == 2);
  const std::string prepared = l.Commit(1);
  l.Open({1}, prepared);
  NodeCounters c;
  l.sink->FillCounters(&c);
  CHECK(c.out == 1);
  CHECK(c.dead == 2);
}

TEST_CASE("OutboxSink_Names_AreForgottenADayAfterTheirEpoch") {
  Lives l;
  l.Open();
  l.Write(Alert("a", "firing"));
  l.Deliver();
  Outbox outbox(l.store.get(), "hook");
  const auto known = [&] { return outbox.ScanKnown("", 10)->size(); };
  l.env.AdvanceMicros(int64_t{25} * 3600 * 1000000);
  l.Deliver();
  CHECK(known() == 1);  // not committed yet
  l.Commit(1);
  l.env.AdvanceMicros(int64_t{2} * 3600 * 1000000);
  l.Write(Alert("b", "firing"));
  l.Deliver();
  l.Deliver();
  CHECK(known() == 1);
  l.Commit(2);
  l.env.AdvanceMicros(int64_t{3} * 3600 * 1000000);
  l.Deliver();
  CHECK(known() == 1);  // committed, but young
}

TEST_CASE("OutboxSink_ReceiverFails_WaitsGrowAndNothingOvertakes") {
  Lives l;
  l.Open();
  int left = 4;
  l.receiver->answer = [&](const Parcel&) { return left-- > 0 ? Later() : DeliveryResult(); };
  l.Write(Alert("a", "firing"));
  l.Write(Alert("b", "firing"));
  for (int64_t i = 0; i < 4; ++i) {
    const int64_t wait = l.Deliver();
    CHECK(wait < int64_t{500000} << i);
    CHECK_FALSE(l.sink->settled(true));
    CHECK(l.sink->settled(false));
    l.env.AdvanceMicros(wait);
  }
  l.Deliver();
  REQUIRE(l.receiver->attempts.size() == 6);
  for (size_t i = 0; i < 5; ++i) CHECK(l.receiver->attempts[i].id == "a-firing");
  CHECK(l.sink->counts().retried == 4);
  CHECK(l.sink->settled(false));
}

TEST_CASE("OutboxSink_ReceiverNamesTheWait_ItIsHonouredUpToTheCap") {
  Lives l;
  l.Open();
  l.receiver->answer = [&](const Parcel&) {
    DeliveryResult result = Later();
    result.retry_after = Duration::Seconds(l.receiver->attempts.size() == 1 ? 7 : 99999);
    return result;
  };
  l.Write(Alert("a", "firing"));
  const int64_t first = l.Deliver();
  CHECK(first >= 7000000);
  CHECK(first <= 7700000);
  l.env.AdvanceMicros(first);
  const int64_t second = l.Deliver();
  CHECK(second >= 300000000);
  CHECK(second <= 330000000);
}

TEST_CASE("OutboxSink_AttemptsExhausted_WaitsDropsOrFails") {
  Lives l;
  l.options.retry_count_max = 2;
  l.receiver->answer = [](const Parcel&) { return Later(); };
  SUBCASE("wait: goes on, but the end of a bounded run does not") {
    l.Open();
    l.Write(Alert("a", "firing"));
    for (int i = 0; i < 10; ++i) {
      CHECK(l.sink->settled(true) == (i > 2));
      l.env.AdvanceMicros(l.Deliver());
    }
    CHECK(l.receiver->attempts.size() == 10);
    const Status status = l.sink->Finish();
    CHECK(status.code() == StatusCode::kUnavailable);
    CHECK(status.message().find("1 rows for the test wait") == 0);
  }
  SUBCASE("dead_letter: goes on with the next") {
    TempDirectory directory;
    l.dead_letters = directory.path() + "/dead/hook.ndjson";
    l.options.when_exhausted = OutboxOptions::WhenExhausted::kDeadLetter;
    l.Open();
    l.Write(Alert("a", "firing"));
    l.Write(Alert("b", "firing"));
    for (int i = 0; i < 3; ++i) l.env.AdvanceMicros(l.Deliver());
    CHECK(l.receiver->attempts.back().id == "b-firing");
    CHECK(l.sink->counts().refused == 1);
    const auto text = Env::Posix()->ReadFile(l.dead_letters);
    REQUIRE(text.ok());
    CHECK(text->find("\"reason\":\"busy, 3 attempts\"") != std::string::npos);
    l.CheckLaw(2);
  }
  SUBCASE("fail: ends the run, the row waits") {
    l.options.when_exhausted = OutboxOptions::WhenExhausted::kFail;
    l.Open();
    l.Write(Alert("a", "firing"));
    for (int i = 0; i < 2; ++i) l.env.AdvanceMicros(l.Deliver());
    CHECK(l.sink->DeliverStep().status().code() == StatusCode::kUnavailable);
    l.Open();
    CHECK(l.sink->counts().waiting == 1);
  }
}

TEST_CASE("OutboxSink_RefusedForGood_BecomesADeadLetterOrEndsTheRun") {
  Lives l;
  TempDirectory directory;
  l.dead_letters = directory.path() + "/dead/hook.ndjson";
  l.receiver->answer = [](const Parcel& p) { return p.id == "a-firing" ? Refused("answered 404") : DeliveryResult(); };
  l.Open();
  l.Write(Alert("a", "firing", 4));
  l.Write(Alert("b", "firing"));
  l.Write(Rows(0, 2));
  const std::string prepared = l.Commit(1);
  l.Deliver();
  CHECK(l.receiver->attempts.size() == 4);
  CHECK(l.sink->counts().refused == 1);
  l.CheckLaw(4);
  const auto text = Env::Posix()->ReadFile(l.dead_letters);
  REQUIRE(text.ok());
  CHECK(text->find("answered 404") != std::string::npos);
  CHECK(text->find("\\\"n\\\":4") != std::string::npos);
  CHECK(l.sink->Summary().find("1 rows not accepted (in " + l.dead_letters + ")") != std::string::npos);
  l.Open({1}, prepared);
  l.CheckLaw(4);
  NodeCounters c;
  l.sink->FillCounters(&c);
  CHECK(c.dead == 1);
  l.options.fail_when_refused = true;
  l.Open({1}, prepared);
  l.receiver->answer = [](const Parcel&) { return Refused("answered 401"); };
  l.Write(Alert("c", "firing"));
  CHECK(l.sink->DeliverStep().status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("OutboxSink_Parcels_NeverChangeOnceTheyMayHaveBeenSent") {
  Lives l;
  l.options.parcel_row_count_max = 4;
  l.Open();
  l.Write(Rows(0, 6));
  const std::string prepared = l.Commit(1);
  l.Write(Rows(6, 9));
  l.receiver->answer = [](const Parcel&) { return Later(); };
  l.Deliver();  // perhaps it came through
  l.receiver->answer = [](const Parcel&) { return DeliveryResult(); };
  l.Open({1}, prepared);
  l.Write(Rows(6, 7));
  l.Write(Rows(7, 9));
  l.Commit(2);
  l.Deliver();
  REQUIRE(l.receiver->taken.size() == 3);
  CHECK(l.receiver->taken[0].id == l.receiver->attempts[0].id);
  CHECK(l.receiver->taken[0].payload == l.receiver->attempts[0].payload);
  CHECK(l.receiver->taken[0].payload == "{\"n\":0},{\"n\":1},{\"n\":2},{\"n\":3}");
  CHECK(l.receiver->taken[1].payload == "{\"n\":4},{\"n\":5}");
  CHECK(l.receiver->taken[2].payload == "{\"n\":6},{\"n\":7},{\"n\":8}");
}

TEST_CASE("OutboxSink_TooMuchWaits_KeepsTheSourcesCredit") {
  Lives l;
  l.options.waiting_count_max = 2;
  l.receiver->answer = [](const Parcel&) { return Later(); };
  l.Open();
  auto credit = std::make_shared<int>(1);
  l.Write(Alert("a", "firing").WithHold(credit));
  CHECK(credit.use_count() == 1);
  l.Write(Alert("b", "firing").WithHold(credit));
  CHECK(credit.use_count() == 2);
  l.Write(Rows(0, 5).WithHold(credit));
  CHECK(credit.use_count() == 3);
  l.Commit(1);
  l.env.AdvanceMicros(l.Deliver());
  CHECK(credit.use_count() == 3);
  l.receiver->answer = [](const Parcel&) { return DeliveryResult(); };
  l.Deliver();
  CHECK(credit.use_count() == 1);
}

TEST_CASE("OutboxSink_TooMuchWaitsOfRowsOutOfState_KeepsNoEgressBudget") {
  Lives l;
  l.options.waiting_count_max = 1;
  l.receiver->answer = [](const Parcel&) { return Later(); };
  l.Open();
  auto budget = std::make_shared<EgressBudget>(nullptr, 0, 1);
  for (const char* key : {"a", "b", "c"}) {
    l.Write(Alert(key, "firing").WithHold(budget->Take(budget, 10)));
    CHECK_FALSE(budget->exhausted());
    CHECK(l.sink->full());
  }
  l.receiver->answer = [](const Parcel&) { return DeliveryResult(); };
  l.env.AdvanceMicros(int64_t{60} * 1000000);
  l.Deliver();
  CHECK_FALSE(l.sink->full());
}

TEST_CASE("OutboxSink_Interrupted_MakesNoMoreAttempts") {
  Lives l;
  l.receiver->answer = [&](const Parcel&) {
    l.sink->Interrupt();
    return Later("interrupted");
  };
  l.Open();
  l.Write(Alert("a", "firing"));
  l.Deliver();
  l.env.AdvanceMicros(1000000000);
  l.Deliver();
  CHECK(l.receiver->attempts.size() == 1);
  CHECK(l.sink->settled(true));
  CHECK(l.sink->counts().waiting == 1);
}

/// Fails the n-th write as a full disk does, before or after it took effect.
class FullDisk final : public OutboxStore {
 public:
  explicit FullDisk(std::unique_ptr<OutboxStore> base) : base_(std::move(base)) {}
  Result<std::optional<std::string>> Get(std::string_view key) override { return base_->Get(key); }
  Status Write(const std::vector<Change>& changes, bool synced) override {
    if (left_-- != 0) return base_->Write(changes, synced);
    failed = true;
    if (takes_effect) (void)base_->Write(changes, synced).ok();
    return Status::NoSpace("full");
  }
  Result<std::vector<Row>> Scan(std::string_view from, std::string_view to, size_t limit) override {
    return base_->Scan(from, to, limit);
  }
  Status EraseRange(std::string_view from, std::string_view to) override { return base_->EraseRange(from, to); }
  void FailAfter(int64_t n) { left_ = n; }
  bool takes_effect = false;
  bool failed = false;

 private:
  std::unique_ptr<OutboxStore> base_;
  int64_t left_ = -1;
};

TEST_CASE("OutboxSink_DiskFullAtAnyWrite_CallRepeatedLosesAndDoublesNothing") {
  for (const bool takes_effect : {false, true}) {
    bool untouched = false;
    for (int64_t n = 0; n < 40 && !untouched; ++n) {
      CAPTURE(takes_effect);
      CAPTURE(n);
      Lives l;
      l.options.parcel_row_count_max = 2;
      auto disk = std::make_unique<FullDisk>(std::move(l.store));
      FullDisk& full = *disk;
      full.takes_effect = takes_effect;
      l.store = std::move(disk);
      l.Open();
      full.FailAfter(n);
      const auto write = [&](const Batch& batch) {
        Status status = l.sink->Write(batch, l.ordinal);
        if (status.code() == StatusCode::kNoSpace) status = l.sink->Write(batch, l.ordinal);
        REQUIRE(status.ok());
        l.ordinal += batch.row_count();
      };
      const auto commit = [&](uint64_t epoch) {
        if (!l.sink->PrepareCommit({epoch}).ok()) {
          REQUIRE(l.sink->Abort({epoch}).ok());
          REQUIRE(l.sink->PrepareCommit({++epoch}).ok());
        }
        REQUIRE(l.sink->Commit({epoch}).ok());
      };
      const auto deliver = [&] {
        for (int i = 0; i < 5; ++i) l.env.AdvanceMicros(std::min<int64_t>(l.Deliver(), 2000000));
      };
      write(Rows(0, 3));
      write(Alert("a", "firing"));
      deliver();
      commit(1);
      write(Rows(4, 9));
      write(Alert("b", "firing"));
      deliver();
      commit(3);
      deliver();
      untouched = !full.failed;
      CHECK(l.receiver->taken.size() == l.receiver->ids().size());
      std::string all;
      for (const Parcel& parcel : l.receiver->taken) all += parcel.payload;
      for (int64_t row : {0, 1, 2, 4, 5, 6, 7, 8})
        CHECK(all.find("{\"n\":" + std::to_string(row) + "}") != std::string::npos);
      CHECK(l.receiver->ids().count("a-firing") == 1);
      CHECK(l.receiver->ids().count("b-firing") == 1);
      l.CheckLaw(10);
      CHECK(l.sink->counts().waiting == 0);
    }
    CHECK(untouched);
  }
}

TEST_CASE("CountWaitingBySink_SinkThatIsGone_IsNamed") {
  auto store = NewMemoryOutbox();
  for (const char* name : {"a", "gone", "hook"}) {
    Outbox outbox(store.get(), name);
    Outbox::Changes changes;
    outbox.PutTotals({5, 0}, &changes);
    outbox.PutKnown("x-firing", {}, &changes);
    for (uint64_t i = 0; i < 300 && name[0] != 'a'; ++i)
      outbox.PutWaiting({i % 2 == 0 ? DeliverMode::kEager : DeliverMode::kOnCommit, i, {"id", "{}", 1}}, &changes);
    REQUIRE(outbox.Write(changes, false).ok());
  }
  const auto counts = CountWaitingBySink(*store);
  REQUIRE(counts.ok());
  REQUIRE(counts->size() == 2);
  CHECK((*counts)[0] == std::pair<std::string, int64_t>("gone", 300));
  CHECK((*counts)[1] == std::pair<std::string, int64_t>("hook", 300));
}

}  // namespace
}  // namespace freshet
