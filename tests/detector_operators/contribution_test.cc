// `contribution` from rows of segments to the sentence: in every cut of batches, lanes, restarts and crashes.
#include "operators/contribution.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/base/rng.h"
#include "engine/flow/sim_runtime.h"
#include "tests/operators/test_rows.h"
#include "tests/support/flow_nodes.h"

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
  REQUIRE_MESSAGE(node, node.diagnostics());
  const SchemaRef schema = std::make_shared<const Schema>(kSchema);
  HarnessCheckpoint checkpoint;
  OperatorHarness::Options options;
  auto harness = std::make_unique<OperatorHarness>(node.bound(), options);
  std::vector<std::string> texts;
  const auto collect = [&] {
    REQUIRE_MESSAGE(harness->status().ok(), harness->status().ToString());
    CHECK(ConservationFault(harness->counters(), NodeClass::kStateful) == "");
    for (const Batch& b : harness->output(0, 0))
      for (std::string& t : RowTexts(b)) texts.push_back(std::move(t));
  };
  for (size_t from = 0; from < rows.size(); from += cut) {
    const size_t count = std::min(cut, rows.size() - from);
    harness->Feed(MakeRows(schema, rows, from, count));
    if (!restart || from / cut % 2 == 0) harness->Watermark({rows[from + count - 1].time_us});
    if (!restart) continue;
    harness->Snapshot(&checkpoint);
    collect();
    options.restore = &checkpoint;
    harness = std::make_unique<OperatorHarness>(node.bound(), options);
  }
  harness->End();
  collect();
  return texts;
}

std::string Cell(const std::string& text, const std::string& name) {
  const size_t at = text.find(" " + name + "=");
  if (at == std::string::npos) return "?";
  const size_t from = at + name.size() + 2;
  if (text[from] == '\'') return text.substr(from + 1, text.find('\'', from + 1) - from - 1);
  return text.substr(from, text.find(' ', from) - from);
}

TEST_CASE("Contribution_PlantedSegment_IsInTheSentence") {
  const std::vector<TestRow> rows = Segments(520, 515);
  const std::vector<std::string> out = Run(BoundNode(ContributionDescriptor(), kYaml, kSchema), rows, 4096);
  REQUIRE(out.size() == 520 * 2);
  const std::string& last = out[out.size() - 2];
  CHECK(Cell(last, "site") == "a");
  CHECK(Cell(last, "is_anomaly") == "true");
  CHECK(Cell(last, "segments") == "mobile in US");
  CHECK(std::stod(Cell(last, "explained")) > 0.67);
  const std::string why = Cell(last, "why");
  MESSAGE(why);
  CHECK(why.find("engagement_rate ") == 0);
  CHECK(why.find(" % against 6 % expected (") != std::string::npos);
  CHECK(why.find(") for 16 min; mobile in US explains ") != std::string::npos);
  CHECK(Cell(out.back(), "site") == "b");
  CHECK(Cell(out.back(), "segments") == "null");
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
  CHECK(Cell(out[20], "total") == "null");
  CHECK(Cell(out[20], "of") == "0");
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
  std::vector<std::string> expected;
  for (uint64_t seed = 0; seed <= 8; ++seed) {
    CAPTURE(seed);
    const auto into = std::make_shared<Collected>();
    const auto make = [&] {
      GraphSpec spec;
      spec.pipeline_name = "test";
      spec.nodes.push_back(NumbersSource("numbers", numbers));
      NodeSpec step;
      step.id = "step";
      step.inputs = {{0, 0}};
      step.kind = OperatorNode{node.bound()};
      spec.nodes.push_back(std::move(step));
      spec.nodes.push_back(CollectSink("out", {{1, 0}}, into));
      return spec;
    };
    const auto store = NewMemoryStore();
    SimOptions options;
    options.job.store = store.get();
    options.seed = seed;
    const int32_t batches[] = {4096, 1, 7};
    options.job.batch_row_count_max = batches[seed % 3];
    options.job.lane_count = 1 + static_cast<int>(seed % 4);
    options.crash_chance = seed == 0 ? 0 : 0.004;
    options.crash_count_max = 3;
    const SimResult result = RunSimulation(make, options);
    REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
    if (seed == 0) expected = into->lines;
    CHECK(into->lines.size() == 600);
    CHECK(into->lines == expected);
  }
}

}  // namespace
}  // namespace freshet::testing
