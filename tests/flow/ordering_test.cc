// The event-time sorter and the merge of bounded inputs, alone against slow oracles and in graphs under simulation.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

#include "engine/base/rng.h"
#include "engine/batch/column_builder.h"
#include "engine/flow/operator_cell.h"
#include "engine/flow/sim_runtime.h"
#include "tests/support/flow_nodes.h"
#include "tests/support/operator_harness.h"

namespace freshet::testing {
namespace {

constexpr int64_t kSecond = 1000000;

struct TimedRow {
  int64_t time_us = 0;
  int64_t watermark_us = INT64_MIN;
  int64_t id = 0;
};

SchemaRef IdSchema() {
  static const SchemaRef schema = std::make_shared<const Schema>(std::vector<Field>{{"id", TypeId::kInt64}});
  return schema;
}

Batch MakeBatch(const std::vector<TimedRow>& rows, size_t from, size_t count) {
  ColumnBuilder ids(TypeId::kInt64);
  RowMeta meta;
  meta.times = AllocateBuffer(8 * static_cast<int64_t>(count));
  meta.watermarks = AllocateBuffer(8 * static_cast<int64_t>(count));
  meta.first_ordinal = Ordinal::Of(0, from);
  for (size_t i = 0; i < count; ++i) {
    ids.AppendInt64(rows[from + i].id);
    meta.times.as<int64_t>()[i] = rows[from + i].time_us;
    meta.watermarks.as<int64_t>()[i] = rows[from + i].watermark_us;
  }
  return Batch(IdSchema(), {ids.Finish()}, static_cast<int32_t>(count), std::move(meta));
}

/// A partition's rows: rising with jitter, each with its own watermark.
std::vector<TimedRow> RandomRows(Rng& rng, size_t count, int64_t lateness_us, int64_t first_id = 0) {
  std::vector<TimedRow> rows;
  int64_t frontier = INT64_MIN;
  for (size_t i = 0; i < count; ++i) {
    TimedRow row;
    row.time_us = static_cast<int64_t>(i) * 5 - static_cast<int64_t>(rng.Below(100));
    row.watermark_us = frontier == INT64_MIN ? INT64_MIN : frontier - lateness_us;
    row.id = first_id + static_cast<int64_t>(i);
    frontier = std::max(frontier, row.time_us);
    rows.push_back(row);
  }
  return rows;
}

BoundOperator SorterNode(bool judges_moments = false, const SchemaRef& schema = IdSchema()) {
  BoundOperator bound;
  const SchemaRef late = LateSchema(*schema);
  bound.outputs = {{"", schema, OutputOrder::kInputOrder, {}}, {"late", late, OutputOrder::kInputOrder, {}}};
  bound.instantiate = [=] { return NewEventTimeSorter(schema, late, judges_moments); };
  return bound;
}

std::vector<int64_t> Ids(const std::vector<Batch>& batches) {
  std::vector<int64_t> ids;
  for (const Batch& b : batches)
    for (int32_t row = 0; row < b.row_count(); ++row) ids.push_back(b.column(0).int64s()[row]);
  return ids;
}

TEST_CASE("Sorter_RandomRowsAndRestarts_OrderOfTimeAndOrdinal") {
  const BoundOperator bound = SorterNode();
  int64_t late_rows = 0, restarts = 0;
  for (uint64_t seed = 1; seed <= 120; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const std::vector<TimedRow> rows = RandomRows(rng, 300, 60);
    std::vector<std::pair<int64_t, int64_t>> expected;
    std::vector<int64_t> expected_late;
    for (const TimedRow& r : rows) {
      if (r.time_us < r.watermark_us)
        expected_late.push_back(r.id);
      else
        expected.emplace_back(r.time_us, r.id);
    }
    std::sort(expected.begin(), expected.end());

    const int32_t cuts[] = {1, 7, 4096};
    OperatorHarness::Options options;
    options.batch_row_count_max = cuts[seed % 3];
    auto harness = std::make_unique<OperatorHarness>(bound, options);
    std::vector<int64_t> out, late;
    const auto collect = [&] {
      for (const int64_t id : Ids(harness->output(0, 0))) out.push_back(id);
      for (const int64_t id : Ids(harness->output(0, 1))) late.push_back(id);
    };
    HarnessCheckpoint checkpoint;
    for (size_t from = 0; from < rows.size();) {
      const size_t count = std::min<size_t>(1 + rng.Below(20), rows.size() - from);
      harness->Feed(MakeBatch(rows, from, count));
      from += count;
      // A watermark that may lag behind the partition's own, as when another partition is slower.
      if (rng.Below(2) == 0 && from < rows.size())
        harness->Watermark({rows[from].watermark_us - static_cast<int64_t>(rng.Below(3)) * 20});
      CHECK(ConservationFault(harness->counters(), NodeClass::kRowWise) == "");
      if (rng.Below(8) > 0) continue;
      harness->Snapshot(&checkpoint);
      REQUIRE(harness->status().ok());
      collect();
      options.restore = &checkpoint;
      harness = std::make_unique<OperatorHarness>(bound, options);
      ++restarts;
    }
    harness->End();
    REQUIRE_MESSAGE(harness->status().ok(), harness->status().ToString());
    CHECK(harness->emits_per_call_max() <= 1);
    CHECK(harness->state_keys() == 0);
    CHECK(harness->counters().held == 0);
    collect();
    late_rows += static_cast<int64_t>(late.size());
    CHECK(late == expected_late);
    REQUIRE(out.size() == expected.size());
    for (size_t i = 0; i < out.size(); ++i) REQUIRE(out[i] == expected[i].second);
  }
  MESSAGE("late rows ", late_rows, ", restarts ", restarts);
  CHECK(late_rows > 50);
  CHECK(restarts > 100);
}

TEST_CASE("Sorter_LateRow_SaysHowLate") {
  const BoundOperator bound = SorterNode();
  OperatorHarness harness(bound, {});
  harness.Feed(
      MakeBatch({{5 * kSecond, INT64_MIN, 1}, {kSecond, 3 * kSecond, 2}, {3 * kSecond, 3 * kSecond, 3}}, 0, 3));
  REQUIRE(harness.output(0, 1).size() == 1);
  CHECK(RowTexts(harness.output(0, 1)[0]) ==
        std::vector<std::string>{"@1000000 wm 3000000 id=2 late_reason='late' late_window_end=null lateness_ms=2000"});
  harness.End();
  CHECK(Ids(harness.output(0, 0)) == std::vector<int64_t>{3, 1});
}

TEST_CASE("Sorter_WhereMomentsAreJudgedOnce_RowsUpToTheEndOfAGrownInputAreLate") {
  for (const bool judges_moments : {true, false}) {
    const BoundOperator bound = SorterNode(judges_moments), plain = SorterNode();
    OperatorHarness first(bound, {});
    HarnessCheckpoint checkpoint;
    first.Feed(MakeBatch({{5 * kSecond, INT64_MIN, 1}, {3 * kSecond, kSecond, 2}}, 0, 2));
    first.Watermark({4 * kSecond});
    first.End();
    CHECK(Ids(first.output(0, 0)) == std::vector<int64_t>{2, 1});
    first.Snapshot(&checkpoint);
    OperatorHarness::Options options;
    options.restore = &checkpoint;
    auto second = std::make_unique<OperatorHarness>(bound, options);
    const std::vector<TimedRow> rows = {
        {5 * kSecond, kSecond, 3}, {4 * kSecond, kSecond, 4}, {6 * kSecond, kSecond, 5}};
    second->Feed(MakeBatch(rows, 0, 2));
    HarnessCheckpoint again;  // the end before stays known
    second->Snapshot(&again);
    REQUIRE_MESSAGE(second->status().ok(), second->status().ToString());
    options.restore = &again;
    OperatorHarness third(bound, options);
    third.Feed(MakeBatch(rows, 1, 2));
    if (judges_moments) {
      CHECK(RowTexts(second->output(0, 1).at(0)) ==
            std::vector<std::string>{
                "@5000000 wm 1000000 id=3 late_reason='after_end' late_window_end=null lateness_ms=0",
                "@4000000 wm 1000000 id=4 late_reason='after_end' late_window_end=null lateness_ms=1000"});
      CHECK(Ids(third.output(0, 1)) == std::vector<int64_t>{4});
    } else {
      CHECK(second->output(0, 1).empty());
      CHECK(third.output(0, 1).empty());
    }
    third.End();
    CHECK(Ids(third.output(0, 0)) == (judges_moments ? std::vector<int64_t>{5} : std::vector<int64_t>{4, 4, 3, 5}));
    CHECK(ConservationFault(third.counters(), NodeClass::kRowWise) == "");
    // A pipeline edited so that moments may be judged again reads the state too.
    options.restore = &checkpoint;
    OperatorHarness edited(plain, options);
    edited.Feed(MakeBatch(rows, 0, 1));
    CHECK(edited.status().ok());
    CHECK(edited.output(0, 1).empty());
  }
}

TEST_CASE("Sorter_RowsBehindTheReleasedTimeAtACheckpoint_AreKept") {
  // An input that ended, and grew: its rows are on time by their own watermark, though time once was at its end.
  const BoundOperator bound = SorterNode();
  for (const EventTime released : {EventTime{1000}, EventTime::Max()}) {
    CAPTURE(released.us);
    HarnessCheckpoint checkpoint;
    {
      OperatorHarness harness(bound, {});
      harness.Feed(MakeBatch({{10, INT64_MIN, 1}, {2000, 5, 2}}, 0, 2));
      harness.Watermark(released);
      harness.Feed(MakeBatch({{30, INT64_MIN, 3}, {20, 5, 4}, {3000, 5, 5}}, 0, 3));
      harness.Snapshot(&checkpoint);
    }
    OperatorHarness::Options options;
    options.restore = &checkpoint;
    OperatorHarness harness(bound, options);
    harness.End();
    REQUIRE_MESSAGE(harness.status().ok(), harness.status().ToString());
    const std::vector<int64_t> expected =
        released == EventTime::Max() ? std::vector<int64_t>{4, 3, 5} : std::vector<int64_t>{4, 3, 2, 5};
    CHECK(Ids(harness.output(0, 0)) == expected);
  }
}

TEST_CASE("Sorter_HeldRowsOfOtherColumns_AreReadByName") {
  using Fields = std::vector<Field>;
  HarnessCheckpoint before;
  {
    const BoundOperator bound = SorterNode();
    OperatorHarness harness(bound, {});
    harness.Feed(MakeBatch({{30, INT64_MIN, 1}, {10, INT64_MIN, 2}, {20, INT64_MIN, 3}}, 0, 3));
    harness.Watermark({15});
    harness.Snapshot(&before);
  }
  const auto open = [](const Fields& fields, const HarnessCheckpoint& from, HarnessCheckpoint* to) {
    const BoundOperator bound = SorterNode(false, std::make_shared<const Schema>(fields));
    OperatorHarness::Options options;
    options.restore = &from;
    OperatorHarness harness(bound, options);
    if (to != nullptr) harness.Snapshot(to);
    harness.End();
    std::string out = harness.status().ok() ? "" : harness.status().ToString();
    for (const Batch& b : harness.output(0, 0))
      for (const std::string& text : RowTexts(b)) out += text.substr(text.find(' ')) + ";";
    return out;
  };
  const std::string as_it_was = open({{"id", TypeId::kInt64}}, before, nullptr);
  CHECK(as_it_was.find("3") < as_it_was.find("1"));
  // New columns around the old one, then the old one alone again.
  HarnessCheckpoint grown = before;
  const std::string wider =
      open({{"a", TypeId::kString}, {"id", TypeId::kInt64}, {"z", TypeId::kBool}}, before, &grown);
  CHECK_MESSAGE(std::count(wider.begin(), wider.end(), 'n') == 4, wider);
  HarnessCheckpoint shrunk = grown;
  CHECK(open({{"id", TypeId::kInt64}}, grown, &shrunk) == as_it_was);
  CHECK(open({{"id", TypeId::kInt64}}, shrunk, nullptr) == as_it_was);
  // The name was needed for something else.
  const std::string moved = open({{"id", TypeId::kString}, {"row_id", TypeId::kInt64}}, before, nullptr);
  CHECK_MESSAGE(std::count(moved.begin(), moved.end(), 'n') == 2, moved);
  // Values of another type cannot be read.
  CHECK(open({{"id", TypeId::kString}}, before, nullptr).find("was written for `id: int64`") != std::string::npos);
}

/// Drives a merge by hand: an interleaving from a seed, each input's watermark never ahead of what it still has.
class MergeRun {
 public:
  MergeRun(const std::vector<std::vector<TimedRow>>& inputs, uint64_t seed) : inputs_(inputs), rng_(seed) {
    bound_.outputs = {{"", IdSchema(), OutputOrder::kInputOrder, {}}};
    bound_.instantiate = [n = inputs.size()] { return NewInputMerge(std::vector<SchemaRef>(n, IdSchema())); };
    cut_ = 1 + rng_.Below(12);
  }
  /// Ids in the order they leave; CHECKs that no row on time leaves behind a watermark.
  std::vector<int64_t> Run() {
    struct Sink final : Emitter {
      void Emit(Batch batch, PortIndex) override { batches.push_back(std::move(batch)); }
      std::vector<Batch> batches;
    } sink;
    Context context;
    auto op = bound_.instantiate();
    REQUIRE(op->Open(context).ok());
    std::vector<size_t> next(inputs_.size());
    std::vector<int64_t> ids;
    int64_t now = INT64_MIN;
    for (;;) {
      std::vector<size_t> open;
      for (size_t i = 0; i < inputs_.size(); ++i)
        if (next[i] < inputs_[i].size()) open.push_back(i);
      if (!open.empty()) {
        const size_t i = open[rng_.Below(open.size())];
        const size_t count = std::min<size_t>(1 + rng_.Below(cut_), inputs_[i].size() - next[i]);
        REQUIRE(op->ProcessBatch(static_cast<int>(i), MakeBatch(inputs_[i], next[i], count), sink).ok());
        next[i] += count;
      }
      int64_t merged = INT64_MAX;
      for (size_t i = 0; i < inputs_.size(); ++i)
        if (next[i] < inputs_[i].size())
          merged = std::min(merged, next[i] == 0 ? INT64_MIN : inputs_[i][next[i]].watermark_us);
      if (merged <= now) continue;
      for (bool more = true; more;) {
        const auto progress = op->OnWatermark({merged}, sink);
        REQUIRE(progress.ok());
        more = *progress == Progress::kMore;
      }
      for (const Batch& b : sink.batches) {
        for (int32_t row = 0; row < b.row_count(); ++row) {
          if (b.time(row) >= b.row_watermark(row)) REQUIRE(b.time(row).us >= now);
          ids.push_back(b.column(0).int64s()[row]);
        }
      }
      sink.batches.clear();
      now = merged;
      if (now == INT64_MAX) break;
    }
    CHECK(context.node_counters.held == 0);
    return ids;
  }

 private:
  struct Context final : OpenContext, StateContext {
    StateContext& state() override { return *this; }
    NodeCounters& counters() override { return node_counters; }
    Env& env() override { return *Env::Posix(); }
    const std::string& pipeline_name() const override { return name; }
    const std::string& node_id() const override { return name; }
    int32_t batch_row_count_max() const override { return 5; }
    std::string_view extra() const override { return {}; }
    Status Adopt(std::unique_ptr<StateTable> table) override {
      tables.push_back(std::move(table));
      return Status::Ok();
    }
    NodeCounters node_counters;
    std::string name = "merge";
    std::vector<std::unique_ptr<StateTable>> tables;
  };
  const std::vector<std::vector<TimedRow>>& inputs_;
  Rng rng_;
  BoundOperator bound_;
  uint64_t cut_ = 1;
};

/// (place, input, number): a row's place is the smallest moment from it to the end of its input.
std::vector<int64_t> MergeOracle(const std::vector<std::vector<TimedRow>>& inputs) {
  std::vector<std::tuple<int64_t, size_t, size_t, int64_t>> rows;
  for (size_t i = 0; i < inputs.size(); ++i) {
    for (size_t r = 0; r < inputs[i].size(); ++r) {
      int64_t place = INT64_MAX;
      for (size_t later = r; later < inputs[i].size(); ++later)
        place = std::min(place, std::max(inputs[i][later].time_us, inputs[i][later].watermark_us));
      rows.emplace_back(place, i, r, inputs[i][r].id);
    }
  }
  std::sort(rows.begin(), rows.end());
  std::vector<int64_t> ids;
  for (const auto& row : rows) ids.push_back(std::get<3>(row));
  return ids;
}

TEST_CASE("Merge_AnyInterleaving_OneOrderAndNoRowBehindItsWatermark") {
  int64_t late = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    std::vector<std::vector<TimedRow>> inputs;
    for (int i = 0; i < 3; ++i) {
      std::vector<TimedRow> rows = RandomRows(rng, 80 + rng.Below(120), 40, i * 1000);
      // A filter before the merge: the row that moved the frontier may be gone.
      std::erase_if(rows, [&](const TimedRow& r) { return Mix64(seed + static_cast<uint64_t>(r.id)) % 3 == 0; });
      for (const TimedRow& r : rows) late += r.time_us < r.watermark_us ? 1 : 0;
      inputs.push_back(std::move(rows));
    }
    const std::vector<int64_t> expected = MergeOracle(inputs);
    for (uint64_t order = 1; order <= 5; ++order) {
      CAPTURE(order);
      REQUIRE(MergeRun(inputs, seed * 100 + order).Run() == expected);
    }
  }
  MESSAGE("late rows ", late);
  CHECK(late > 100);
}

using Lines = std::shared_ptr<Collected>;

/// Two disorderly sources, one thinned out -> a window over both -> panes; late ones apart.
GraphSpec UnionSpec(const NumbersOptions& a, const NumbersOptions& b, const Lines& panes, const Lines& late) {
  GraphSpec spec;
  spec.pipeline_name = "union";
  spec.nodes.push_back(NumbersSource("a", a));
  spec.nodes.push_back(NumbersSource("b", b));
  spec.nodes.push_back(DropMultiples("thin", {0, 0}, NumbersSchema(), 3));
  NodeSpec window = CountWindow("window", {2, 0}, NumbersSchema(), Duration::Seconds(1));
  window.inputs.push_back({1, 0});
  spec.nodes.push_back(std::move(window));
  spec.nodes.push_back(CollectSink("panes", {{3, 0}}, panes));
  spec.nodes.push_back(CollectSink("late", {{3, 1}}, late));
  return spec;
}

TEST_CASE("Merge_WindowOverTwoDisorderlySources_EqualsAPlainLoop") {
  NumbersOptions a, b;
  a.seed = 3;
  a.rows = 300;
  a.keys = 9;
  a.jitter_us = 3 * kSecond;
  a.lateness = Duration::Seconds(1);
  b = a;
  b.seed = 4;
  b.rows = 200;
  b.lateness = Duration::Seconds(2);
  std::map<std::pair<int64_t, int64_t>, int64_t> expected;
  size_t expected_late = 0;
  for (const NumbersOptions* options : {&a, &b}) {
    int64_t frontier = INT64_MIN;
    for (int64_t i = 0; i < options->rows; ++i) {
      const NumbersRow row = NumbersRowAt(*options, 0, i);
      const int64_t end = (row.at_us / kSecond + 1) * kSecond;
      const bool is_late = frontier != INT64_MIN && end <= frontier - options->lateness.us;
      frontier = std::max(frontier, row.at_us);
      if (options == &a && row.k % 3 == 0) continue;
      if (is_late)
        ++expected_late;
      else
        ++expected[{end, row.k}];
    }
  }
  std::vector<std::string> first_late;
  int crashes = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    const auto panes = std::make_shared<Collected>(), late = std::make_shared<Collected>();
    const auto store = NewMemoryStore();
    SimOptions options;
    options.job.store = store.get();
    options.seed = seed;
    options.job.lane_count = 1 + static_cast<int>(seed % 3);
    options.job.batch_row_count_max = seed % 2 == 0 ? 4096 : 5;
    options.crash_chance = 0.004;
    options.crash_count_max = 4;
    const SimResult result = RunSimulation([&] { return UnionSpec(a, b, panes, late); }, options);
    REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
    crashes += result.crash_count;
    REQUIRE(panes->lines.size() == expected.size());
    size_t i = 0;
    for (const auto& [key, count] : expected) {
      const std::string text =
          "|" + std::to_string(key.first) + "|" + std::to_string(key.second) + "|" + std::to_string(count) + "|";
      REQUIRE(panes->lines[i++].find(text) != std::string::npos);
    }
    CHECK(late->lines.size() == expected_late);
    if (first_late.empty()) first_late = late->lines;
    CHECK(late->lines == first_late);
  }
  MESSAGE("panes ", expected.size(), ", late rows ", expected_late, ", crashes ", crashes);
  CHECK(expected_late > 10);
  CHECK(crashes > 20);
}

}  // namespace
}  // namespace freshet::testing
