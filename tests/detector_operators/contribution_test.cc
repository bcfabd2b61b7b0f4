// `contribution` from rows of segments to the sentence: in every cut of batches, lanes, restarts and crashes.
#include "operators/contribution.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/base/rng.h"
#include "engine/flow/operator_cell.h"
#include "operators/false_discovery.h"
#include "tests/operators/row_run.h"
#include "tests/support/flow_runs.h"

namespace freshet::testing {
namespace {

constexpr int64_t kMinuteUs = 60'000'000;
const Schema kSchema({{"site", TypeId::kString},
                      {"device", TypeId::kString},
                      {"country", TypeId::kString},
                      {"engagements", TypeId::kFloat64},
                      {"views", TypeId::kInt64}});
constexpr const char* kYaml =
    "metric: engagements\nof: views\ndimensions: [device, country]\nname: engagement_rate\nkey: [site]\nseason: none\n";

/// Two sites, a row per segment every four minutes; near the end mobile users in the US stop engaging on site a.
std::vector<TestRow> Segments(int moments, int odd_from) {
  Rng rng(1);
  std::vector<TestRow> rows;
  const char* devices[] = {"mobile", "desktop", "tv"};
  const char* countries[] = {"US", "DE", "FR"};
  for (int t = 0; t < moments; ++t)
    for (const char* site : {"a", "b"})
      for (int d = 0; d < 3; ++d)
        for (int c = 0; c < 3; ++c) {
          const double views = 4000 / (1 + d) / (1 + c);
          double rate = 0.06;
          if (*site == 'a' && t >= odd_from && d == 0 && c == 0) rate = 0.005;
          const double k = std::round(views * rate + std::sqrt(views * rate) * rng.NextNormal());
          rows.push_back({.time_us = t * 4 * kMinuteUs,
                          .watermark_us = t * 4 * kMinuteUs,
                          .ordinal = rows.size(),
                          .cells = {site, devices[d], countries[c], std::max(0.0, k), static_cast<int64_t>(views)}});
        }
  return rows;
}

std::vector<std::string> Run(const BoundNode& node, const std::vector<TestRow>& rows, size_t cut,
                             bool restart = false) {
  return RunTexts(node, kSchema, rows,
                  {.cut = cut, .restart = restart, .watermark_every = restart ? 2u : 1u, .law = NodeClass::kStateful});
}

TEST_CASE("Contribution_PlantedSegment_IsInTheSentence") {
  const std::vector<TestRow> rows = Segments(520, 515);
  const std::vector<std::string> out = Run(BoundNode(ContributionDescriptor(), kYaml, kSchema), rows, 4096);
  REQUIRE(out.size() == 520 * 2);
  const std::string& last = out[out.size() - 2];
  CHECK(CellIn(last, "site") == "a");
  CHECK(CellIn(last, "is_anomaly") == "true");
  CHECK(CellIn(last, "segments") == "mobile in US");
  CHECK(std::stod(CellIn(last, "explained")) > 0.67);
  const std::string why = CellIn(last, "why");
  MESSAGE(why);
  CHECK(why.find("engagement_rate ") == 0);
  CHECK(why.find(" % against 6 % expected (") != std::string::npos);
  CHECK(why.find(") for 16 min; mobile in US explains ") != std::string::npos);
  CHECK(CellIn(out.back(), "site") == "b");
  CHECK(CellIn(out.back(), "segments") == "null");
}

TEST_CASE("Contribution_BatchesAndRestarts_SameRows") {
  const std::vector<TestRow> rows = Segments(470, 465);
  for (const char* yaml : {kYaml, "metric: engagements\ndimensions: [country, device]\n"}) {
    const BoundNode node(ContributionDescriptor(), yaml, kSchema);
    const std::vector<std::string> expected = Run(node, rows, 4096);
    CHECK(Run(node, rows, 7) == expected);
    CHECK(Run(node, rows, 601, true) == expected);
  }
}

TEST_CASE("Contribution_NullsAndHoles_AreLeftOut") {
  std::vector<TestRow> rows = Segments(30, 1000);
  rows[100].cells[3] = nullptr;
  rows[101].cells[3] = std::nan("");
  rows[102].cells[1] = nullptr;
  for (size_t i = 180; i < 189; ++i) rows[i].cells[4] = 0;  // site a, no views at all
  const std::vector<std::string> out = Run(BoundNode(ContributionDescriptor(), kYaml, kSchema), rows, 4096);
  REQUIRE(out.size() == 60);
  CHECK(CellIn(out[20], "total") == "null");
  CHECK(CellIn(out[20], "of") == "0");
}

TEST_CASE("Contribution_Mistakes_AreReported") {
  const auto fault = [](const std::string& yaml) {
    const BoundNode node(ContributionDescriptor(), yaml, kSchema);
    CHECK_FALSE(node);
    return node.diagnostics();
  };
  CHECK(fault("metric: device\ndimensions: [device]\n").find("FR3505") != std::string::npos);
  CHECK(fault("metric: views\n").find("FR2006") != std::string::npos);
  CHECK(fault("metric: views\ndimensions: [engagements]\n").find("FR3532") != std::string::npos);
  CHECK(fault("metric: views\ndimensions: [nothing]\n").find("FR3202") != std::string::npos);
  CHECK(fault("metric: views\ndimensions: [device]\nbudget: 1\n").find("FR3521") != std::string::npos);
  const Schema taken({{"total", TypeId::kString}, {"d", TypeId::kString}, {"x", TypeId::kInt64}});
  const BoundNode node(ContributionDescriptor(), "metric: x\ndimensions: [d]\nkey: [total]\n", taken);
  CHECK(node.diagnostics().find("FR3531") != std::string::npos);
}

TEST_CASE("Contribution_InAGraph_LanesAndCrashesGiveOneAnswer") {
  NumbersOptions numbers;
  numbers.rows = 600;
  numbers.keys = 5;
  const BoundNode node(ContributionDescriptor(), "metric: v\ndimensions: [k]\nkey: [k]\nas: c\n", *NumbersSchema());
  REQUIRE_MESSAGE(node, node.diagnostics());
  const SinkLines lines = CheckLanesBatchesAndCrashes([&](FlowGraph& graph) {
    graph.Sink("out", graph.Node("parts", {graph.Source("numbers", numbers)}, node.bound()));
  });
  CHECK(lines.at("out").size() == 600);
}

TEST_CASE("Contribution_DimensionOfJson_IsItsText") {
  const Schema schema({{"who", TypeId::kJson}, {"x", TypeId::kInt64}});
  const BoundNode node(ContributionDescriptor(), "metric: x\ndimensions: [who]\nseason: none\n", schema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness harness(node.bound(), {});
  std::vector<TestRow> rows;
  Rng rng(4);
  for (int64_t t = 0; t < 520; ++t)
    for (const char* who : {"[1]", "{\"a\": 2}"}) {
      const int64_t x = t < 515 || *who == '[' ? 1000 + static_cast<int64_t>(rng.Below(40)) : 5;
      rows.push_back(
          {.time_us = t * kMinuteUs, .watermark_us = t * kMinuteUs, .ordinal = rows.size(), .cells = {who, x}});
    }
  harness.Feed(MakeRows(std::make_shared<const Schema>(schema), rows, 0, rows.size()));
  harness.End();
  REQUIRE_MESSAGE(harness.status().ok(), harness.status().ToString());
  CHECK(CellIn(RowTexts(harness.output(0, 0).back()).back(), "segments") == "{\"a\": 2}");
}

TEST_CASE("Contribution_OpenSegments_CountAsMemory") {
  const BoundNode node(ContributionDescriptor(), "metric: x\ndimensions: [s]\n",
                       Schema({{"s", TypeId::kString}, {"x", TypeId::kInt64}}));
  REQUIRE_MESSAGE(node, node.diagnostics());
  const SchemaRef schema =
      std::make_shared<const Schema>(std::vector<Field>{{"s", TypeId::kString}, {"x", TypeId::kInt64}});
  HarnessCheckpoint checkpoint;
  OperatorHarness::Options options;
  OperatorHarness harness(node.bound(), options);
  const auto feed = [&](int64_t time_us) {
    std::vector<TestRow> rows;
    for (uint64_t s = 0; s < 3000; ++s)
      rows.push_back(
          {.time_us = time_us, .ordinal = s, .cells = {"a segment of thirty characters" + std::to_string(s), 1}});
    harness.Feed(MakeRows(schema, rows, 0, rows.size()));
    harness.Snapshot(&checkpoint);
    REQUIRE(harness.status().ok());
    return harness.state_bytes();
  };
  const int64_t open = feed(0);
  CHECK(open > 3000 * 100);
  harness.Watermark({kMinuteUs});
  harness.Snapshot(&checkpoint);
  CHECK(harness.state_bytes() > 3000 * 450);  // known, with the hours of the day
  CHECK(feed(kMinuteUs) > 3000 * 550);
}

/// A step and the sorter in front of it, through the ends of an input that grows: rows come up to a second late, so
/// that new ones fall behind the newest that an end let go.
TEST_CASE("Moments_OfAnInputThatGrowsAfterItsEnd_AreJudgedOnce") {
  const uint64_t seed = 5;
  INFO("seed " << seed);
  Rng rng(seed);
  const SchemaRef schema =
      std::make_shared<const Schema>(std::vector<Field>{{"k", TypeId::kInt64}, {"v", TypeId::kFloat64}});
  std::vector<TestRow> rows;
  for (int64_t i = 0; i < 400; ++i) {
    const int64_t time_us = (i - static_cast<int64_t>(rng.Below(10))) / 2 * 200'000;
    rows.push_back({.time_us = time_us,
                    .watermark_us = (i - 20) * 100'000,
                    .ordinal = rows.size(),
                    .cells = {static_cast<int64_t>(rng.Below(3)), rng.NextDouble()}});
  }
  const BoundNode total(ContributionDescriptor(), "metric: v\ndimensions: [k]\nkey: [k]\n", *schema);
  const BoundNode believed(FalseDiscoveryDescriptor(), "p_value: v\n", *schema);
  for (const BoundNode* node : {&total, &believed}) {
    REQUIRE_MESSAGE(*node, node->diagnostics());
    BoundOperator sorter;
    const SchemaRef late_schema = LateSchema(*schema);
    sorter.outputs = {{"", schema, OutputOrder::kInputOrder, {}}, {"late", late_schema, OutputOrder::kInputOrder, {}}};
    const bool judges_moments = node->bound().judges_moments;
    sorter.instantiate = [=] { return NewEventTimeSorter(schema, late_schema, judges_moments); };
    HarnessCheckpoint sorted, judged;
    OperatorHarness::Options of_sorter, of_step;
    int64_t told_us = EventTime::Min().us;
    for (const auto& [from, count] : {std::pair<size_t, size_t>{0, 300}, {300, 1}, {301, 99}}) {
      CAPTURE(from);
      OperatorHarness before(sorter, of_sorter), step(node->bound(), of_step);
      before.Feed(MakeRows(schema, rows, from, count));
      before.End();
      for (const Batch& b : before.output(0, 0)) step.Feed(b);
      step.End();
      REQUIRE_MESSAGE(step.status().ok(), step.status().ToString());
      int64_t newest_us = told_us;
      for (const Batch& b : step.output(0, 0)) {
        for (int32_t row = 0; row < b.row_count(); ++row) {
          CHECK(b.time(row).us > told_us);
          newest_us = std::max(newest_us, b.time(row).us);
        }
      }
      told_us = newest_us;
      size_t late = 0;
      for (const Batch& b : before.output(0, 1)) {
        late += static_cast<size_t>(b.row_count());
        for (const std::string& text : RowTexts(b)) CHECK(CellIn(text, "late_reason") == "after_end");
      }
      CHECK((late > 0) == (from > 0 && (count > 1 || rows[from].time_us <= told_us)));
      CHECK(static_cast<size_t>(before.counters().late) >= late);
      before.Snapshot(&sorted);
      step.Snapshot(&judged);
      of_sorter.restore = &sorted;
      of_step.restore = &judged;
    }
    CHECK(told_us > 39'000'000);
  }
}

}  // namespace
}  // namespace freshet::testing
