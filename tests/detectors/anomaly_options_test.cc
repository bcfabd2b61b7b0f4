// `anomaly` with what it can be asked for: age, breaks, hard rules, a budget, impact; and its state of older codecs.
#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "engine/base/rng.h"
#include "operators/anomaly/anomaly_model.h"
#include "operators/anomaly/sentence.h"
#include "tests/detectors/anomaly_support.h"

namespace freshet {
namespace {

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

}  // namespace
}  // namespace freshet
