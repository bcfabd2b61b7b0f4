// How often statistical_outlier's methods say p < 1e-2 and p < 1e-3 on noise without anomalies, as the operator does
// it: the score's own tail, calibrated on the last 1,000 scores.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <memory>
#include <numbers>

#include "operators/outlier/count_outlier.h"
#include "operators/outlier/ewma_zscore.h"
#include "operators/outlier/gesd.h"
#include "operators/outlier/hampel.h"
#include "operators/outlier/holt_winters.h"
#include "operators/outlier/iqr_fence.h"
#include "operators/outlier/rolling_mad.h"
#include "operators/outlier/seasonal_baseline.h"
#include "operators/outlier/spectral_residual.h"
#include "operators/outlier/tail_calibrator.h"
#include "tests/detectors/outlier_support.h"

namespace freshet::testing {
namespace {

constexpr int64_t kHour = 3'600'000'000;
constexpr int kRows = 200'000;

const char* const kNoises[] = {"normal", "poisson", "heavy", "seasonal", "drifting", "bursty"};

/// A stream of hourly values of one kind of noise.
class Noise {
 public:
  Noise(std::string kind, uint64_t seed) : kind_(std::move(kind)), rng_(seed) {}
  double Next(int i) {
    if (kind_ == "poisson") return NextPoisson(rng_, 30);
    const double z = rng_.NextNormal();
    if (kind_ == "heavy") return 30 + z / std::sqrt(NextGamma(rng_, 3, 1) / 3);  // Student's t with 6
    if (kind_ == "seasonal") return 30 + 10 * std::sin(2 * std::numbers::pi * (i % 24) / 24) + z;
    if (kind_ == "drifting") return 30 + (walk_ += 0.02 * rng_.NextNormal()) + z;
    if (kind_ == "bursty") {
      if (rng_.Below(200) == 0) loud_ = !loud_;
      return 30 + (loud_ ? 3 : 1) * z;
    }
    return 30 + z;
  }

 private:
  std::string kind_;
  Rng rng_;
  double walk_ = 0;
  bool loud_ = false;
};

TEST_CASE("Methods_OnSixKindsOfNoise_SayWhatWasAskedForOnThoseTheyAreMadeFor") {
  const SeasonClock day{24 * kHour, kHour};
  struct Method {
    const char* name;
    std::function<std::unique_ptr<OutlierModel>()> make;
    bool calibrated;
    const char* made_for;
  };
  const Method methods[] = {
      {"ewma_zscore", [] { return std::make_unique<EwmaZScore>(); }, true, "normal poisson heavy drifting bursty"},
      {"mad", [] { return std::make_unique<RollingMad>(); }, true, "normal poisson heavy drifting bursty"},
      {"hampel", [] { return std::make_unique<Hampel>(); }, true, "normal poisson heavy drifting bursty"},
      {"iqr", [] { return std::make_unique<IqrFence>(); }, true, "normal poisson heavy drifting bursty"},
      {"poisson", [] { return std::make_unique<CountOutlier>(); }, false, "poisson"},
      {"negbin", [] { return std::make_unique<CountOutlier>(CountOutlierOptions{.overdispersed = true}); }, false,
       "poisson"},
      {"gesd", [] { return std::make_unique<GesdModel>(); }, true, "normal poisson heavy bursty"},
      {"gesd by day", [=] { return std::make_unique<GesdModel>(GesdOptions{.season = day}); }, true, "normal seasonal"},
      {"holt_winters", [] { return std::make_unique<HoltWinters>(); }, true, "normal poisson heavy drifting bursty"},
      {"holt_winters by day", [=] { return std::make_unique<HoltWinters>(HoltWintersOptions{.season = day}); }, true,
       "normal seasonal drifting"},
      {"seasonal by day", [] { return std::make_unique<SeasonalBaseline>(); }, true, "normal poisson heavy seasonal"},
      {"spectral_residual", [] { return std::make_unique<SpectralResidual>(SpectralResidualOptions{.window = 64}); },
       true, "normal poisson heavy seasonal drifting"},
  };
  const uint64_t seed = 3;
  std::string table;
  for (const Method& method : methods) {
    for (const char* noise : kNoises) {
      Noise stream(noise, seed);
      const auto model = method.make();
      TailCalibrator calibrator({.history = 1000});
      std::vector<double> p;
      for (int i = 0; i < kRows; ++i) {
        const OutlierVerdict v = model->ScoreAndLearn({stream.Next(i), {i * kHour}});
        if (!v.warm()) continue;
        std::optional<double> told;
        if (method.calibrated) told = calibrator.PValueAndLearn(std::abs(v.score));
        if (!told && !std::isnan(v.p_value)) told = v.p_value;
        if (told) p.push_back(*told);
      }
      char line[120];
      std::snprintf(line, sizeof line, "%-20s %-9s %.4f %.5f\n", method.name, noise, ShareBelow(p, 1e-2),
                    ShareBelow(p, 1e-3));
      table += line;
      if (std::string(method.made_for).find(noise) == std::string::npos) continue;
      INFO(line);
      CHECK(ShareBelow(p, 1e-2) < 1.3e-2);
      CHECK(ShareBelow(p, 1e-2) > 0.7e-2);
      CHECK(ShareBelow(p, 1e-3) < 1.5e-3);
      CHECK(ShareBelow(p, 1e-3) > 0.6e-3);
    }
  }
  MESSAGE("seed " << seed << ": share of p < 1e-2 and < 1e-3\n" << table);
}

}  // namespace
}  // namespace freshet::testing
