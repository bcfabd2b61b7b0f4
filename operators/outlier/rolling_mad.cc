#include "operators/outlier/rolling_mad.h"

#include <algorithm>
#include <cmath>

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
constexpr double kNormalMad = 0.6745;  // MAD / standard deviation of a normal
constexpr double kNormalIqr = 1.349;   // IQR / standard deviation of a normal
constexpr double kMadEfficiency = 0.37;
constexpr double kRelativeFloor = 1e-6;
constexpr double kAbsoluteFloor = 1e-12;

bool IsFractional(double x) { return x != std::floor(x); }

}  // namespace

Status RollingMad::Validate(const RollingMadOptions& options) {
  if (options.window < 5 || options.window > 65535) return Status::InvalidArgument("window must be from 5 to 65535");
  if (options.warmup < 5 || options.warmup > options.window) {
    return Status::InvalidArgument("warmup must be from 5 to window");
  }
  if (!(options.threshold > 0)) return Status::InvalidArgument("threshold must be above 0");
  if (!(options.unit >= 0)) return Status::InvalidArgument("unit must not be negative");
  return Status::Ok();
}

double RollingMad::Quantile(double q) const {
  const double at = q * static_cast<double>(window_.size() - 1);
  const auto low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, window_.size() - 1);
  return window_[low] + (at - static_cast<double>(low)) * (window_[high] - window_[low]);
}

// The k smallest |x - median| are neighbours in sorted order: the k-th smallest deviation is that of the tightest run
// of k values around the median, whose start is found by halving.
double RollingMad::MedianDeviation(double median) const {
  const size_t n = window_.size();
  const size_t k = n / 2 + 1;
  size_t low = 0, high = n - k;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (median - window_[middle] > window_[middle + k] - median)
      low = middle + 1;
    else
      high = middle;
  }
  return std::max(median - window_[low], window_[low + k - 1] - median);
}

double RollingMad::Scale(double median) const {
  const double spread = std::max(MedianDeviation(median) / kNormalMad, (Quantile(0.75) - Quantile(0.25)) / kNormalIqr);
  double unit = options_.unit;
  if (unit == 0 && fractional_ == 0) unit = spread > 0 ? 0 : 1;
  return std::max({spread, unit, kRelativeFloor * std::abs(median), kAbsoluteFloor});
}

OutlierVerdict RollingMad::Score(double x) const {
  OutlierVerdict verdict;
  if (!ready() || std::isnan(x)) return verdict;
  const double median = Quantile(0.5);
  const double scale = Scale(median);
  verdict.score = std::clamp((x - median) / scale, -kOutlierScoreMax, kOutlierScoreMax);
  verdict.expected = median;
  verdict.lower = median - options_.threshold * scale;
  verdict.upper = median + options_.threshold * scale;
  const double n = static_cast<double>(window_.size());
  // A median's variance is pi / (2 n).
  verdict.p_value = TwoSidedStudentTail(verdict.score / std::sqrt(1 + std::numbers::pi / 2 / n),
                                        std::max(1.0, kMadEfficiency * (n - 1)));
  return verdict;
}

void RollingMad::Learn(double x) {
  if (!std::isfinite(x)) return;
  if (window_.full()) fractional_ -= IsFractional(window_.Oldest());
  fractional_ += IsFractional(x);
  window_.Push(x);
}

void RollingMad::Encode(ByteSink& sink) const {
  sink.PutU8(kCodec);
  sink.PutVarint(window_.size());
  window_.ForEach([&](double x) { sink.PutF64(x); });
}

Status RollingMad::Decode(ByteSource& source) {
  if (source.GetU8() != kCodec) return Status::DataLoss("rolling_mad: unknown codec");
  const uint64_t count = source.GetVarint();
  if (count > static_cast<uint64_t>(options_.window) || source.remaining() / sizeof(double) < count) {
    return Status::DataLoss("rolling_mad: the snapshot is torn or of a longer window");
  }
  window_.Clear();
  fractional_ = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const double x = source.GetF64();
    if (!std::isfinite(x)) return Status::DataLoss("rolling_mad: the snapshot is damaged");
    Learn(x);
  }
  return source.ok() ? Status::Ok() : Status::DataLoss("rolling_mad: the snapshot is torn");
}

}  // namespace freshet
