// Late rows one by one: revisions, tombstones, rows that meet a window which has left.
#include <doctest/doctest.h>

#include "engine/flow/sim_faults.h"
#include "operators/window/window.h"
#include "tests/operators/test_rows.h"

namespace freshet::testing {
namespace {

constexpr int64_t kSecond = 1000000;

const Schema kSchema({{"k", TypeId::kString}, {"x", TypeId::kInt64}});

TestRow Row(int64_t second, int64_t watermark_second, const char* k, int x) {
  return {.time_us = second * kSecond, .watermark_us = watermark_second * kSecond, .cells = {k, x}};
}

BoundNode Node(const std::string& window, const std::string& allowed) {
  const std::string key = window == "tumbling" ? "{tumbling: 10s}" : "{hopping: 10s, every: 5s}";
  return BoundNode(WindowDescriptor(),
                   "window: " + key + "\nkey: k\naggregates: {s: sum(x)}\nallowed_lateness: " + allowed + "\n",
                   kSchema);
}

/// What came out of a port since the last call.
class Listener {
 public:
  explicit Listener(const OperatorHarness& harness, PortIndex port = 0) : harness_(harness), port_(port) {}
  std::vector<std::string> News() {
    std::vector<std::string> texts;
    const auto& batches = harness_.output(0, port_);
    for (; seen_ < batches.size(); ++seen_)
      for (std::string& text : RowTexts(batches[seen_])) texts.push_back(std::move(text));
    return texts;
  }

 private:
  const OperatorHarness& harness_;
  const PortIndex port_;
  size_t seen_ = 0;
};

using Texts = std::vector<std::string>;

TEST_CASE("Window_AllowedLateness_RevisesOncePerRowWatermark") {
  const BoundNode node = Node("tumbling", "5s");
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness harness(node.bound(), {});
  Listener results(harness), late(harness, 1);
  harness.Feed(MakeRows(kSchema, {Row(1, 0, "a", 1), Row(2, 9, "a", 2)}));
  harness.Watermark({10 * kSecond});
  CHECK(results.News() ==
        Texts{"@9999999 wm 9999999 window_start=0 window_end=10000000 k='a' s=3 revision=0 op='insert'"});
  // Two late rows of one row watermark, one of another, one too late; they leave when time has passed them.
  harness.Feed(
      MakeRows(kSchema, {Row(3, 10, "a", 10), Row(4, 10, "a", 20), Row(5, 12, "a", 100), Row(6, 15, "a", 1000)}));
  CHECK(results.News().empty());
  CHECK(late.News() == Texts{"@6000000 wm 15000000 k='a' x=1000 late_reason='late' late_window_end=10000000 "
                             "lateness_ms=9000"});
  harness.Watermark({10 * kSecond + 1});
  CHECK(results.News() ==
        Texts{"@9999999 wm 10000000 window_start=0 window_end=10000000 k='a' s=33 revision=1 op='update'"});
  harness.Watermark({14 * kSecond});
  CHECK(results.News() ==
        Texts{"@9999999 wm 12000000 window_start=0 window_end=10000000 k='a' s=133 revision=2 op='update'"});
  CHECK(harness.state_keys() == 1);
  harness.Watermark({15 * kSecond});
  CHECK(harness.state_keys() == 0);
  CHECK(harness.counters().panes_opened == 1);
  CHECK(harness.counters().panes_emitted == 1);
  REQUIRE(harness.status().ok());
}

TEST_CASE("Window_LateRowsBeforeTheFirstResult_GiveWhatTheyGiveAfterIt") {
  const BoundNode node = Node("hopping", "20s");
  REQUIRE_MESSAGE(node, node.diagnostics());
  const std::vector<TestRow> rows = {Row(1, 0, "a", 1), Row(2, 7, "a", 10), Row(3, 11, "a", 100), Row(4, 11, "b", 5)};
  Texts expected;
  for (size_t first = 0; first <= rows.size(); ++first) {
    CAPTURE(first);
    OperatorHarness harness(node.bound(), {});
    Listener results(harness);
    const auto schema = std::make_shared<const Schema>(kSchema);
    if (first > 0) harness.Feed(MakeRows(schema, rows, 0, first));
    // As far as no partition is behind: the own watermark of the next row.
    if (first < rows.size()) {
      harness.Watermark({rows[first].watermark_us});
      harness.Feed(MakeRows(schema, rows, first, rows.size() - first));
    }
    harness.End();
    const Texts texts = results.News();
    if (first == 0) expected = texts;
    CHECK(texts == expected);
  }
  CHECK(expected ==
        Texts{
            "@4999999 wm 4999999 window_start=-5000000 window_end=5000000 k='a' s=1 revision=0 op='insert'",
            "@4999999 wm 7000000 window_start=-5000000 window_end=5000000 k='a' s=11 revision=1 op='update'",
            "@9999999 wm 9999999 window_start=0 window_end=10000000 k='a' s=11 revision=0 op='insert'",
            "@4999999 wm 11000000 window_start=-5000000 window_end=5000000 k='a' s=111 revision=2 op='update'",
            "@4999999 wm 11000000 window_start=-5000000 window_end=5000000 k='b' s=5 revision=0 op='insert'",
            "@9999999 wm 11000000 window_start=0 window_end=10000000 k='a' s=111 revision=1 op='update'",
            "@9999999 wm 11000000 window_start=0 window_end=10000000 k='b' s=5 revision=0 op='insert'",
        });
}

/// Feeds, ends, restores, and feeds again, as an input that has grown does.
struct Grown {
  explicit Grown(const BoundNode& node, const std::vector<TestRow>& before) {
    OperatorHarness first(node.bound(), {});
    first.Feed(MakeRows(kSchema, before));
    first.End();
    Listener results(first);
    told = results.News();
    first.Snapshot(&checkpoint);
    second = std::make_unique<OperatorHarness>(node.bound(), OperatorHarness::Options{.restore = &checkpoint});
    REQUIRE_MESSAGE(second->status().ok(), second->status().ToString());
  }
  HarnessCheckpoint checkpoint;
  std::unique_ptr<OperatorHarness> second;
  Texts told;
};

TEST_CASE("Window_InputGrowsAfterItsEnd_NoWindowLeavesTwice") {
  const BoundNode node = Node("tumbling", "0s");
  Grown grown(node, {Row(1, 0, "a", 1), Row(21, 0, "a", 2)});
  CHECK(grown.told.size() == 2);
  CHECK(grown.second->state_keys() == 1);
  Listener results(*grown.second), late(*grown.second, 1);
  // Key a's windows 0 and 20 have left, window 10 has not; key b's have not.
  grown.second->Feed(
      MakeRows(kSchema, {Row(2, 1, "a", 10), Row(12, 1, "a", 10), Row(22, 1, "a", 10), Row(22, 1, "b", 10)}));
  CHECK(late.News() == Texts{"@2000000 wm 1000000 k='a' x=10 late_reason='after_end' late_window_end=10000000 "
                             "lateness_ms=8000",
                             "@22000000 wm 1000000 k='a' x=10 late_reason='after_end' late_window_end=30000000 "
                             "lateness_ms=8000"});
  grown.second->Watermark({30 * kSecond});
  CHECK(results.News() == Texts{"@19999999 wm 19999999 window_start=10000000 window_end=20000000 k='a' s=10",
                                "@29999999 wm 29999999 window_start=20000000 window_end=30000000 k='b' s=10"});
  CHECK(grown.second->state_keys() == 0);
  CHECK(ConservationFault(grown.second->counters(), NodeClass::kStateful) == "");
}

TEST_CASE("Window_InputGrowsAfterItsEnd_HoppingCountsInTheWindowsThatAreLeft") {
  const BoundNode node = Node("hopping", "0s");
  Grown grown(node, {Row(1, 0, "a", 1)});
  CHECK(grown.told.size() == 2);
  Listener results(*grown.second), late(*grown.second, 1);
  grown.second->Feed(MakeRows(kSchema, {Row(6, 1, "a", 10), Row(7, 1, "a", 10)}));
  CHECK(late.News().empty());
  CHECK(grown.second->counters().late_panes == 2);
  grown.second->End();
  CHECK(results.News() == Texts{"@14999999 wm 14999999 window_start=5000000 window_end=15000000 k='a' s=20"});
}

TEST_CASE("Window_InputGrowsAfterItsEnd_AllowedLatenessRevises") {
  const BoundNode node = Node("tumbling", "5s");
  Grown grown(node, {Row(1, 0, "a", 1)});
  CHECK(grown.told.size() == 1);
  Listener results(*grown.second);
  grown.second->Feed(MakeRows(kSchema, {Row(2, 1, "a", 10), Row(3, 11, "a", 100)}));
  grown.second->Watermark({15 * kSecond});
  CHECK(results.News() ==
        Texts{"@9999999 wm 9999999 window_start=0 window_end=10000000 k='a' s=11 revision=1 op='update'",
              "@9999999 wm 11000000 window_start=0 window_end=10000000 k='a' s=111 revision=2 op='update'"});
  CHECK(grown.second->state_keys() == 0);
  CHECK(grown.second->counters().panes_opened == 1);
  CHECK(ConservationFault(grown.second->counters(), NodeClass::kStateful) == "");
}

TEST_CASE("Window_InputGrowsAfterItsEnd_EarlyAndGlobalResultsGoOnBeingRevised") {
  const std::string rest = "\nkey: k\naggregates: {s: sum(x)}\nemit_every: 5s\n";
  for (const bool global : {false, true}) {
    CAPTURE(global);
    const std::string shape = global ? "window: {global: true}" : "window: {tumbling: 10s}";
    const BoundNode node(WindowDescriptor(), shape + rest, kSchema);
    REQUIRE_MESSAGE(node, node.diagnostics());
    Grown grown(node, {Row(1, 0, "a", 1), Row(6, 0, "a", 2)});
    const std::string ends = global ? " window_start=null window_end=null" : " window_start=0 window_end=10000000";
    const std::string last = global ? "@253402300799999999 wm 253402300799999999" : "@9999999 wm 9999999";
    // The tumbling window has its last early result at its end, which is that of the end.
    Texts told = {"@4999999 wm 4999999" + ends + " k='a' s=1 revision=0 op='insert'",
                  "@9999999 wm 9999999" + ends + " k='a' s=3 revision=1 op='update'"};
    if (global) told.push_back(last + ends + " k='a' s=3 revision=2 op='update'");
    CHECK(grown.told == told);
    Listener results(*grown.second), late(*grown.second, 1);
    grown.second->Feed(MakeRows(kSchema, {Row(2, 1, "a", 10), Row(7, 1, "a", 100)}));
    grown.second->Watermark({7 * kSecond});
    const int64_t first = global ? 3 : 2;
    CHECK(results.News() ==
          Texts{"@4999999 wm 4999999" + ends + " k='a' s=13 revision=" + std::to_string(first) + " op='update'"});
    grown.second->End();
    told = {"@9999999 wm 9999999" + ends + " k='a' s=113 revision=" + std::to_string(first + 1) + " op='update'"};
    if (global) told.push_back(last + ends + " k='a' s=113 revision=5 op='update'");
    CHECK(results.News() == told);
    CHECK(late.News().empty());
    CHECK(grown.second->counters().panes_opened == 1);
    CHECK(ConservationFault(grown.second->counters(), NodeClass::kStateful) == "");
  }
}

TEST_CASE("Window_RowBehindTheMergedWatermark_IsLateAfterIdle") {
  for (const char* allowed : {"0s", "5s"}) {
    CAPTURE(std::string(allowed));
    const BoundNode node = Node("tumbling", allowed);
    OperatorHarness harness(node.bound(), {});
    Listener results(harness), late(harness, 1);
    harness.Feed(MakeRows(kSchema, {Row(1, 0, "a", 1)}));
    harness.Watermark({12 * kSecond});
    results.News();
    harness.Feed(MakeRows(kSchema, {Row(2, 0, "a", 10), Row(-7, 3, "a", 10)}));
    harness.End();
    REQUIRE_MESSAGE(harness.status().ok(), harness.status().ToString());
    const Texts told = late.News();
    const bool revised = allowed[0] != '0';
    REQUIRE(told.size() == (revised ? 1 : 2));
    if (!revised)
      CHECK(told[0] == "@2000000 wm 0 k='a' x=10 late_reason='after_idle' late_window_end=10000000 lateness_ms=10000");
    CHECK(told.back().find(revised ? "late_reason='after_idle'" : "late_reason='late'") != std::string::npos);
    CHECK(results.News().size() == (revised ? 1 : 0));
    CHECK(ConservationFault(harness.counters(), NodeClass::kStateful) == "");
  }
}

TEST_CASE("Window_StateOfCodec1_IsReadAndRewritten") {
  const BoundNode node = Node("tumbling", "0s");
  HarnessCheckpoint checkpoint;
  {
    OperatorHarness harness(node.bound(), {});
    harness.Feed(MakeRows(kSchema, {Row(1, 0, "a", 1), Row(11, 0, "a", 2)}));
    harness.Snapshot(&checkpoint);
  }
  REQUIRE(checkpoint.rows.size() == 1);
  auto& row = checkpoint.rows.begin()->second;
  CHECK(row.codec == 3);
  // The same in codec 1: no count of ends in front, no mark after a cell's ends, no list behind the cells.
  const std::string value = row.value.substr(1);
  const size_t states = (value.size() - 9 - 1) / 2 - 17;
  std::string old = value.substr(0, 9);
  for (const size_t cell : {size_t{9}, 9 + 17 + states})
    old += value.substr(cell, 16) + value.substr(cell + 17, states);
  const HarnessCheckpoint now = checkpoint;
  row.value = old;
  row.codec = 1;
  OperatorHarness harness(node.bound(), {.restore = &checkpoint});
  REQUIRE_MESSAGE(harness.status().ok(), harness.status().ToString());
  HarnessCheckpoint rewritten;
  harness.Snapshot(&rewritten);
  REQUIRE(rewritten.rows.size() == 1);
  CHECK(rewritten.rows.begin()->second.value == now.rows.begin()->second.value);
  Listener results(harness);
  harness.End();
  CHECK(results.News() == Texts{"@9999999 wm 9999999 window_start=0 window_end=10000000 k='a' s=1",
                                "@19999999 wm 19999999 window_start=10000000 window_end=20000000 k='a' s=2"});
}

TEST_CASE("Window_AllowedLateness_ChangesBetweenZeroAndMore_AreRefused") {
  HarnessCheckpoint checkpoint;
  const BoundNode before = Node("tumbling", "0s");
  OperatorHarness harness(before.bound(), {});
  harness.Feed(MakeRows(kSchema, {Row(1, 0, "a", 1)}));
  harness.Snapshot(&checkpoint);
  const BoundNode after = Node("tumbling", "5s");
  CHECK_FALSE(OperatorHarness(after.bound(), {.restore = &checkpoint}).status().ok());
  CHECK(after->outputs[0].revises);
  CHECK(after->outputs[0].schema->ToString() ==
        "window_start: timestamp, window_end: timestamp, k: string, s: int64, revision: int64, op: string");
}

TEST_CASE("Window_ProcessingTime_GoesByTheClockAlone") {
  const BoundNode node(WindowDescriptor(),
                       "window: {tumbling: 10s}\ntime: processing\nkey: k\naggregates: {s: sum(x)}\n", kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  CHECK(node->wants_clock);
  CHECK_FALSE(node->key.has_value());
  SimEnv env(Env::Posix());
  env.Advance(10 * kSecond - env.WallMicros() % (10 * kSecond));
  const int64_t begin = env.WallMicros();
  const auto window = [&](int64_t start_s, const std::string& rest) {
    const std::string last = std::to_string(begin + (start_s + 10) * kSecond - 1);
    return "@" + last + " wm " + last + " window_start=" + std::to_string(begin + start_s * kSecond) +
           " window_end=" + std::to_string(begin + (start_s + 10) * kSecond) + rest;
  };
  auto harness = std::make_unique<OperatorHarness>(node.bound(), OperatorHarness::Options{.env = &env});
  Listener results(*harness);
  // Event times and watermarks say nothing.
  harness->Feed(MakeRows(kSchema, {Row(1, 0, "a", 1), Row(500, 400, "b", 2), Row(3, 400, "a", 4)}));
  harness->Watermark({1000 * kSecond});
  harness->Clock({env.WallMicros()});
  CHECK(results.News().empty());
  env.Advance(10 * kSecond - 1);
  harness->Feed(MakeRows(kSchema, {Row(1, 0, "a", 8)}));
  harness->Clock({env.WallMicros()});
  CHECK(results.News().empty());
  env.Advance(1);
  env.Jump(-3600 * kSecond);  // somebody sets the clock back: it stands still
  harness->Feed(MakeRows(kSchema, {Row(1, 0, "a", 16)}));
  harness->Clock({env.WallMicros()});
  CHECK(results.News().empty());
  env.Jump(3600 * kSecond);
  harness->Clock({env.WallMicros()});
  CHECK(results.News() == Texts{window(0, " k='a' s=29"), window(0, " k='b' s=2")});
  // A restart: what is open goes on, or closes at the first look.
  harness->Feed(MakeRows(kSchema, {Row(1, 0, "c", 32)}));
  HarnessCheckpoint checkpoint;
  harness->Snapshot(&checkpoint);
  harness =
      std::make_unique<OperatorHarness>(node.bound(), OperatorHarness::Options{.restore = &checkpoint, .env = &env});
  env.Advance(100 * kSecond);
  harness->Clock({env.WallMicros()});
  CHECK(Listener(*harness).News() == Texts{window(10, " k='c' s=32")});
  CHECK(harness->counters().late == 0);
  CHECK(ConservationFault(harness->counters(), NodeClass::kStateful) == "");
  harness->Feed(MakeRows(kSchema, {Row(1, 0, "d", 64)}));
  harness->End();
  REQUIRE(harness->output(0, 0).size() == 2);
  REQUIRE(harness->status().ok());
}

}  // namespace
}  // namespace freshet::testing
