// Grouping and budgets, against slow readings of the same rules.
#include "operators/notify.h"

#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "operators/alert/notice_budget.h"
#include "tests/alerts/alert_row_rig.h"

namespace freshet::testing {
namespace {

using Lines = std::vector<std::string>;

/// The notices of one group by looking ahead. Alerts by the time they fire; no two things happen at one moment.
void ExpectGroup(const std::vector<TestAlert>& alerts, int64_t wait, int64_t interval, Lines* lines) {
  int64_t last_left = INT64_MIN / 2;
  size_t from = 0;
  while (from < alerts.size()) {
    const int64_t due = std::max(alerts[from].fired_us + wait, last_left + interval);
    // Once all that waited are over, the next one begins another wait.
    int64_t over_us = alerts[from].resolved_us;
    size_t to = from + 1;
    while (to < alerts.size() && alerts[to].fired_us <= due && alerts[to].fired_us < over_us)
      over_us = std::max(over_us, alerts[to++].resolved_us);
    if (over_us <= due) {
      from = to;
      continue;
    }
    std::vector<TestAlert> told;
    for (size_t i = from; i < to; ++i)
      if (alerts[i].resolved_us > due) told.push_back(alerts[i]);
    lines->push_back(std::to_string(due) + " " + told[0].id + " firing");
    if (over_us < INT64_MAX) lines->push_back(std::to_string(over_us) + " " + told[0].id + " resolved");
    last_left = due;
    from = to;
  }
}

TEST_CASE("Notify_RandomAlerts_EqualTheSlowGroupsThroughCutsAndRestarts") {
  const SchemaRef schema = std::make_shared<const Schema>(kAlertSchema);
  size_t told = 0, alone = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const auto alerts = RandomAlerts(rng, "t", 250, true);
    const int64_t wait = static_cast<int64_t>(rng.Below(20)), interval = static_cast<int64_t>(rng.Below(30));
    const BoundNode node(NotifyDescriptor(),
                         "group_by: [service]\ngroup_wait: " + std::to_string(wait) +
                             "us\ngroup_interval: " + std::to_string(interval) + "us\n",
                         kAlertSchema);
    REQUIRE_MESSAGE(node, node.diagnostics());
    std::map<std::string, std::vector<TestAlert>> groups;
    for (const TestAlert& a : alerts) groups[a.service].push_back(a);
    Lines expected;
    for (const auto& [service, own] : groups) ExpectGroup(own, wait, interval, &expected);
    std::sort(expected.begin(), expected.end());
    told += expected.size();
    alone += 2 * alerts.size();
    for (const bool restarts : {false, true}) {
      Lines out = RunAlertRows(node.bound(), {AlertRows(alerts)}, {schema}, restarts, seed, 1);
      std::sort(out.begin(), out.end());
      REQUIRE(out == expected);
    }
  }
  MESSAGE("rows of notices ", told, " for rows of alerts ", alone);
  CHECK(told > 1000);
  CHECK(told * 3 < alone * 2);
}

TEST_CASE("Notify_Notice_TellsTheWorstAndTheFirst") {
  const BoundNode node(NotifyDescriptor(), "group_by: [service]\ngroup_wait: 10us\n", kAlertSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  CHECK(node->outputs[0].schema->field(10).name == "alerts");
  CHECK_FALSE(node->key.has_value());
  OperatorHarness harness(node.bound(), {});
  harness.Feed(MakeRows(kAlertSchema, AlertRows({{"gone", "a", 8, 12},
                                                 {"first", "a", 10, 40, 2, 3},
                                                 {"worst", "a", 18, 60, 4, -7},
                                                 {"other", "b", 15, 41, 1, 1},
                                                 {"late", "a", 19}})));
  harness.End();
  CHECK(Leaving(harness) ==
        Lines{"18 first firing", "25 other firing", "41 other resolved", "60 first resolved", "300000018 late firing"});
  const Batch& b = harness.output(0, 0)[0];
  CHECK(b.column(4).StringAt(0) == "critical");
  CHECK(b.column(5).int64s()[0] == 10);
  CHECK(b.column(6).int64s()[0] == 18);
  CHECK(b.column(7).float64s()[0] == -7);
  CHECK(b.column(8).IsNull(0));
  CHECK(b.column(9).StringAt(0) == "2 alerts: m first; m worst");
  CHECK(b.column(10).int64s()[0] == 2);
  CHECK(b.column(9).StringAt(1) == "m other");
  CHECK(b.column(8).int64s()[3] == 60);
  CHECK(b.column(9).StringAt(3) == "2 alerts: m first; m worst");
}

TEST_CASE("Notify_GroupThatIsOver_SaysNothingOfTheMomentItBegan") {
  std::vector<Field> fields = kAlertSchema.fields();
  for (const char* name : {"confidence", "severity_reason", "alert_text", "silence_1h", "silence_until_resolved"})
    fields.push_back({name, TypeId::kString});
  const Schema schema(fields);
  std::vector<TestRow> rows = AlertRows({{"one", "a", 10, 90, 3, 1.5}});
  for (TestRow& row : rows) row.cells.insert(row.cells.end(), {"c", "why", "text", "link", "link"});
  const BoundNode node(NotifyDescriptor(), "group_by: [service]\ngroup_wait: 20us\n", schema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness harness(node.bound(), {});
  harness.Feed(MakeRows(std::make_shared<const Schema>(schema), rows, 0, rows.size()));
  harness.End();
  REQUIRE(Leaving(harness) == Lines{"30 one firing", "90 one resolved"});
  for (const Batch& b : harness.output(0, 0))
    for (int32_t r = 0; r < b.row_count(); ++r) {
      const bool firing = b.column(3).StringAt(r) == "firing";
      CHECK(b.column(10).StringAt(r) == "c");
      for (int c = 11; c < 15; ++c) CHECK(b.column(c).IsValid(r) == firing);
    }
}

TEST_CASE("NoticeBudget_RandomNotices_EqualAllOfThemCompared") {
  int64_t passed_all = 0;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const NoticeBudgetOptions options{1 + static_cast<int64_t>(rng.Below(4)), 1 + static_cast<int64_t>(rng.Below(60))};
    struct Past {
      int64_t time;
      int severity;
      double peak;
      bool passed;
    };
    std::vector<Past> past;
    NoticeBudget budget;
    int64_t now = 0;
    for (int i = 0; i < 150; ++i) {
      now += static_cast<int64_t>(rng.Below(12));
      const int severity = 1 + static_cast<int>(rng.Below(rng.Below(5) == 0 ? 4 : 3));
      const double peak = static_cast<double>(rng.Below(7)) - 3;
      int64_t passed = 0, stronger = 0;
      for (const Past& p : past) {
        if (now - p.time >= options.period_us) continue;
        passed += p.passed ? 1 : 0;
        stronger += std::pair(p.severity, std::abs(p.peak)) > std::pair(severity, std::abs(peak)) ? 1 : 0;
      }
      const bool expected = severity == 4 || (passed < options.count && stronger < options.count);
      REQUIRE(budget.Pass(now, {static_cast<uint8_t>(severity), peak}, options) == expected);
      past.push_back({now, severity, peak, expected});
      passed_all += expected ? 1 : 0;
      if (rng.Below(10) > 0) continue;
      ByteSink sink;
      budget.Encode(sink);
      const std::string bytes = sink.Take();
      ByteSource source(bytes);
      budget = NoticeBudget();
      REQUIRE(budget.Decode(source));
      REQUIRE(source.exhausted());
    }
    CHECK(budget.passed_count() + budget.held_back_count() == 150);
  }
  CHECK(passed_all > 3000);
}

TEST_CASE("NoticeBudget_RateOfALongStream_IsWithinWhatWasAsked") {
  Rng rng(3);
  NoticeBudget budget;
  const NoticeBudgetOptions options{5, 1000};
  for (int64_t t = 0; t < 1000000; t += 1 + static_cast<int64_t>(rng.Below(40)))
    budget.Pass(t, {static_cast<uint8_t>(1 + rng.Below(3)), rng.NextDouble()}, options);
  CHECK(budget.Rate(options) <= 5.0 * 1.01);
  CHECK(budget.Rate(options) > 2);
}

TEST_CASE("Notify_Budget_HeldBackAlertsHaveNoEndEither") {
  const BoundNode node(NotifyDescriptor(), "budget: 1/day\n", kAlertSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  const std::vector<TestAlert> alerts = {
      {"one", "a", 1, 5}, {"weak", "a", 6, 9}, {"bad", "b", 7, 10, 4}, {"next", "a", 86'400'000'007, 86'400'000'008}};
  const Lines expected = {"1 one firing",    "5 one resolved",          "7 bad firing",
                          "10 bad resolved", "86400000007 next firing", "86400000008 next resolved"};
  const SchemaRef schema = std::make_shared<const Schema>(kAlertSchema);
  CHECK(RunAlertRows(node.bound(), {AlertRows(alerts)}, {schema}, false, 1, 1) == expected);
  CHECK(RunAlertRows(node.bound(), {AlertRows(alerts)}, {schema}, true, 5, 1) == expected);
  const BoundNode grouped(NotifyDescriptor(), "group_by: [service]\ngroup_wait: 0s\nbudget: 1/day\n", kAlertSchema);
  REQUIRE_MESSAGE(grouped, grouped.diagnostics());
  CHECK(RunAlertRows(grouped.bound(), {AlertRows({{"one", "a", 1, 5}, {"weak", "b", 6, 9}})}, {schema}, true, 2, 1) ==
        Lines{"1 one firing", "5 one resolved"});
}

TEST_CASE("Notify_StateOfAlertsWithFewerColumns_GoesOn") {
  const std::string options = "group_by: [service]\ngroup_wait: 50us\n";
  const BoundNode was(NotifyDescriptor(), options, kAlertSchema);
  const BoundNode now(NotifyDescriptor(), options, kGrownAlertSchema);
  REQUIRE(was);
  REQUIRE(now);
  for (const bool evict : {false, true}) {
    CAPTURE(evict);
    HarnessCheckpoint checkpoint;
    OperatorHarness::Options harness_options;
    harness_options.evict = evict;
    {
      OperatorHarness harness(was.bound(), harness_options);
      harness.Feed(MakeRows(kAlertSchema, AlertRows({{"one", "a", 10, INT64_MAX, 3, 1.5}})));
      harness.Watermark({100});
      harness.Feed(MakeRows(kAlertSchema, AlertRows({{"two", "b", 110}})));
      harness.Watermark({111});
      CHECK(Leaving(harness) == Lines{"60 one firing"});
      harness.Snapshot(&checkpoint);
    }
    harness_options.restore = &checkpoint;
    {
      const HarnessCheckpoint before = checkpoint;
      OperatorHarness::Options from_before = harness_options;
      from_before.restore = &before;
      OperatorHarness harness(now.bound(), from_before);
      REQUIRE_MESSAGE(harness.status().ok(), harness.status().ToString());
      harness.Snapshot(&checkpoint);
    }
    OperatorHarness harness(now.bound(), harness_options);
    const auto rows = GrownAlertRows({{"one", "a", 10, 200, 3, 1.5}});
    harness.Feed(MakeRows(std::make_shared<const Schema>(kGrownAlertSchema), rows, 1, 1));
    harness.End();
    REQUIRE_MESSAGE(harness.status().ok(), harness.status().ToString());
    REQUIRE(Leaving(harness) == Lines{"160 two firing", "200 one resolved"});
    for (const Batch& b : harness.output(0, 0))
      for (int32_t r = 0; r < b.row_count(); ++r) {
        CHECK(b.column(2).StringAt(r) == (b.column(0).StringAt(r) == "one" ? "a" : "b"));
        CHECK(b.column(3).IsNull(r));
        CHECK(b.column(11).IsNull(r));
      }
  }
}

TEST_CASE("Notify_Mistakes_AreReported") {
  const Schema other({{"x", TypeId::kInt64}});
  const auto fault = [&](const std::string& yaml, const Schema& schema, const char* code) {
    const BoundNode node(NotifyDescriptor(), yaml, schema);
    CHECK_FALSE(node);
    CHECK_MESSAGE(node.diagnostics().find(code) != std::string::npos, node.diagnostics());
  };
  fault("budget: 3/day\n", other, "FR3411");
  fault("budget: many\n", kAlertSchema, "FR3412");
  fault("budget: 0.5/day\n", kAlertSchema, "FR3412");
  fault("group_by: [shop]\n", kAlertSchema, "FR3202");
  fault("group_wait: -1s\n", kAlertSchema, "FR2004");
}

}  // namespace
}  // namespace freshet::testing
