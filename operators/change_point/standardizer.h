#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "engine/base/bytes.h"
#include "operators/change_point/change_detector.h"

namespace freshet {

/// Self-starting standardisation (Hawkins, The American Statistician 1987): a value less the mean of those before it,
/// over their standard deviation, is Student's t; brought to a normal (Wallace 1959), the results are standard normal
/// and independent on normal noise of any level and width, without a training period. Clipped at 4, so that a single
/// wild value is not a change, and learnt as clipped. 24 bytes.
class SelfStartingStandardizer {
 public:
  static constexpr int64_t kWarmup = 30;  ///< before that, 0 is given
  static constexpr double kClip = 4;

  double mean() const { return mean_; }
  bool warm() const { return count_ > kWarmup; }  ///< the last value was standardised
  /// REQUIRES: x is finite.
  double StandardizeAndLearn(double x) {
    double z = 0;
    if (count_ >= kWarmup) {
      const auto n = static_cast<double>(count_);
      const double floor = std::max(1e-6 * std::abs(mean_), 1e-12);
      const double deviation = std::max(std::sqrt(squares_ / (n - 1)), floor);
      const double spread = deviation * std::sqrt(1 + 1 / n);
      const double t = (x - mean_) / spread;
      const double freedom = n - 1;
      const double scale = (8 * freedom + 1) / (8 * freedom + 3);
      z = std::copysign(scale * std::sqrt(freedom * std::log1p(t * t / freedom)), t);
      if (std::abs(z) > kClip) {
        z = std::copysign(kClip, z);
        x = mean_ + std::copysign(kClip * spread, t);
      }
    }
    ++count_;
    const double d = x - mean_;
    mean_ += d / static_cast<double>(count_);
    squares_ += d * (x - mean_);
    return z;
  }
  void Encode(ByteSink& sink) const {
    sink.PutI64(count_);
    sink.PutF64(mean_);
    sink.PutF64(squares_);
  }
  void Decode(ByteSource& source) {
    count_ = source.GetI64();
    mean_ = source.GetF64();
    squares_ = source.GetF64();
  }

 private:
  int64_t count_ = 0;
  double mean_ = 0;
  double squares_ = 0;
};

/// How much further a cumulative sum of standardised values z, less the slack k each, must go on noise of some shape so
/// that it gets there as seldom as on normal noise.
///
/// Such a sum passes a far h with a chance that falls like exp(-theta h), where E exp(theta (z - k)) = 1 (Lundberg's
/// exponent; Siegmund, Sequential Analysis, 1985, ch. 8): theta is 2 k on normal noise, and smaller where the tail on
/// the side of the change is heavier. It is found by stochastic approximation (Robbins and Monro 1951), from 2 k on and
/// as if that had held for 250 / k^2 rows, as a smaller exponent takes longer to tell; it is never above 4 k. Memory:
/// 24 bytes.
class TailExponent {
 public:
  explicit TailExponent(double slack) : slack_(slack), theta_(2 * slack) {}
  /// Times the h for normal noise, 0.5 to 10.
  double Stretch() const { return 2 * slack_ / theta_; }
  void Learn(double z) {
    ++count_;
    const double gain = 1 / (slack_ * (static_cast<double>(count_) + kPriorRows / (slack_ * slack_)));
    theta_ = std::clamp(theta_ + gain * (1 - std::exp(theta_ * (z - slack_))), slack_ / 5, 4 * slack_);
  }
  void Encode(ByteSink& sink) const {
    sink.PutI64(count_);
    sink.PutF64(theta_);
  }
  bool Decode(ByteSource& source) {
    count_ = source.GetI64();
    theta_ = source.GetF64();
    return count_ >= 0 && theta_ >= slack_ / 5 && theta_ <= 4 * slack_;
  }

 private:
  static constexpr double kPriorRows = 250;  // at a slack of 1
  double slack_;
  int64_t count_ = 0;
  double theta_;
};

/// The values since a moment, and the level before it.
struct SinceMoment {
  EventTime began;
  double before = 0;
  int64_t count = 0;
  double sum = 0;
  void Start(EventTime time, double level) { *this = {time, level, 0, 0}; }
  void Add(double x) {
    ++count;
    sum += x;
  }
  Change Tell() const { return {began, before, count > 0 ? sum / static_cast<double>(count) : before}; }
  void Encode(ByteSink& sink) const {
    sink.PutI64(began.us);
    sink.PutF64(before);
    sink.PutI64(count);
    sink.PutF64(sum);
  }
  void Decode(ByteSource& source) {
    began.us = source.GetI64();
    before = source.GetF64();
    count = source.GetI64();
    sum = source.GetF64();
  }
};

}  // namespace freshet
