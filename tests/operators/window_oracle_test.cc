// The window operator against the oracle: random streams in every cut of batches, watermarks, crashes and lanes.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <map>
#include <tuple>

#include "engine/base/rng.h"
#include "operators/window/window.h"
#include "tests/operators/test_rows.h"
#include "tests/support/oracle/window_oracle.h"

namespace freshet::testing {
namespace {

constexpr int64_t kSecond = 1000000;

const Schema kSchema({{"k", TypeId::kInt64},
                      {"s", TypeId::kString},
                      {"x", TypeId::kInt64},
                      {"f", TypeId::kFloat64},
                      {"t", TypeId::kString}});

struct Stream {
  std::vector<WindowRow> rows;
  std::vector<int64_t> merged_us;  ///< the merged watermark once row i has been seen
};

/// Several partitions, each with its own frontier; jitter beyond the lateness, gaps, equal times, negative times, a
/// partition that lags, nulls, a hot key.
Stream RandomStream(uint64_t seed, int count) {
  Rng rng(seed);
  const auto partitions = static_cast<size_t>(1 + rng.Below(3));
  const int64_t lateness = static_cast<int64_t>(rng.Below(4)) * 2 * kSecond;
  const int64_t step = 1 + static_cast<int64_t>(rng.Below(static_cast<uint64_t>(kSecond)));
  std::vector<int64_t> frontier(partitions, INT64_MIN), clock(partitions);
  std::vector<uint64_t> ordinals(partitions, 0);
  for (size_t p = 0; p < partitions; ++p) clock[p] = -30 * kSecond + static_cast<int64_t>(rng.Below(5 * kSecond));
  Stream stream;
  int64_t merged = INT64_MIN;
  for (int i = 0; i < count; ++i) {
    const size_t p = rng.Below(partitions);
    clock[p] += static_cast<int64_t>(rng.Below(static_cast<uint64_t>(2 * step)));
    if (rng.Below(200) == 0) clock[p] += static_cast<int64_t>(rng.Below(60)) * kSecond;
    WindowRow row;
    row.time_us = clock[p];
    if (rng.Below(4) == 0)
      row.time_us -= static_cast<int64_t>(rng.Below(static_cast<uint64_t>(1 + 2 * lateness + 3 * kSecond)));
    if (rng.Below(50) == 0) row.time_us -= static_cast<int64_t>(rng.Below(60 * kSecond));
    if (rng.Below(5) == 0) row.time_us = row.time_us / kSecond * kSecond;
    row.watermark_us = frontier[p] == INT64_MIN ? INT64_MIN : frontier[p] - lateness;
    row.ordinal = Ordinal::Of(static_cast<uint32_t>(p), ordinals[p]++).value;
    frontier[p] = std::max(frontier[p], row.time_us);
    if (rng.Below(20) != 0) row.k = rng.Below(3) == 0 ? 7 : static_cast<int64_t>(rng.Below(40)) - 20;
    if (rng.Below(10) != 0)
      row.s = std::string(rng.Below(3), 'a') + std::string(rng.Below(2), '\0') + std::to_string(rng.Below(3));
    if (rng.Below(10) != 0)
      row.x = rng.Below(30) == 0 ? static_cast<int64_t>(rng.Next()) : static_cast<int64_t>(rng.Below(2000)) - 1000;
    if (rng.Below(10) != 0) row.f = (rng.NextDouble() - 0.3) * std::ldexp(1.0, static_cast<int>(rng.Below(30)));
    if (rng.Below(10) != 0) row.t = "t" + std::to_string(rng.Below(rng.Below(2) == 0 ? 5 : 200));
    stream.rows.push_back(std::move(row));
    const int64_t least = *std::min_element(frontier.begin(), frontier.end());
    if (least != INT64_MIN) merged = std::max(merged, least - lateness);
    stream.merged_us.push_back(merged);
  }
  return stream;
}

template <class T>
TestCell CellOf(const std::optional<T>& v) {
  return v ? TestCell(*v) : TestCell(nullptr);
}

std::vector<TestRow> ToTestRows(const std::vector<WindowRow>& rows) {
  std::vector<TestRow> out;
  for (const WindowRow& r : rows)
    out.push_back(
        {r.time_us, r.watermark_us, r.ordinal, {CellOf(r.k), CellOf(r.s), CellOf(r.x), CellOf(r.f), CellOf(r.t)}});
  return out;
}

/// What a run gave: rows of all lanes merged by (time, key), as the gather would, and late rows by position in the
/// input.
struct Outcome {
  std::vector<std::string> rows;
  std::vector<std::string> late;
  NodeCounters counters;
  int64_t pre_aggregated = 0;
};

struct Keyed {
  int64_t moment_us;
  int64_t time_us;
  std::string key;
  std::string text;
  bool operator<(const Keyed& o) const {
    return std::tie(moment_us, time_us, key) < std::tie(o.moment_us, o.time_us, o.key);
  }
};

class Run {
 public:
  Run(const BoundOperator& bound, const Stream& stream, size_t batch_rows, uint64_t seed, bool crashes,
      bool keeps_keys = false, bool in_lanes = false)
      : bound_(bound),
        stream_(stream),
        rows_(ToTestRows(stream.rows)),
        schema_(std::make_shared<const Schema>(kSchema)),
        batch_rows_(batch_rows),
        rng_(seed),
        crashes_(crashes),
        keeps_keys_(keeps_keys),
        in_lanes_(in_lanes) {}

  Outcome Finish() {
    NewHarness(nullptr);
    for (size_t at = 0; at < rows_.size();) {
      if (crashes_ && rng_.Below(8) == 0) SnapshotAndCrash(at);
      at = Step(at);
    }
    const bool time_passes = rng_.Below(2) == 0;
    if (time_passes) harness_->Watermark({int64_t{1} << 50});
    harness_->End();
    Check();
    Collect();
    // The end of the input leaves tombstones, time does not.
    if (time_passes && !keeps_keys_) CHECK(harness_->state_keys() == 0);
    CHECK(harness_->counters().panes_open == 0);
    CHECK(harness_->batch_rows_max() <= static_cast<int32_t>(batch_rows_));
    outcome_.counters = harness_->counters();
    std::stable_sort(keyed_.begin(), keyed_.end());
    for (Keyed& k : keyed_) outcome_.rows.push_back(std::move(k.text));
    std::sort(late_.begin(), late_.end());
    for (auto& [at, text] : late_) outcome_.late.push_back(std::move(text));
    return std::move(outcome_);
  }

 private:
  void NewHarness(const HarnessCheckpoint* restore) {
    int lanes = crashes_ && bound_.key ? std::array{1, 3, 2, 5}[rng_.Below(4)] : 1;
    if (in_lanes_) lanes = std::max(lanes, 2);
    harness_ = std::make_unique<OperatorHarness>(
        bound_, OperatorHarness::Options{lanes, static_cast<int32_t>(batch_rows_), restore});
    lanes_ = lanes;
    Check();
  }
  size_t Step(size_t at) {
    const size_t count = std::min(batch_rows_, rows_.size() - at);
    harness_->Feed(MakeRows(schema_, rows_, at, count));
    at += count;
    // Watermarks come now and then, and may lag.
    if (rng_.Below(3) != 0) harness_->Watermark({stream_.merged_us[at - 1 - rng_.Below(std::min<size_t>(at, 3))]});
    Check();
    return at;
  }
  /// Commits, goes on for a while, dies, and starts from the commit with another number of lanes.
  void SnapshotAndCrash(size_t at) {
    harness_->Snapshot(&checkpoint_);
    Check();
    Collect();
    for (uint64_t steps = rng_.Below(4); steps > 0 && at < rows_.size(); --steps) at = Step(at);
    NewHarness(&checkpoint_);
    CHECK(harness_->counters().panes_open == checkpoint_.counters.panes_open);
  }
  void Check() {
    REQUIRE_MESSAGE(harness_->status().ok(), harness_->status().ToString());
    CHECK(ConservationFault(harness_->counters(), NodeClass::kStateful) == "");
    CHECK(harness_->emits_per_call_max() <= 1);
  }
  void Collect() {
    outcome_.pre_aggregated += harness_->pre_aggregated();
    const KeyCodec codec(*bound_.outputs[0].schema, bound_.outputs[0].key_columns);
    for (int lane = 0; lane < lanes_; ++lane) {
      std::vector<Keyed> of_lane;
      for (const Batch& b : harness_->output(lane, 0)) {
        std::vector<std::string> texts = RowTexts(b);
        for (int32_t row = 0; row < b.row_count(); ++row) {
          Keyed k{std::max(b.time(row), b.row_watermark(row)).us, b.time(row).us, "",
                  std::move(texts[static_cast<size_t>(row)])};
          codec.Encode(b, row, k.key);
          of_lane.push_back(std::move(k));
        }
      }
      CHECK(std::is_sorted(of_lane.begin(), of_lane.end()));
      keyed_.insert(keyed_.end(), of_lane.begin(), of_lane.end());
      for (const Batch& b : harness_->output(lane, 1)) {
        const std::vector<std::string> texts = RowTexts(b);
        for (int32_t row = 0; row < b.row_count(); ++row)
          late_.emplace_back(Position(b.ordinal(row).value),
                             std::to_string(b.ordinal(row).value) + " " + texts[static_cast<size_t>(row)]);
      }
    }
  }
  size_t Position(uint64_t ordinal) const {
    for (size_t i = 0; i < rows_.size(); ++i)
      if (rows_[i].ordinal == ordinal) return i;
    return rows_.size();
  }

  const BoundOperator& bound_;
  const Stream& stream_;
  const std::vector<TestRow> rows_;
  const SchemaRef schema_;
  const size_t batch_rows_;
  Rng rng_;
  const bool crashes_;
  const bool keeps_keys_;  ///< count windows: the next rows go on where the last ones were
  const bool in_lanes_;    ///< two at least
  int lanes_ = 1;
  HarnessCheckpoint checkpoint_;
  std::unique_ptr<OperatorHarness> harness_;
  std::vector<Keyed> keyed_;
  std::vector<std::pair<size_t, std::string>> late_;
  Outcome outcome_;
};

std::optional<double> NumberAfter(const std::string& text, const std::string& name) {
  const std::string number = text.substr(text.find(" " + name + "=") + name.size() + 2);
  if (number.starts_with("null")) return std::nullopt;
  return std::strtod(number.c_str(), nullptr);
}

void CheckClose(const std::optional<double>& got, const std::optional<double>& expected) {
  REQUIRE(got.has_value() == expected.has_value());
  if (got) CHECK(std::fabs(*got - *expected) <= 1e-12 * std::fabs(*expected));
}

/// Returns the number of revisions.
int64_t CheckAgainstOracle(const Outcome& got, const WindowExpectation& expected, size_t row_count, bool revised) {
  int64_t revisions = 0;
  REQUIRE(got.rows.size() == expected.results.size());
  for (size_t i = 0; i < got.rows.size(); ++i) {
    const std::string& row = got.rows[i];
    CHECK(row.substr(0, row.find(" sd=")) == expected.results[i].text);
    CheckClose(NumberAfter(row, "sd"), expected.results[i].stddev_f);
    CheckClose(NumberAfter(row, "vx"), expected.results[i].var_x);
    if (!revised) continue;
    const int64_t revision = expected.results[i].revision;
    CHECK(row.substr(row.find(" revision=")) ==
          " revision=" + std::to_string(revision) + (revision == 0 ? " op='insert'" : " op='update'"));
    revisions += revision > 0;
  }
  REQUIRE(got.late.size() == expected.late.size());
  for (size_t i = 0; i < got.late.size(); ++i) {
    CHECK(got.late[i].starts_with(std::to_string(expected.late[i]) + " @"));
    CHECK(got.late[i].find(" late_window_end=" + std::to_string(expected.late_ends[i]) + " ") != std::string::npos);
  }
  const auto late = static_cast<int64_t>(expected.late.size());
  CHECK(got.counters.in == static_cast<int64_t>(row_count));
  CHECK(got.counters.late == late);
  CHECK(got.counters.absorbed == static_cast<int64_t>(row_count) - late);
  CHECK(got.counters.late_panes == expected.late_panes);
  CHECK(got.counters.panes_opened == expected.windows);
  CHECK(got.counters.panes_emitted == expected.windows);
  return revisions;
}

struct Shape {
  const char* yaml;
  int64_t size_us;
  int64_t slide_us;
  bool cumulate = false;
  int64_t early_us = 0;
};
constexpr Shape kShapes[] = {
    {"{tumbling: 10s}", 10 * kSecond, 10 * kSecond},
    {"{hopping: 10s, every: 2s}", 10 * kSecond, 2 * kSecond},
    {"{hopping: 7s, every: 3s}", 7 * kSecond, 3 * kSecond},
    {"{hopping: 5s, every: 5s}", 5 * kSecond, 5 * kSecond},
    {"{tumbling: 1ms}", 1000, 1000},
    {"{cumulate: 12s, every: 3s}", 12 * kSecond, 3 * kSecond, true},
    {"{cumulate: 1m, every: 1m}", 60 * kSecond, 60 * kSecond, true},
    {"{hopping: 20s, every: 1s}", 20 * kSecond, kSecond},  // many slices: what was merged is kept
    {"{hopping: 31s, every: 3s}", 31 * kSecond, 3 * kSecond},
    {"{cumulate: 1m, every: 2s}", 60 * kSecond, 2 * kSecond, true},
};
constexpr Shape kEarlyShapes[] = {
    {"{tumbling: 10s}\nemit_every: 2s", 10 * kSecond, 10 * kSecond, false, 2 * kSecond},
    {"{hopping: 10s, every: 2s}\nemit_every: 1s", 10 * kSecond, 2 * kSecond, false, kSecond},
    {"{hopping: 9s, every: 6s}\nemit_every: 3s", 9 * kSecond, 6 * kSecond, false, 3 * kSecond},
    {"{cumulate: 12s, every: 4s}\nemit_every: 2s", 12 * kSecond, 4 * kSecond, true, 2 * kSecond},
    {"{tumbling: 5s}\nemit_every: 5s", 5 * kSecond, 5 * kSecond, false, 5 * kSecond},
    {"{global: true}\nemit_every: 7s", 0, 0, false, 7 * kSecond},
    {"{global: true}", 0, 0},
};
constexpr int64_t kAllowed[] = {0, 1, 3 * kSecond, 40 * kSecond};
constexpr const char* kKeys[] = {"", "key: k\n", "key: [k, s]\n"};

/// Runs random streams through the given shapes. Returns the number of revisions.
int64_t CheckShapes(const Shape* shapes, size_t shape_count, NodeCounters* all) {
  NodeCounters& total = *all;
  int64_t revisions = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    const Stream stream = RandomStream(seed, 700);
    const Shape& shape = shapes[seed % shape_count];
    const int key_columns = static_cast<int>(seed % 3);
    const bool global = shape.size_us == 0;
    const int64_t allowed = global ? 0 : kAllowed[seed % std::size(kAllowed)];
    CAPTURE(seed);
    CAPTURE(shape.yaml);
    CAPTURE(key_columns);
    CAPTURE(allowed);
    const BoundNode node(WindowDescriptor(),
                         std::string("window: ") + shape.yaml + "\n" + kKeys[key_columns] + kOracleAggregates +
                             "allowed_lateness: " + std::to_string(allowed) + "us\n",
                         kSchema);
    REQUIRE_MESSAGE(node, node.diagnostics());
    const WindowExpectation expected =
        WindowOracle(stream.rows, shape.size_us, shape.slide_us, key_columns, allowed, shape.cumulate, shape.early_us);
    Outcome first;
    for (const size_t batch_rows : {size_t{1}, size_t{7}, size_t{4096}}) {
      for (const bool crashes : {false, true}) {
        CAPTURE(batch_rows);
        CAPTURE(crashes);
        Outcome got = Run(node.bound(), stream, batch_rows, seed * 100 + batch_rows, crashes, global).Finish();
        const bool revised = allowed > 0 || shape.early_us > 0 || global;
        revisions += CheckAgainstOracle(got, expected, stream.rows.size(), revised);
        total.late += got.counters.late;
        total.late_panes += got.counters.late_panes;
        total.nulled += got.counters.nulled;
        if (first.rows.empty()) {
          first = std::move(got);
          continue;
        }
        CHECK(got.rows == first.rows);  // to the bit, variances too
        CHECK(got.late == first.late);
        CHECK(got.counters.nulled == first.counters.nulled);
      }
    }
  }
  return revisions;
}

TEST_CASE("Window_RandomStreams_EqualTheOracleInEveryCut") {
  NodeCounters total;
  const int64_t revisions = CheckShapes(kShapes, std::size(kShapes), &total);
  // The streams have what they are meant to have.
  CHECK(total.late > 0);
  CHECK(total.late_panes > 0);
  CHECK(total.nulled > 0);
  CHECK(revisions > 1000);
}

TEST_CASE("Window_EarlyResultsAndGlobal_EqualTheOracleInEveryCut") {
  NodeCounters total;
  CHECK(CheckShapes(kEarlyShapes, std::size(kEarlyShapes), &total) > 10000);
  CHECK(total.late > 0);
  CHECK(total.late_panes > 0);
}

/// The text without the cells of these columns.
std::string Without(std::string text, std::initializer_list<const char*> columns) {
  for (const char* column : columns) {
    const size_t at = text.find(std::string(" ") + column + "=");
    if (at != std::string::npos) text.erase(at, text.find(' ', at + 1) - at);
  }
  return text;
}

TEST_CASE("Window_PreAggregated_EqualsTheOracleInEveryCut") {
  std::string aggregates = kOracleAggregates;
  for (const char* ordered : {"  fi: first(t)\n", "  la: last(x)\n"})
    aggregates.erase(aggregates.find(ordered), std::string_view(ordered).size());
  std::vector<Shape> shapes(std::begin(kShapes), std::end(kShapes));
  shapes.push_back({"{global: true}", 0, 0});
  int64_t combined = 0, all = 0;
  NodeCounters total;
  for (uint64_t seed = 1; seed <= 44; ++seed) {
    const Stream stream = RandomStream(seed, 700);
    const Shape& shape = shapes[seed % shapes.size()];
    const int key_columns = 1 + static_cast<int>(seed % 2);
    const bool global = shape.size_us == 0;
    const int64_t allowed = global ? 0 : kAllowed[seed % std::size(kAllowed)];
    // Values lost to overflow are counted row by row.
    const bool overflows = seed % 5 == 0;
    CAPTURE(seed);
    CAPTURE(shape.yaml);
    CAPTURE(key_columns);
    CAPTURE(allowed);
    const BoundNode node(WindowDescriptor(),
                         std::string("pre_aggregate: on\nwindow: ") + shape.yaml + "\n" + kKeys[key_columns] +
                             aggregates + (overflows ? "  ox: sum(x * 10000000)\n" : "") +
                             "allowed_lateness: " + std::to_string(allowed) + "us\n",
                         kSchema);
    REQUIRE_MESSAGE(node, node.diagnostics());
    WindowExpectation expected =
        WindowOracle(stream.rows, shape.size_us, shape.slide_us, key_columns, allowed, shape.cumulate);
    for (WindowResult& result : expected.results) result.text = Without(std::move(result.text), {"fi", "la"});
    Outcome first;
    for (const size_t batch_rows : {size_t{1}, size_t{7}, size_t{64}, size_t{4096}}) {
      for (const bool crashes : {false, true}) {
        CAPTURE(batch_rows);
        CAPTURE(crashes);
        Outcome got = Run(node.bound(), stream, batch_rows, seed * 100 + batch_rows, crashes, global, true).Finish();
        CheckAgainstOracle(got, expected, stream.rows.size(), allowed > 0 || global);
        combined += got.pre_aggregated;
        all += got.counters.in;
        total.late += got.counters.late;
        total.late_panes += got.counters.late_panes;
        total.nulled += got.counters.nulled;
        CHECK((got.pre_aggregated == 0 || batch_rows > 1));
        if (first.rows.empty()) {
          first = std::move(got);
          continue;
        }
        CHECK(got.rows == first.rows);
        CHECK(got.late == first.late);
        CHECK(got.counters.nulled == first.counters.nulled);
      }
    }
  }
  CHECK(combined > all / 20);
  CHECK(total.late > 0);
  CHECK(total.late_panes > 0);
  CHECK(total.nulled > 0);
}

/// As the cell's sorter hands them over: on time, by event time, before the watermark that lets them go.
Stream InOrder(Stream stream) {
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
    CAPTURE(shape.yaml);
    CAPTURE(key_columns);
    const Stream stream = InOrder(RandomStream(seed, 500));
    const BoundNode node(WindowDescriptor(),
                         std::string("window: ") + shape.yaml + "\n" + kKeys[key_columns] + kOracleAggregates, kSchema);
    REQUIRE_MESSAGE(node, node.diagnostics());
    CHECK(node->input_order == InputOrder::kByEventTime);
    const WindowExpectation expected =
        OrderedWindowOracle(stream.rows, shape.gap_us, shape.count, shape.every, key_columns);
    results += expected.windows;
    Outcome first;
    for (const size_t batch_rows : {size_t{1}, size_t{7}, size_t{4096}}) {
      for (const bool crashes : {false, true}) {
        CAPTURE(batch_rows);
        CAPTURE(crashes);
        Outcome got = Run(node.bound(), stream, batch_rows, seed * 100 + batch_rows, crashes, shape.count > 0).Finish();
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

RowWiseOutcome RunSliding(const BoundOperator& bound, const Stream& stream, size_t batch_rows, uint64_t seed,
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
    const Stream stream = InOrder(RandomStream(seed, 400));
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
