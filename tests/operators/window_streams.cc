#include "tests/operators/window_streams.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

namespace freshet::testing {

const Schema kSchema({{"k", TypeId::kInt64},
                      {"s", TypeId::kString},
                      {"x", TypeId::kInt64},
                      {"f", TypeId::kFloat64},
                      {"t", TypeId::kString}});

WindowStream RandomStream(uint64_t seed, int count) {
  Rng rng(seed);
  const auto partitions = static_cast<size_t>(1 + rng.Below(3));
  const int64_t lateness = static_cast<int64_t>(rng.Below(4)) * 2 * kSecond;
  const int64_t step = 1 + static_cast<int64_t>(rng.Below(static_cast<uint64_t>(kSecond)));
  std::vector<int64_t> frontier(partitions, INT64_MIN), clock(partitions);
  std::vector<uint64_t> ordinals(partitions, 0);
  for (size_t p = 0; p < partitions; ++p) clock[p] = -30 * kSecond + static_cast<int64_t>(rng.Below(5 * kSecond));
  WindowStream stream;
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

namespace {

template <class T>
TestCell CellOf(const std::optional<T>& v) {
  return v ? TestCell(*v) : TestCell(nullptr);
}

}  // namespace

std::vector<TestRow> ToTestRows(const std::vector<WindowRow>& rows) {
  std::vector<TestRow> out;
  for (const WindowRow& r : rows)
    out.push_back(
        {r.time_us, r.watermark_us, r.ordinal, {CellOf(r.k), CellOf(r.s), CellOf(r.x), CellOf(r.f), CellOf(r.t)}});
  return out;
}

WindowRun::WindowRun(const BoundOperator& bound, const WindowStream& stream, size_t batch_rows, uint64_t seed,
                     bool crashes, bool keeps_keys, bool in_lanes)
    : bound_(bound),
      stream_(stream),
      rows_(ToTestRows(stream.rows)),
      schema_(std::make_shared<const Schema>(kSchema)),
      batch_rows_(batch_rows),
      rng_(seed),
      crashes_(crashes),
      keeps_keys_(keeps_keys),
      in_lanes_(in_lanes) {}

WindowOutcome WindowRun::Finish() {
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

void WindowRun::NewHarness(const HarnessCheckpoint* restore) {
  int lanes = crashes_ && bound_.key ? std::array{1, 3, 2, 5}[rng_.Below(4)] : 1;
  if (in_lanes_) lanes = std::max(lanes, 2);
  harness_ = std::make_unique<OperatorHarness>(
      bound_, OperatorHarness::Options{lanes, static_cast<int32_t>(batch_rows_), restore});
  lanes_ = lanes;
  Check();
}

size_t WindowRun::Step(size_t at) {
  const size_t count = std::min(batch_rows_, rows_.size() - at);
  harness_->Feed(MakeRows(schema_, rows_, at, count));
  at += count;
  // Watermarks come now and then, and may lag.
  if (rng_.Below(3) != 0) harness_->Watermark({stream_.merged_us[at - 1 - rng_.Below(std::min<size_t>(at, 3))]});
  Check();
  return at;
}

void WindowRun::SnapshotAndCrash(size_t at) {
  harness_->Snapshot(&checkpoint_);
  Check();
  Collect();
  for (uint64_t steps = rng_.Below(4); steps > 0 && at < rows_.size(); --steps) at = Step(at);
  NewHarness(&checkpoint_);
  CHECK(harness_->counters().panes_open == checkpoint_.counters.panes_open);
}

void WindowRun::Check() {
  REQUIRE_MESSAGE(harness_->status().ok(), harness_->status().ToString());
  CHECK(ConservationFault(harness_->counters(), NodeClass::kStateful) == "");
  CHECK(harness_->emits_per_call_max() <= 1);
}

void WindowRun::Collect() {
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

size_t WindowRun::Position(uint64_t ordinal) const {
  for (size_t i = 0; i < rows_.size(); ++i)
    if (rows_[i].ordinal == ordinal) return i;
  return rows_.size();
}

std::optional<double> NumberAfter(const std::string& text, const std::string& name) {
  const std::string number = text.substr(text.find(" " + name + "=") + name.size() + 2);
  if (number.starts_with("null")) return std::nullopt;
  return std::strtod(number.c_str(), nullptr);
}

void CheckClose(const std::optional<double>& got, const std::optional<double>& expected) {
  REQUIRE(got.has_value() == expected.has_value());
  if (got) CHECK(std::fabs(*got - *expected) <= 1e-12 * std::fabs(*expected));
}

int64_t CheckAgainstOracle(const WindowOutcome& got, const WindowExpectation& expected, size_t row_count,
                           bool revised) {
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

}  // namespace freshet::testing
