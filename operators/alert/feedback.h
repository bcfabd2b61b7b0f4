#pragma once

#include <cstdint>

#include "engine/base/bytes.h"

namespace freshet {

/// What people say of an alert.
enum class AlertLabel : uint8_t { kNone = 0, kUseful = 1, kNoise = 2 };  // in state: frozen
const char* AlertLabelName(AlertLabel label);

/// How much harder or easier than written a threshold is, learned from what people say: a factor within [1/4, 4],
/// 1 at first. A plain value.
///
/// The n-th label moves log(factor) by a step of ln 2 / n^0.7 times (1 − t) if it says noise, −t if it says useful,
/// where t = 0.2 is the share of noise that people put up with: stochastic approximation of the threshold at which one
/// alert in five is noise (Robbins and Monro, 1951; the steps' sum diverges, that of their squares does not).
///
/// A rule that is no threshold has none that could move. There the factor moves a floor under how surprising a row must
/// be, beside what the rule says: as soon as noise outweighs (factor > 1), that many times the surprise of the weakest
/// alert that was labelled. It can make such a rule harder than written, and take that back, but never easier.
class Feedback {
 public:
  static constexpr double kFactorMax = 4;
  static constexpr double kNoiseTolerated = 0.2;

  /// `surprise`: of the alert, its most surprising row; 0: not known.
  void Learn(AlertLabel label, double surprise = 0);
  double factor() const;
  /// 0: none.
  double SurpriseFloor() const { return log_factor_ > 0 ? weakest_ * factor() : 0; }
  uint32_t useful_count() const { return useful_count_; }
  uint32_t noise_count() const { return noise_count_; }
  bool empty() const { return useful_count_ + noise_count_ == 0; }

  void Encode(ByteSink& sink) const;
  bool Decode(ByteSource& source);
  /// What the first layout has not.
  void EncodeWeakest(ByteSink& sink) const { sink.PutF64(weakest_); }
  bool DecodeWeakest(ByteSource& source);

 private:
  double log_factor_ = 0;
  double weakest_ = 0;  ///< surprise of the weakest labelled alert; 0: none
  uint32_t useful_count_ = 0;
  uint32_t noise_count_ = 0;
};

/// A threshold made harder to pass by `factor`. One that is passed upwards is multiplied, one that is passed downwards
/// divided; below zero it is the other way round. Zero stays zero.
double Harder(double threshold, double factor, bool upwards);

}  // namespace freshet
