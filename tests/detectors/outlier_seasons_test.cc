// Methods that follow time: seasonal ESD, Holt-Winters, hours of the week, spectral residual.
#include <doctest/doctest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "engine/expr/time_zone.h"
#include "operators/outlier/gesd.h"
#include "operators/outlier/holt_winters.h"
#include "operators/outlier/seasonal_baseline.h"
#include "operators/outlier/spectral_residual.h"
#include "tests/detectors/outlier_reference.h"
#include "tests/detectors/outlier_support.h"

namespace freshet::testing {
namespace {

constexpr int64_t kHour = 3'600'000'000;
constexpr int64_t kDay = 24 * kHour;

template <class Model, class Options>
std::function<std::unique_ptr<OutlierModel>()> Maker(Options options) {
  return [options] { return std::make_unique<Model>(options); };
}

/// Hourly rows, busy by day.
OutlierInput Hourly(Rng& rng, int i) {
  const double busy = 20 * std::sin(2 * std::numbers::pi * (i % 24) / 24.0);
  return {100 + busy + 2 * rng.NextNormal(), {i * kHour}};
}
OutlierInput Wavy(Rng& rng, int i) {
  return {10 + std::sin(2 * std::numbers::pi * i / 16.0) + 0.3 * rng.NextNormal(), {i * kHour}};
}

std::vector<MethodCase> Cases() {
  const SeasonClock day{kDay, kHour};
  return {{"gesd", Maker<GesdModel>(GesdOptions{.window = 200}), Wavy},
          {"gesd by day", Maker<GesdModel>(GesdOptions{.window = 200, .season = day}), Hourly},
          {"holt_winters", Maker<HoltWinters>(HoltWintersOptions{}), Wavy},
          {"holt_winters by day", Maker<HoltWinters>(HoltWintersOptions{.season = day}), Hourly},
          {"seasonal by day", Maker<SeasonalBaseline>(SeasonalBaselineOptions{}), Hourly},
          {"seasonal by week", Maker<SeasonalBaseline>(SeasonalBaselineOptions{.by_week = true}), Hourly},
          {"spectral_residual", Maker<SpectralResidual>(SpectralResidualOptions{.window = 64}), Wavy}};
}

TEST_CASE("Gesd_OnRosnersData_GivesHisStatisticsAndThreeOutliers") {
  const std::vector<double> critical = RosnerCriticalValues(54, 0.05);
  const GesdOutcome outcome = Gesd(reference::kRosner, 10, critical, false, true);
  REQUIRE(outcome.deviations.size() == 10);
  for (size_t i = 0; i < 10; ++i) {
    CAPTURE(i);
    CHECK(outcome.deviations[i] == doctest::Approx(reference::kRosnerStages[i].x).epsilon(1e-6));
    CHECK(critical[54 - i] == doctest::Approx(reference::kRosnerStages[i].y).epsilon(1e-6));
  }
  CHECK(outcome.first == 0);
  CHECK(outcome.last == 51);
}

TEST_CASE("Gesd_ByMedianAndMad_SeesManyOutliersThatHideEachOther") {
  Rng rng(1);
  std::vector<double> values;
  for (int i = 0; i < 100; ++i) values.push_back(rng.NextNormal());
  for (int i = 0; i < 20; ++i) values.push_back(8 + rng.NextNormal());
  std::sort(values.begin(), values.end());
  const std::vector<double> critical = RosnerCriticalValues(120, 0.05);
  CHECK(Gesd(values, 40, critical, true).last == 100);
}

TEST_CASE("Gesd_OnNormalNoise_PValueIsUniform") {
  const uint64_t seed = 3;
  INFO("seed " << seed);
  Rng rng(seed);
  GesdModel model({.window = 300});
  std::vector<double> p;
  for (int i = 0; i < 60'000; ++i) {
    const OutlierVerdict v = model.ScoreAndLearn(5 + rng.NextNormal());
    if (v.warm()) p.push_back(v.p_value);
  }
  MESSAGE("gesd: KS distance " << DistanceToUniform(p) << ", at 1e-3 " << ShareBelow(p, 1e-3));
  CHECK(DistanceToUniform(p) < 0.01);
  CHECK(ShareBelow(p, 1e-3) > 0.5e-3);
  CHECK(ShareBelow(p, 1e-3) < 2e-3);
}

TEST_CASE("Gesd_TenPercentOutliers_WidenNothingAndMoreAreLearnt") {
  Rng rng(4);
  GesdModel model({.window = 200});
  for (int i = 0; i < 400; ++i) model.Learn(i % 12 == 0 ? 50 : rng.NextNormal());
  CHECK(model.Score(0).upper < 6);
  for (int i = 0; i < 200; ++i) model.Learn(50 + rng.NextNormal());
  CHECK(std::abs(model.Score(50).score) < 3);
}

double SeriesY(int i) {
  constexpr double kSeason[] = {5, -2, -6, 3};
  return 20 + 0.3 * i + kSeason[i % 4] + (i * 7919 % 100) / 40.0;
}

TEST_CASE("HoltWinters_AgainstStatsmodels_ForecastsTheSame") {
  HoltWinters model({.clip = 1e9, .season = {4 * kHour, kHour}});
  model.StartFrom(20, 0.3, {5, -2, -6, 3}, 1, -kHour);
  size_t at = 0;
  for (int i = 0; i < 40; ++i) {
    const OutlierInput in(SeriesY(i), {i * kHour});
    const OutlierVerdict v = model.ScoreAndLearn(in);
    if (at == std::size(reference::kHoltWinters) || i != reference::kHoltWinters[at].i) continue;
    CHECK(v.expected == doctest::Approx(reference::kHoltWinters[at++].expected).epsilon(1e-11));
  }
  CHECK(at == std::size(reference::kHoltWinters));
}

TEST_CASE("HoltWinters_AgainstGelpersEquations_CleansTheSame") {
  HoltWinters model;
  model.StartFrom(10, 0.2, {}, 1, 0);
  size_t at = 0;
  for (int i = 0; i < 40; ++i) {
    const OutlierVerdict v = model.ScoreAndLearn(10 + 0.2 * i + (i * 7919 % 100) / 50.0 + (i == 25 ? 30 : 0));
    if (at == std::size(reference::kRobustHolt) || i != reference::kRobustHolt[at].i) continue;
    CHECK(v.expected == doctest::Approx(reference::kRobustHolt[at].expected).epsilon(1e-5));
    CHECK((v.upper - v.expected) / 3 == doctest::Approx(reference::kRobustHolt[at].scale).epsilon(1e-5));
    ++at;
  }
  CHECK(at == std::size(reference::kRobustHolt));
}

TEST_CASE("HoltWinters_OverAGapOfAWeek_KeepsTheSeasonAndWidens") {
  HoltWinters model({.season = {kDay, kHour}});
  Rng rng(5);
  for (int i = 0; i < 24 * 14; ++i) model.Learn(Hourly(rng, i));
  const auto next = [&](int i) { return model.Score(Hourly(rng, i)); };
  const OutlierVerdict soon = next(24 * 14 + 6), late = next(24 * 21 + 6);
  CHECK(soon.expected == doctest::Approx(120).epsilon(0.03));
  CHECK(late.expected == doctest::Approx(120).epsilon(0.05));
  CHECK(late.upper - late.lower > 1.5 * (soon.upper - soon.lower));
  CHECK(std::isfinite(late.upper));
}

TEST_CASE("HoltWinters_TrendAndSeason_AreFoundFromTwoPeriods") {
  HoltWinters model({.season = {kDay, kHour}});
  Rng rng(6);
  const auto row = [&](int i) {
    OutlierInput in = Hourly(rng, i);
    in.x += 0.5 * i + (i == 30 ? 500 : 0);  // one wild value while it starts
    return in;
  };
  int i = 0;
  for (; i < 48; ++i) CHECK_FALSE(model.ScoreAndLearn(row(i)).warm());
  for (; i < 72; ++i) {
    const OutlierVerdict v = model.ScoreAndLearn(row(i));
    CAPTURE(i);
    REQUIRE(v.warm());
    CHECK(std::abs(v.score) < 6);
  }
}

TEST_CASE("HoltWinters_OnNormalNoise_KeepsTheRateAskedFor") {
  const uint64_t seed = 7;
  INFO("seed " << seed);
  Rng rng(seed);
  HoltWinters model({.season = {kDay, kHour}});
  std::vector<double> p;
  for (int i = 0; i < 60'000; ++i) {
    const OutlierVerdict v = model.ScoreAndLearn(Hourly(rng, i));
    if (v.warm()) p.push_back(v.p_value);
  }
  MESSAGE("holt_winters: KS distance " << DistanceToUniform(p) << ", at 1e-2 and 1e-3 " << ShareBelow(p, 1e-2) << " "
                                       << ShareBelow(p, 1e-3));
  CHECK(DistanceToUniform(p) < 0.03);
  CHECK(ShareBelow(p, 1e-3) > 0.4e-3);
  CHECK(ShareBelow(p, 1e-3) < 2.2e-3);
}

TEST_CASE("Seasonal_HoursOfTheWeek_AreCountedFromMonday") {
  const SeasonalBaseline week({.by_week = true}), day;
  CHECK(week.HourOf(0) == 72);  // Thursday
  CHECK(week.HourOf(-kHour) == 71);
  CHECK(week.HourOf(4 * kDay) == 0);
  CHECK(day.HourOf(-1) == 23);
  CHECK(day.HourOf(5 * kHour + 17) == 5);
}

TEST_CASE("Seasonal_ByWeek_DrawnToTheHourOfTheDayUntilThreeWeeks") {
  SeasonalBaseline model({.by_week = true});
  // Mondays are 200, other days 100; Monday is day 4.
  const auto usual = [](int day) { return day % 7 == 4 ? 200.0 : 100.0; };
  std::vector<double> expected;
  for (int day = 0; day < 7 * 6; ++day) {
    for (int h = 0; h < 24; ++h) {
      const OutlierInput in(usual(day) + 0.1 * ((day * 5 + h * 7) % 11), {day * kDay + h * kHour});
      if (day % 7 == 4 && h == 12) expected.push_back(model.Score(in).expected);
      model.Learn(in);
    }
  }
  REQUIRE(expected.size() == 6);
  CHECK(expected[0] == doctest::Approx(100).epsilon(0.02));
  CHECK(expected[1] == doctest::Approx(200 / 3.0 + 2 * 100 / 3.0).epsilon(0.02));
  CHECK(expected[2] == doctest::Approx(2 * 200 / 3.0 + 100 / 3.0).epsilon(0.02));
  CHECK(expected[3] == doctest::Approx(200).epsilon(0.02));
}

TEST_CASE("Seasonal_OneOddDayOfFive_LeavesNoTraceAndThreeAreLearnt") {
  SeasonalBaseline model;
  Rng rng(8);
  int day = 0;
  const auto live = [&](int days, double add) {
    for (const int end = day + days; day < end; ++day)
      for (int h = 0; h < 24; ++h) {
        OutlierInput in = Hourly(rng, day * 24 + h);
        in.x += add;
        model.Learn(in);
      }
  };
  const auto noon = [&] { return model.Score({0, {day * kDay + 6 * kHour}}).expected; };
  live(10, 0);
  live(1, 300);
  CHECK(noon() == doctest::Approx(120).epsilon(0.03));
  live(2, 300);
  CHECK(noon() == doctest::Approx(420).epsilon(0.03));
}

TEST_CASE("Seasonal_WhenTheClockChanges_HoursMoveWithPeople") {
  const date::time_zone* berlin = FindTimeZone("Europe/Berlin");
  REQUIRE(berlin != nullptr);
  // Local hours 8 to 17 are busy. Summer time began on 2026-03-29 and ended on 2026-10-25, both at 1:00 UTC.
  for (const int64_t change : {1'774'746'000'000'000, 1'792'890'000'000'000}) {
    SeasonalBaseline local, utc;
    Rng rng(9);
    int by_local = 0, by_utc = 0;
    for (int64_t at = change - 20 * kDay; at < change + 5 * kDay; at += kHour / 4) {
      const int64_t offset = TimeZoneOffsetAt(berlin, at);
      const int64_t hour = (at + offset) / kHour % 24;
      OutlierInput in((hour >= 8 && hour < 18 ? 200 : 50) + 2 * rng.NextNormal(), {at});
      const bool odd_by_utc = std::abs(utc.ScoreAndLearn(in).score) > 8;
      in.zone_us = offset;
      const bool odd_by_local = std::abs(local.ScoreAndLearn(in).score) > 8;
      if (at < change) continue;
      by_utc += odd_by_utc;
      by_local += odd_by_local;
    }
    CHECK(by_local == 0);
    CHECK(by_utc >= 3 * 8);  // two hours on three days, four rows each, until learnt
  }
}

TEST_CASE("Seasonal_OnNoise_IsNotMoreOftenOddThanAskedFor") {
  const uint64_t seed = 10;
  INFO("seed " << seed);
  for (const int rows_an_hour : {1, 12}) {
    Rng rng(seed);
    SeasonalBaseline model;
    std::vector<double> p;
    for (int i = 0; i < 60'000; ++i) {
      OutlierInput in = Hourly(rng, i / rows_an_hour);
      in.time.us += i % rows_an_hour * (kHour / rows_an_hour);
      const OutlierVerdict v = model.ScoreAndLearn(in);
      if (v.warm()) p.push_back(v.p_value);
    }
    MESSAGE(rows_an_hour << " rows an hour: KS distance " << DistanceToUniform(p) << ", at 1e-2 and 1e-3 "
                         << ShareBelow(p, 1e-2) << " " << ShareBelow(p, 1e-3));
    CHECK(DistanceToUniform(p) < 0.03);
    CHECK(ShareBelow(p, 1e-3) < 2.2e-3);
  }
}

TEST_CASE("SpectralSaliency_AgainstNumpy_IsEqual") {
  std::vector<double> v(64);
  for (int i = 0; i < 64; ++i)
    v[static_cast<size_t>(i)] = std::sin(2 * std::numbers::pi * i / 16) + (i * 7919 % 100) / 300.0 + (i == 57 ? 3 : 0);
  const double first = v[0];
  for (double& x : v) x -= first;
  const std::vector<double> saliency = SpectralSaliency(v);
  for (const auto& r : reference::kSaliency)
    CHECK(saliency[static_cast<size_t>(r.x)] == doctest::Approx(r.y).epsilon(1e-9));
}

TEST_CASE("SpectralResidual_BrokenPattern_StandsOut") {
  SpectralResidual model({.window = 128});
  Rng rng(11);
  std::vector<double> usual;
  int i = 0;
  for (; i < 1000; ++i) {
    const OutlierVerdict v = model.ScoreAndLearn(Wavy(rng, i));
    if (v.warm()) usual.push_back(std::abs(v.score));
  }
  std::sort(usual.begin(), usual.end());
  OutlierInput odd = Wavy(rng, i);
  odd.x += 4;
  CHECK(model.Score(odd).score > usual[usual.size() * 99 / 100]);
  CHECK(std::isnan(model.Score(odd).p_value));
}

TEST_CASE("TimedMethods_RestoredAtRandomPlaces_GoOnIdentically") {
  for (const MethodCase& method : Cases())
    for (uint64_t seed = 1; seed <= 3; ++seed) CheckSnapshots(method, seed, 800);
}

TEST_CASE("TimedMethods_OnNaNAndInfinity_StaySane") {
  for (const MethodCase& method : Cases()) CheckBadValues(method, 9, 400);
}

TEST_CASE("TimedMethods_SpikeThenShift_SeesTheSecondSpikeAndLearnsTheLevel") {
  for (const MethodCase& method : Cases()) {
    if (method.name == "spectral_residual") continue;  // its score is no distance
    CheckSpikeAndShift(method, 3, 24 * 30, 24 * 40);
  }
}

TEST_CASE("TimedMethods_OnConstantDuplicateBackwardAndDistantTimes_StaySane") {
  for (const MethodCase& method : Cases()) {
    INFO(method.name);
    const auto model = method.make();
    Rng rng(12);
    int64_t at = 0;
    for (int i = 0; i < 1500; ++i) {
      const uint64_t what = rng.Below(20);
      at += what == 0 ? 0 : what == 1 ? -kHour : what == 2 ? 7 * kDay : what == 3 ? 1 : kHour;
      CheckSane(method, model->ScoreAndLearn({i < 700 ? 5 : 5 + rng.NextNormal(), {at}}));
    }
    CheckSane(method, model->ScoreAndLearn({5, {INT64_MAX / 2}}));
    CheckSane(method, model->ScoreAndLearn({5, {INT64_MIN / 2}}));
    CheckSane(method, model->ScoreAndLearn({5, {0}}));
  }
}

TEST_CASE("TimedMethods_OnConstantSeries_AreUnsurprisedByIt") {
  for (const MethodCase& method : Cases()) {
    INFO(method.name);
    const auto model = method.make();
    for (int i = 0; i < 1000; ++i) {
      const OutlierVerdict v = model->ScoreAndLearn({7, {i * kHour}});
      CheckSane(method, v);
      if (v.warm()) REQUIRE(std::abs(v.score) < 0.1);
    }
  }
}

}  // namespace
}  // namespace freshet::testing
