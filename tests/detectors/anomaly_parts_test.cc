// What surrounds the scores of `anomaly`: hard rules, the curve by age, the alarm budget, breaks, the week, severity.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "engine/base/rng.h"
#include "operators/anomaly/age_curve.h"
#include "operators/anomaly/alarm_budget.h"
#include "operators/anomaly/anomaly_model.h"
#include "operators/anomaly/hard_rule.h"
#include "operators/anomaly/sentence.h"

namespace freshet {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int64_t kMinuteUs = 60'000'000;
constexpr int64_t kHourUs = 60 * kMinuteUs;
constexpr int64_t kDayUs = 24 * kHourUs;
constexpr int64_t kMondayUs = 4 * kDayUs;

// ---- hard rules ----------------------------------------------------------------------------------------------------

TEST_CASE("HardRule_ErrorRate_SpeaksAtTwoHundredRequests") {
  HardRule rule(HardRuleOptions{});
  int first_broken = -1;
  for (int i = 0; i < 10; ++i)
    if (rule.Add({i * kMinuteUs}, 0.1, 40, kNan, kNan).broken && first_broken < 0) first_broken = i;
  CHECK(first_broken == 4);
  HardRule few(HardRuleOptions{});
  HardRule low(HardRuleOptions{});
  for (int i = 0; i < 100; ++i) {
    CHECK_FALSE(few.Add({i * kMinuteUs}, 0.9, 39, kNan, kNan).broken);  // 195 in five minutes
    CHECK_FALSE(low.Add({i * kMinuteUs}, 0.05, 4000, kNan, kNan).broken);
  }
}

TEST_CASE("HardRule_AgainstAddingAllRows_SameMeans") {
  const uint64_t seed = 21;
  INFO("seed " << seed);
  Rng rng(seed);
  HardRuleOptions options;
  options.over_us = 1000;
  options.samples = 30;
  HardRule rule(options);
  struct Row {
    int64_t index;
    double x, n;
  };
  std::vector<Row> rows;
  HardRuleVerdict before;
  int64_t time = -3000, newest = -1000;
  int broken = 0, kept = 0;
  for (int i = 0; i < 3000; ++i) {
    time += static_cast<int64_t>(rng.Below(rng.Below(50) == 0 ? 3000 : 60));
    const double n = static_cast<double>(rng.Below(8)), x = static_cast<double>(rng.Below(100)) / 1000;
    const auto index = static_cast<int64_t>(std::floor(static_cast<double>(time) / 100));
    const bool is_missing = i % 211 == 5 || n == 0;
    const HardRuleVerdict said = rule.Add({time}, i % 211 != 5 ? x : i % 2 ? kInfinity : kNan, n, kNan, kNan);
    if (is_missing) {  // nothing new, as long as there is something in the time looked at
      const bool holds = newest > index - 10;
      CHECK(said.broken == (holds && before.broken));
      CHECK((holds ? said.value == before.value : std::isnan(said.value)));
      kept += said.broken ? 1 : 0;
      continue;
    }
    rows.push_back({index, x, n});
    before = said;
    newest = index;
    double sum = 0, count = 0;
    for (const Row& r : rows) {
      if (r.index <= index - 10) continue;
      sum += r.x * r.n;
      count += r.n;
    }
    CHECK(said.value == doctest::Approx(sum / count));
    CHECK(said.broken == (count >= 30 && sum / count > 0.05));
    broken += said.broken ? 1 : 0;
    if (i % 100 != 0) continue;
    ByteSink sink;
    rule.Encode(sink);
    rule = HardRule(options);
    ByteSource source(sink.bytes());
    rule.Decode(source);
    CHECK(source.exhausted());
  }
  CHECK(broken > 100);
  CHECK(kept > 20);
}

TEST_CASE("HardRule_DropOfANoisyMetric_IsJudgedByItsStandardError") {
  const uint64_t seed = 22;
  INFO("seed " << seed);
  Rng rng(seed);
  HardRuleOptions options;
  options.kind = HardRuleKind::kEngagementDrop;
  options.at = 0.2;
  options.over_us = 30 * kMinuteUs;
  options.samples = 3;
  HardRule noise(options), drop(options);
  HardRuleOptions of_few = options;
  of_few.over_us = 4 * kMinuteUs;  // four rows: a fifth is less than three standard errors of their mean
  HardRule few(of_few);
  int false_broken = 0, false_of_few = 0, broken = 0;
  for (int i = 0; i < 5000; ++i) {
    const double x = 0.1 + 0.03 * rng.NextNormal();
    false_broken += noise.Add({i * kMinuteUs}, x, 1, 0.1, 0.03).broken ? 1 : 0;
    false_of_few += few.Add({i * kMinuteUs}, x, 1, 0.1, 0.03).broken ? 1 : 0;
    if (i >= 4900) broken += drop.Add({i * kMinuteUs}, x - 0.03, 1, 0.1, 0.03).broken ? 1 : 0;
  }
  CHECK(false_broken == 0);
  CHECK(false_of_few < 20);
  CHECK(broken > 80);
  options.kind = HardRuleKind::kPerformanceDrop;
  options.rises = true;
  HardRule latency(options);
  for (int i = 0; i < 5; ++i) CHECK(latency.Add({i * kMinuteUs}, 125, 1, 100, 2).broken == (i >= 2));
  for (int i = 0; i < 5; ++i) CHECK_FALSE(latency.Add({(100 + i) * kMinuteUs}, 75, 1, 100, 2).broken);
}

// ---- age -----------------------------------------------------------------------------------------------------------

TEST_CASE("AgeCurve_ManyVideosOrOne_ExpectsTheSameAge") {
  const uint64_t seed = 23;
  INFO("seed " << seed);
  Rng rng(seed);
  const auto views = [&](double age_s) { return 40000 / std::pow(1 + age_s / 3600, 0.8); };
  AgeCurve shared(MetricKind::kCount);
  for (int i = 0; i < 20000; ++i) {
    const double age = std::exp(std::log(600.0) + rng.NextDouble() * std::log(1000.0)), v = views(age);
    shared.Learn(age, v + std::sqrt(v) * rng.NextNormal());
  }
  for (const double age : {1000.0, 5000.0, 40000.0, 400000.0}) {
    const AgeCurve::Expectation usual = shared.Expect(age, views(age));
    CHECK(usual.expected == doctest::Approx(views(age)).epsilon(0.05));
    CHECK(usual.lower < views(age));
    CHECK(usual.upper > views(age));
    CHECK(std::abs(usual.residual) < 8);
  }
  CHECK(std::isnan(shared.Expect(30, 1).expected));  // no such age was seen, nor one near it
  CHECK(std::isnan(shared.Expect(kNan, 1).expected));
  CHECK(std::isnan(shared.Expect(-5, 1).expected));

  AgeCurve own(MetricKind::kCount);
  for (int i = 1; i < 1000; ++i) {
    const double age = i * 600.0, v = views(age);
    const AgeCurve::Expectation usual = own.Expect(age, v);
    if (i > 60) CHECK(usual.expected == doctest::Approx(v).epsilon(0.2));
    own.Learn(age, v + std::sqrt(v) * rng.NextNormal());
  }
  ByteSink sink;
  own.Encode(sink);
  AgeCurve other(MetricKind::kCount);
  ByteSource source(sink.bytes());
  REQUIRE(other.Decode(source));
  CHECK(other.Expect(123456, 7).residual == own.Expect(123456, 7).residual);
}

TEST_CASE("Anomaly_ByAge_AnOldVideoThatIsViewedLikeAYoungOneIsOdd") {
  const uint64_t seed = 24;
  INFO("seed " << seed);
  for (const bool by_age : {true, false}) {
    Rng rng(seed);
    AnomalyOptions options;
    options.series.kind = MetricKind::kCount;
    options.series.by_hour = false;
    options.by_age = by_age;
    AnomalyModel model(options);
    AnomalyVerdict planted;
    for (int i = 0; i < 4000; ++i) {
      const double age = std::exp(std::log(600.0) + rng.NextDouble() * std::log(1000.0));
      const double rate = 40000 / std::pow(1 + age / 3600, 0.8);
      double x = std::round(rate + std::sqrt(rate) * rng.NextNormal()), age_s = age;
      if (i == 3990) x = 9000, age_s = 400000;  // of an age that brings 900; a young one brings 9,000
      const AnomalyVerdict verdict = model.ScoreAndLearn({.time = {i * kMinuteUs}, .x = &x, .age_s = age_s});
      if (i == 3990) planted = verdict;
    }
    INFO("by age " << by_age);
    CHECK((planted.p_value.value_or(1) < 1e-3) == by_age);
    if (by_age) CHECK(planted.lead.upper < 2000);
  }
}

// ---- budget --------------------------------------------------------------------------------------------------------

TEST_CASE("AlarmBudget_WhateverTheScores_KeepsItsRate") {
  const uint64_t seed = 25;
  INFO("seed " << seed);
  for (const double budget : {1.0, 3.0, 10.0}) {
    for (const double scale : {0.25, 0.434, 1.5}) {
      Rng rng(seed);
      AlarmBudgetOptions options;
      options.alarms = budget;
      AlarmBudget gate(options);
      int alarms = 0;
      constexpr int kWeeks = 60, kPerWeek = 2016;
      for (int i = 0; i < kWeeks * kPerWeek; ++i) {
        const double score = std::min(8.0, -scale * std::log(1 - rng.NextDouble()));
        const bool alarm = gate.Pass({i * 5 * kMinuteUs}, score) > 0;
        if (i >= 8 * kPerWeek) alarms += alarm ? 1 : 0;
      }
      const double per_week = alarms / 52.0;
      INFO("budget " << budget << " scale " << scale << " per week " << per_week);
      CHECK(per_week > budget * (scale < 0.3 ? 0.3 : 0.6));  // scores that seldom reach 1 spend less
      CHECK(per_week < budget * 1.4);
      REQUIRE(gate.rate().has_value());
      CHECK(*gate.rate() < budget * 2);
    }
  }
}

TEST_CASE("AlarmBudget_EqualScores_SpendTheBudgetAndNoMore") {
  AlarmBudget gate(*ParseAlarmBudget("3/week"));
  int alarms = 0;
  for (int i = 0; i < 2016 * 30; ++i)
    if (gate.Pass({i * 5 * kMinuteUs}, i % 300 == 0 ? 8 : 0.2) > 0 && i >= 2016 * 8) ++alarms;
  CHECK(alarms >= 3 * 22 - 8);
  CHECK(alarms <= 3 * 22 + 8);
  CHECK(gate.Pass({0}, kNan) == 0);
}

TEST_CASE("AlarmBudget_AfterAQuietStretch_OldCandidatesAreForgotten") {
  constexpr int64_t kWeekUs = 7 * kDayUs;
  AlarmBudget gate(*ParseAlarmBudget("3/week"));
  for (int64_t i = 0; i < 9 * 2016; ++i) (void)gate.Pass({i * 5 * kMinuteUs}, i % 40 == 0 ? 6 : 0.2);
  CHECK(gate.bar() == 6);
  (void)gate.Pass({9 * kWeekUs}, 0.2);  // whatever was open is closed
  for (int64_t day = 0; day < 70; ++day) (void)gate.Pass({9 * kWeekUs + day * kDayUs}, 0.2);
  CHECK(gate.bar() == 1);
  CHECK(*gate.rate() == 0);
  CHECK(gate.Pass({20 * kWeekUs}, 3) == 3);
}

TEST_CASE("AlarmBudget_CutByARestore_SameAlarms") {
  const uint64_t seed = 26;
  INFO("seed " << seed);
  Rng rng(seed);
  AlarmBudgetOptions options;
  AlarmBudget whole(options), cut(options);
  for (int i = 0; i < 20000; ++i) {
    const double score = -0.5 * std::log(1 - rng.NextDouble());
    CHECK(whole.Pass({i * 5 * kMinuteUs}, score) == cut.Pass({i * 5 * kMinuteUs}, score));
    if (i % 997 != 0) continue;
    ByteSink sink;
    cut.Encode(sink);
    cut = AlarmBudget(options);
    ByteSource source(sink.bytes());
    REQUIRE(cut.Decode(source));
    CHECK(source.exhausted());
  }
}

TEST_CASE("AlarmBudget_Text_IsANumberPerTime") {
  CHECK(ParseAlarmBudget("3/week")->alarms == 3);
  CHECK(ParseAlarmBudget("0.5 / day")->period_us == kDayUs);
  for (const char* text : {"", "3", "week", "3/month", "-1/week", "0/day", "x/day", "3/", "1e9/day", "nan/day"})
    CHECK_FALSE(ParseAlarmBudget(text).has_value());
}

// ---- the model -----------------------------------------------------------------------------------------------------

double Daily(int64_t i, Rng& rng) {
  return 100 + 40 * std::sin(static_cast<double>(i) * 2 * 3.14159265 / 288) + 2 * rng.NextNormal();
}

TEST_CASE("Anomaly_SeriesBreak_BeginsAnewInsteadOfAlarming") {
  const uint64_t seed = 27;
  INFO("seed " << seed);
  constexpr int kBreak = 288 * 10;
  for (const bool told : {true, false}) {
    Rng rng(seed);
    AnomalyOptions options;
    if (told) options.breaks = {{kBreak * 5 * kMinuteUs, -1}};
    AnomalyModel model(options);
    int alarms = 0, anomalies = 0;
    AnomalyVerdict after;
    for (int i = 0; i < 288 * 20; ++i) {
      const double x = Daily(i, rng) * (i >= kBreak ? 3 : 1);
      const AnomalyVerdict verdict = model.ScoreAndLearn({i * 5 * kMinuteUs}, &x, nullptr);
      CHECK(verdict.began_anew == (told && i == kBreak ? 0 : -1));
      if (i >= kBreak && i < kBreak + 288 * 3) {
        alarms += verdict.alarm_score > 0 ? 1 : 0;
        anomalies += verdict.is_anomaly ? 1 : 0;
      }
      after = verdict;
    }
    INFO("told " << told);
    if (told) {
      CHECK(alarms <= 1);
      CHECK(anomalies <= 8);
    } else {
      CHECK(alarms >= 1);
      CHECK(anomalies > 8);
    }
    CHECK(after.lead.expected > 150);
  }
}

TEST_CASE("Anomaly_BreakOfOneMetric_LeavesTheOther") {
  AnomalyOptions options;
  options.metrics = 2;
  options.series.by_hour = false;
  options.breaks = {{1000 * kMinuteUs, 1}};
  AnomalyModel model(options);
  Rng rng(28);
  for (int i = 0; i < 1010; ++i) {
    const double x[] = {10 + rng.NextNormal(), (i >= 1000 ? 500 : 20) + rng.NextNormal()};
    const AnomalyVerdict verdict = model.ScoreAndLearn({i * kMinuteUs}, x, nullptr);
    if (i < 1000) continue;
    CHECK(verdict.p_value.has_value());
    CHECK(verdict.metric == 0);
    CHECK(*verdict.p_value > 1e-6);
  }
}

TEST_CASE("SeriesScorer_ByWeek_KnowsSunday") {
  const uint64_t seed = 29;
  INFO("seed " << seed);
  SeriesScorerOptions options;
  options.by_week = true;
  Rng rng(seed);
  SeriesScorer scorer(options);
  SeriesVerdict sunday, monday;
  for (int64_t i = 0; i < 24 * 7 * 6; ++i) {
    const bool is_sunday = i / 24 % 7 == 6;
    const double x = (is_sunday ? 20 : 100) + rng.NextNormal();
    const SeriesVerdict verdict = scorer.ScoreAndLearn({kMondayUs + i * kHourUs}, x);
    (is_sunday ? sunday : monday) = verdict;
  }
  CHECK(sunday.expected == doctest::Approx(20).epsilon(0.1));
  CHECK(monday.expected == doctest::Approx(100).epsilon(0.02));
  ByteSink sink;
  scorer.Encode(sink);
  SeriesScorer other(options), daily;
  ByteSource source(sink.bytes()), again(sink.bytes());
  REQUIRE(other.Decode(source).ok());
  CHECK(source.exhausted());
  const EventTime next{kMondayUs + 24 * 7 * 6 * kHourUs};
  CHECK(other.ScoreAndLearn(next, 60).score == scorer.ScoreAndLearn(next, 60).score);
  CHECK_FALSE(daily.Decode(again).ok());
}

TEST_CASE("SeriesScorer_Zone_HoursAreLocal") {
  Rng rng(30);
  SeriesScorer scorer;
  SeriesVerdict verdict;
  // Busy from 9 to 10 local time; from day 10 on the clock is an hour ahead of before.
  for (int64_t i = 0; i < 288 * 20; ++i) {
    const int64_t zone_us = i < 288 * 10 ? kHourUs : 2 * kHourUs;
    const int64_t local_hour = (i * 5 * kMinuteUs + zone_us) / kHourUs % 24;
    const SeriesVerdict said =
        scorer.ScoreAndLearn({i * 5 * kMinuteUs}, (local_hour == 9 ? 500 : 100) + rng.NextNormal(), zone_us);
    if (i > 288 * 9 && local_hour == 9) CHECK(said.expected == doctest::Approx(500).epsilon(0.02));
    if (i > 288 * 9 && local_hour != 9) CHECK(said.expected == doctest::Approx(100).epsilon(0.05));
  }
}

TEST_CASE("Anomaly_Severity_FollowsSurpriseAndImpact") {
  const auto severity_of = [](double impact) {
    AnomalyModel model{AnomalyOptions()};
    Rng rng(31);
    for (int i = 0; i < 3000; ++i) {
      const double x = rng.NextNormal();
      const AnomalyVerdict verdict = model.ScoreAndLearn({.time = {i * kMinuteUs}, .x = &x, .impact = impact});
      const int by_p = static_cast<int>(SeverityOf(verdict.p_value)), said = static_cast<int>(verdict.severity);
      if (std::isnan(impact) || (impact >= 0.01 && impact < 0.25)) CHECK(said == by_p);
      if (impact < 0.01) CHECK(said == (by_p > 1 ? by_p - 1 : by_p));
      if (impact >= 0.25) CHECK(said == (by_p > 0 && by_p < 4 ? by_p + 1 : by_p));
    }
    const double x = 100;
    return model.ScoreAndLearn({.time = {3000 * kMinuteUs}, .x = &x, .impact = impact}).severity;
  };
  CHECK(severity_of(kNan) == Severity::kCritical);
  CHECK(severity_of(0.1) == Severity::kCritical);
  CHECK(severity_of(0.001) == Severity::kHigh);
  CHECK(severity_of(0.5) == Severity::kCritical);
}

TEST_CASE("Anomaly_RuleBrokenBeforeWarm_IsAnAnomalyAndAlarmsOnce") {
  AnomalyOptions options;
  options.series.kind = MetricKind::kRatio;
  options.rules = {HardRuleOptions{}};
  AnomalyModel model(options);
  int alarms = 0, anomalies = 0;
  for (int i = 0; i < 60; ++i) {
    const double x = i >= 20 ? 0.2 : 0.01, n = 100;
    const AnomalyVerdict verdict = model.ScoreAndLearn({i * kMinuteUs}, &x, &n);
    alarms += verdict.alarm_score > 0 ? 1 : 0;
    anomalies += verdict.is_anomaly ? 1 : 0;
    CHECK(verdict.is_anomaly == (verdict.rule != nullptr));
    CHECK_FALSE(verdict.p_value.has_value());
    if (verdict.is_anomaly) CHECK(verdict.severity == Severity::kHigh);
    if (i == 40) {
      const std::string text = AnomalySentence(verdict, {{"error_rate", true}}, &x, i * kMinuteUs);
      INFO(text);
      CHECK(text.find("rule error_rate: 20 % over 5 min, above 5 %") != std::string::npos);
      CHECK(text.find(" for 19 min") != std::string::npos);
    }
  }
  CHECK(alarms == 1);
  CHECK(anomalies >= 38);
}

TEST_CASE("Anomaly_ByAge_WhereTheValueIsMissing_TheExpectationIsStillOfTheValue") {
  AnomalyOptions options;
  options.metrics = 2;
  options.series.kind = MetricKind::kCount;
  options.series.by_hour = false;
  options.by_age = true;
  AnomalyModel model(options);
  Rng rng(34);
  for (int i = 0; i < 900; ++i) {
    const bool is_last = i == 899;
    const double x[] = {is_last ? kInfinity : 5000 + 10 * rng.NextNormal(), 5000 + 10 * rng.NextNormal()};
    const AnomalyVerdict verdict = model.ScoreAndLearn({.time = {i * kMinuteUs}, .x = x, .age_s = 5000});
    if (!is_last) continue;
    CHECK(verdict.metric == 0);
    CHECK(verdict.lead.expected == doctest::Approx(5000).epsilon(0.01));
    CHECK(verdict.lead.lower > 4000);
    CHECK(verdict.lead.upper < 6000);
  }
}

TEST_CASE("Anomaly_AMissingValueWhileARuleIsBroken_EndsNothing") {
  AnomalyOptions options;
  options.metrics = 2;
  options.series.kind = MetricKind::kRatio;
  options.rules = {HardRuleOptions{}};
  AnomalyModel model(options);
  int alarms = 0;
  for (int i = 0; i < 60; ++i) {
    const double x[] = {i % 3 == 1 && i < 50 ? kNan : i >= 20 && i < 50 ? 0.2 : 0.01, 0.5}, n[] = {100, 100};
    const AnomalyVerdict verdict = model.ScoreAndLearn({i * kMinuteUs}, x, n);
    alarms += verdict.alarm_score > 0 ? 1 : 0;
    if (i >= 24 && i < 50) {
      CHECK_MESSAGE(verdict.rule != nullptr, "row " << i);
      CHECK(verdict.is_anomaly);
    }
  }
  CHECK(alarms == 1);
  // Nor is it broken for ever: five minutes after the last value nothing is said.
  const double x[] = {0.9, 0.5}, missing[] = {kNan, 0.5}, n[] = {1000, 100};
  CHECK(model.ScoreAndLearn({60 * kMinuteUs}, x, n).rule != nullptr);
  CHECK(model.ScoreAndLearn({64 * kMinuteUs}, missing, n).rule != nullptr);
  CHECK(model.ScoreAndLearn({65 * kMinuteUs}, missing, n).rule == nullptr);
}

TEST_CASE("Anomaly_BreakBetweenAStateOfCodecOneAndItsNextRow_BeginsAnew") {
  AnomalyOptions options;
  options.series.history = 300;
  AnomalyModel model(options);
  Rng rng(35);
  for (int i = 0; i < 900; ++i) {
    const double x = rng.NextNormal();
    (void)model.ScoreAndLearn({i * kMinuteUs}, &x, nullptr);
  }
  ByteSink sink;
  model.Encode(sink);
  std::string bytes(sink.bytes().substr(0, sink.size() - (8 + 8 + 1 + 1 + 1) - 8));  // as below
  bytes += '\0';
  bytes[0] = 1;
  options.breaks = {{100 * kMinuteUs, -1}, {950 * kMinuteUs, -1}};
  for (const int64_t next : {900, 1000}) {
    AnomalyModel other(options);
    ByteSource source(bytes);
    REQUIRE(other.Decode(source).ok());
    const double x = 0;
    CHECK(other.ScoreAndLearn({next * kMinuteUs}, &x, nullptr).began_anew == (next == 900 ? -1 : 1));
  }
}

TEST_CASE("Anomaly_ARuleThatIsOfAnotherMetricNow_BeginsWithItsRows") {
  AnomalyOptions options;
  options.metrics = 2;
  options.series.kind = MetricKind::kRatio;
  options.rules = {HardRuleOptions{}};
  AnomalyModel model(options);
  const double x[] = {0.2, 0.01}, n[] = {500, 500};
  for (int i = 0; i < 5; ++i) CHECK(model.ScoreAndLearn({i * kMinuteUs}, x, n).rule != nullptr);
  ByteSink sink;
  model.Encode(sink);
  const std::string bytes(sink.bytes());
  const auto goes_on = [&](const std::string& state, int metric) {
    options.rules[0].metric = metric;
    AnomalyModel other(options);
    ByteSource source(state);
    REQUIRE(other.Decode(source).ok());
    CHECK(source.exhausted());
    const double good[] = {0.01, 0.01};
    return other.ScoreAndLearn({5 * kMinuteUs}, good, n).rule != nullptr;
  };
  CHECK(goes_on(bytes, 0));
  CHECK_FALSE(goes_on(bytes, 1));
  // Codec 3 had no metric (one byte here) in front of the sums, 410 bytes at the end.
  std::string before = bytes;
  before.erase(before.size() - 411, 1);
  before[0] = 3;
  CHECK(goes_on(before, 0));
}

TEST_CASE("Anomaly_WithAllOptions_CutAnywhereByARestore_SameBits") {
  const uint64_t seed = 32;
  INFO("seed " << seed);
  AnomalyOptions options;
  options.metrics = 2;
  options.series.kind = MetricKind::kCount;
  options.series.history = 300;
  options.series.by_week = true;
  options.by_age = true;
  options.budget = ParseAlarmBudget("5/day");
  HardRuleOptions drop;
  drop.kind = HardRuleKind::kPerformanceDrop;
  drop.samples = 3;
  options.rules = {HardRuleOptions{}, drop};
  options.breaks = {{1800 * 5 * kMinuteUs, 1}};
  Rng rng(seed);
  AnomalyModel whole(options), cut(options);
  int alarms = 0;
  for (int i = 0; i < 3000; ++i) {
    const double x[] = {rng.Below(40) == 0 ? kNan : Daily(i, rng), 50 + 5 * rng.NextNormal()};
    const AnomalyInput row{.time = {i * 5 * kMinuteUs}, .x = x, .age_s = 1000 + 10.0 * (i % 100)};
    const AnomalyVerdict a = whole.ScoreAndLearn(row), b = cut.ScoreAndLearn(row);
    const bool same = (a.score == b.score || (std::isnan(a.score) && std::isnan(b.score))) && a.p_value == b.p_value &&
                      a.alarm_score == b.alarm_score && a.alarm_rate == b.alarm_rate && a.since_us == b.since_us &&
                      a.began_anew == b.began_anew && (a.rule == nullptr) == (b.rule == nullptr);
    CHECK_MESSAGE(same, "row " << i);
    alarms += a.alarm_score > 0 ? 1 : 0;
    if (i % 173 != 0) continue;
    ByteSink sink;
    cut.Encode(sink);
    cut = AnomalyModel(options);
    ByteSource source(sink.bytes());
    REQUIRE(cut.Decode(source).ok());
    CHECK(source.exhausted());
  }
  CHECK(alarms > 3);
}

TEST_CASE("Anomaly_StateOfOlderCodecs_IsReadStill") {
  AnomalyOptions options;
  options.series.history = 300;
  AnomalyModel model(options);
  Rng rng(33);
  for (int i = 0; i < 900; ++i) {
    const double x = rng.NextNormal();
    (void)model.ScoreAndLearn({i * kMinuteUs}, &x, nullptr);
  }
  ByteSink sink;
  model.Encode(sink);
  // At the end: strays (codec 3: f64, before: u8), two times, a bool, an empty string, no rules; codec 1 had strays
  // only.
  constexpr size_t kEnd = 8 + 8 + 1 + 1 + 1;
  for (const char codec : {1, 2, 3}) {
    std::string bytes(sink.bytes().substr(0, sink.size() - kEnd - (codec == 3 ? 0 : 8)));
    if (codec < 3) bytes += '\0';
    if (codec > 1) bytes += sink.bytes().substr(sink.size() - kEnd);
    bytes[0] = codec;
    AnomalyModel whole = model, other(options);
    ByteSource source(bytes);
    REQUIRE(other.Decode(source).ok());
    CHECK(source.exhausted());
    Rng more(34);
    for (int i = 900; i < 1200; ++i) {
      const double x = more.NextNormal();
      const EventTime time{i * kMinuteUs};
      CHECK(whole.ScoreAndLearn(time, &x, nullptr).score == other.ScoreAndLearn(time, &x, nullptr).score);
    }
  }
}

TEST_CASE("Sentence_OfARatio_ReadsAsPeopleSayIt") {
  AnomalyVerdict verdict;
  verdict.score = 5;
  verdict.p_value = 1e-5;
  verdict.is_anomaly = true;
  verdict.lead.expected = 0.059;
  verdict.lead.lower = 0.048;
  verdict.lead.upper = 0.0704;
  verdict.lead.evidence = SeriesScorer::kLevel;
  verdict.since_us = 0;
  const double x = 0.021;
  CHECK(AnomalySentence(verdict, {{"engagement_rate", true}}, &x, 12 * kMinuteUs, "mobile in US explains 71 %") ==
        "engagement_rate 2.1 % against 5.9 % expected (4.8–7) for 12 min; mobile in US explains 71 %");
  CHECK(AnomalySentence(verdict, {{"level", false}}, &x, 0) ==
        "level 0.021 against 0.059 expected (0.048–0.0704): a level never held");
  CHECK(SpanText(90'000'000) == "90 s");
  CHECK(SpanText(3 * kHourUs) == "3 h");
  CHECK(SpanText(9 * kDayUs) == "9 d");
}

}  // namespace
}  // namespace freshet
