// Hysteresis, silence of keys, maintenance and texts of `alert`.
#include <doctest/doctest.h>

#include <algorithm>

#include "engine/base/rng.h"
#include "tests/alerts/alert_told.h"

namespace freshet::testing {
namespace {

constexpr int64_t kHour = 3'600'000'000;

TEST_CASE("Alert_Threshold_DirectionAndHysteresis") {
  const std::vector<TestRow> rows = {Row(1, "a", 5.0), Row(2, "a", 3.5), Row(3, "a", 2.9), Row(4, "a", -5.0),
                                     Row(5, "a", nullptr)};
  CHECK(Run("value: v\nthreshold: 4\n", rows) == Lines{"1 a firing", "2 a resolved", "4 a firing", "5 a resolved"});
  CHECK(Run("value: v\nthreshold: 4\nclear_threshold: 3\n", rows) ==
        Lines{"1 a firing", "3 a resolved", "4 a firing", "5 a resolved"});
  CHECK(Run("value: v\nthreshold: 4\ndirection: up\n", rows) == Lines{"1 a firing", "2 a resolved"});
  CHECK(Run("value: v\nthreshold: 3\ndirection: down\nclear_threshold: 3.2\n", rows) ==
        Lines{"3 a firing", "5 a resolved"});
  CHECK(Run("when: v > 4\nclear_when: v < 3\n", rows) == Lines{"1 a firing", "3 a resolved"});
  CHECK(Run("when: v < 0\nvalue: v\nthreshold: 4\n", rows) == Lines{"4 a firing", "5 a resolved"});
}

TEST_CASE("Alert_Direction_OfTheDetectorWhereThereIsNoThreshold") {
  const std::vector<TestRow> rows = {Row(1, "a", 5.0, "up"), Row(2, "a", 5.0, "down"), Row(3, "a", 5.0)};
  CHECK(Run("when: v > 1\ndirection: down\n", rows) == Lines{"2 a firing", "3 a resolved"});
  CHECK(Run("when: v > 1\ndirection: up\n", rows) == Lines{"1 a firing", "2 a resolved"});
  CHECK(Run("when: v > 1\n", rows) == Lines{"1 a firing"});
}

TEST_CASE("Alert_NoData_FiresPerKeyWithTheLastRow") {
  const BoundNode node(AlertDescriptor(),
                       "key: [k]\nvalue: v\nthreshold: 4\nno_data: fire\nno_data_after: 10us\nseverity: high\n",
                       kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness harness(node.bound(), {});
  harness.Feed(MakeRows(kSchema, {Row(1, "a", 1.0), Row(1, "b", 9.0), Row(5, "a", 2.0), Row(30, "a", 1.0)}));
  harness.Watermark({31});
  CHECK(Told2(harness) == Lines{"1 b firing", "15 a firing", "30 a resolved"});
  const Batch& batch = harness.output(0, 0)[0];
  CHECK(batch.column(4).StringAt(1) == "high");
  CHECK(batch.column(9).StringAt(1).find("no data for 10us, last at ") == 0);
  CHECK(batch.column(10).float64s()[1] == 2.0);
}

TEST_CASE("Alert_Maintenance_HoldsWhatStillFiresAfterwards") {
  // From 02:00 to 04:00: a begins and ends in it, b goes on, c fired before and resolves in it.
  const std::vector<TestRow> rows = {Row(kHour, "c", 9.0),     Row(2 * kHour, "a", 9.0), Row(2 * kHour + 1, "b", 9.0),
                                     Row(3 * kHour, "a", 1.0), Row(3 * kHour, "c", 1.0), Row(5 * kHour, "b", 1.0)};
  CHECK(Run("value: v\nthreshold: 4\nmaintenance: [daily 02:00-04:00]\n", rows) ==
        Lines{"3600000000 c firing", "10800000000 c resolved", "14400000000 b firing", "18000000000 b resolved"});
}

TEST_CASE("Alert_Texts_ResolvedMessageDedupeOwnerRunbookLabels") {
  const BoundNode node(AlertDescriptor(),
                       "key: [k]\nvalue: v\nthreshold: 4\nmessage: \"{k} is {v:.1f}\"\n"
                       "resolved_message: \"{k} is well after {duration}, worst {peak:.1f}\"\n"
                       "dedupe_key: \"x-{k}\"\nowner: media\nrunbook: https://example.org/r\n"
                       "labels: {team: \"a \\\"b\\\"\", tier: one}\n",
                       kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness harness(node.bound(), {});
  harness.Feed(MakeRows(kSchema, {Row(0, "a", 5.0), Row(1000000, "a", 7.0), Row(90000000, "a", 1.0)}));
  harness.End();
  REQUIRE(Told2(harness).size() == 2);
  const Batch& b = harness.output(0, 0)[0];
  const auto text = [&](const char* name, int32_t row) { return b.column(*b.schema()->Find(name)).StringAt(row); };
  CHECK(text("message", 0) == "a is 5.0");
  CHECK(text("message", 1) == "a is well after 1m30s, worst 7.0");
  CHECK(text("dedupe_key", 1) == "x-a");
  CHECK(text("owner", 0) == "media");
  CHECK(text("runbook", 0) == "https://example.org/r");
  CHECK(text("labels", 0) == "{\"team\":\"a \\\"b\\\"\",\"tier\":\"one\"}");
  CHECK(b.schema()->field(b.schema()->size() - 1).name == "labels");
}

TEST_CASE("Alert_LinkAndSparkline_LeadWhereItHappenedAndShowHowItCame") {
  const BoundNode node(AlertDescriptor(),
                       "key: [k]\nwhen: v > 4\nsparkline: v\nmessage: \"{k} {sparkline}\"\n"
                       "link: \"http://host/d/x?var-k={k}&from={started_ms}&to={ended_ms}&alert={alert_id}\"\n"
                       "runbook: here\n",
                       kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness harness(node.bound(), {});
  harness.Feed(MakeRows(kSchema, {Row(1'000, "a b&c", 0.0), Row(2'000, "a b&c", 4.0), Row(3'000, "a b&c", nullptr),
                                  Row(4'000, "a b&c", 8.0), Row(9'000, "a b&c", 1.0)}));
  harness.End();
  REQUIRE(Told2(harness).size() == 2);
  const Batch& b = harness.output(0, 0)[0];
  const auto text = [&](const char* name, int32_t row) {
    return std::string(b.column(*b.schema()->Find(name)).StringAt(row));
  };
  CHECK(text("message", 0) == "a b&c ▁▅ █");
  CHECK(text("sparkline", 0) == "▁▅ █");
  CHECK(text("sparkline", 1) == "▁▅ █▂");
  CHECK(text("message", 1) == "a b&c ▁▅ █");
  const std::string link = "http://host/d/x?var-k=a%20b%26c&from=4&to=", alert = "&alert=" + text("alert_id", 0);
  CHECK(text("link", 0) == link + "4" + alert);
  CHECK(text("link", 1) == link + "9" + alert);
  CHECK(b.schema()->field(b.schema()->size() - 1).name == "runbook");
}

TEST_CASE("Alert_Sparkline_IsForgottenWithAKeyThatSaysNothing") {
  const BoundNode node(AlertDescriptor(), "key: [k]\nwhen: v > 4\nsparkline: v\nremember: 50us\n", kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness harness(node.bound(), {});
  harness.Feed(MakeRows(kSchema, {Row(10, "a", 1.0), Row(20, "b", 1.0)}));
  harness.Watermark({61});
  CHECK(harness.state_keys() == 1);
  harness.Feed(MakeRows(kSchema, {Row(70, "a", 5.0), Row(71, "b", 5.0)}));
  harness.Watermark({72});
  const Batch& batch = harness.output(0, 0)[0];
  const int column = *batch.schema()->Find("sparkline");
  CHECK(batch.column(column).StringAt(0) == "▅");  // alone in the middle
  CHECK(batch.column(column).StringAt(1) == "▅");
}

TEST_CASE("RecentValues_Sparkline_ScalesWhatIsThere") {
  RecentValues values;
  CHECK(values.Sparkline().empty());
  for (const double v : {7.0, 7.0}) values.Push(1, v);
  CHECK(values.Sparkline() == "▅▅");
  values.Push(2, INFINITY);
  values.Push(3, -1e308);
  values.Push(4, 1e308);
  CHECK(values.Sparkline() == "▅▅ ▁█");
  ByteSink sink;
  values.Encode(sink);
  const std::string bytes = sink.Take();
  ByteSource source(bytes);
  RecentValues again;
  REQUIRE(again.Decode(source));
  CHECK(source.exhausted());
  CHECK(again.Sparkline() == values.Sparkline());
  CHECK(again.last_us() == 4);
  for (int i = 0; i < 30; ++i) again.Push(5 + i, i);
  std::string all;
  for (const char* bar : {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"})
    for (int i = 0; i < 3; ++i) all += bar;
  CHECK(again.Sparkline() == all);
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    ByteSource torn(std::string_view(bytes).substr(0, cut));
    CHECK_FALSE(RecentValues().Decode(torn));
  }
}

TEST_CASE("Alert_WrongRules_AreReportedInPlace") {
  const auto fault = [](const std::string& yaml, const char* code) {
    const BoundNode node(AlertDescriptor(), yaml, kSchema);
    CHECK_FALSE(node);
    CHECK_MESSAGE(node.diagnostics().find(code) != std::string::npos, node.diagnostics());
  };
  fault("key: [k]\n", "FR3406");
  fault("threshold: 3\n", "FR3406");
  fault("value: v\nthreshold: 0\n", "FR3407");
  fault("when: v > 1\nclear_threshold: 1\n", "FR3408");
  fault("value: v\nthreshold: 3\nclear_threshold: 4\n", "FR3408");
  fault("value: v\nthreshold: 3\ndirection: down\nclear_threshold: 2\n", "FR3408");
  fault("when: v > 1\nno_data: fire\n", "FR3409");
  fault("when: v > 1\nno_data_after: 10m\n", "FR3409");
  fault("when: v > 1\nmaintenance: [daily 2-3]\n", "FR3410");
  fault("when: v > 1\nresolved_message: \"{durations}\"\n", "FR3401");
  fault("when: v > 1\nlink: \"http://x/{alert}\"\n", "FR3401");
  fault("when: v > 1\nsparkline: k\n", "FR3404");
  fault("when: v > 1\nmessage: \"{sparkline}\"\n", "FR3401");
}

TEST_CASE("Alert_AllRulesAtOnce_RestartAnywhereInAnyLanesTellsTheSame") {
  const BoundNode node(AlertDescriptor(),
                       "key: [k]\nvalue: v\nthreshold: 5\nclear_threshold: 3\nfor: 7us\nkeep_firing_for: 9us\n"
                       "cooldown: 20us\nno_data: fire\nno_data_after: 25us\nremember: 60us\n"
                       "maintenance: [\"1970-01-01T00:00:00.000100Z to 1970-01-01T00:00:00.000140Z\"]\n"
                       "message: \"{k} {v:.2f}\"\nresolved_message: \"{duration} {peak:.3f}\"\n"
                       "sparkline: v\nlink: \"http://x/{k}/{alert_id}?from={started_ms}&to={ended_ms}\"\n",
                       kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  size_t told = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    std::vector<TestRow> rows;
    for (int64_t t = 10; t < 300; t += static_cast<int64_t>(rng.Below(6)))
      rows.push_back(Row(t, std::string(1, static_cast<char>('a' + rng.Below(4))).c_str(),
                         static_cast<double>(rng.Below(90)) / 10));
    const SchemaRef schema = std::make_shared<const Schema>(kSchema);
    const auto run = [&](bool restarts) {
      Lines out;
      HarnessCheckpoint checkpoint;
      OperatorHarness::Options options;
      options.batch_row_count_max = restarts ? 2 : 4096;
      auto harness = std::make_unique<OperatorHarness>(node.bound(), options);
      const auto collect = [&] {
        REQUIRE_MESSAGE(harness->status().ok(), harness->status().ToString());
        for (int lane = 0; lane < options.lanes; ++lane)
          for (const Batch& b : harness->output(lane, 0))
            for (std::string& text : RowTexts(b)) out.push_back(std::move(text));
      };
      Rng cuts(seed);
      for (size_t from = 0; from < rows.size();) {
        const size_t count = std::min<size_t>(restarts ? 1 + cuts.Below(9) : rows.size(), rows.size() - from);
        harness->Feed(MakeRows(schema, rows, from, count));
        from += count;
        if (!restarts || from == rows.size()) continue;
        if (rows[from].time_us == rows[from - 1].time_us) continue;
        harness->Watermark({rows[from].time_us});
        if (cuts.Below(2) == 0) continue;
        harness->Snapshot(&checkpoint);
        collect();
        options.restore = &checkpoint;
        options.lanes = 1 + static_cast<int>(cuts.Below(4));
        harness = std::make_unique<OperatorHarness>(node.bound(), options);
      }
      harness->End();
      collect();
      CHECK(ConservationFault(harness->counters(), NodeClass::kStateful) == "");
      std::sort(out.begin(), out.end());
      return out;
    };
    const Lines expected = run(false);
    told += expected.size();
    REQUIRE(run(true) == expected);
  }
  MESSAGE("rows told ", told);
  CHECK(told > 500);
}

}  // namespace
}  // namespace freshet::testing
