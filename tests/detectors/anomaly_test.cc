#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "engine/base/rng.h"
#include "operators/anomaly/alarm_gate.h"
#include "operators/anomaly/anomaly_model.h"
#include "operators/anomaly/excursion.h"
#include "operators/anomaly/nearest_gap.h"
#include "operators/anomaly/pattern_distance.h"
#include "tests/detectors/anomaly_support.h"

namespace freshet {
namespace {

AnomalyOptions Small(int metrics = 1) {
  AnomalyOptions options;
  options.metrics = metrics;
  options.series.history = 300;
  return options;
}

TEST_CASE("NearestGap_AgainstLookingAtAll_SameDistance") {
  const uint64_t seed = 7;
  INFO("seed " << seed);
  Rng rng(seed);
  NearestGap seen(50);
  std::vector<float> all;
  for (int i = 0; i < 500; ++i) {
    const double x = static_cast<double>(rng.Below(200)) / 8;
    if (!all.empty()) {
      float nearest = std::numeric_limits<float>::max();
      for (size_t j = all.size() > 50 ? all.size() - 50 : 0; j < all.size(); ++j)
        nearest = std::min(nearest, std::abs(all[j] - static_cast<float>(x)));
      CHECK(seen.Gap(x) == static_cast<double>(nearest));
    }
    seen.Learn(x);
    all.push_back(static_cast<float>(x));
  }
}

/// The fifth smallest distance of the last `length` values to runs that do not overlap them, the slow way.
double FifthNearestRun(const std::vector<double>& all, size_t history, int length) {
  const size_t from = all.size() > history ? all.size() - history : 0;
  std::vector<double> distances;
  const auto n = static_cast<size_t>(length);
  for (size_t start = from; start + 2 * n <= all.size(); ++start) {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += std::pow(all[start + i] - all[all.size() - n + i], 2);
    distances.push_back(std::sqrt(sum));
  }
  std::sort(distances.begin(), distances.end());
  return distances[4];
}

TEST_CASE("PatternDistance_AgainstComparingAllRuns_SameDistanceAcrossRestores") {
  const uint64_t seed = 11;
  INFO("seed " << seed);
  Rng rng(seed);
  constexpr int kHistory = 128;
  PatternDistance patterns(kHistory);
  std::vector<double> all;
  int compared = 0;
  for (int i = 0; i < 700; ++i) {
    all.push_back(static_cast<double>(rng.Below(64)));
    const PatternDistance::Distances got = patterns.Push(all.back());
    if (!std::isnan(got.long_run)) {
      std::array<float, PatternDistance::kLong> run{};
      for (size_t j = 0; j < run.size(); ++j) run[j] = patterns.Last(run.size() - 1 - j);
      CHECK(patterns.Instead(run).long_run == got.long_run);
      run[2] += 40;
      CHECK(patterns.Instead(run).long_run > patterns.Instead(run).short_run);
    }
    if (!std::isnan(got.short_run)) CHECK(got.short_run == doctest::Approx(FifthNearestRun(all, kHistory, 4)));
    if (!std::isnan(got.long_run)) {
      CHECK(got.long_run == doctest::Approx(FifthNearestRun(all, kHistory, 8)));
      ++compared;
    }
    if (i % 97 != 0) continue;
    ByteSink sink;
    patterns.Encode(sink);
    patterns = PatternDistance(kHistory);
    ByteSource source(sink.bytes());
    REQUIRE(patterns.Decode(source));
    CHECK(source.exhausted());
  }
  CHECK(compared > 600);
}

TEST_CASE("AlarmGate_AfterAnAlarm_IsSilentAndThenWantsMore") {
  AlarmGateOptions options;
  options.alarm_at = 2;
  options.silence = 10;
  AlarmGate gate(options);
  for (int i = 0; i < 200; ++i) CHECK(gate.Pass(1.9) == 0);
  CHECK(gate.Pass(2.05) == doctest::Approx(2.05));
  for (int i = 0; i < 9; ++i) CHECK(gate.Pass(8) == 0);
  CHECK(gate.Pass(2.05) == 0);  // the bar is higher now
  CHECK(gate.Pass(2.5) > 2);
  CHECK(gate.Pass(kNan) == 0);
}

TEST_CASE("Anomaly_SpikeAtNightAndLevelShift_AreNamed") {
  const uint64_t seed = 3;
  INFO("seed " << seed);
  Rng rng(seed);
  AnomalyModel model{AnomalyOptions()};
  int false_alarms = 0;
  AnomalyVerdict night, shift;
  double shift_best = 0;
  for (int i = 0; i < 288 * 12; ++i) {
    double x = Daily(i, rng);
    const bool is_night = i == 288 * 8 + 216;  // the trough: 60 is usual, 130 is not, though noon shows it
    if (is_night) x = 130;
    const bool shifted = i >= 288 * 10;
    if (shifted) x += 150;
    const AnomalyVerdict verdict = model.ScoreAndLearn({i * 5 * kMinuteUs}, &x, nullptr);
    if (is_night) night = verdict;
    if (shifted && verdict.score > shift_best) {
      shift_best = verdict.score;
      shift = verdict;
    }
    if (!is_night && !shifted && verdict.alarm_score > 0) ++false_alarms;
  }
  CHECK(night.is_anomaly);
  CHECK(night.lead.expected < 70);
  CHECK(night.lead.upper < 130);
  CHECK(shift.score > 2.5);
  CHECK(false_alarms <= 4);
}

TEST_CASE("Anomaly_CutAnywhereByARestore_SameBits") {
  const uint64_t seed = 5;
  INFO("seed " << seed);
  for (const int metrics : {1, 3}) {
    Rng rng(seed);
    AnomalyModel whole(Small(metrics)), cut(Small(metrics));
    for (int i = 0; i < 1500; ++i) {
      std::vector<double> x;
      for (int m = 0; m < metrics; ++m) x.push_back(rng.Below(30) == 0 ? kNan : Daily(i, rng) + m);
      if (i == 1200) x[0] = std::numeric_limits<double>::infinity();
      const AnomalyVerdict a = whole.ScoreAndLearn({i * 5 * kMinuteUs}, x.data(), nullptr);
      const AnomalyVerdict b = cut.ScoreAndLearn({i * 5 * kMinuteUs}, x.data(), nullptr);
      const bool same = (a.score == b.score || (std::isnan(a.score) && std::isnan(b.score))) &&
                        a.p_value == b.p_value && a.is_anomaly == b.is_anomaly && a.alarm_score == b.alarm_score &&
                        a.metric == b.metric;
      CHECK_MESSAGE(same, "row " << i);
      if (i % 131 != 0) continue;
      ByteSink sink;
      cut.Encode(sink);
      cut = AnomalyModel(Small(metrics));
      ByteSource source(sink.bytes());
      REQUIRE(cut.Decode(source).ok());
      CHECK(source.exhausted());
    }
  }
}

TEST_CASE("Anomaly_ConstantThenChanged_ScoresOnlyTheChange") {
  AnomalyModel model{AnomalyOptions()};
  for (int i = 0; i < 1000; ++i) {
    const double x = 42;
    const AnomalyVerdict verdict = model.ScoreAndLearn({i * kMinuteUs}, &x, nullptr);
    CHECK_FALSE(verdict.is_anomaly);
    CHECK(verdict.alarm_score == 0);
  }
  const double x = 43;
  CHECK(model.ScoreAndLearn({1000 * kMinuteUs}, &x, nullptr).alarm_score > 0);
}

TEST_CASE("Anomaly_RatioOfFew_IsNoNews") {
  const uint64_t seed = 9;
  INFO("seed " << seed);
  AnomalyOptions options;
  options.series.kind = MetricKind::kRatio;
  Rng rng(seed);
  AnomalyModel model(options);
  for (int i = 0; i < 2000; ++i) {
    const double x = 0.05 + 0.005 * rng.NextNormal(), n = 5000;
    (void)model.ScoreAndLearn({i * kMinuteUs}, &x, &n);
  }
  AnomalyModel other = model;
  const double half = 0.5, two = 2, many = 5000;
  const double few_score = model.ScoreAndLearn({2000 * kMinuteUs}, &half, &two).score;
  const double many_score = other.ScoreAndLearn({2000 * kMinuteUs}, &half, &many).score;
  CHECK(few_score < many_score);
  CHECK(many_score > 2.5);
}

TEST_CASE("Anomaly_SeveralMetricsThatPartCompany_TheForestSees") {
  const uint64_t seed = 13;
  INFO("seed " << seed);
  Rng rng(seed);
  AnomalyOptions options;
  options.metrics = 2;
  AnomalyModel model(options);
  double usual = 0;
  for (int i = 0; i < 4000; ++i) {
    const double base = 10 * rng.NextNormal();
    const double x[] = {base + rng.NextNormal(), base + rng.NextNormal()};
    const AnomalyVerdict verdict = model.ScoreAndLearn({i * kMinuteUs}, x, nullptr);
    if (i > 3000) usual += std::isnan(verdict.score) ? 0 : verdict.score / 999;
  }
  const double apart[] = {22, -22};
  CHECK(model.ScoreAndLearn({4000 * kMinuteUs}, apart, nullptr).score > usual + 1);
}

TEST_CASE("Anomaly_OnNoise_PValuesAreRates") {
  const uint64_t seed = 17;
  INFO("seed " << seed);
  Rng rng(seed);
  AnomalyModel model{AnomalyOptions()};
  int below_2 = 0, below_3 = 0, said = 0;
  constexpr int kRows = 60000;
  std::vector<double> p;
  for (int i = 0; i < kRows; ++i) {
    const double x = rng.NextNormal();
    const AnomalyVerdict verdict = model.ScoreAndLearn({i * kMinuteUs}, &x, nullptr);
    if (!verdict.p_value) continue;
    ++said;
    p.push_back(*verdict.p_value);
    below_2 += *verdict.p_value < 1e-2 ? 1 : 0;
    below_3 += *verdict.p_value < 1e-3 ? 1 : 0;
  }
  CHECK(said > kRows - 2000);
  std::sort(p.begin(), p.end());
  double distance = 0;  // Kolmogorov and Smirnov's, to uniform
  for (size_t i = 0; i < p.size(); ++i)
    distance = std::max(distance, std::abs(p[i] - (static_cast<double>(i) + 0.5) / static_cast<double>(p.size())));
  CHECK(distance < 0.02);
  CHECK(below_2 > kRows * 1e-2 / 2);
  CHECK(below_2 < kRows * 1e-2 * 2);
  CHECK(below_3 > kRows * 1e-3 / 2);
  CHECK(below_3 < kRows * 1e-3 * 2);
}

TEST_CASE("Excursion_ThatComesBack_EndsAndALevelDoesNot") {
  Excursion e;
  CHECK_FALSE(e.Ends(9, true));  // nothing usual to come back to
  CHECK_FALSE(e.Ends(1, false));
  CHECK_FALSE(e.Ends(2, false));
  CHECK_FALSE(e.Ends(50, true));
  CHECK_FALSE(e.Ends(45, false));  // nearer to 50 than to 2
  CHECK_FALSE(e.Ends(-60, true));
  CHECK(e.Ends(3, false));
  REQUIRE(e.rows() == 3);
  CHECK(e.value(0) == 50);
  CHECK(e.value(2) == -60);
  CHECK(e.usual() == 2);
  CHECK_FALSE(e.Ends(4, false));
  for (int i = 0; i < 8; ++i) CHECK_FALSE(e.Ends(50 + i, i < 2));
  CHECK_FALSE(e.Ends(4, false));
}

TEST_CASE("Anomaly_RowsAfterASpike_AreUsualUnlessTheLevelStays") {
  const uint64_t seed = 5;
  INFO("seed " << seed);
  Rng rng(seed);
  AnomalyModel model{AnomalyOptions()};
  int spikes = 0, told = 0, after = 0;
  for (int i = 0; i < 24000; ++i) {
    const int since = i < 4000 ? 1000 : i % 1000;
    const double x = rng.NextNormal() + (since == 0 ? 10.0 + i / 1000 % 5 : 0);
    const AnomalyVerdict verdict = model.ScoreAndLearn({i * kMinuteUs}, &x, nullptr);
    spikes += since == 0;
    told += since == 0 && verdict.is_anomaly;
    after += since > 0 && since <= 10 && verdict.is_anomaly;
  }
  CHECK(spikes == 20);
  CHECK(told >= 17);
  CHECK(after <= 10);  // with what echoes 35
  int lasting = 0;
  for (int i = 24500; i < 24520; ++i) {
    const double x = rng.NextNormal() - 12;
    lasting += model.ScoreAndLearn({i * kMinuteUs}, &x, nullptr).is_anomaly;
  }
  CHECK(lasting >= 5);
}

TEST_CASE("SeriesScorer_ANewLevelLongAfterASpike_LosesNothingToTheSpike") {
  const uint64_t seed = 11;
  INFO("seed " << seed);
  Rng rng(seed);
  SeriesScorer scorer;
  double lost = 0, strongest = 0;
  for (int i = 0; i < 2600; ++i) {
    const double x = 100 + rng.NextNormal() + (i == 2000 ? 12 : 0) - (i >= 2300 ? 2.5 : 0);
    const SeriesVerdict verdict = scorer.ScoreAndLearn({i * kMinuteUs}, x);
    if (i < 2300) continue;
    lost = std::max(lost, verdict.with_echo - verdict.score);
    if (verdict.evidence == SeriesScorer::kLevel) strongest = std::max(strongest, verdict.score);
  }
  CHECK(lost < 0.1);
  CHECK(strongest > 1);  // only the means show it: 0 where what they have learned counts as known
}

TEST_CASE("SeriesScorer_StateFromBeforeExcursions_IsReadStill") {
  for (const bool by_week : {false, true}) {
    SeriesScorerOptions options;
    options.history = 300;
    options.by_week = by_week;
    SeriesScorer through(options), restored(options);
    Rng rng(6);
    for (int i = 0; i < 600; ++i) (void)through.ScoreAndLearn({i * kMinuteUs}, rng.NextNormal());
    ByteSink sink;
    through.Encode(sink);
    std::string bytes(sink.bytes());
    REQUIRE(bytes[0] == (by_week ? 4 : 3));
    bytes[0] = by_week ? 2 : 1;
    bytes.resize(bytes.size() - (1 + 8 + 1 + 8 * 8 + 2 * 8));
    ByteSource source(bytes);
    REQUIRE(restored.Decode(source).ok());
    CHECK(source.exhausted());
    for (int i = 600; i < 650; ++i) {
      const double x = rng.NextNormal();
      CHECK(through.ScoreAndLearn({i * kMinuteUs}, x).with_echo ==
            restored.ScoreAndLearn({i * kMinuteUs}, x).with_echo);
    }
  }
}

TEST_CASE("Anomaly_DamagedSnapshot_IsRefused") {
  AnomalyModel model(Small());
  for (int i = 0; i < 400; ++i) {
    const double x = i % 7;
    (void)model.ScoreAndLearn({i * kMinuteUs}, &x, nullptr);
  }
  ByteSink sink;
  model.Encode(sink);
  for (size_t length = 0; length < sink.size(); length += 61) {
    AnomalyModel other(Small());
    ByteSource source(std::string_view(sink.bytes()).substr(0, length));
    CHECK_FALSE(other.Decode(source).ok());
  }
}

}  // namespace
}  // namespace freshet
