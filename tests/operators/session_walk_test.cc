// Sessions of keys that are not in memory: how often the store is read for them, and that nothing is lost when keys
// leave and come back in the middle of a span.
#include <doctest/doctest.h>

#include <algorithm>

#include "engine/base/rng.h"
#include "operators/window/window.h"
#include "tests/operators/test_rows.h"
#include "tests/support/flow_nodes.h"
#include "tests/support/operator_harness.h"

namespace freshet::testing {
namespace {

constexpr int64_t kSecond = 1000000;
constexpr int kKeys = 4000;

BoundNode Sessions() {
  return BoundNode(WindowDescriptor(),
                   "window: {session: 8s}\nkey: k\naggregates: {n: count(*), s: sum(v), l: last(v)}\n",
                   *NumbersSchema());
}

TestRow RowAt(int64_t time_us, int64_t key, int64_t watermark_us = EventTime::Min().us) {
  TestRow row;
  row.time_us = time_us;
  row.watermark_us = watermark_us;
  row.cells = {time_us, key, static_cast<double>(time_us % 1000)};
  return row;
}

/// A session of each key, the next `step_us` after the one before, and all of them in the store.
struct Stored {
  Stored(const BoundNode& node, int64_t step_us, int32_t batch_rows) : harness(node.bound(), OptionsOf(batch_rows)) {
    std::vector<TestRow> rows;
    for (int i = 0; i < kKeys; ++i) rows.push_back(RowAt(i * step_us, i));
    harness.Feed(MakeRows(*NumbersSchema(), rows));
    harness.Snapshot(&checkpoint);
    REQUIRE(harness.state_keys() == 0);
    REQUIRE(harness.rows_scanned() == 0);
  }
  static OperatorHarness::Options OptionsOf(int32_t batch_rows) {
    OperatorHarness::Options options;
    options.batch_row_count_max = batch_rows;
    options.evict = true;
    return options;
  }
  size_t results() const {
    size_t count = 0;
    for (const Batch& batch : harness.output(0, 0)) count += static_cast<size_t>(batch.row_count());
    return count;
  }
  OperatorHarness harness;
  HarnessCheckpoint checkpoint;
};

// A walk notes four keys for each row of a batch: one is enough for a thousand keys that end in a span (an eighth of
// the gap) if batches have 4,096 rows, four are needed if they have 64.
TEST_CASE("SessionWalk_TimePasses_TheStoreIsReadOnceForEachSpan") {
  const BoundNode node = Sessions();
  REQUIRE_MESSAGE(node, node.diagnostics());
  for (const auto& [batch_rows, walks] : {std::pair{4096, 1}, {64, 4}}) {
    CAPTURE(batch_rows);
    Stored stored(node, 1000, batch_rows);
    for (int64_t now = 7 * kSecond; now <= 13 * kSecond; now += kSecond / 10) {
      stored.harness.Watermark(EventTime{now});
      if (now % kSecond == kSecond / 2) stored.harness.Snapshot(&stored.checkpoint);
    }
    CHECK(stored.results() == kKeys);
    // The first session ends in a span of its own.
    CHECK(stored.harness.rows_scanned() <= (1 + 4 * walks) * kKeys);
    MESSAGE("rows read: " << stored.harness.rows_scanned());
  }
}

TEST_CASE("SessionWalk_EndOfTheInput_TheStoreIsReadOnceForEachSpan") {
  const BoundNode node = Sessions();
  REQUIRE_MESSAGE(node, node.diagnostics());
  for (const auto& [step_us, spans] : {std::pair{1000, 5}, {0, 1}}) {
    CAPTURE(step_us);
    Stored stored(node, step_us, 4096);
    stored.harness.End();
    CHECK(stored.results() == kKeys);
    CHECK(stored.harness.rows_scanned() <= spans * kKeys);
    MESSAGE("rows read: " << stored.harness.rows_scanned());
  }
}

std::vector<std::string> Lines(const OperatorHarness& harness, int lanes) {
  std::vector<std::string> lines;
  for (int lane = 0; lane < lanes; ++lane)
    for (const Batch& batch : harness.output(lane, 0))
      for (std::string& line : RowTexts(batch)) lines.push_back(std::move(line));
  return lines;
}

/// Bursts of sessions, and now and then a row that prolongs one. With `rng`, keys leave at some of the steps, and at
/// some of these the run goes on in another one, if `lanes_max` allows with other lanes.
std::vector<std::string> RunLife(const BoundNode& node, uint64_t seed, Rng* rng, int lanes_max, int32_t batch_rows) {
  HarnessCheckpoint checkpoint;
  OperatorHarness::Options options;
  options.evict = rng != nullptr;
  options.batch_row_count_max = batch_rows;
  auto harness = std::make_unique<OperatorHarness>(node.bound(), options);
  std::vector<std::string> lines;
  Rng input(seed);
  for (int64_t now = 0; now < 60 * kSecond;) {
    const int64_t next = now + 1 + static_cast<int64_t>(input.Below(input.Below(4) == 0 ? 3 * kSecond : kSecond / 2));
    std::vector<TestRow> rows;
    const size_t count = input.Below(3) == 0 ? 150 : input.Below(4);
    for (size_t i = 0; i < count; ++i)
      rows.push_back(RowAt(now + static_cast<int64_t>(input.Below(static_cast<uint64_t>(next - now))),
                           static_cast<int64_t>(input.Below(600)), now));
    // Late ones bring keys back that do not change by them.
    for (uint64_t late = input.Below(40); late > 0; --late)
      rows.push_back(RowAt(now - 1, static_cast<int64_t>(input.Below(600)), now));
    std::stable_sort(rows.begin(), rows.end(),
                     [](const TestRow& a, const TestRow& b) { return a.time_us < b.time_us; });
    if (!rows.empty()) harness->Feed(MakeRows(*NumbersSchema(), rows));
    now = next;
    harness->Watermark(EventTime{now});
    if (rng == nullptr || rng->Below(2 + seed % 12) > 0) continue;
    harness->Snapshot(&checkpoint);
    if (rng->Below(8) > 0) continue;
    for (std::string& line : Lines(*harness, options.lanes)) lines.push_back(std::move(line));
    options.lanes = 1 + static_cast<int>(rng->Below(static_cast<uint64_t>(lanes_max)));
    options.restore = &checkpoint;
    REQUIRE_MESSAGE(harness->status().ok(), harness->status().ToString());
    harness = std::make_unique<OperatorHarness>(node.bound(), options);
  }
  harness->End();
  REQUIRE_MESSAGE(harness->status().ok(), harness->status().ToString());
  for (std::string& line : Lines(*harness, options.lanes)) lines.push_back(std::move(line));
  return lines;
}

TEST_CASE("SessionWalk_KeysLeaveInTheMiddleOfASpan_ResultsAreThoseOfAllInMemory") {
  const BoundNode node = Sessions();
  REQUIRE_MESSAGE(node, node.diagnostics());
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    std::vector<std::string> expected = RunLife(node, seed, nullptr, 1, 4096);
    CHECK(expected.size() > 500);
    Rng rng(seed + 1000);
    for (const int32_t batch_rows : {4, 32, 4096}) {
      CAPTURE(batch_rows);
      CHECK(RunLife(node, seed, &rng, 1, batch_rows) == expected);
      std::vector<std::string> of_lanes = RunLife(node, seed, &rng, 4, batch_rows);
      std::vector<std::string> sorted = expected;
      std::sort(of_lanes.begin(), of_lanes.end());
      std::sort(sorted.begin(), sorted.end());
      CHECK(of_lanes == sorted);
    }
  }
}

}  // namespace
}  // namespace freshet::testing
