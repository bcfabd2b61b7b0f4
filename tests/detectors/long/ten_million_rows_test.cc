// One key with 10 rows and one with 10,000,000: models neither grow nor wear out, and the young say nothing.
#include <doctest/doctest.h>

#include <cmath>
#include <optional>
#include <string>

#include "engine/base/rng.h"
#include "operators/anomaly/anomaly_model.h"
#include "operators/isolation_forest/online_forest.h"
#include "operators/outlier/ewma_zscore.h"
#include "operators/outlier/tail_calibrator.h"

namespace freshet {
namespace {

constexpr int64_t kRows = 10'000'000;
constexpr int64_t kGrown = 200'000;
constexpr int64_t kLast = 1'000'000;
constexpr int64_t kSecondUs = 1'000'000;

/// As the operators hold them: a score, then its p-value.
struct Ewma {
  EwmaZScore detector;
  TailCalibrator calibrator{TailCalibratorOptions{.history = 1000}};
  std::optional<double> PValue(int64_t, double x) {
    const OutlierVerdict verdict = detector.ScoreAndLearn(x);
    return verdict.warm() ? calibrator.PValueAndLearn(std::abs(verdict.score)) : std::nullopt;
  }
  size_t memory_bytes() const { return detector.memory_bytes() + calibrator.memory_bytes(); }
  void Encode(ByteSink& sink) const {
    detector.Encode(sink);
    calibrator.Encode(sink);
  }
  bool Decode(ByteSource& source) { return detector.Decode(source).ok() && calibrator.Decode(source).ok(); }
};

struct Forest {
  OnlineForest forest{OnlineForestOptions{.features = 1}};
  TailCalibrator calibrator{ForWanderingScores()};
  std::optional<double> PValue(int64_t, double x) { return calibrator.PValueAndLearn(forest.ScoreAndLearn(&x)); }
  size_t memory_bytes() const { return forest.memory_bytes() + calibrator.memory_bytes(); }
  void Encode(ByteSink& sink) const {
    forest.Encode(sink);
    calibrator.Encode(sink);
  }
  bool Decode(ByteSource& source) { return forest.Decode(source).ok() && calibrator.Decode(source).ok(); }
};

struct Composed {
  AnomalyModel model{[] {
    AnomalyOptions options;
    options.series.history = 200;
    return options;
  }()};
  std::optional<double> PValue(int64_t row, double x) {
    return model.ScoreAndLearn({row * kSecondUs}, &x, nullptr).p_value;
  }
  size_t memory_bytes() const { return model.memory_bytes(); }
  void Encode(ByteSink& sink) const { model.Encode(sink); }
  bool Decode(ByteSource& source) { return model.Decode(source).ok(); }
};

template <class Model>
void Watch(const std::string& name) {
  const uint64_t seed = 41;
  Rng rng(seed);
  Model much, little;
  size_t grown_bytes = 0;
  int64_t below = 0;
  for (int64_t i = 0; i < kRows; ++i) {
    // The small key's rows lie among the others.
    if (i % (kRows / 10) == 0) CHECK_FALSE(little.PValue(i, rng.NextNormal()).has_value());
    const std::optional<double> p = much.PValue(i, 10 + rng.NextNormal());
    if (i == kGrown) grown_bytes = much.memory_bytes();
    if (i < kRows - kLast) continue;
    REQUIRE(p.has_value());
    below += *p < 1e-2;
  }
  INFO(name << ", seed " << seed << ": " << below << " of the last " << kLast << " rows below 1e-2; "
            << much.memory_bytes() << " bytes, after " << kGrown << " rows " << grown_bytes);
  CHECK(static_cast<double>(below) > 0.8e-2 * kLast);
  CHECK(static_cast<double>(below) < 1.25e-2 * kLast);
  CHECK(much.memory_bytes() < grown_bytes + grown_bytes / 10);
  CHECK(little.memory_bytes() < much.memory_bytes());
  ByteSink sink;
  much.Encode(sink);
  Model restored;
  ByteSource source(sink.bytes());
  REQUIRE(restored.Decode(source));
  CHECK(source.exhausted());
  for (int64_t i = kRows; i < kRows + 1000; ++i) {
    const double x = 10 + rng.NextNormal();
    CHECK(much.PValue(i, x) == restored.PValue(i, x));
  }
  CHECK(*much.PValue(kRows + 1000, 40) < 1e-3);
}

TEST_CASE("Detectors_TenRowsBesideTenMillion_NeitherGrowNorWearOut") {
  Watch<Ewma>("ewma_zscore");
  Watch<Forest>("online forest");
  Watch<Composed>("anomaly");
}

}  // namespace
}  // namespace freshet
