// The methods of statistical_outlier as pure models: against independent numbers, on noise, and on bad input.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "operators/outlier/count_outlier.h"
#include "operators/outlier/discrete_band.h"
#include "operators/outlier/distributions.h"
#include "operators/outlier/ewma_zscore.h"
#include "operators/outlier/hampel.h"
#include "operators/outlier/iqr_fence.h"
#include "operators/outlier/ratio_outlier.h"
#include "operators/outlier/rolling_mad.h"
#include "operators/outlier/value_transform.h"
#include "tests/detectors/outlier_reference.h"
#include "tests/detectors/outlier_support.h"

namespace freshet::testing {
namespace {

double SeriesX(int i) { return (i * 7919 % 1000) / 100.0; }
double SeriesZ(int i) { return i * i * 37 % 11; }

OutlierInput Normal(Rng& rng, int) { return 10 + rng.NextNormal(); }

template <class Model, class Options>
std::function<std::unique_ptr<OutlierModel>()> Maker(Options options) {
  return [options] { return std::make_unique<Model>(options); };
}

std::vector<MethodCase> Cases() {
  const auto counts = [](Rng& rng, int) { return OutlierInput(NextPoisson(rng, 40)); };
  const auto wide = [](Rng& rng, int) { return OutlierInput(NextPoisson(rng, NextGamma(rng, 4, 10))); };
  const auto ratio = [](Rng& rng, int) {
    const double n = 500 + static_cast<double>(rng.Below(300));
    return OutlierInput(NextPoisson(rng, 0.1 * n) / n, {}, n);
  };
  return {{"ewma_zscore", Maker<EwmaZScore>(EwmaZScoreOptions{}), Normal},
          {"mad", Maker<RollingMad>(RollingMadOptions{}), Normal},
          {"hampel", Maker<Hampel>(HampelOptions{}), Normal},
          {"iqr", Maker<IqrFence>(IqrFenceOptions{}), Normal},
          {"iqr adjusted", Maker<IqrFence>(IqrFenceOptions{.adjust_skew = true}), Normal},
          {"poisson", Maker<CountOutlier>(CountOutlierOptions{}), counts},
          {"negbin", Maker<CountOutlier>(CountOutlierOptions{.overdispersed = true}), wide},
          {"beta_binomial", Maker<RatioOutlier>(RatioOutlierOptions{}), ratio}};
}

TEST_CASE("Distributions_AgainstScipy_AreEqual") {
  for (const auto& r : reference::kCountTails) {
    CAPTURE(r.k);
    CAPTURE(r.mean);
    const DiscreteTails tails = CountTails(r.k, r.mean, r.size);
    CHECK(tails.lower / r.lower == doctest::Approx(1).epsilon(1e-10));
    CHECK(tails.upper / r.upper == doctest::Approx(1).epsilon(1e-10));
  }
  for (const auto& r : reference::kRatioTails) {
    CAPTURE(r.k);
    CAPTURE(r.n);
    const DiscreteTails tails = BetaBinomialTails(r.k, r.n, r.a, r.b);
    const double tolerance = r.n < 1e5 ? 1e-7 : 0.01;
    CHECK(tails.lower / r.lower == doctest::Approx(1).epsilon(tolerance));
    CHECK(tails.upper / r.upper == doctest::Approx(1).epsilon(tolerance));
  }
  for (const auto& r : reference::kNormalScores) CHECK(NormalScore(r.x) == doctest::Approx(r.y).epsilon(1e-12));
  for (const auto& r : reference::kStudent)
    CHECK(StudentQuantile(r.p, r.freedom) == doctest::Approx(r.t).epsilon(1e-9));
}

TEST_CASE("Distributions_OutOfRange_GiveNaNNotExceptions") {
  CHECK(std::isnan(CountTails(3, -1).lower));
  CHECK(std::isnan(CountTails(kNan, 1).lower));
  CHECK(CountTails(kInfinity, 1).upper == 0);
  CHECK(std::isnan(BetaBinomialTails(3, 2, 1, 1).lower));
  CHECK(std::isnan(NormalScore(kNan)));
  CHECK(NormalScore(0) == doctest::Approx(37.0).epsilon(0.02));
  CHECK(std::isnan(StudentQuantile(1, 5)));
}

TEST_CASE("ValueWindow_AgainstNumpyAndStatsmodels_IsEqual") {
  ValueWindow x(101), y(101);
  for (int i = 0; i < 101; ++i) {
    x.Push(SeriesX(i));
    y.Push(std::exp(SeriesX(i) / 4));
  }
  const auto check = [](const ValueWindow& v, const reference::Spread& r) {
    CHECK(v.Quantile(0.25) == doctest::Approx(r.q25).epsilon(1e-12));
    CHECK(v.Quantile(0.5) == doctest::Approx(r.q50).epsilon(1e-12));
    CHECK(v.Quantile(0.75) == doctest::Approx(r.q75).epsilon(1e-12));
    CHECK(v.MedianDeviation(v.Quantile(0.5)) / kNormalMad == doctest::Approx(r.mad).epsilon(2e-5));
  };
  check(x, reference::kSpreadOfX);
  check(y, reference::kSpreadOfY);
}

TEST_CASE("Medcouple_AgainstStatsmodels_IsEqualAlsoWithTies") {
  const auto medcouple = [](int n, auto f) {
    std::vector<double> v;
    for (int i = 0; i < n; ++i) v.push_back(f(i));
    std::sort(v.begin(), v.end());
    return Medcouple(v);
  };
  CHECK(medcouple(101, SeriesX) == doctest::Approx(reference::kSpreadOfX.medcouple));
  CHECK(medcouple(101, [](int i) { return std::exp(SeriesX(i) / 4); }) ==
        doctest::Approx(reference::kSpreadOfY.medcouple).epsilon(1e-12));
  CHECK(medcouple(101, [](int i) { return -std::exp(SeriesX(i) / 4); }) ==
        doctest::Approx(-reference::kSpreadOfY.medcouple).epsilon(1e-12));
  CHECK(medcouple(60, SeriesZ) == reference::kMedcoupleOfZ);
  CHECK(medcouple(60, [](int i) { return SeriesZ(i) * SeriesZ(i); }) ==
        doctest::Approx(reference::kMedcoupleOfZSquared));
}

TEST_CASE("IqrFence_AgainstTheBoxplotByHand_IsTheSame") {
  IqrFence plain({.window = 101}), adjusted({.window = 101, .adjust_skew = true});
  for (int i = 0; i < 104; ++i) {
    const double y = std::exp(SeriesX(i % 101) / 4);
    plain.Learn(y);
    adjusted.Learn(y);
  }
  const auto& r = reference::kSpreadOfY;  // the window holds the 101 values, in another order
  const double iqr = r.q75 - r.q25;
  CHECK(plain.Score(5).lower == doctest::Approx(r.q25 - 1.5 * iqr));
  CHECK(plain.Score(5).upper == doctest::Approx(r.q75 + 1.5 * iqr));
  CHECK(plain.Score(r.q75 + 1.5 * iqr).score == doctest::Approx(1.5));
  CHECK(adjusted.Score(5).lower == doctest::Approx(r.q25 - 1.5 * std::exp(-4 * r.medcouple) * iqr));
  CHECK(adjusted.Score(5).upper == doctest::Approx(r.q75 + 1.5 * std::exp(3 * r.medcouple) * iqr));
}

TEST_CASE("Counts_AgainstGammaPoissonInScipy_AreEqual") {
  CountOutlier model;
  for (int i = 0; i < 60; ++i) model.Learn(SeriesZ(i));
  for (const auto& r : reference::kGammaPoisson) {
    const OutlierVerdict v = model.Score(r.k);
    CHECK(v.expected == doctest::Approx(r.mean).epsilon(1e-12));
    CHECK(v.p_value == doctest::Approx(r.p_value).epsilon(1e-9));
    CHECK(std::copysign(1, v.score) == (r.k < r.mean ? -1 : 1));
    CHECK(TwoSidedNormalTail(v.score) == doctest::Approx(v.p_value).epsilon(1e-9));
  }
}

TEST_CASE("Ratios_AgainstBetaBinomialInScipy_AreEqual") {
  RatioOutlier model;
  for (int i = 0; i < 60; ++i) model.Learn({(10 + i % 3 - 1) / 100.0, {}, 100});
  CHECK(model.correlation() == 0);
  for (const auto& r : reference::kBetaBinomial) {
    const OutlierVerdict v = model.Score({r.k / 400, {}, 400});
    CHECK(v.expected == doctest::Approx(r.mean).epsilon(1e-12));
    CHECK(v.p_value == doctest::Approx(r.p_value).epsilon(1e-9));
  }
}

TEST_CASE("CountsAndRatios_Bands_AreWhereTheScoreReachesTheThreshold") {
  Rng rng(3);
  for (const double mean : {0.3, 6.0, 400.0, 90000.0}) {
    CAPTURE(mean);
    CountOutlier model({.overdispersed = true});
    for (int i = 0; i < 300; ++i) model.Learn(std::round(mean * (0.8 + 0.4 * rng.NextDouble())));
    const OutlierVerdict v = model.Score(mean);
    const double step = std::max(1.0, std::floor((v.upper - v.lower) / 100));
    if (v.upper > v.expected) CHECK(model.Score(v.upper).score <= 3);
    CHECK(model.Score(std::floor(v.upper) + step).score > 3);
    if (v.lower >= step && v.lower < v.expected) {
      CHECK(model.Score(v.lower).score >= -3);
      CHECK(model.Score(v.lower - step).score < -3);
    }
  }
}

TEST_CASE("DiscreteBand_HoweverSkewed_EndsWhereThePValueDoes") {
  const uint64_t seed = 15;
  INFO("seed " << seed);
  Rng rng(seed);
  const auto check = [](double mean, double dispersion, double known, double z) {
    CAPTURE(mean);
    CAPTURE(dispersion);
    CAPTURE(known);
    CAPTURE(z);
    const double size = 1 / (1 / known + dispersion), spread = std::sqrt(mean * (1 + mean / size));
    const double skew = (1 + 2 * mean / size) / spread, p_min = TwoSidedNormalTail(z);
    const auto p_of = [&](double k) { return CountTails(k, mean, size).two_sided(); };
    const double step = std::fmax(1, std::floor(spread / 32));
    for (const int side : {-1, 1}) {
      const double edge =
          DiscreteBandEdge(p_of, side, p_min, z, mean, spread, skew, 0, std::numeric_limits<double>::max());
      CAPTURE(edge);
      CHECK(edge == std::round(edge));
      CHECK((p_of(edge) >= p_min || side * (edge - mean) <= 0));
      if (edge + side * step >= 0) CHECK(p_of(edge + side * step) < p_min);
    }
  };
  check(10, 99, 500, 3);
  for (int i = 0; i < 300; ++i)
    check(std::exp(8 * rng.NextDouble()), std::exp(10 * rng.NextDouble() - 5), std::exp(12 * rng.NextDouble()),
          1.5 + 4 * rng.NextDouble());
}

TEST_CASE("Counts_OnNoise_KeepTheRateAskedFor") {
  const uint64_t seed = 41;
  INFO("seed " << seed);
  struct Noise {
    const char* name;
    bool overdispersed;
    double mean;
    int shape;  // of the Gamma behind the Poisson; 0: none
  };
  for (const Noise& noise :
       {Noise{"poisson 30", false, 30, 0}, Noise{"poisson 3", false, 3, 0}, Noise{"negbin on poisson 30", true, 30, 0},
        Noise{"negbin 30, size 4", true, 30, 4}, Noise{"negbin 5, size 2", true, 5, 2}}) {
    Rng rng(seed);
    CountOutlier model({.overdispersed = noise.overdispersed});
    std::vector<double> p;
    for (int i = 0; i < 100'000; ++i) {
      const double mean = noise.shape == 0 ? noise.mean : NextGamma(rng, noise.shape, noise.mean / noise.shape);
      const OutlierVerdict v = model.ScoreAndLearn(NextPoisson(rng, mean));
      if (v.warm()) p.push_back(v.p_value);
    }
    MESSAGE(std::string(noise.name) << ": asked 1e-2 1e-3, got " << ShareBelow(p, 1e-2) << " " << ShareBelow(p, 1e-3)
                                    << ", dispersion " << model.dispersion());
    INFO(std::string(noise.name));
    CHECK(ShareBelow(p, 1e-2) > (noise.mean < 5 ? 0.3e-2 : 0.5e-2));  // few values are possible
    CHECK(ShareBelow(p, 1e-2) < 2e-2);
    CHECK(ShareBelow(p, 1e-3) > 0.4e-3);
    CHECK(ShareBelow(p, 1e-3) < 2.2e-3);
  }
}

TEST_CASE("Counts_PoissonOnWiderNoise_AlarmsTooOftenAndNegbinDoesNot") {
  Rng rng(5);
  CountOutlier narrow({.overdispersed = false}), wide({.overdispersed = true});
  int by_narrow = 0, by_wide = 0;
  for (int i = 0; i < 20'000; ++i) {
    const double k = NextPoisson(rng, NextGamma(rng, 4, 25));
    by_narrow += narrow.ScoreAndLearn(k).p_value < 1e-3;
    by_wide += wide.ScoreAndLearn(k).p_value < 1e-3;
  }
  CHECK(by_narrow > 4000);
  CHECK(by_wide < 50);
  CHECK(wide.dispersion() == doctest::Approx(0.25).epsilon(0.3));
}

TEST_CASE("Counts_WithExposure_CompareRates") {
  CountOutlier model({.exposure = true});
  Rng rng(6);
  for (int i = 0; i < 200; ++i) {
    const double hours = 1 + static_cast<double>(rng.Below(5));
    model.Learn({NextPoisson(rng, 12 * hours), {}, hours});
  }
  CHECK(model.Score({12, {}, 1}).expected == doctest::Approx(12).epsilon(0.1));
  CHECK(std::abs(model.Score({120, {}, 10}).score) < 3);
  CHECK(model.Score({120, {}, 1}).p_value < 1e-6);
  CHECK_FALSE(model.Score({12, {}, 0}).warm());
  CHECK_FALSE(model.Score({12, {}, kNan}).warm());
}

TEST_CASE("Ratios_OnNoise_KeepTheRateAskedFor") {
  const uint64_t seed = 43;
  INFO("seed " << seed);
  for (const bool wide : {false, true}) {
    Rng rng(seed);
    RatioOutlier model;
    std::vector<double> p;
    for (int i = 0; i < 60'000; ++i) {
      const double n = 20 + static_cast<double>(rng.Below(400));
      double share = 0.05;
      if (wide) {  // Beta(3, 57): rho = 1 / 61
        const double a = NextGamma(rng, 3, 1);
        share = a / (a + NextGamma(rng, 57, 1));
      }
      double k = 0;
      for (int j = 0; j < static_cast<int>(n); ++j) k += rng.NextDouble() < share ? 1 : 0;
      const OutlierVerdict v = model.ScoreAndLearn({k / n, {}, n});
      if (v.warm()) p.push_back(v.p_value);
    }
    MESSAGE(std::string(wide ? "beta-binomial" : "binomial") << ": asked 1e-2 1e-3, got " << ShareBelow(p, 1e-2) << " "
                                                             << ShareBelow(p, 1e-3) << ", rho " << model.correlation());
    CHECK(ShareBelow(p, 1e-2) > 0.5e-2);
    CHECK(ShareBelow(p, 1e-2) < 2e-2);
    CHECK(ShareBelow(p, 1e-3) > 0.4e-3);
    CHECK(ShareBelow(p, 1e-3) < 2.2e-3);
  }
}

TEST_CASE("Ratios_SameRatioOfFewAndOfMany_DifferInSurprise") {
  RatioOutlier model;
  Rng rng(7);
  for (int i = 0; i < 300; ++i) model.Learn({NextPoisson(rng, 10) / 1000, {}, 1000});
  CHECK(model.Score({0.5, {}, 2}).p_value > 1e-2);
  CHECK(model.Score({0.5, {}, 2000}).p_value < 1e-9);
  CHECK_FALSE(model.Score({0.5, {}, 0}).warm());
  CHECK_FALSE(model.Score({1.5, {}, 10}).warm());
  CHECK_FALSE(model.Score({0.5, {}, kNan}).warm());
}

TEST_CASE("HampelAndIqr_OnNormalNoise_PValueIsNearUniform") {
  const uint64_t seed = 44;
  INFO("seed " << seed);
  const auto p_values = [&](auto model) {
    Rng rng(seed);
    std::vector<double> p;
    for (int i = 0; i < 100'000; ++i) {
      const OutlierVerdict v = model.ScoreAndLearn(10 + 3 * rng.NextNormal());
      if (v.warm()) p.push_back(v.p_value);
    }
    MESSAGE("KS distance " << DistanceToUniform(p) << ", at 1e-3 " << ShareBelow(p, 1e-3));
    return p;
  };
  for (const auto& p : {p_values(Hampel()), p_values(IqrFence())}) {
    CHECK(DistanceToUniform(p) < 0.04);
    CHECK(ShareBelow(p, 1e-3) < 2.5e-3);
  }
}

TEST_CASE("Hampel_BurstShorterThanHalfItsWindow_LeavesNoTrace") {
  Hampel hampel;
  RollingMad mad({.window = 25, .warmup = 10});
  Rng rng(8);
  for (int i = 0; i < 100; ++i) {
    const double x = rng.NextNormal();
    hampel.Learn(x);
    mad.Learn(x);
  }
  for (int i = 0; i < 11; ++i) {
    hampel.Learn(50);
    mad.Learn(50);
  }
  CHECK(hampel.Score(50).score > 10);
  CHECK(mad.Score(50).score < hampel.Score(50).score / 2);
}

TEST_CASE("Methods_RestoredAtRandomPlaces_GoOnIdentically") {
  for (const MethodCase& method : Cases())
    for (uint64_t seed = 1; seed <= 3; ++seed) CheckSnapshots(method, seed, 1500);
}

TEST_CASE("Methods_OnNaNAndInfinity_StaySane") {
  for (const MethodCase& method : Cases()) CheckBadValues(method, 9, 400);
}

TEST_CASE("Methods_SpikeThenShift_SeesTheSecondSpikeAndLearnsTheLevel") {
  for (const MethodCase& method : Cases()) CheckSpikeAndShift(method, 3, 400, 1500);
}

TEST_CASE("Methods_OnConstantSeries_AreUnsurprisedByIt") {
  for (const MethodCase& method : Cases()) {
    INFO(method.name);
    for (const double value : {0.0, 1.0}) {
      const auto model = method.make();
      for (int i = 0; i < 600; ++i) {
        const OutlierVerdict v = model->ScoreAndLearn({value, {i * 1000000}, 10});
        CheckSane(method, v);
        if (v.warm()) REQUIRE(v.p_value > 0.1);
      }
    }
  }
}

TEST_CASE("Counts_NegativeValues_AreMissing") {
  CountOutlier model;
  for (int i = 0; i < 100; ++i) model.Learn(i % 5);
  const double before = model.Score(4).score;
  CHECK_FALSE(model.ScoreAndLearn(-3).warm());  // a counter fell
  CHECK(model.Score(4).score == before);
}

TEST_CASE("Transforms_ThereAndBack_AreTheSame") {
  for (const Transform t : {Transform::kNone, Transform::kLog1p, Transform::kAnscombe, Transform::kDiff}) {
    ValueTransform transform({.transform = t});
    transform.Learn(7);
    for (const double x : {0.0, 0.25, 3.0, 1e9})
      CHECK(transform.Back(transform.Forward(x)) == doctest::Approx(x).epsilon(1e-9));
  }
  ValueTransform log({.transform = Transform::kLog1p});
  CHECK(log.Forward(-5) == -std::log1p(5));
  CHECK(ValueTransform({.transform = Transform::kAnscombe}).Forward(10) == doctest::Approx(2 * std::sqrt(10.375)));
  CHECK(std::isnan(ValueTransform({.transform = Transform::kAnscombe}).Forward(-1)));
  CHECK(std::isnan(ValueTransform({.transform = Transform::kDiff}).Forward(1)));
}

TEST_CASE("Transforms_Auto_GoByKindOrByTheFirstValues") {
  const auto seen = [](MetricKind kind, auto f) {
    ValueTransform transform({.transform = Transform::kAuto, .kind = kind});
    for (int i = 0; i < 50; ++i) transform.Learn(f(i));
    return transform;
  };
  const auto count = [](int i) { return static_cast<double>(20 + i % 7); };
  const auto latency = [](int i) { return 0.05 * std::exp(2.0 * ((i * 37) % 50) / 25); };
  const auto level = [](int i) { return -4 + 0.5 * (i % 9); };
  CHECK(seen(MetricKind::kAuto, count).Forward(9) == 2 * std::sqrt(9.375));
  CHECK(seen(MetricKind::kCount, latency).Forward(9) == 2 * std::sqrt(9.375));
  CHECK(seen(MetricKind::kAuto, level).Forward(9) == 9);
  CHECK(seen(MetricKind::kRatio, latency).Forward(9) == 9);
  for (const MetricKind kind : {MetricKind::kAuto, MetricKind::kLatency}) {
    const ValueTransform t = seen(kind, latency);
    const double median = latency(0) * std::exp(2.0);  // of the 50 values, the upper one
    CHECK(t.Forward(9) == doctest::Approx(std::log1p(9 / (0.05 * median))));
  }
  ValueTransform undecided({.transform = Transform::kAuto});
  CHECK(std::isnan(undecided.Forward(3)));
}

TEST_CASE("Transforms_RestoredWhileDeciding_GoOnIdentically") {
  const ValueTransformOptions options{.transform = Transform::kAuto};
  ValueTransform through(options), restored(options);
  for (int i = 0; i < 80; ++i) {
    ByteSink sink;
    restored.Encode(sink);
    ValueTransform next(options);
    ByteSource source(sink.bytes());
    REQUIRE(next.Decode(source).ok());
    restored = next;
    const double x = std::exp(0.1 * (i * 7 % 31));
    CHECK((through.Forward(x) == restored.Forward(x) || i < 50));
    through.Learn(x);
    restored.Learn(x);
  }
  ByteSource torn("\x01\x04");
  CHECK_FALSE(ValueTransform(options).Decode(torn).ok());
}

}  // namespace
}  // namespace freshet::testing
