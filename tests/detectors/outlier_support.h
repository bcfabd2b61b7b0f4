#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/base/rng.h"
#include "operators/outlier/outlier_model.h"

namespace freshet::testing {

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Kolmogorov–Smirnov distance to uniform.
inline double DistanceToUniform(std::vector<double> p) {
  std::sort(p.begin(), p.end());
  double distance = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    const double n = static_cast<double>(p.size());
    distance = std::max(
        {distance, std::abs(p[i] - static_cast<double>(i) / n), std::abs(p[i] - static_cast<double>(i + 1) / n)});
  }
  return distance;
}

inline double ShareBelow(const std::vector<double>& p, double bound) {
  return static_cast<double>(std::count_if(p.begin(), p.end(), [&](double v) { return v < bound; })) /
         static_cast<double>(p.size());
}

/// A Poisson draw by counting exponential gaps; for means up to some thousands.
inline double NextPoisson(Rng& rng, double mean) {
  double k = -1, time = 0;
  while (time < mean) {
    time += rng.NextExponential();
    k += 1;
  }
  return k;
}
/// A Gamma draw with whole shape.
inline double NextGamma(Rng& rng, int shape, double scale) {
  double sum = 0;
  for (int i = 0; i < shape; ++i) sum += rng.NextExponential();
  return sum * scale;
}

/// A model of some method and the stream on which it lives.
struct MethodCase {
  std::string name;
  std::function<std::unique_ptr<OutlierModel>()> make;
  /// A usual value as the i-th of the stream.
  std::function<OutlierInput(Rng& rng, int i)> next;
};

/// The score sequence does not depend on where the model was saved and restored; torn bytes are refused.
inline void CheckSnapshots(const MethodCase& method, uint64_t seed, int rows) {
  INFO(method.name << ", seed " << seed);
  Rng rng(seed);
  const auto through = method.make();
  auto restored = method.make();
  for (int i = 0; i < rows; ++i) {
    if (rng.Below(100) == 0) {
      ByteSink sink;
      restored->Encode(sink);
      auto next = method.make();
      ByteSource source(sink.bytes());
      REQUIRE(next->Decode(source).ok());
      REQUIRE(source.exhausted());
      ByteSource torn(std::string_view(sink.bytes()).substr(0, sink.size() / 2));
      REQUIRE_FALSE(method.make()->Decode(torn).ok());
      restored = std::move(next);
    }
    OutlierInput in = method.next(rng, i);
    if (rng.Below(50) == 0) in.x = rng.Below(4) == 0 ? kNan : in.x * 20;
    const OutlierVerdict a = through->ScoreAndLearn(in), b = restored->ScoreAndLearn(in);
    const auto same = [](double u, double v) { return u == v || (std::isnan(u) && std::isnan(v)); };
    REQUIRE((same(a.score, b.score) && same(a.p_value, b.p_value) && same(a.lower, b.lower)));
  }
  ByteSink one, two;
  through->Encode(one);
  restored->Encode(two);
  CHECK(one.bytes() == two.bytes());
}

/// What every method must bear: nothing that it says is NaN or infinite, bounds hold the expectation, and bad values
/// leave no trace.
inline void CheckSane(const MethodCase& method, const OutlierVerdict& v) {
  INFO(method.name);
  if (!v.warm()) return;
  REQUIRE(std::abs(v.score) <= kOutlierScoreMax);
  REQUIRE(!(v.p_value < 0 || v.p_value > 1));
  REQUIRE(std::isfinite(v.expected));
  REQUIRE(v.lower <= v.expected);
  REQUIRE(v.expected <= v.upper);
  REQUIRE(std::isfinite(v.lower));
  REQUIRE(std::isfinite(v.upper));
}

inline void CheckBadValues(const MethodCase& method, uint64_t seed, int rows) {
  INFO(method.name << ", seed " << seed);
  Rng rng(seed);
  const auto clean = method.make();
  const auto spoilt = method.make();
  bool warm = false;
  for (int i = 0; i < rows; ++i) {
    const OutlierInput in = method.next(rng, i);
    for (const double bad : {kNan, kInfinity, -kInfinity}) {
      OutlierInput worse = in;
      worse.x = bad;
      const OutlierVerdict v = spoilt->ScoreAndLearn(worse);
      CheckSane(method, v);
      if (std::isnan(bad)) REQUIRE_FALSE(v.warm());
      if (v.warm()) REQUIRE(v.score == std::copysign(kOutlierScoreMax, bad));
    }
    const OutlierVerdict a = clean->ScoreAndLearn(in), b = spoilt->ScoreAndLearn(in);
    CheckSane(method, a);
    REQUIRE(a.warm() == b.warm());
    if (a.warm()) REQUIRE(a.score == b.score);
    warm = warm || a.warm();
  }
  CHECK(warm);
}

/// After `quiet` usual values, one spike is far out and the next one as far, nearly; a lasting shift is learnt within
/// `learn` values.
inline void CheckSpikeAndShift(const MethodCase& method, double factor, int quiet, int learn) {
  INFO(method.name);
  Rng rng(77);
  const auto model = method.make();
  int i = 0;
  for (; i < quiet; ++i) model->Learn(method.next(rng, i));
  const auto shifted = [&](double by) {
    OutlierInput in = method.next(rng, i++);
    in.x *= by;
    return in;
  };
  const double first = model->ScoreAndLearn(shifted(factor)).score;
  const double second = model->Score(shifted(factor)).score;
  MESSAGE(method.name << ": spike " << first << ", then " << second);
  CHECK(first > 3);
  CHECK(second > 0.4 * first);
  std::vector<double> after;
  for (int n = 0; n < learn; ++n) {
    const double score = model->ScoreAndLearn(shifted(factor)).score;
    if (n >= learn - 50) after.push_back(std::abs(score));
  }
  std::sort(after.begin(), after.end());
  CHECK(after[25] < 3);
}

}  // namespace freshet::testing
