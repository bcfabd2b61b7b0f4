// The options of `anomaly` that concern severity, rules, breaks, budgets, age and the week, from YAML to rows.
#include <doctest/doctest.h>

#include <cmath>

#include "engine/base/rng.h"
#include "operators/anomaly.h"
#include "tests/operators/row_run.h"

namespace freshet::testing {
namespace {

constexpr int64_t kMinuteUs = 60'000'000;
const Schema kSchema({{"host", TypeId::kString},
                      {"x", TypeId::kFloat64},
                      {"n", TypeId::kInt64},
                      {"age", TypeId::kFloat64},
                      {"share", TypeId::kFloat64}});

std::vector<std::string> Run(const std::string& yaml, const std::vector<TestRow>& rows) {
  const BoundNode node(AnomalyDescriptor(), yaml, kSchema);
  std::vector<std::string> texts = RunTexts(node, kSchema, rows, {.cut = 500});
  REQUIRE(texts.size() == rows.size());
  return texts;
}

TestRow Row(int64_t i, int64_t step_us, double x, int64_t n = 1000, double age = 1, double share = 0.1) {
  return {.time_us = i * step_us,
          .watermark_us = INT64_MIN,
          .ordinal = static_cast<uint64_t>(i),
          .cells = {"a", x, n, age, share}};
}

TEST_CASE("AnomalyOperator_RulesBudgetBreaks_AddTheirColumns") {
  Rng rng(1);
  std::vector<TestRow> rows;
  for (int i = 0; i < 288 * 30; ++i) {
    const bool burst = i >= 288 * 20 && i < 288 * 20 + 6;
    rows.push_back(Row(i, 5 * kMinuteUs, burst ? 0.09 : 0.02 + 0.002 * rng.NextNormal(), i == 288 * 20 ? 150 : 1000));
  }
  const std::vector<std::string> out = Run(
      "metric: x\nkind: ratio\nof: n\nbudget: 3/week\nrules:\n  error_rate: {}\nseries_breaks:\n"
      "  - logging changed on 1970-01-12\n  - {at: 1970-01-13T06:00:00Z, why: again}\n  - 1970-01-14: a third time\n",
      rows);
  CHECK(CellIn(out[288 * 20], "rule") == "null");  // 150 requests only
  CHECK(CellIn(out[288 * 20 + 1], "rule") == "error_rate");
  CHECK(CellIn(out[288 * 20 + 1], "is_anomaly") == "true");
  CHECK((CellIn(out[288 * 20 + 1], "severity") == "high" || CellIn(out[288 * 20 + 1], "severity") == "critical"));
  INFO(CellIn(out[288 * 20 + 3], "why"));
  CHECK(CellIn(out[288 * 20 + 3], "why").find("x 9 % against 2") == 0);
  CHECK(CellIn(out[288 * 20 + 3], "why").find("rule error_rate: 9 % over 5 min, above 5 %") != std::string::npos);
  CHECK(CellIn(out[288 * 11], "why") == "begins anew: logging changed on 1970-01-12");
  CHECK(CellIn(out[288 * 12 + 72], "why") == "begins anew: again");
  CHECK(CellIn(out[288 * 13], "why") == "begins anew: a third time");
  CHECK(CellIn(out[288 * 6], "alarm_rate") == "null");
  CHECK(std::stod(CellIn(out.back(), "alarm_rate")) < 6);
}

TEST_CASE("AnomalyOperator_ZoneAndWeek_FollowTheLocalClock") {
  Rng rng(2);
  // Berlin: summer time begins on 2024-03-31 at 01:00 UTC. Busy from 9 to 10 by its clock.
  constexpr int64_t kStartUs = 1709251200000000;  // 2024-03-01
  std::vector<TestRow> rows;
  for (int64_t i = 0; i < 45 * 48; ++i) {
    const int64_t us = kStartUs + i * 30 * kMinuteUs;
    const int64_t local = us + (us >= 1711846800000000 ? 2 : 1) * 60 * kMinuteUs;
    rows.push_back(Row(i, 1, (local / (60 * kMinuteUs) % 24 == 9 ? 500 : 100) + rng.NextNormal()));
    rows.back().time_us = us;
  }
  const auto expected_at = [&](const char* yaml, int64_t row) {
    return std::stod(CellIn(Run(std::string("metric: x\n") + yaml, rows)[static_cast<size_t>(row)], "expected"));
  };
  const int64_t busy = 35 * 48 + 14;  // 2024-04-05 07:00 UTC, 9:00 in Berlin
  CHECK(expected_at("zone: Europe/Berlin\n", busy) == doctest::Approx(500).epsilon(0.02));
  CHECK(expected_at("zone: Europe/Berlin\nseason: hour_of_week\n", busy) == doctest::Approx(500).epsilon(0.02));
  CHECK(expected_at("", busy) < 300);
}

TEST_CASE("AnomalyOperator_Mistakes_AreReported") {
  const auto fault = [](const std::string& yaml) {
    const BoundNode node(AnomalyDescriptor(), "metric: x\n" + yaml, kSchema);
    CHECK_FALSE(node);
    return node.diagnostics();
  };
  CHECK(fault("budget: often\n").find("FR3521") != std::string::npos);
  CHECK(fault("rules: {error_rate: {metric: y}}\n").find("FR3522") != std::string::npos);
  CHECK(fault("rules: {error_rats: {}}\n").find("FR2001") != std::string::npos);
  CHECK(fault("series_breaks: [some day]\n").find("FR3523") != std::string::npos);
  CHECK(fault("series_breaks:\n  - {at: 2024-01-01, metric: y}\n").find("FR3523") != std::string::npos);
  CHECK(fault("series_breaks:\n  - {at: 2024-01-01, reason: y}\n").find("FR3523") != std::string::npos);
  CHECK(fault("zone: Berlin\n").find("FR3524") != std::string::npos);
  CHECK(fault("age: host\n").find("FR3505") != std::string::npos);
  CHECK(fault("of: n\n").find("FR3506") != std::string::npos);
  CHECK(BoundNode(AnomalyDescriptor(), "metric: x\nrules: {performance_drop: {at: 0.3, over: 10m, samples: 5}}\n",
                  kSchema));
}

TEST_CASE("AnomalyOperator_AgeAndImpact_AreExpressions") {
  Rng rng(3);
  std::vector<TestRow> rows;
  for (int i = 0; i < 3000; ++i) {
    const double age = 600 * std::exp(rng.NextDouble() * 6);
    rows.push_back(Row(i, kMinuteUs, std::round(40000 / std::pow(1 + age / 3600, 0.8)), 1, age / 3600, 0.001));
  }
  rows.back().cells[1] = 30000;
  rows.back().cells[3] = 60.0;
  const std::vector<std::string> out =
      Run("metric: x\nkind: count\nage: age * 3600\nimpact: share\nseason: none\n", rows);
  CHECK(std::stod(CellIn(out.back(), "expected")) == doctest::Approx(40000 / std::pow(61.0, 0.8)).epsilon(0.1));
  CHECK(CellIn(out.back(), "is_anomaly") == "true");
  CHECK(CellIn(out.back(), "severity") == "high");  // critical, of little impact
}

}  // namespace
}  // namespace freshet::testing
