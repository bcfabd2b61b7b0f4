#include "operators/outlier/tail_calibrator.h"

#include <algorithm>
#include <cmath>

namespace freshet {
namespace {

constexpr uint8_t kCodec = 2;
constexpr uint8_t kCodecWithoutPeaks = 1;
constexpr double kPeakShare = 0.02;
constexpr size_t kPeakCountMin = 20;
constexpr uint32_t kRefitEvery = 64;
constexpr uint32_t kAnomalyRunMax = 50;
constexpr double kSmallest = 1e-12;

}  // namespace

Status TailCalibrator::Validate(const TailCalibratorOptions& options) {
  if (options.history < 50 || options.history > 65535)
    return Status::InvalidArgument("history must be from 50 to 65535");
  if (options.warmup < 20 || options.warmup > options.history) {
    return Status::InvalidArgument("warmup must be from 20 to history");
  }
  if (options.stride < 1) return Status::InvalidArgument("stride must be at least 1");
  if (options.peaks < 50 || options.peaks > 65535) return Status::InvalidArgument("peaks must be from 50 to 65535");
  if (!(options.exclude_below >= 0 && options.exclude_below < 0.01)) {
    return Status::InvalidArgument("exclude_below must be in [0, 0.01)");
  }
  return Status::Ok();
}

TailCalibrator::TailCalibrator(const TailCalibratorOptions& options)
    : options_(options), window_(static_cast<size_t>(options.history)), peaks_(static_cast<size_t>(options.peaks)) {}

float TailCalibrator::Threshold() const {
  const size_t n = window_.size();
  const auto share = static_cast<size_t>(kPeakShare * static_cast<double>(n));
  return window_[n - 1 - std::max(share, std::min(kPeakCountMin, n / 2))];
}

std::optional<TailProbability> TailCalibrator::Probability(double score) const {
  if (!ready() || std::isnan(score)) return std::nullopt;
  const auto x = static_cast<float>(score);
  const float threshold = Threshold();
  const double all = static_cast<double>(window_.size() + 1);
  const auto share_above = [&](float v) { return static_cast<double>(window_.size() - window_.UpTo(v)) / all; };
  if (!(x > threshold)) {
    return TailProbability{share_above(x), static_cast<double>(window_.UpTo(x) - window_.Below(x) + 1) / all};
  }
  const TailProbability p = peaks_.Above(x);
  // The peaks may remember times with more of them: the history says how many there are at most.
  const double most = share_above(threshold) + 0.5 / all;
  return p.middle() > most ? TailProbability{most, 0} : p;
}

std::optional<double> TailCalibrator::PValue(double score) const {
  const auto p = Probability(score);
  if (!p) return std::nullopt;
  return std::clamp(p->middle(), kSmallest, 1.0);
}

void TailCalibrator::Learn(double score, std::optional<double> p) {
  if (std::isnan(score)) return;
  if (p && *p < options_.exclude_below) {
    if (anomaly_run_ < kAnomalyRunMax) {
      ++anomaly_run_;
      return;
    }
  } else {
    anomaly_run_ = 0;
  }
  const auto x = static_cast<float>(score);
  const bool was_ready = ready();
  if (was_ready) peaks_.See(x, x > Threshold());
  if (!window_.full() || ++skipped_ >= static_cast<uint32_t>(options_.stride)) {
    window_.Push(x);
    skipped_ = 0;
  }
  if (!was_ready) {
    if (ready()) TakePeaksOfHistory();
  } else if (++since_fit_ >= kRefitEvery) {
    since_fit_ = 0;
    peaks_.Fit();
  }
}

void TailCalibrator::TakePeaksOfHistory() {
  const float threshold = Threshold();
  window_.ForEach([&](float x) { peaks_.See(x, x > threshold); });
  since_fit_ = 0;
  peaks_.Fit();
}

void TailCalibrator::Encode(ByteSink& sink) const {
  sink.PutU8(kCodec);
  window_.Encode(sink);
  peaks_.Encode(sink);
  sink.PutU32(skipped_);
  sink.PutU32(since_fit_);
  sink.PutU32(anomaly_run_);
}

Status TailCalibrator::Decode(ByteSource& source) {
  const uint8_t codec = source.GetU8();
  if (codec != kCodec && codec != kCodecWithoutPeaks) return Status::DataLoss("tail calibrator: unknown codec");
  if (!window_.Decode(source))
    return Status::DataLoss("tail calibrator: the snapshot is damaged or of a longer history");
  if (codec == kCodecWithoutPeaks) {
    for (int i = 0; i < 5; ++i) source.GetF64();  // the tail as it was fitted then
    for (int i = 0; i < 2; ++i) source.GetU32();
    peaks_ = TailPeaks(static_cast<size_t>(options_.peaks));
    skipped_ = 0;
    if (ready()) TakePeaksOfHistory();
  } else {
    if (!peaks_.Decode(source)) return Status::DataLoss("tail calibrator: the snapshot is damaged or of more peaks");
    skipped_ = source.GetU32();
    since_fit_ = source.GetU32();
  }
  anomaly_run_ = source.GetU32();
  return source.ok() ? Status::Ok() : Status::DataLoss("tail calibrator: the snapshot is torn");
}

}  // namespace freshet
