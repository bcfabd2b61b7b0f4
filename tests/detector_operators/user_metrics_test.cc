// The four metrics people watch, each with the options its reader would write and an incident planted; and input that
// is not as it should be.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "engine/base/rng.h"
#include "operators/anomaly.h"
#include "operators/anomaly/anomaly_model.h"
#include "tests/operators/test_rows.h"

namespace freshet::testing {
namespace {

constexpr int64_t kMinuteUs = 60'000'000;
constexpr int64_t kHourUs = 60 * kMinuteUs;
const Schema kSchema(
    {{"channel", TypeId::kString}, {"x", TypeId::kFloat64}, {"n", TypeId::kInt64}, {"age_s", TypeId::kFloat64}});

struct Said {
  bool anomaly = false, alarm = false;
  double p = std::nan("");
  std::string severity, why, rule;
};

std::vector<Said> Run(const std::string& yaml, const std::vector<TestRow>& rows) {
  const BoundNode node(AnomalyDescriptor(), yaml, kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness harness(node.bound(), {});
  const SchemaRef schema = std::make_shared<const Schema>(kSchema);
  for (size_t from = 0; from < rows.size(); from += 1000)
    harness.Feed(MakeRows(schema, rows, from, std::min<size_t>(1000, rows.size() - from)));
  harness.End();
  REQUIRE_MESSAGE(harness.status().ok(), harness.status().ToString());
  std::vector<Said> said;
  for (const Batch& b : harness.output(0, 0)) {
    const auto text = [&](const char* name, int32_t row) {
      const auto c = b.schema()->Find(name);
      return c && b.column(*c).IsValid(row) ? std::string(b.column(*c).StringAt(row)) : std::string();
    };
    for (int32_t r = 0; r < b.row_count(); ++r) {
      Said s;
      s.anomaly = b.column(*b.schema()->Find("is_anomaly")).BoolAt(r);
      s.alarm = b.column(*b.schema()->Find("alarm_score")).float64s()[r] > 0;
      const Column& p = b.column(*b.schema()->Find("p_value"));
      if (p.IsValid(r)) s.p = p.float64s()[r];
      s.severity = text("severity", r);
      s.why = text("why", r);
      s.rule = text("rule", r);
      CHECK(!(s.p < 0 || s.p > 1));
      said.push_back(std::move(s));
    }
  }
  REQUIRE(said.size() == rows.size());
  return said;
}

TestRow Row(int64_t us, double x, int64_t n = 1, double age_s = 0, const char* channel = "c") {
  return {.time_us = us, .watermark_us = INT64_MIN, .ordinal = 0, .cells = {channel, x, n, age_s}};
}

double Noisy(double mean, Rng& rng) { return std::max(0.0, std::round(mean + std::sqrt(mean) * rng.NextNormal())); }
double Day(int64_t us) {
  return 1 + 0.6 * std::sin(static_cast<double>(us) * 2 * 3.14159265 / (24.0 * static_cast<double>(kHourUs)));
}

struct Verdict {
  int hits = 0, false_anomalies = 0, false_alarms = 0, judged = 0;
  std::string first;
};
/// Rows in the incident that are anomalies; anomalies and alarms outside of it.
Verdict Judge(const std::vector<Said>& said, const std::function<bool(size_t)>& in_incident) {
  Verdict v;
  for (size_t i = 0; i < said.size(); ++i) {
    v.judged += std::isnan(said[i].p) ? 0 : 1;
    if (in_incident(i)) {
      if (said[i].anomaly && v.hits++ == 0) v.first = said[i].severity + ": " + said[i].why;
      continue;
    }
    v.false_anomalies += said[i].anomaly ? 1 : 0;
    v.false_alarms += said[i].alarm ? 1 : 0;
  }
  return v;
}

TEST_CASE("ViewVelocity_AnOldVideoSurges_IsFoundAgainstItsAge") {
  Rng rng(1);
  std::vector<TestRow> rows;
  std::vector<bool> surge;
  // A channel publishes a video every six hours; each is counted every half hour for five days.
  for (int64_t t = 0; t < 48 * 20; ++t) {
    const int64_t now = t * 30 * kMinuteUs;
    for (int64_t video = -20; video * 6 * kHourUs < now; ++video) {
      const double age_h = static_cast<double>(now - video * 6 * kHourUs) / static_cast<double>(kHourUs);
      if (age_h > 120) continue;
      const bool planted = video == 50 && t >= 48 * 15 + 20 && t < 48 * 15 + 26;  // three days old
      const double rate = 2000 / (1 + age_h / 4) * Day(now) * (planted ? 4 : 1);
      rows.push_back(Row(now, Noisy(rate, rng), 1, age_h * 3600));
      surge.push_back(planted);
    }
  }
  const std::vector<Said> said = Run("metric: x\nkind: count\nage: age_s\nkey: [channel]\nbudget: 3/week\n", rows);
  const Verdict v = Judge(said, [&](size_t i) { return surge[i]; });
  MESSAGE(v.hits << " of 6, false anomalies " << v.false_anomalies << " of " << v.judged << ", false alarms "
                 << v.false_alarms << "; " << v.first);
  CHECK(v.hits >= 4);
  CHECK(v.false_anomalies < v.judged / 200);
  CHECK(v.false_alarms <= 10);  // in less than three weeks
}

TEST_CASE("EngagementRate_CollapsesForTwoHours_IsFoundAndNightsAreNot") {
  Rng rng(2);
  std::vector<TestRow> rows;
  constexpr size_t kFrom = 288 * 12 + 150, kTo = kFrom + 24;
  for (size_t i = 0; i < 288 * 14; ++i) {
    const auto us = static_cast<int64_t>(i) * 5 * kMinuteUs;
    const bool night = i % 288 > 216;
    const double n = night ? 1 + static_cast<double>(rng.Below(12)) : Noisy(1500 * Day(us), rng) + 1;
    const double rate = 0.06 * (i >= kFrom && i < kTo ? 0.5 : 1);
    rows.push_back(Row(us, std::min(n, Noisy(n * rate, rng)) / n, static_cast<int64_t>(n)));
  }
  const std::vector<Said> said = Run("metric: x\nkind: ratio\nof: n\nrules: {engagement_drop: {}}\n", rows);
  const Verdict v = Judge(said, [](size_t i) { return i >= kFrom && i < kTo; });
  MESSAGE(v.hits << " of 24, false anomalies " << v.false_anomalies << " of " << v.judged << ", false alarms "
                 << v.false_alarms << "; " << v.first);
  CHECK(v.hits >= 20);
  CHECK(v.false_anomalies < v.judged / 100);
  CHECK(said[kFrom + 12].rule == "engagement_drop");
  CHECK((said[kFrom + 12].severity == "high" || said[kFrom + 12].severity == "critical"));
  CHECK(said[kFrom + 12].why.find(" % below ") != std::string::npos);
}

TEST_CASE("SystemPerformance_LatencyRisesByAThird_IsADropOfPerformance") {
  Rng rng(3);
  std::vector<TestRow> rows;
  constexpr size_t kFrom = 288 * 12 + 100, kTo = kFrom + 12;
  for (size_t i = 0; i < 288 * 14; ++i) {
    const auto us = static_cast<int64_t>(i) * 5 * kMinuteUs;
    rows.push_back(Row(us, 120 * Day(us) * std::exp(0.04 * rng.NextNormal()) * (i >= kFrom && i < kTo ? 1.33 : 1)));
  }
  const std::vector<Said> said = Run("metric: x\nkind: latency\nrules: {performance_drop: {}}\n", rows);
  const Verdict v = Judge(said, [](size_t i) { return i >= kFrom && i < kTo + 6; });
  MESSAGE(v.hits << " of 12, false anomalies " << v.false_anomalies << " of " << v.judged << ", false alarms "
                 << v.false_alarms << "; " << v.first);
  CHECK(v.hits >= 8);
  CHECK(v.false_anomalies < v.judged / 100);
  CHECK(said[kTo - 1].rule == "performance_drop");
  CHECK(said[kTo - 1].why.find(" % above ") != std::string::npos);
}

TEST_CASE("ErrorRates_BurstOfEightPerCent_IsFoundButNotTwoOfTen") {
  Rng rng(4);
  std::vector<TestRow> rows;
  constexpr size_t kFrom = 1440 * 6 + 700, kTo = kFrom + 15, kFew = 1440 * 5 + 300;
  for (size_t i = 0; i < 1440 * 7; ++i) {
    const auto us = static_cast<int64_t>(i) * kMinuteUs;
    const bool few = i >= kFew && i < kFew + 3;
    const double n = few ? 10 : Noisy(600 * Day(us), rng) + 1;
    const double errors = few ? 2 : std::min(n, Noisy(n * (i >= kFrom && i < kTo ? 0.08 : 0.005), rng));
    rows.push_back(Row(us, errors / n, static_cast<int64_t>(n)));
  }
  const std::vector<Said> said = Run("metric: x\nkind: ratio\nof: n\nrules: {error_rate: {}}\n", rows);
  const Verdict v = Judge(said, [](size_t i) { return i >= kFrom && i < kTo + 5; });
  MESSAGE(v.hits << " of 15, false anomalies " << v.false_anomalies << " of " << v.judged << ", false alarms "
                 << v.false_alarms << "; " << v.first);
  CHECK(v.hits >= 13);
  CHECK(v.false_anomalies < v.judged / 200);
  for (size_t i = kFew; i < kFew + 3; ++i) CHECK(said[i].rule == "");
  CHECK(said[kTo - 1].rule == "error_rate");
}

// ---- input that is not as it should be -----------------------------------------------------------------------------

TEST_CASE("Anomaly_AllNull_SaysAndLearnsNothing") {
  std::vector<TestRow> rows;
  for (int64_t i = 0; i < 3000; ++i) {
    rows.push_back(Row(i * kMinuteUs, 0));
    rows.back().cells[1] = nullptr;
  }
  for (const char* yaml : {"metric: x\nrules: {error_rate: {}}\nbudget: 1/day\n", "metric: [x, x * 2]\n"})
    for (const Said& s : Run(yaml, rows)) {
      CHECK(std::isnan(s.p));
      CHECK_FALSE(s.anomaly);
      CHECK_FALSE(s.alarm);
    }
}

TEST_CASE("Anomaly_AMetricThatAppearsLater_JoinsWithoutAnAlarm") {
  Rng rng(5);
  std::vector<TestRow> rows;
  for (int64_t i = 0; i < 6000; ++i) {
    rows.push_back(Row(i * kMinuteUs, 10 + rng.NextNormal(), 1, 50 + rng.NextNormal()));
    if (i < 2000) rows.back().cells[3] = nullptr;
  }
  rows[5500].cells[3] = 500.0;
  const std::vector<Said> said = Run("metric: [x, age_s]\nseason: none\n", rows);
  for (size_t i = 2000; i < 2400; ++i) CHECK(!(said[i].p < 1e-6));
  CHECK(said[5500].anomaly);
  CHECK(said[5500].why.find("age_s 500") == 0);
}

TEST_CASE("Anomaly_AKeyOfTenRowsBesideOneOfMany_EachAsIfAlone") {
  Rng rng(6);
  std::vector<TestRow> rows;
  for (int64_t i = 0; i < 60000; ++i) {
    rows.push_back(Row(i * kMinuteUs, 10 + rng.NextNormal(), 1, 0, "big"));
    if (i % 6000 == 10) rows.push_back(Row(i * kMinuteUs, 1000, 1, 0, "small"));
  }
  const std::vector<Said> said = Run("metric: x\nkey: [channel]\nseason: none\nrules: {error_rate: {}}\n", rows);
  int below = 0, small = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (std::get<std::string>(rows[i].cells[0].value) == "small") {
      ++small;
      CHECK(std::isnan(said[i].p));
      continue;
    }
    below += said[i].p < 1e-2 ? 1 : 0;
  }
  CHECK(small == 10);
  CHECK(below > 300);
  CHECK(below < 1200);
}

TEST_CASE("Anomaly_TimesThatStandOrGoBack_DoNoHarm") {
  for (const int64_t step : {int64_t{0}, -kMinuteUs}) {
    Rng rng(7);
    AnomalyOptions options;
    options.budget = AlarmBudgetOptions{};
    options.rules = {HardRuleOptions{}};
    options.breaks = {{0, -1}};
    AnomalyModel model(options);
    int said = 0;
    for (int64_t i = 0; i < 4000; ++i) {
      const double x = rng.NextNormal();
      const AnomalyVerdict verdict = model.ScoreAndLearn({i * step}, &x, nullptr);
      CHECK(verdict.began_anew == -1);
      CHECK(!(verdict.alarm_rate.value_or(0) > 0));
      said += verdict.p_value ? 1 : 0;
    }
    CHECK(said > 2500);
  }
}

TEST_CASE("Anomaly_InfinitiesAndCountersThatFall_StayNumbers") {
  Rng rng(8);
  std::vector<TestRow> rows;
  for (int64_t i = 0; i < 4000; ++i) {
    double x = static_cast<double>(i % 700) * 50 + static_cast<double>(rng.Below(50));  // falls to 0 now and then
    if (i % 501 == 500) x = i % 2 == 0 ? INFINITY : -INFINITY;
    if (i % 333 == 300) x = std::nan("");
    rows.push_back(Row(i * kMinuteUs, x, 1, i % 77 == 0 ? -1.0 : i % 78 == 0 ? INFINITY : 3600.0));
  }
  for (const char* kind : {"count", "ratio", "latency", "level", "auto"})
    for (const char* more : {"", "age: age_s\n"}) {
      INFO(std::string(kind) << std::string(more));
      const std::vector<Said> said = Run(
          std::string("metric: x\nrules: {performance_drop: {}, error_rate: {}}\nkind: ") + kind + "\n" + more, rows);
      for (const Said& s : said) {
        CHECK(s.why.find("inf expected") == std::string::npos);
        CHECK(s.why.find("nan") == std::string::npos);
      }
      CHECK(said[3506].severity != "");  // an infinity, though not the first
    }
}

TEST_CASE("Anomaly_AGapOfAWeek_IsNoAnomaly") {
  Rng rng(9);
  std::vector<TestRow> rows;
  for (int64_t i = 0; i < 288 * 30; ++i) {
    const int64_t us = i * 5 * kMinuteUs + (i >= 288 * 20 ? 7 * 24 * kHourUs : 0);
    rows.push_back(Row(us, 100 * Day(us) + rng.NextNormal()));
  }
  const std::vector<Said> said = Run("metric: x\nbudget: 3/week\n", rows);
  int anomalies = 0, alarms = 0;
  for (size_t i = 288 * 20; i < 288 * 21; ++i) {
    anomalies += said[i].anomaly ? 1 : 0;
    alarms += said[i].alarm ? 1 : 0;
  }
  CHECK(anomalies <= 3);
  CHECK(alarms <= 1);
}

}  // namespace
}  // namespace freshet::testing
