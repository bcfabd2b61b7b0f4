// change_point as a step of a pipeline: one row in, one row out, whatever the batches, keys, lanes and restarts.
#include <doctest/doctest.h>

#include <algorithm>

#include "engine/base/rng.h"
#include "operators/change_point.h"
#include "operators/statistical_outlier.h"
#include "tests/operators/row_run.h"
#include "tests/support/flow_runs.h"

namespace freshet::testing {
namespace {

const Schema kSchema({{"host", TypeId::kString}, {"a", TypeId::kFloat64}});
const char* const kMethods[] = {"cusum", "page_hinkley", "adwin"};

/// Host p rises at 400 by 6 deviations, host q falls at 700.
std::vector<TestRow> Rows(uint64_t seed, int count) {
  Rng rng(seed);
  std::vector<TestRow> rows;
  for (int i = 0; i < count; ++i) {
    const bool p = rng.Below(2) == 0;
    double a = rng.NextNormal();
    if (p) a += i >= 400 ? 6 : 0;
    if (!p) a -= i >= 700 ? 6 : 0;
    TestRow row{.time_us = 1000 * i, .ordinal = static_cast<uint64_t>(i), .cells = {p ? "p" : "q", a}};
    if (rng.Below(20) == 0) row.cells[1] = nullptr;
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<std::string> Run(const BoundNode& node, const std::vector<TestRow>& rows, size_t cut, bool restart) {
  return RunTexts(node, kSchema, rows, {.cut = cut, .restart = restart});
}

TEST_CASE("ChangePoint_BatchSizesKeysAndRestarts_SameBits") {
  const std::vector<TestRow> rows = Rows(1, 1200);
  for (const std::string method : kMethods) {
    for (const std::string key : {"", "key: [host]\n"}) {
      INFO(method << " " << key);
      const BoundNode node(ChangePointDescriptor(), "metric: a\nmethod: " + method + "\n" + key, kSchema);
      const std::vector<std::string> whole = Run(node, rows, rows.size(), false);
      REQUIRE(whole.size() == rows.size());
      CHECK(Run(node, rows, 1, false) == whole);
      CHECK(Run(node, rows, 7, false) == whole);
      CHECK(Run(node, rows, 131, true) == whole);
    }
  }
}

TEST_CASE("ChangePoint_Keyed_TellsTimeSizeAndSideOfEachKey") {
  const std::vector<TestRow> rows = Rows(2, 1000);
  for (const std::string method : kMethods) {
    INFO(method);
    const BoundNode node(ChangePointDescriptor(), "metric: a\nmethod: " + method + "\nkey: [host]\n", kSchema);
    std::vector<std::string> told;
    for (const std::string& text : Run(node, rows, 100, false))
      if (text.find(" change=true") != std::string::npos) told.push_back(text);
    REQUIRE(told.size() == 2);
    CHECK(told[0].find("host='p'") != std::string::npos);
    CHECK(told[0].find("direction='up'") != std::string::npos);
    CHECK(told[0].find("why='a went from ") != std::string::npos);
    CHECK(told[1].find("host='q'") != std::string::npos);
    CHECK(told[1].find("direction='down'") != std::string::npos);
    const BoundNode up(ChangePointDescriptor(),
                       "metric: a\ndirection: up\nas: my\nmethod: " + method + "\nkey: [host]\n", kSchema);
    const std::vector<std::string> all = Run(up, rows, 100, false);
    CHECK(std::count_if(all.begin(), all.end(),
                        [](const std::string& t) { return t.find("my_change=true") != std::string::npos; }) == 1);
  }
}

TEST_CASE("ChangePoint_Mistakes_AreReported") {
  const auto fault = [](const char* yaml) {
    const BoundNode node(ChangePointDescriptor(), yaml, kSchema);
    CHECK_FALSE(node);
    return node.diagnostics();
  };
  const auto has = [](const std::string& text, const char* code) { return text.find(code) != std::string::npos; };
  CHECK(has(fault("metric: host\n"), "FR3505"));
  CHECK(has(fault("metric: a\nmethod: adwin\nslack: 1\n"), "FR3551"));
  CHECK(has(fault("metric: a\nmethod: adwin\nfalse_alarm_every: 100\n"), "FR3551"));
  CHECK(has(fault("metric: a\ndelta: 0.1\n"), "FR3551"));
  CHECK(has(fault("metric: a\nstandardize: false\n"), "FR3551"));
  CHECK(has(fault("metric: a\nthreshold: 5\nfalse_alarm_every: 100\n"), "FR3551"));
  CHECK(has(fault("metric: a\nmethod: page_hinkley\nstandardize: false\n"), "FR3552"));
  CHECK(has(fault("metric: a\nslack: 0\n"), "FR3504"));
  CHECK(has(fault("metric: a\nkey: [hots]\n"), "FR3202"));
  const Schema taken = kSchema.With({{"change_size", TypeId::kFloat64}});
  const BoundNode clash(ChangePointDescriptor(), "metric: a\n", taken);
  CHECK(has(clash.diagnostics(), "FR3501"));
  CHECK(BoundNode(ChangePointDescriptor(), "metric: a\nas: my\n", taken));
  CHECK(BoundNode(ChangePointDescriptor(),
                  "metric: a\nmethod: page_hinkley\nstandardize: false\nslack: 0.005\nthreshold: 50\n", kSchema));
}

TEST_CASE("ChangePoint_OtherSettingsThanInTheState_AreRefused") {
  const BoundNode before(ChangePointDescriptor(), "metric: a\n", kSchema);
  const BoundNode after(ChangePointDescriptor(), "metric: a\nmethod: adwin\n", kSchema);
  HarnessCheckpoint checkpoint;
  OperatorHarness::Options options;
  OperatorHarness first(before.bound(), options);
  first.Feed(MakeRows(kSchema, Rows(3, 50)));
  first.Snapshot(&checkpoint);
  options.restore = &checkpoint;
  CHECK_FALSE(OperatorHarness(after.bound(), options).status().ok());
  CHECK(OperatorHarness(before.bound(), options).status().ok());
  checkpoint.extra.resize(checkpoint.extra.size() / 2);
  CHECK_FALSE(OperatorHarness(before.bound(), options).status().ok());
}

TEST_CASE("ChangePoint_OfAModelsErrorInAGraph_LanesBatchesAndCrashesGiveOneAnswer") {
  NumbersOptions numbers;
  numbers.rows = 700;
  numbers.keys = 3;
  numbers.jitter_us = 300'000;  // rows come out of order
  const BoundNode outlier(StatisticalOutlierDescriptor(), "metric: v\nmethod: holt_winters\nkey: [k]\nas: o\n",
                          *NumbersSchema());
  REQUIRE_MESSAGE(outlier, outlier.diagnostics());
  const BoundNode change(ChangePointDescriptor(), "metric: abs(v - o_expected)\nkey: [k]\nthreshold: 2\n",
                         *outlier->outputs[0].schema);
  REQUIRE_MESSAGE(change, change.diagnostics());
  const SinkLines lines = CheckLanesBatchesAndCrashes([&](FlowGraph& graph) {
    const PortRef expected = graph.Node("outlier", {graph.Source("numbers", numbers)}, outlier.bound());
    graph.Sink("out", graph.Node("change", {expected}, change.bound()));
  });
  CHECK(lines.at("out").size() == 700);
}

}  // namespace
}  // namespace freshet::testing
