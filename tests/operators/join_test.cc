// The join against two nested loops, in every cut of batches, timing of the inputs, crashes and lanes, with keys in
// memory or not; and what a pipeline author sees of it.
#include "operators/join.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "engine/base/rng.h"
#include "engine/flow/graph.h"
#include "operators/join/join_rows.h"
#include "operators/window/window.h"
#include "tests/operators/test_rows.h"
#include "tests/support/flow_runs.h"
#include "tests/support/paced_source.h"

namespace freshet::testing {
namespace {

constexpr int64_t kSecond = 1000000;

const Schema kLeft({{"k", TypeId::kInt64}, {"a", TypeId::kString}});
const Schema kRight({{"b", TypeId::kFloat64}, {"id", TypeId::kInt64}, {"l", TypeId::kListFloat64}});

BoundNode Node(const std::string& options) { return BoundNode(JoinDescriptor(), options, {&kLeft, &kRight}); }

struct InputRow {
  int64_t time_us = 0;
  int64_t watermark_us = INT64_MIN;
  uint64_t ordinal = 0;
  std::optional<int64_t> key;
  int value = 0;
};

/// Two inputs of two partitions each and how they come together.
struct Streams {
  std::array<std::vector<InputRow>, 2> rows;
  /// Input and index of each step, and the merged watermark after it.
  std::vector<std::tuple<int, size_t, int64_t>> steps;
};

Streams RandomStreams(uint64_t seed, int count) {
  Rng rng(seed);
  const int64_t lateness = static_cast<int64_t>(rng.Below(3)) * kSecond;
  std::array<int64_t, 4> frontier, clock;
  frontier.fill(INT64_MIN);
  for (int64_t& c : clock) c = -10 * kSecond + static_cast<int64_t>(rng.Below(5 * kSecond));
  Streams streams;
  int64_t merged = INT64_MIN;
  for (int i = 0; i < count; ++i) {
    const size_t p = rng.Below(4);
    const size_t side = p / 2;
    clock[p] += static_cast<int64_t>(rng.Below(kSecond));
    InputRow row;
    row.time_us = clock[p] - (rng.Below(4) == 0 ? static_cast<int64_t>(rng.Below(5 * kSecond)) : 0);
    if (rng.Below(3) == 0) row.time_us = row.time_us / kSecond * kSecond;
    row.watermark_us = frontier[p] == INT64_MIN ? INT64_MIN : frontier[p] - lateness;
    row.ordinal = Ordinal::Of(static_cast<uint32_t>(p % 2), streams.rows[side].size()).value;
    row.value = static_cast<int>(rng.Below(1000));
    if (rng.Below(15) != 0) row.key = static_cast<int64_t>(rng.Below(6)) - 2;
    frontier[p] = std::max(frontier[p], row.time_us);
    const int64_t least = *std::min_element(frontier.begin(), frontier.end());
    if (least != INT64_MIN) merged = std::max(merged, least - lateness);
    streams.steps.emplace_back(static_cast<int>(side), streams.rows[side].size(), merged);
    streams.rows[side].push_back(row);
  }
  return streams;
}

std::string Text(const std::optional<int64_t>& v) { return v ? std::to_string(*v) : "null"; }
std::string LeftText(const InputRow& r) { return " k=" + Text(r.key) + " a='v" + std::to_string(r.value) + "'"; }
std::string RightText(const InputRow* r) {
  if (r == nullptr) return " b=null l=null";
  return " b=" + std::to_string(r->value) + " l=[" + std::to_string(r->value) + ",0.5,]";
}
std::string Head(int64_t time_us, int64_t watermark_us) {
  return "@" + std::to_string(time_us) + " wm " + std::to_string(watermark_us);
}

struct Reach {
  const char* yaml;
  int64_t within;
  int64_t size;
  int64_t Floor(int64_t t) const { return t - ((t % size) + size) % size; }
  bool Meet(int64_t a, int64_t b) const { return size > 0 ? Floor(a) == Floor(b) : std::abs(a - b) <= within; }
  int64_t Last(int64_t t) const { return size > 0 ? Floor(t) + size - 1 : t + within; }
};

struct Expectation {
  std::vector<std::string> results;
  std::vector<std::string> late;
  int64_t absorbed = 0;
};

Expectation Oracle(const Streams& streams, const Reach& reach, bool left_outer) {
  Expectation expected;
  // Time, key (null first), what came last: side, ordinal; whom it met: time, ordinal.
  using Place = std::tuple<int64_t, std::optional<int64_t>, int, int, uint64_t, int64_t, uint64_t>;
  std::map<Place, std::string> results;
  std::map<std::tuple<int64_t, int64_t, std::optional<int64_t>, int, uint64_t>, std::string> late;
  const auto on_time = [](const InputRow& r) { return r.time_us >= r.watermark_us; };
  for (const InputRow& a : streams.rows[0]) {
    if (!on_time(a)) continue;
    bool met = false;
    for (const InputRow& b : streams.rows[1]) {
      if (!on_time(b) || !a.key || a.key != b.key || !reach.Meet(a.time_us, b.time_us)) continue;
      met = true;
      const bool right_last = b.time_us >= a.time_us;
      const InputRow& last = right_last ? b : a;
      const InputRow& first = right_last ? a : b;
      results[{last.time_us, a.key, 0, right_last, last.ordinal, first.time_us, first.ordinal}] =
          Head(last.time_us, std::min(a.watermark_us, b.watermark_us)) + LeftText(a) + RightText(&b);
    }
    if (!met && left_outer)
      results[{reach.Last(a.time_us), a.key, 1, 0, 0, a.time_us, a.ordinal}] =
          Head(reach.Last(a.time_us), a.watermark_us) + LeftText(a) + RightText(nullptr);
  }
  for (int side = 0; side < 2; ++side) {
    for (const InputRow& r : streams.rows[static_cast<size_t>(side)]) {
      expected.absorbed += on_time(r);
      if (on_time(r)) continue;
      const std::string end = reach.size > 0 ? std::to_string(reach.Last(r.time_us) + 1) : "null";
      late[{r.watermark_us, r.time_us, r.key, side, r.ordinal}] =
          Head(r.time_us, r.watermark_us) +
          (side == 0 ? LeftText(r) + RightText(nullptr) : " k=" + Text(r.key) + " a=null" + RightText(&r)) +
          " late_input='" + (side == 0 ? "input" : "input2") + "' late_reason='late' late_window_end=" + end +
          " lateness_ms=" + std::to_string((r.watermark_us - r.time_us) / 1000);
    }
  }
  for (auto& [place, text] : results) expected.results.push_back(std::move(text));
  for (auto& [place, text] : late) expected.late.push_back(std::move(text));
  return expected;
}

class Run {
 public:
  struct Disturbance {
    bool crashes = false;
    bool evicts = false;  ///< all keys leave memory, now and then
  };
  Run(const BoundOperator& bound, const Streams& streams, size_t batch_rows, uint64_t seed, Disturbance disturbance)
      : bound_(bound), streams_(streams), batch_rows_(batch_rows), rng_(seed), disturbance_(disturbance) {}

  Expectation Finish() {
    NewHarness(nullptr);
    for (size_t at = 0; at < streams_.steps.size();) {
      if (disturbance_.crashes && rng_.Below(8) == 0) SnapshotAndCrash(at);
      if (disturbance_.evicts && rng_.Below(2) == 0) harness_->Snapshot(&checkpoint_);
      at = Step(at);
    }
    const bool time_passes = rng_.Below(2) == 0;
    if (time_passes) harness_->Watermark({int64_t{1} << 50});
    harness_->End();
    Check();
    Collect();
    if (time_passes) CHECK(harness_->state_keys() == 0);
    CHECK(harness_->batch_rows_max() <= static_cast<int32_t>(batch_rows_));
    CHECK(harness_->counters().held == 0);
    if (disturbance_.evicts && !disturbance_.crashes && batch_rows_ < 100) CHECK(harness_->evicted_bytes() > 0);
    Expectation got;
    got.absorbed = harness_->counters().absorbed;
    for (size_t port = 0; port < 2; ++port) {
      std::stable_sort(keyed_[port].begin(), keyed_[port].end(), [](const Keyed& a, const Keyed& b) {
        return std::tie(a.moment, a.time, a.key) < std::tie(b.moment, b.time, b.key);
      });
      for (Keyed& k : keyed_[port]) (port == 0 ? got.results : got.late).push_back(std::move(k.text));
    }
    return got;
  }

 private:
  struct Keyed {
    EventTime moment, time;
    std::string key, text;
  };
  void NewHarness(const HarnessCheckpoint* restore) {
    lanes_ = disturbance_.crashes ? std::array{1, 3, 2, 5}[rng_.Below(4)] : 1;
    harness_ = std::make_unique<OperatorHarness>(
        bound_,
        OperatorHarness::Options{lanes_, static_cast<int32_t>(batch_rows_), restore, nullptr, disturbance_.evicts});
    Check();
  }
  /// Some steps; the rows of either side in one batch, the sides in any order.
  size_t Step(size_t at) {
    const size_t end = std::min(at + 1 + rng_.Below(2 * batch_rows_), streams_.steps.size());
    std::array<std::vector<size_t>, 2> indices;
    for (size_t i = at; i < end; ++i)
      indices[static_cast<size_t>(std::get<0>(streams_.steps[i]))].push_back(std::get<1>(streams_.steps[i]));
    const size_t first = rng_.Below(2);
    for (const size_t side : {first, 1 - first})
      for (size_t from = 0; from < indices[side].size(); from += batch_rows_)
        Feed(side,
             {indices[side].begin() + static_cast<std::ptrdiff_t>(from),
              indices[side].begin() + static_cast<std::ptrdiff_t>(std::min(from + batch_rows_, indices[side].size()))});
    if (rng_.Below(3) != 0) harness_->Watermark({std::get<2>(streams_.steps[end - 1])});
    Check();
    return end;
  }
  void Feed(size_t side, const std::vector<size_t>& indices) {
    const Schema& schema = side == 0 ? kLeft : kRight;
    const auto count = static_cast<int32_t>(indices.size());
    std::vector<ColumnBuilder> builders;
    for (const Field& field : schema.fields()) builders.emplace_back(field.type, count);
    RowMeta meta;
    for (BufferRef* buffer : {&meta.times, &meta.watermarks, &meta.ordinals})
      *buffer = AllocateBuffer(int64_t{8} * count);
    for (int32_t i = 0; i < count; ++i) {
      const InputRow& row = streams_.rows[side][indices[static_cast<size_t>(i)]];
      ColumnBuilder& key = builders[side == 0 ? 0 : 1];
      row.key ? key.AppendInt64(*row.key) : key.AppendNull();
      if (side == 0) {
        builders[1].AppendString("v" + std::to_string(row.value));
      } else {
        builders[0].AppendFloat64(row.value);
        builders[2].AppendList(std::vector<double>{static_cast<double>(row.value), 0.5});
      }
      meta.times.as<int64_t>()[i] = row.time_us;
      meta.watermarks.as<int64_t>()[i] = row.watermark_us;
      meta.ordinals.as<uint64_t>()[i] = row.ordinal;
    }
    std::vector<Column> columns;
    for (ColumnBuilder& b : builders) columns.push_back(b.Finish());
    harness_->Feed(Batch(std::make_shared<const Schema>(schema), std::move(columns), count, std::move(meta)),
                   static_cast<InputIndex>(side));
  }
  void SnapshotAndCrash(size_t at) {
    harness_->Snapshot(&checkpoint_);
    Check();
    Collect();
    for (uint64_t steps = rng_.Below(4); steps > 0 && at < streams_.steps.size(); --steps) at = Step(at);
    NewHarness(&checkpoint_);
  }
  void Check() {
    REQUIRE_MESSAGE(harness_->status().ok(), harness_->status().ToString());
    CHECK(ConservationFault(harness_->counters(), NodeClass::kStateful) == "");
    CHECK(harness_->emits_per_call_max() <= 1);
  }
  void Collect() {
    for (PortIndex port = 0; port < 2; ++port) {
      const OutputPort& declared = bound_.outputs[static_cast<size_t>(port)];
      const KeyCodec codec(*declared.schema, declared.key_columns);
      for (int lane = 0; lane < lanes_; ++lane) {
        std::vector<Keyed> of_lane;
        for (const Batch& b : harness_->output(lane, port)) {
          std::vector<std::string> texts = RowTexts(b);
          for (int32_t row = 0; row < b.row_count(); ++row) {
            Keyed k{std::max(b.time(row), b.row_watermark(row)), b.time(row), "",
                    std::move(texts[static_cast<size_t>(row)])};
            codec.Encode(b, row, k.key);
            of_lane.push_back(std::move(k));
          }
        }
        CHECK(std::is_sorted(of_lane.begin(), of_lane.end(), [](const Keyed& a, const Keyed& b) {
          return std::tie(a.moment, a.time, a.key) < std::tie(b.moment, b.time, b.key);
        }));
        auto& all = keyed_[static_cast<size_t>(port)];
        all.insert(all.end(), of_lane.begin(), of_lane.end());
      }
    }
  }

  const BoundOperator& bound_;
  const Streams& streams_;
  const size_t batch_rows_;
  Rng rng_;
  const Disturbance disturbance_;
  int lanes_ = 1;
  HarnessCheckpoint checkpoint_;
  std::unique_ptr<OperatorHarness> harness_;
  std::array<std::vector<Keyed>, 2> keyed_;
};

constexpr Reach kReaches[] = {
    {"within: 3s", 3 * kSecond, 0},
    {"window: {tumbling: 5s}", 0, 5 * kSecond},
    {"within: 0s", 0, 0},
    {"within: 1h", 3600 * kSecond, 0},
};

TEST_CASE("Join_RandomStreams_EqualNestedLoopsInEveryCut") {
  int64_t pairs = 0, alone = 0, late = 0;
  for (uint64_t seed = 1; seed <= 24; ++seed) {
    const Reach& reach = kReaches[seed % std::size(kReaches)];
    const bool left_outer = seed % 3 != 0;
    CAPTURE(seed);
    CAPTURE(std::string(reach.yaml));
    CAPTURE(left_outer);
    const BoundNode node =
        Node(std::string(reach.yaml) + "\nkey: k\nright_key: id\nhow: " + (left_outer ? "left" : "inner") + "\n");
    REQUIRE_MESSAGE(node, node.diagnostics());
    const Streams streams = RandomStreams(seed, 300);
    const Expectation expected = Oracle(streams, reach, left_outer);
    for (const std::string& row : expected.results) ++(row.find(" b=null") == std::string::npos ? pairs : alone);
    late += static_cast<int64_t>(expected.late.size());
    for (const size_t batch_rows : {size_t{1}, size_t{7}, size_t{4096}}) {
      for (const Run::Disturbance disturbance :
           {Run::Disturbance{}, {.crashes = true}, {.evicts = true}, {.crashes = true, .evicts = true}}) {
        CAPTURE(batch_rows);
        CAPTURE(disturbance.crashes);
        CAPTURE(disturbance.evicts);
        const Expectation got = Run(node.bound(), streams, batch_rows, seed * 100 + batch_rows, disturbance).Finish();
        REQUIRE(got.results.size() == expected.results.size());
        for (size_t i = 0; i < got.results.size(); ++i) REQUIRE(got.results[i] == expected.results[i]);
        CHECK(got.late == expected.late);
        CHECK(got.absorbed == expected.absorbed);
      }
    }
  }
  CHECK(pairs > 1000);
  CHECK(alone > 100);
  CHECK(late > 100);
}

TEST_CASE("Join_Schema_IsLeftThenRightWithoutItsKey") {
  const BoundNode node = Node("within: 10m\nkey: k\nright_key: id\nright_prefix: right_\n");
  REQUIRE_MESSAGE(node, node.diagnostics());
  CHECK(node->outputs[0].schema->ToString() == "k: int64, a: string, right_b: float64, right_l: list<float64>");
  CHECK(node->outputs[1].schema->ToString() ==
        "k: int64, a: string, right_b: float64, right_l: list<float64>, late_input: string, late_reason: string, "
        "late_window_end: timestamp, lateness_ms: int64");
  CHECK(node->input_keys == std::vector<std::vector<int>>{{0}, {1}});
}

TEST_CASE("Join_Mistakes_AreReportedInPlace") {
  const auto problems = [](const std::string& yaml, const std::vector<const Schema*>& inputs) {
    const BoundNode node(JoinDescriptor(), yaml, inputs);
    CHECK_FALSE(node);
    return node.diagnostics();
  };
  const auto has = [](const std::string& text, const std::string& part) {
    CAPTURE(text);
    CHECK(text.find(part) != std::string::npos);
  };
  has(problems("key: k\nwithin: 1s\n", {&kLeft}), "a join has two inputs, left and right");
  has(problems("key: k\nwithin: 1s\n", {&kLeft, &kRight}), "there is no column `k`");
  has(problems("key: k\nright_key: b\nwithin: 1s\n", {&kLeft, &kRight}),
      "test.yaml:2:12: error: `k` is int64 on the left and `b` is float64 on the right");
  has(problems("key: k\nright_key: [id, b]\nwithin: 1s\n", {&kLeft, &kRight}), "have different lengths");
  has(problems("key: k\nright_key: id\n", {&kLeft, &kRight}), "needs either `within` or `window`");
  has(problems("key: k\nright_key: id\nwithin: 1s\nwindow: {tumbling: 1s}\n", {&kLeft, &kRight}),
      "needs either `within` or `window`");
  has(problems("key: k\nwithin: 1s\n", {&kLeft, &kLeft}), "both inputs have `a`");
  has(problems("key: k\nwithin: 1s\nhow: outer\n", {&kLeft, &kLeft}), "inner");
}

TEST_CASE("Join_RowBehindTheMergedWatermark_IsLateAfterIdle") {
  const BoundNode node = Node("within: 1s\nkey: k\nright_key: id\n");
  OperatorHarness harness(node.bound(), {});
  harness.Watermark({10 * kSecond});
  harness.Feed(MakeRows(kLeft, {{.time_us = 5 * kSecond, .watermark_us = 0, .cells = {1, "x"}}}));
  harness.End();
  REQUIRE(harness.status().ok());
  REQUIRE(harness.output(0, 1).size() == 1);
  CHECK(RowTexts(harness.output(0, 1)[0])[0] ==
        "@5000000 wm 10000000 k=1 a='x' b=null l=null late_input='input' late_reason='after_idle' late_window_end=null "
        "lateness_ms=5000");
}

TEST_CASE("Join_InputGrowsAfterItsEnd_FindsRowsFromBefore") {
  const BoundNode node = Node("within: 2s\nkey: k\nright_key: id\n");
  const auto right = [](int64_t second, double b) {
    return MakeRows(kRight, {{.time_us = second * kSecond, .watermark_us = 0, .cells = {b, 1, nullptr}}});
  };
  for (const bool evict : {false, true}) {
    CAPTURE(evict);
    HarnessCheckpoint checkpoint;
    {
      OperatorHarness harness(node.bound(), {});
      harness.Feed(MakeRows(kLeft, {{.time_us = 5 * kSecond, .watermark_us = 0, .cells = {1, "x"}}}));
      harness.End();
      harness.Snapshot(&checkpoint);
    }
    OperatorHarness harness(node.bound(), {.restore = &checkpoint, .evict = evict});
    CHECK(harness.state_keys() == !evict);
    harness.Feed(right(4, 0.5), 1);
    harness.Feed(right(6, 1.5), 1);
    harness.Feed(right(8, 2.5), 1);
    harness.Watermark({20 * kSecond});
    REQUIRE(harness.status().ok());
    std::vector<std::string> rows;
    for (const Batch& b : harness.output(0, 0))
      for (std::string& text : RowTexts(b)) rows.push_back(std::move(text));
    CHECK(rows ==
          std::vector<std::string>{"@5000000 wm 0 k=1 a='x' b=0.5 l=null", "@6000000 wm 0 k=1 a='x' b=1.5 l=null"});
    CHECK(harness.state_keys() == 0);
  }
}

TEST_CASE("JoinRows_LateRowsInAnyOrder_LeaveByWatermarkAndTime") {
  ByteSink sink;
  for (const int count : {0, 0, 3}) sink.PutVarint(static_cast<uint64_t>(count));
  for (const auto& [time_us, watermark_us] : {std::pair{7, 20}, {9, 10}, {3, 20}}) {
    sink.PutI64(time_us);
    sink.PutI64(watermark_us);
    sink.PutU64(1);
    sink.PutU8(0);
    sink.PutString("");
  }
  sink.PutVarint(0);
  JoinRows rows;
  ByteSource source(sink.bytes());
  REQUIRE(rows.Decode(source, JoinRows::kCodec));
  std::vector<std::pair<int64_t, int64_t>> left;
  while (!rows.empty()) {
    const JoinPlace place = rows.NextAction(JoinReach::Within(Duration{1}), false);
    left.emplace_back(place.moment, place.turn);
    rows.PopLate(0);
  }
  CHECK(left == std::vector<std::pair<int64_t, int64_t>>{{10, 9}, {20, 3}, {20, 7}});
}

TEST_CASE("Join_TornState_IsDataLoss") {
  const BoundNode node = Node("within: 2s\nkey: k\nright_key: id\n");
  OperatorHarness harness(node.bound(), {});
  harness.Feed(MakeRows(kLeft, {{.time_us = 5 * kSecond, .watermark_us = 0, .cells = {1, "x"}}}));
  HarnessCheckpoint checkpoint;
  harness.Snapshot(&checkpoint);
  REQUIRE(checkpoint.rows.size() == 1);
  const std::string whole = checkpoint.rows.begin()->second.value;
  for (size_t length = 0; length < whole.size(); ++length) {
    CAPTURE(length);
    checkpoint.rows.begin()->second.value = whole.substr(0, length);
    OperatorHarness torn(node.bound(), {.restore = &checkpoint});
    CHECK(torn.status().code() == StatusCode::kDataLoss);
  }
}

// ---- in a running graph

TEST_CASE("JoinFlow_TwoSourcesLanesBatchesAndCrashes_AreTheSameLines") {
  const Schema& numbers = *NumbersSchema();
  const BoundNode join(JoinDescriptor(), "within: 400ms\nkey: k\nright_prefix: r_\nhow: left\n", {&numbers, &numbers});
  REQUIRE_MESSAGE(join, join.diagnostics());
  const BoundNode window(WindowDescriptor(),
                         "window: {tumbling: 1s}\nkey: k\naggregates: {n: count(*), m: count(r_v)}\n",
                         *join->outputs[0].schema);
  REQUIRE_MESSAGE(window, window.diagnostics());
  NumbersOptions a, b;
  a.partitions = 2;
  a.rows = 200;
  a.jitter_us = b.jitter_us = 2000000;
  a.lateness = b.lateness = Duration::Seconds(1);
  b.seed = 2;
  b.rows = 300;
  b.chunk_rows = 17;
  // A window over the join: its rows must keep the watermark's promise.
  const SinkLines expected = CheckLanesBatchesAndCrashes([&](FlowGraph& graph) {
    const PortRef left = graph.Source("a", a), right = graph.Source("b", b);
    const PortRef joined = graph.Node("join", {left, right}, join.bound());
    const PortRef counted = graph.Node("window", {joined}, window.bound());
    graph.Sink("results", joined);
    graph.Sink("late", {joined.node, 1});
    graph.Sink("counts", counted);
  });
  CHECK(expected.at("results").size() > 200);
  CHECK(!expected.at("late").empty());
  CHECK(!expected.at("counts").empty());
}

TEST_CASE("JoinFlow_SilentInputsReturnToSomeLanesFirst_ACheckpointHoldsNoRows") {
  const Schema& numbers = *NumbersSchema();
  const BoundNode join(JoinDescriptor(), "within: 1s\nkey: k\nright_prefix: r_\nhow: left\n", {&numbers, &numbers});
  REQUIRE_MESSAGE(join, join.diagnostics());
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    auto joined = std::make_shared<Collected>();
    const auto make_spec = [&] {
      GraphSpec spec;
      spec.pipeline_name = "test";
      for (const uint64_t side : {1, 2}) {
        PacedOptions live;
        live.live = true;
        live.rows = 120;
        live.keys = 20;
        live.chunk_rows = 3;
        live.quiet_seed = 2 * seed + side;
        live.idle = Duration::Millis(static_cast<int64_t>(1 + seed % 20));
        live.lateness = {};
        live.at = [](int, int64_t row) { return row * 200000; };
        spec.nodes.push_back(PacedSource(side == 1 ? "a" : "b", live));
      }
      NodeSpec node;
      node.id = node.type = "join";
      node.inputs = {{0, 0}, {1, 0}};
      node.kind = OperatorNode{join.bound()};
      spec.nodes.push_back(std::move(node));
      spec.nodes.push_back(CollectSink("results", {{2, 0}}, joined));
      return spec;
    };
    const auto store = NewMemoryStore();
    SimOptions options;
    options.job.store = store.get();
    options.job.lane_count = 3;
    options.job.batch_row_count_max = 4;
    options.epoch_chance = 0.3;
    options.seed = seed;
    const SimResult result = RunSimulation(make_spec, options);
    REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
    CHECK(!joined->lines.empty());
  }
}

TEST_CASE("JoinFlow_GatherOfBoundedInputs_MayHoldNothingAtABarrier") {
  const Schema& numbers = *NumbersSchema();
  const BoundNode join(JoinDescriptor(), "within: 1s\nkey: k\nright_prefix: r_\n", {&numbers, &numbers});
  REQUIRE_MESSAGE(join, join.diagnostics());
  for (const bool left : {false, true}) {
    for (const bool right : {false, true}) {
      GraphSpec spec;
      for (const bool live : {left, right}) {
        PacedOptions options;
        options.live = live;
        spec.nodes.push_back(PacedSource("source", options));
      }
      NodeSpec node;
      node.id = node.type = "join";
      node.inputs = {{0, 0}, {1, 0}};
      node.kind = OperatorNode{join.bound()};
      spec.nodes.push_back(std::move(node));
      spec.nodes.push_back(CollectSink("results", {{2, 0}}, std::make_shared<Collected>()));
      int gathers = 0;
      for (const CellPlan& cell : PlanGraph(spec, 3).cells) {
        if (cell.kind != CellKind::kGather) continue;
        ++gathers;
        CHECK(cell.lanes_may_differ == (left || right));
      }
      CHECK(gathers == 1);
    }
  }
}

}  // namespace
}  // namespace freshet::testing
