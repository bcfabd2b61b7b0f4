// Windows that follow from the rows of a key (sessions, counts, sliding) against the oracle, in every cut.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <tuple>

#include "operators/window/window.h"
#include "tests/operators/window_streams.h"

namespace freshet::testing {
namespace {

/// As the cell's sorter hands them over: on time, by event time, before the watermark that lets them go.
WindowStream InOrder(WindowStream stream) {
  std::sort(stream.rows.begin(), stream.rows.end(), [](const WindowRow& a, const WindowRow& b) {
    return std::tie(a.time_us, a.ordinal) < std::tie(b.time_us, b.ordinal);
  });
  for (size_t i = 0; i < stream.rows.size(); ++i) {
    stream.rows[i].watermark_us = stream.rows[i].time_us - kSecond;
    stream.merged_us[i] = stream.rows[i].time_us;
  }
  return stream;
}

struct OrderedShape {
  const char* yaml;
  int64_t gap_us, count, every;
};
constexpr OrderedShape kOrderedShapes[] = {
    {"{session: 2s}", 2 * kSecond, 0, 0}, {"{session: 1us}", 1, 0, 0}, {"{session: 1m}", 60 * kSecond, 0, 0},
    {"{count: 6, every: 2}", 0, 6, 2},    {"{count: 1}", 0, 1, 1},     {"{count: 20, every: 20}", 0, 20, 20},
};

TEST_CASE("Window_SessionsAndCounts_EqualTheOracleInEveryCut") {
  int64_t results = 0;
  for (uint64_t seed = 1; seed <= 24; ++seed) {
    const OrderedShape& shape = kOrderedShapes[seed % std::size(kOrderedShapes)];
    const int key_columns = static_cast<int>(seed / 6 % 3);
    CAPTURE(seed);
    CAPTURE(std::string(shape.yaml));
    CAPTURE(key_columns);
    const WindowStream stream = InOrder(RandomStream(seed, 500));
    const BoundNode node(WindowDescriptor(),
                         std::string("window: ") + shape.yaml + "\n" + kKeys[key_columns] + kOracleAggregates, kSchema);
    REQUIRE_MESSAGE(node, node.diagnostics());
    CHECK(node->input_order == InputOrder::kByEventTime);
    const WindowExpectation expected =
        OrderedWindowOracle(stream.rows, shape.gap_us, shape.count, shape.every, key_columns);
    results += expected.windows;
    WindowOutcome first;
    for (const size_t batch_rows : {size_t{1}, size_t{7}, size_t{4096}}) {
      for (const bool crashes : {false, true}) {
        CAPTURE(batch_rows);
        CAPTURE(crashes);
        WindowOutcome got =
            WindowRun(node.bound(), stream, batch_rows, seed * 100 + batch_rows, crashes, shape.count > 0).Finish();
        CheckAgainstOracle(got, expected, stream.rows.size(), false);
        if (first.rows.empty())
          first = std::move(got);
        else
          CHECK(got.rows == first.rows);
      }
    }
  }
  CHECK(results > 1000);
}

/// What a run of a row-wise operator gave, in input order.
struct RowWiseOutcome {
  std::vector<std::string> rows;
  int64_t keys = 0;  ///< once time has passed all rows
};

RowWiseOutcome RunSliding(const BoundOperator& bound, const WindowStream& stream, size_t batch_rows, uint64_t seed,
                          bool crashes) {
  Rng rng(seed);
  const auto schema = std::make_shared<const Schema>(kSchema);
  const std::vector<TestRow> rows = ToTestRows(stream.rows);
  std::unique_ptr<OperatorHarness> harness;
  HarnessCheckpoint checkpoint;
  int lanes = 1;
  std::map<std::pair<int64_t, uint64_t>, std::string> by_row;
  const auto open = [&](const HarnessCheckpoint* from) {
    lanes = crashes && bound.key ? std::array{1, 3, 2, 5}[rng.Below(4)] : 1;
    harness = std::make_unique<OperatorHarness>(
        bound, OperatorHarness::Options{lanes, static_cast<int32_t>(batch_rows), from});
    REQUIRE_MESSAGE(harness->status().ok(), harness->status().ToString());
  };
  const auto collect = [&] {
    for (int lane = 0; lane < lanes; ++lane)
      for (const Batch& batch : harness->output(lane, 0)) {
        const std::vector<std::string> texts = RowTexts(batch);
        for (int32_t row = 0; row < batch.row_count(); ++row)
          by_row[{batch.time(row).us, batch.ordinal(row).value}] = texts[static_cast<size_t>(row)];
      }
  };
  open(nullptr);
  for (size_t at = 0; at < rows.size();) {
    if (crashes && rng.Below(6) == 0) {
      harness->Snapshot(&checkpoint);
      collect();
      if (rng.Below(2) == 0) harness->Feed(MakeRows(schema, rows, at, std::min(batch_rows, rows.size() - at)));
      open(&checkpoint);
    }
    const size_t count = std::min(batch_rows, rows.size() - at);
    harness->Feed(MakeRows(schema, rows, at, count));
    at += count;
    if (rng.Below(3) != 0) harness->Watermark({stream.merged_us[at - 1]});
  }
  harness->End();
  collect();
  REQUIRE_MESSAGE(harness->status().ok(), harness->status().ToString());
  CHECK(ConservationFault(harness->counters(), NodeClass::kRowWise) == "");
  RowWiseOutcome outcome;
  for (auto& [place, text] : by_row) outcome.rows.push_back(std::move(text));
  harness->Snapshot(&checkpoint);
  open(&checkpoint);
  CHECK(harness->state_keys() > 0);  // the end of the input is no time
  harness->Watermark({int64_t{1} << 50});
  outcome.keys = harness->state_keys();
  return outcome;
}

TEST_CASE("Window_Sliding_EqualsTheOracleInEveryCut") {
  constexpr int64_t kSizes[] = {1, 500000, 3 * kSecond, 100 * kSecond};
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    const int64_t size_us = kSizes[seed % std::size(kSizes)];
    const int key_columns = static_cast<int>(seed % 3);
    CAPTURE(seed);
    CAPTURE(size_us);
    const WindowStream stream = InOrder(RandomStream(seed, 400));
    const BoundNode node(
        WindowDescriptor(),
        "window: {sliding: " + std::to_string(size_us) + "us}\n" + kKeys[key_columns] + kOracleAggregates, kSchema);
    REQUIRE_MESSAGE(node, node.diagnostics());
    CHECK(node->input_order == InputOrder::kByEventTime);
    CHECK(node->outputs[0].order == OutputOrder::kInputOrder);
    const WindowExpectation expected = SlidingWindowOracle(stream.rows, size_us, key_columns);
    RowWiseOutcome first;
    for (const size_t batch_rows : {size_t{1}, size_t{7}, size_t{4096}}) {
      for (const bool crashes : {false, true}) {
        CAPTURE(batch_rows);
        CAPTURE(crashes);
        RowWiseOutcome got = RunSliding(node.bound(), stream, batch_rows, seed * 100 + batch_rows, crashes);
        REQUIRE(got.rows.size() == expected.results.size());
        for (size_t i = 0; i < got.rows.size(); ++i) {
          CHECK(got.rows[i].substr(0, got.rows[i].find(" sd=")) == expected.results[i].text);
          CheckClose(NumberAfter(got.rows[i], "sd"), expected.results[i].stddev_f);
          CheckClose(NumberAfter(got.rows[i], "vx"), expected.results[i].var_x);
        }
        CHECK(got.keys == 0);
        if (first.rows.empty())
          first = std::move(got);
        else
          CHECK(got.rows == first.rows);  // to the bit
      }
    }
  }
}

}  // namespace
}  // namespace freshet::testing
