#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "engine/base/rng.h"
#include "operators/outlier/ewma_zscore.h"
#include "operators/outlier/rolling_mad.h"
#include "operators/outlier/severity.h"
#include "operators/outlier/sorted_window.h"
#include "operators/outlier/tail_calibrator.h"
#include "tests/detectors/outlier_support.h"

namespace freshet {
namespace {

using testing::DistanceToUniform;
using testing::kInfinity;
using testing::kNan;
using testing::ShareBelow;

double Median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  const size_t n = v.size();
  return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

TEST_CASE("Severity_AtItsBounds_IsTheLowerOne") {
  CHECK(SeverityOf(1e-2) == Severity::kNone);
  CHECK(SeverityOf(9.9e-3) == Severity::kLow);
  CHECK(SeverityOf(1e-3) == Severity::kLow);
  CHECK(SeverityOf(9.9e-4) == Severity::kMedium);
  CHECK(SeverityOf(9.9e-5) == Severity::kHigh);
  CHECK(SeverityOf(9.9e-7) == Severity::kCritical);
  CHECK(SeverityOf(kNan) == Severity::kNone);
  CHECK(SeverityOf(std::optional<double>()) == Severity::kNone);
  CHECK(SeverityName(Severity::kNone) == nullptr);
  CHECK(std::string(SeverityName(Severity::kCritical)) == "critical");
}

TEST_CASE("SortedWindow_AgainstSorting_HoldsTheLastValuesInOrder") {
  const uint64_t seed = 5;
  INFO("seed " << seed);
  Rng rng(seed);
  SortedWindow<double> window(37);
  std::vector<double> all;
  for (int i = 0; i < 2000; ++i) {
    const auto x = static_cast<double>(rng.Below(25));  // many ties
    window.Push(x);
    all.push_back(x);
    std::vector<double> last(all.end() - std::min<ptrdiff_t>(37, static_cast<ptrdiff_t>(all.size())), all.end());
    std::sort(last.begin(), last.end());
    REQUIRE(window.size() == last.size());
    for (size_t k = 0; k < last.size(); ++k) REQUIRE(window[k] == last[k]);
    REQUIRE(window.Below(x) == static_cast<size_t>(std::lower_bound(last.begin(), last.end(), x) - last.begin()));
    REQUIRE(window.UpTo(x) == static_cast<size_t>(std::upper_bound(last.begin(), last.end(), x) - last.begin()));
  }
}

TEST_CASE("TailCalibrator_OnCleanNoise_IsNearUniformAndKeepsTheRateAskedFor") {
  const uint64_t seed = 11;
  constexpr int kRows = 400'000;
  for (const std::string kind : {"normal", "exponential", "lognormal"}) {
    Rng rng(seed);
    TailCalibrator calibrator;
    std::vector<double> p;
    for (int i = 0; i < kRows; ++i) {
      const double z = kind == "exponential" ? rng.NextExponential() : rng.NextNormal();
      const auto value = calibrator.PValueAndLearn(kind == "lognormal" ? std::exp(z) : z);
      if (value) p.push_back(*value);
    }
    INFO(kind << ", seed " << seed);
    const double distance = DistanceToUniform(p);
    MESSAGE(kind << ": KS distance " << distance << ", asked 1e-2 1e-3 1e-4, got " << ShareBelow(p, 1e-2) << " "
                 << ShareBelow(p, 1e-3) << " " << ShareBelow(p, 1e-4));
    CHECK(p.size() == kRows - 200);
    CHECK(distance < 0.005);
    for (double asked : {1e-2, 1e-3, 1e-4}) {
      CHECK(ShareBelow(p, asked) > asked / 1.6);
      CHECK(ShareBelow(p, asked) < asked * 1.6);
    }
  }
}

TEST_CASE("TailCalibrator_BeforeWarmUpOrOnNaN_SaysNothing") {
  TailCalibrator calibrator({.history = 100, .warmup = 30, .exclude_below = 1e-6});
  Rng rng(1);
  for (int i = 0; i < 30; ++i) CHECK_FALSE(calibrator.PValueAndLearn(rng.NextDouble()).has_value());
  CHECK(calibrator.PValue(0.5).has_value());
  CHECK_FALSE(calibrator.PValue(kNan).has_value());
  CHECK_FALSE(TailCalibrator::Validate({.history = 100, .warmup = 101}).ok());
}

TEST_CASE("TailCalibrator_MonotoneAndExtreme_HigherIsNeverMoreLikely") {
  TailCalibrator calibrator;
  Rng rng(3);
  for (int i = 0; i < 6000; ++i) calibrator.Learn(rng.NextNormal());
  double last = 1;
  for (double x = -5; x < 40; x += 0.01) {
    const double p = *calibrator.PValue(x);
    CHECK(p <= last);
    last = p;
  }
  CHECK(*calibrator.PValue(kInfinity) <= 1e-6);
  CHECK(*calibrator.PValue(40) < 1e-6);
}

TEST_CASE("TailCalibrator_AnomaliesInARun_DoNotHideTheNextUntilTheyAreTheRule") {
  TailCalibrator calibrator;
  Rng rng(4);
  for (int i = 0; i < 4000; ++i) calibrator.Learn(rng.NextNormal());
  for (int i = 0; i < 50; ++i) CHECK(*calibrator.PValueAndLearn(30 + rng.NextNormal()) < 1e-6);
  for (int i = 0; i < 4000; ++i) calibrator.Learn(30 + rng.NextNormal());
  CHECK(*calibrator.PValue(30) > 0.1);
}

TEST_CASE("TailCalibrator_OnConstantScores_IsUnsurprised") {
  TailCalibrator calibrator;
  for (int i = 0; i < 5000; ++i) calibrator.Learn(0.5);
  CHECK(*calibrator.PValue(0.5) == doctest::Approx(0.5).epsilon(0.01));
  CHECK(*calibrator.PValue(0.6) < 1e-3);
}

TEST_CASE("TailCalibrator_OnValuesThatTie_SaysWhatTheMiddleOfTheTieIs") {
  TailCalibrator calibrator;
  Rng rng(7);
  for (int i = 0; i < 100'000; ++i) {  // 0 to 9, each half as likely as the one below it
    double x = 0;
    while (x < 9 && rng.Below(2) == 0) ++x;
    calibrator.Learn(x);
  }
  for (double x = 0; x < 9; ++x) {
    const TailProbability p = *calibrator.Probability(x);
    CHECK(p.above == doctest::Approx(std::exp2(-x - 1)).epsilon(x < 6 ? 0.1 : 0.35));
    CHECK(p.middle() == *calibrator.PValue(x));
  }
}

TEST_CASE("TailCalibrator_RareBursts_AreRememberedBeyondTheHistory") {
  TailCalibrator calibrator;
  Rng rng(9);
  for (int i = 0; i < 100'000; ++i) calibrator.Learn((i % 20'000 < 100 ? 10 : 1) * rng.NextExponential());
  CHECK(*calibrator.PValue(20) > 1e-4);  // 100 / 20,000 * e^-2 = 7e-4; the last 4,000 scores have none above 10
  CHECK(*calibrator.PValue(20) < 3e-3);
}

TEST_CASE("TailCalibrator_SnapshotWithoutPeaks_IsReadAndTakesThoseOfItsHistory") {
  Rng rng(10);
  TailCalibrator whole;
  SortedWindow<float> history(4000);
  for (int i = 0; i < 3000; ++i) {
    const double x = rng.NextNormal();
    whole.Learn(x);
    history.Push(static_cast<float>(x));
  }
  ByteSink sink;  // as codec 1 was
  sink.PutU8(1);
  history.Encode(sink);
  for (const double v : {1.7, 0.04, 0.0, 0.4, 0.0}) sink.PutF64(v);
  for (const uint32_t v : {100u, 7u, 2u}) sink.PutU32(v);
  TailCalibrator read;
  ByteSource source(sink.bytes());
  REQUIRE(read.Decode(source).ok());
  CHECK(source.exhausted());
  for (const double x : {-1.0, 0.0, 1.0, 2.0, 2.5, 3.0}) {
    CHECK(*read.PValue(x) == doctest::Approx(*whole.PValue(x)).epsilon(0.2));
  }
}

TEST_CASE("EwmaZScore_OnNormalNoise_PValueIsNearUniform") {
  const uint64_t seed = 21;
  Rng rng(seed);
  EwmaZScore detector;
  std::vector<double> p;
  for (int i = 0; i < 300'000; ++i) {
    const OutlierVerdict verdict = detector.ScoreAndLearn(10 + 3 * rng.NextNormal());
    if (verdict.warm()) p.push_back(verdict.p_value);
  }
  INFO("seed " << seed);
  MESSAGE("ewma: KS distance " << DistanceToUniform(p) << ", at 1e-3 " << ShareBelow(p, 1e-3));
  CHECK(DistanceToUniform(p) < 0.015);
  CHECK(ShareBelow(p, 1e-3) > 0.5e-3);
  CHECK(ShareBelow(p, 1e-3) < 2e-3);
}

TEST_CASE("EwmaZScore_ByHand_UsesTheModelFromBeforeTheValue") {
  EwmaZScore detector({.alpha = 0.5, .threshold = 3});  // warm after 6
  double mean = 0, variance = 0;
  const double values[] = {1, 3, 2, 4, 3, 5};
  int n = 0;
  for (double x : values) {
    CHECK_FALSE(detector.Score(x).warm());
    detector.Learn(x);
    const double a = std::max(0.5, 1.0 / ++n), d = x - mean;
    mean += a * d;
    variance = (1 - a) * (variance + a * d * d);
  }
  const OutlierVerdict verdict = detector.Score(8);
  CHECK(verdict.expected == doctest::Approx(mean));
  CHECK(verdict.score == doctest::Approx((8 - mean) / std::sqrt(variance)));
  CHECK(verdict.lower == doctest::Approx(mean - 3 * std::sqrt(variance)));
  CHECK(verdict.upper == doctest::Approx(mean + 3 * std::sqrt(variance)));
}

TEST_CASE("EwmaZScore_AfterOneSpike_StillSeesTheSecond_AndLearnsANewLevel") {
  EwmaZScore detector;
  Rng rng(8);
  for (int i = 0; i < 500; ++i) detector.Learn(rng.NextNormal());
  const double first = detector.ScoreAndLearn(50).score;
  CHECK(first > 30);
  CHECK(detector.Score(50).score > 0.6 * first);
  for (int i = 0; i < 300; ++i) detector.Learn(50 + rng.NextNormal());
  CHECK(std::abs(detector.Score(50).score) < 3);
}

TEST_CASE("RollingMad_AgainstPlainMedians_IsTheSame") {
  const uint64_t seed = 31;
  INFO("seed " << seed);
  Rng rng(seed);
  RollingMad detector({.window = 25, .warmup = 25});
  std::vector<double> all;
  for (int i = 0; i < 500; ++i) {
    const double x = rng.NextNormal() + (rng.Below(20) == 0 ? 9 : 0);
    if (all.size() >= 25) {
      const std::vector<double> last(all.end() - 25, all.end());
      const double median = Median(last);
      std::vector<double> deviations;
      for (double v : last) deviations.push_back(std::abs(v - median));
      std::vector<double> sorted = last;
      std::sort(sorted.begin(), sorted.end());
      const double scale = std::max(Median(deviations) / 0.6745, (sorted[18] - sorted[6]) / 1.349);
      CHECK(detector.Score(x).score == doctest::Approx((x - median) / scale));
      CHECK(detector.Score(x).expected == median);
    }
    detector.Learn(x);
    all.push_back(x);
  }
}

TEST_CASE("RollingMad_OnFlatCounts_CountsInUnits") {
  RollingMad detector;
  for (int i = 0; i < 100; ++i) detector.Learn(i % 10 == 0 ? 8 : 7);
  CHECK(detector.Score(7).score == 0);
  CHECK(detector.Score(9).score == doctest::Approx(2));
  CHECK(detector.Score(9).p_value > 1e-3);
  CHECK(detector.Score(40).p_value < 1e-6);
}

TEST_CASE("RollingMad_OnNormalNoise_PValueIsNearUniform") {
  const uint64_t seed = 22;
  Rng rng(seed);
  RollingMad detector;
  std::vector<double> p;
  for (int i = 0; i < 200'000; ++i) {
    const OutlierVerdict verdict = detector.ScoreAndLearn(10 + 3 * rng.NextNormal());
    if (verdict.warm()) p.push_back(verdict.p_value);
  }
  INFO("seed " << seed);
  MESSAGE("mad: KS distance " << DistanceToUniform(p) << ", at 1e-3 " << ShareBelow(p, 1e-3));
  CHECK(DistanceToUniform(p) < 0.015);
  CHECK(ShareBelow(p, 1e-3) < 2e-3);
}

template <class Detector>
void CheckBadInput(Detector detector) {
  for (int i = 0; i < 300; ++i) detector.Learn(5);
  CHECK(detector.Score(5).score == 0);
  CHECK(detector.Score(5).p_value == doctest::Approx(1));
  CHECK(detector.Score(50).p_value < 1e-6);
  CHECK_FALSE(detector.Score(kNan).warm());
  CHECK(detector.Score(kInfinity).score == kOutlierScoreMax);
  CHECK(detector.Score(-kInfinity).score == -kOutlierScoreMax);
  const OutlierVerdict before = detector.Score(6);
  detector.Learn(kNan);
  detector.Learn(kInfinity);
  CHECK(detector.Score(6).score == before.score);
}

TEST_CASE("StatisticalOutliers_OnConstantMissingAndInfinite_StaySane") {
  CheckBadInput(EwmaZScore());
  CheckBadInput(RollingMad());
}

template <class Detector, class Observe>
void CheckSnapshot(const Detector& fresh, uint64_t seed, Observe observe) {
  INFO("seed " << seed);
  Rng rng(seed);
  Detector through = fresh;
  Detector restored = fresh;
  for (int i = 0; i < 3000; ++i) {
    if (rng.Below(100) == 0) {
      ByteSink sink;
      restored.Encode(sink);
      Detector next = fresh;
      ByteSource source(sink.bytes());
      REQUIRE(next.Decode(source).ok());
      REQUIRE(source.exhausted());
      ByteSource torn(std::string_view(sink.bytes()).substr(0, sink.size() / 2));
      Detector scrap = fresh;
      REQUIRE_FALSE(scrap.Decode(torn).ok());
      restored = next;
    }
    const double x = rng.NextNormal() * (rng.Below(50) == 0 ? 20 : 1);
    const double a = observe(through, x), b = observe(restored, x);
    REQUIRE((a == b || (std::isnan(a) && std::isnan(b))));
  }
}

TEST_CASE("Outliers_RestoredAtRandomPlaces_GoOnIdentically") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const auto p = [](TailCalibrator& c, double x) { return c.PValueAndLearn(x).value_or(kNan); };
    CheckSnapshot(TailCalibrator({.history = 700, .warmup = 100}), seed, p);
    const auto score = [](auto& d, double x) { return d.ScoreAndLearn(x).score; };
    CheckSnapshot(EwmaZScore(), seed, score);
    CheckSnapshot(RollingMad(), seed, score);
  }
}

}  // namespace
}  // namespace freshet
