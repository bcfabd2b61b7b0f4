#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/detectors/noise.h"
#include "engine/base/rng.h"
#include "operators/anomaly/anomaly_model.h"
#include "operators/isolation_forest/half_space_trees.h"
#include "operators/isolation_forest/online_forest.h"
#include "operators/isolation_forest/random_cut_forest.h"
#include "operators/isolation_forest/rolling_forest.h"
#include "operators/outlier/count_outlier.h"
#include "operators/outlier/ewma_zscore.h"
#include "operators/outlier/gesd.h"
#include "operators/outlier/hampel.h"
#include "operators/outlier/holt_winters.h"
#include "operators/outlier/iqr_fence.h"
#include "operators/outlier/ratio_outlier.h"
#include "operators/outlier/rolling_mad.h"
#include "operators/outlier/seasonal_baseline.h"
#include "operators/outlier/spectral_residual.h"
#include "operators/outlier/tail_calibrator.h"

namespace freshet::bench {

/// A detector as an operator runs it: a row in, what it says of it out (nothing until it is warm), then it learns.
using Observe = std::function<std::optional<TailProbability>(const double* row)>;

/// What the noise is made into before a method sees it.
enum class Measured : uint8_t {
  kLevel,  ///< the noise itself
  kCount,  ///< a count whose rate follows the noise
  kRatio,  ///< a ratio of kRatioTrials whose odds follow the noise
};
inline constexpr int kRatioTrials = 200;

struct Method {
  std::string name;
  int features = 1;  ///< independent series of the noise side by side
  std::function<Observe()> make;
  Measured measured = Measured::kLevel;
};

/// `Forest` as the operator isolation_forest uses it: its score's own past makes the p-value.
template <class Forest, class Options>
Method ForestMethod(const std::string& name, const TailCalibratorOptions& calibration = {}) {
  constexpr int features = 4;
  return {name, features, [calibration]() -> Observe {
            Options options;
            options.features = features;
            struct Model {
              Forest forest;
              TailCalibrator calibrator;
            };
            auto model = std::make_shared<Model>(Model{Forest(options), TailCalibrator(calibration)});
            return [model](const double* row) {
              const double score = model->forest.ScoreAndLearn(row);
              const auto p = model->calibrator.Probability(score);
              model->calibrator.Learn(score);
              return p;
            };
          }};
}

/// `Detector` as the operator statistical_outlier uses it with `calibrate`: its own tail at first, then the scores' own
/// past. Rows are minutes.
template <class Detector>
Method OutlierMethod(const std::string& name, const Detector& fresh = Detector(),
                     Measured measured = Measured::kLevel) {
  return {name, 1,
          [fresh]() -> Observe {
            struct Model {
              Detector detector;
              TailCalibrator calibrator;
              int64_t minute;
            };
            TailCalibratorOptions options;
            options.history = 1000;
            auto model = std::make_shared<Model>(Model{fresh, TailCalibrator(options), 0});
            return [model](const double* row) -> std::optional<TailProbability> {
              const EventTime time{60'000'000 * model->minute++};
              const OutlierVerdict verdict = model->detector.ScoreAndLearn({row[0], time, kRatioTrials});
              if (!verdict.warm()) return std::nullopt;
              const auto p = model->calibrator.Probability(std::abs(verdict.score));
              model->calibrator.Learn(std::abs(verdict.score));
              if (!p && std::isnan(verdict.p_value)) return std::nullopt;
              return p ? *p : TailProbability{verdict.p_value, 0};
            };
          },
          measured};
}

inline CountOutlier Overdispersed() {
  CountOutlierOptions options;
  options.overdispersed = true;
  return CountOutlier(options);
}

/// The composed detector; rows are minutes, so that 1,440 are a day. Its p-values have no ties to speak of.
inline Method ComposedMethod(const std::string& name, int metrics) {
  return {name, metrics, [metrics]() -> Observe {
            AnomalyOptions options;
            options.metrics = metrics;
            auto model = std::make_shared<AnomalyModel>(options);
            auto minute = std::make_shared<int64_t>(0);
            return [model, minute](const double* row) -> std::optional<TailProbability> {
              const AnomalyVerdict verdict = model->ScoreAndLearn({60'000'000 * (*minute)++}, row, nullptr);
              if (!verdict.p_value) return std::nullopt;
              return TailProbability{*verdict.p_value, 0};
            };
          }};
}

/// All methods that are measured: a new one is one more line.
inline std::vector<Method> Methods() {
  return {
      ForestMethod<RollingForest, RollingForestOptions>("forest rolling"),
      ForestMethod<OnlineForest, OnlineForestOptions>("forest online", ForWanderingScores()),
      OutlierMethod<EwmaZScore>("ewma_zscore"),
      OutlierMethod<RollingMad>("mad"),
      OutlierMethod<Hampel>("hampel"),
      OutlierMethod<IqrFence>("iqr"),
      OutlierMethod<HoltWinters>("holt_winters"),
      OutlierMethod<GesdModel>("gesd"),
      OutlierMethod<SeasonalBaseline>("seasonal"),
      OutlierMethod<SpectralResidual>("spectral"),
      OutlierMethod<CountOutlier>("poisson", CountOutlier(), Measured::kCount),
      OutlierMethod<CountOutlier>("negbin", Overdispersed(), Measured::kCount),
      OutlierMethod<RatioOutlier>("beta_binomial", RatioOutlier(), Measured::kRatio),
      ForestMethod<HalfSpaceTrees, HalfSpaceTreesOptions>("half_space"),
      ForestMethod<RandomCutForest, RandomCutForestOptions>("random_cut"),
      ComposedMethod("anomaly", 1),
      ComposedMethod("anomaly of 3", 3),
  };
}

inline constexpr std::array<double, 3> kAsked = {1e-2, 1e-3, 1e-4};

/// What a method said on a stream in which nothing is wrong.
struct FalseAlarms {
  int64_t rows = 0;                    ///< that had a p-value
  std::array<int64_t, 3> alarms = {};  ///< with p below kAsked
  double distance = 0;                 ///< Kolmogorov–Smirnov, of p-values to uniform
  double rate(size_t i) const { return static_cast<double>(alarms[i]) / static_cast<double>(rows); }
};

/// Alarms are counted by the p-value that is reported, in which ties count half. A p-value of values that tie cannot be
/// uniform (nor can that of counts); for the distance it is drawn from its range of ties, by a seeded generator.
inline FalseAlarms MeasureFalseAlarms(const Method& method, Noise noise, int64_t rows, uint64_t seed) {
  std::vector<NoiseSeries> series;
  for (int j = 0; j < method.features; ++j) series.emplace_back(noise, Mix64(seed * 1000 + static_cast<uint64_t>(j)));
  std::vector<double> row(series.size());
  const Observe observe = method.make();
  Rng rng(seed);
  FalseAlarms result;
  std::vector<double> p;
  for (int64_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < series.size(); ++j)
      row[j] = method.measured == Measured::kLevel   ? series[j].Next()
               : method.measured == Measured::kCount ? series[j].NextCount()
                                                     : series[j].NextRatio(kRatioTrials);
    const auto said = observe(row.data());
    if (!said) continue;
    for (size_t a = 0; a < kAsked.size(); ++a) result.alarms[a] += said->middle() < kAsked[a];
    p.push_back(std::min(1.0, said->above + rng.NextDouble() * said->ties));
  }
  result.rows = static_cast<int64_t>(p.size());
  std::sort(p.begin(), p.end());
  const auto n = static_cast<double>(p.size());
  for (size_t i = 0; i < p.size(); ++i) {
    const auto rank = static_cast<double>(i);
    result.distance = std::max({result.distance, p[i] - rank / n, (rank + 1) / n - p[i]});
  }
  return result;
}

}  // namespace freshet::bench
