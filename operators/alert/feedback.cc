#include "operators/alert/feedback.h"

#include <algorithm>
#include <cmath>

namespace freshet {

const char* AlertLabelName(AlertLabel label) {
  switch (label) {
    case AlertLabel::kUseful:
      return "useful";
    case AlertLabel::kNoise:
      return "noise";
    case AlertLabel::kNone:
      break;
  }
  return nullptr;
}

void Feedback::Learn(AlertLabel label, double surprise) {
  if (label == AlertLabel::kNone) return;
  if (surprise > 0) weakest_ = weakest_ > 0 ? std::min(weakest_, surprise) : surprise;
  const bool noise = label == AlertLabel::kNoise;
  ++(noise ? noise_count_ : useful_count_);
  const double step = std::log(2.0) / std::pow(static_cast<double>(useful_count_ + noise_count_), 0.7);
  const double bound = std::log(kFactorMax);
  log_factor_ = std::clamp(log_factor_ + step * (noise ? 1 - kNoiseTolerated : -kNoiseTolerated), -bound, bound);
}

double Feedback::factor() const { return std::exp(log_factor_); }

void Feedback::Encode(ByteSink& sink) const {
  sink.PutF64(log_factor_);
  sink.PutU32(useful_count_);
  sink.PutU32(noise_count_);
}

bool Feedback::Decode(ByteSource& source) {
  log_factor_ = source.GetF64();
  useful_count_ = source.GetU32();
  noise_count_ = source.GetU32();
  return source.ok() && std::abs(log_factor_) <= std::log(kFactorMax) + 1e-9;
}

bool Feedback::DecodeWeakest(ByteSource& source) {
  weakest_ = source.GetF64();
  return source.ok() && std::isfinite(weakest_) && weakest_ >= 0;
}

double Harder(double threshold, double factor, bool upwards) {
  return (threshold < 0) != upwards ? threshold * factor : threshold / factor;
}

}  // namespace freshet
