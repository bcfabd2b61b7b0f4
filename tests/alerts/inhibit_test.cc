// Alerts that are not told while others fire, against intervals read slowly.
#include "operators/inhibit.h"

#include <doctest/doctest.h>

#include "tests/alerts/alert_row_rig.h"

namespace freshet::testing {
namespace {

const std::string kEqual = "equal: [service]\n";

/// Told from the first moment on at which no inhibitor of the service fires, unless the alert ended before.
std::vector<std::string> Expected(const std::vector<TestAlert>& alerts, const std::vector<TestAlert>& inhibitors) {
  std::vector<std::string> lines;
  for (const TestAlert& a : alerts) {
    int64_t told_us = a.fired_us;
    for (bool moved = true; moved;) {
      moved = false;
      for (const TestAlert& i : inhibitors)
        if (i.service == a.service && i.fired_us <= told_us && told_us < i.resolved_us) {
          told_us = i.resolved_us;
          moved = true;
        }
    }
    if (told_us == INT64_MAX || a.resolved_us < told_us) continue;
    lines.push_back(std::to_string(told_us) + " " + a.id + " firing");
    if (a.resolved_us < INT64_MAX) lines.push_back(std::to_string(a.resolved_us) + " " + a.id + " resolved");
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

TEST_CASE("Inhibit_RandomAlerts_EqualTheIntervalsThroughCutsLanesAndRestarts") {
  const std::vector<const Schema*> inputs = {&kAlertSchema, &kAlertSchema};
  const BoundNode node(InhibitDescriptor(), kEqual, inputs);
  REQUIRE_MESSAGE(node, node.diagnostics());
  const SchemaRef schema = std::make_shared<const Schema>(kAlertSchema);
  size_t told = 0, silent = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const auto alerts = RandomAlerts(rng, "t", 200, false), inhibitors = RandomAlerts(rng, "i", 200, false);
    const auto expected = Expected(alerts, inhibitors);
    told += expected.size();
    silent += 2 * alerts.size() - expected.size();
    for (const bool restarts : {false, true}) {
      auto out =
          RunAlertRows(node.bound(), {AlertRows(alerts), AlertRows(inhibitors)}, {schema, schema}, restarts, seed, 4);
      std::sort(out.begin(), out.end());
      REQUIRE(out == expected);
    }
  }
  MESSAGE("told ", told, ", never told ", silent);
  CHECK(told > 1000);
  CHECK(silent > 1000);
}

TEST_CASE("Inhibit_Rows_KeepTheirColumnsAndGetTheMomentTheyWereHeldTo") {
  const BoundNode node(InhibitDescriptor(), kEqual, std::vector<const Schema*>{&kAlertSchema, &kAlertSchema});
  REQUIRE_MESSAGE(node, node.diagnostics());
  CHECK(*node->outputs[0].schema == kAlertSchema);
  CHECK(node->outputs[0].alert_rows);
  OperatorHarness harness(node.bound(), {});
  harness.Feed(MakeRows(kAlertSchema, AlertRows({{"t", "a", 10, 90, 3, 1.5}})), 0);
  harness.Feed(MakeRows(kAlertSchema, AlertRows({{"i", "a", 10, 50}})), 1);
  harness.Watermark({50});
  CHECK(Leaving(harness).empty());
  harness.Watermark({51});
  REQUIRE(Leaving(harness) == std::vector<std::string>{"50 t firing"});
  const Batch& b = harness.output(0, 0)[0];
  CHECK(b.column(5).int64s()[0] == 10);
  CHECK(b.column(7).float64s()[0] == 1.5);
  CHECK(b.row_watermark(0).us == 50);
}

TEST_CASE("Inhibit_StateOfAlertsWithFewerColumns_GoesOn") {
  const BoundNode was(InhibitDescriptor(), kEqual, std::vector<const Schema*>{&kAlertSchema, &kAlertSchema});
  const BoundNode now(InhibitDescriptor(), kEqual, std::vector<const Schema*>{&kGrownAlertSchema, &kAlertSchema});
  REQUIRE(was);
  REQUIRE(now);
  for (const bool evict : {false, true}) {
    CAPTURE(evict);
    HarnessCheckpoint checkpoint;
    OperatorHarness::Options options;
    options.evict = evict;
    {
      OperatorHarness harness(was.bound(), options);
      harness.Feed(MakeRows(kAlertSchema, AlertRows({{"t", "a", 10}, {"u", "b", 30}})), 0);
      harness.Feed(MakeRows(kAlertSchema, AlertRows({{"i", "a", 10, 50}})), 1);
      harness.Watermark({20});
      CHECK(Leaving(harness).empty());
      harness.Snapshot(&checkpoint);
    }
    options.restore = &checkpoint;
    options.lanes = 2;
    OperatorHarness harness(now.bound(), options);
    harness.End();
    REQUIRE_MESSAGE(harness.status().ok(), harness.status().ToString());
    auto lines = Leaving(harness, 2);
    std::sort(lines.begin(), lines.end());
    CHECK(lines == std::vector<std::string>{"30 u firing", "50 t firing"});
    for (int lane = 0; lane < 2; ++lane)
      for (const Batch& b : harness.output(lane, 0)) CHECK((b.column(3).IsNull(0) && b.column(11).IsNull(0)));
  }
}

TEST_CASE("Inhibit_Mistakes_AreReported") {
  const Schema other({{"service", TypeId::kInt64}});
  const auto fault = [&](const std::string& yaml, const std::vector<const Schema*>& inputs, const char* code) {
    const BoundNode node(InhibitDescriptor(), yaml, inputs);
    CHECK_FALSE(node);
    CHECK_MESSAGE(node.diagnostics().find(code) != std::string::npos, node.diagnostics());
  };
  fault(kEqual, {&kAlertSchema}, "FR3413");
  fault(kEqual, {&kAlertSchema, &other}, "FR3411");
  fault("equal: [shop]\n", {&kAlertSchema, &kAlertSchema}, "FR3202");
  fault("equal: []\n", {&kAlertSchema, &kAlertSchema}, "FR2003");
  std::vector<Field> fields = kAlertSchema.fields();
  fields[2].type = TypeId::kInt64;
  const Schema numbered(fields);
  fault(kEqual, {&kAlertSchema, &numbered}, "FR3414");
}

}  // namespace
}  // namespace freshet::testing
