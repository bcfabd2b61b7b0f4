// What surrounds the scores of `anomaly`, part by part: hard rules, the curve by age, the alarm budget, the week,
// words.
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
#include "tests/detectors/anomaly_support.h"

namespace freshet {
namespace {

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

// ---- the week, the zone, the words ---------------------------------------------------------------------------------

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
