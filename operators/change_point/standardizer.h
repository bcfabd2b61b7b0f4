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
