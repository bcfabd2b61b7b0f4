#include "operators/anomaly/recent_tail.h"

#include <algorithm>
#include <cmath>

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
constexpr double kTailShare = 0.04;
constexpr size_t kTailCountMin = 20;
constexpr uint32_t kRefitEvery = 64;
constexpr uint32_t kAnomalyRunMax = 50;
constexpr double kSmallest = 1e-12;
// The end of a shorter tail is so near (less than four scales off) that a usual record would get p = 0; longer ones
// have no variance.
constexpr double kShapeMin = -0.25;
constexpr double kShapeMax = 0.5;
// The mean of the shape starts as if this many fits had given 0, and forgets after this many.
constexpr uint32_t kShapePrior = 32;
constexpr uint32_t kShapeMemory = 1024;

}  // namespace

Status RecentTail::Validate(const RecentTailOptions& options) {
  if (options.history < 50 || options.history > 65535)
    return Status::InvalidArgument("history must be from 50 to 65535");
  if (options.warmup < 20 || options.warmup > options.history) {
    return Status::InvalidArgument("warmup must be from 20 to history");
  }
  if (!(options.exclude_below >= 0 && options.exclude_below < 0.01)) {
    return Status::InvalidArgument("exclude_below must be in [0, 0.01)");
  }
  return Status::Ok();
}

RecentTail::RecentTail(const RecentTailOptions& options)
    : options_(options), window_(static_cast<size_t>(options.history)) {}

std::optional<double> RecentTail::PValue(double score) const {
  if (!ready() || std::isnan(score)) return std::nullopt;
  const auto x = static_cast<float>(score);
  if (scale_ > 0 && static_cast<double>(x) > start_) {
    const double excess = (static_cast<double>(x) - start_) / scale_;
    const double inner = 1 + shape_ * excess;
    double tail = 0;
    if (std::abs(shape_) < 1e-6)
      tail = std::exp(-excess);
    else if (inner > 0)
      tail = std::exp(-std::log(inner) / shape_);
    return std::max(kSmallest, share_ * tail);
  }
  const size_t below = window_.Below(x);
  const bool ties = below < window_.size() && window_[below] == x;
  const size_t up_to = ties ? window_.UpTo(x) : below;
  const double above = static_cast<double>(window_.size() - up_to) + 0.5 * static_cast<double>(up_to - below + 1);
  const double p = above / static_cast<double>(window_.size() + 1);
  return scale_ > 0 ? std::max(p, share_) : p;
}

void RecentTail::Learn(double score, std::optional<double> p) {
  if (std::isnan(score)) return;
  if (p && *p < options_.exclude_below) {
    if (anomaly_run_ < kAnomalyRunMax) {
      ++anomaly_run_;
      return;
    }
  } else {
    anomaly_run_ = 0;
  }
  window_.Push(static_cast<float>(score));
  ++since_fit_;
  if (ready() && (since_fit_ >= kRefitEvery || share_ == 0)) Refit();
}

void RecentTail::Refit() {
  since_fit_ = 0;
  const size_t n = window_.size();
  const auto wanted = static_cast<size_t>(kTailShare * static_cast<double>(n));
  const size_t count = std::min(std::max(wanted, kTailCountMin), n / 2);
  const auto m = static_cast<double>(count);
  start_ = static_cast<double>(window_[n - count - 1]);
  share_ = (m + 0.5) / static_cast<double>(n + 1);
  // a0 = E[Y], a1 = E[Y (1 - F(Y))] over the excesses.
  double a0 = 0, a1 = 0;
  for (size_t i = 0; i < count; ++i) {
    const double y = static_cast<double>(window_[n - count + i]) - start_;
    a0 += y;
    a1 += y * (1 - (static_cast<double>(i) + 0.65) / m);
  }
  a0 /= m;
  a1 /= m;
  scale_ = 0;
  const double spread = a0 - 2 * a1;
  if (!(a0 > 0) || !std::isfinite(a0)) return;
  const double fitted = spread > 0 ? std::clamp(2 - a0 / spread, -1.0, 1.0) : -1.0;
  fit_count_ = std::min(fit_count_ + 1, kShapeMemory);
  shape_mean_ += (fitted - shape_mean_) / (fit_count_ + kShapePrior);
  shape_ = std::clamp(shape_mean_, kShapeMin, kShapeMax);
  scale_ = a0 * (1 - shape_);  // the mean of a generalised Pareto is scale / (1 - shape)
}

void RecentTail::Encode(ByteSink& sink) const {
  sink.PutU8(kCodec);
  window_.Encode(sink);
  for (double v : {start_, share_, shape_, scale_, shape_mean_}) sink.PutF64(v);
  sink.PutU32(fit_count_);
  sink.PutU32(since_fit_);
  sink.PutU32(anomaly_run_);
}

Status RecentTail::Decode(ByteSource& source) {
  if (source.GetU8() != kCodec) return Status::DataLoss("recent tail: unknown codec");
  if (!window_.Decode(source)) return Status::DataLoss("recent tail: the snapshot is damaged or of a longer history");
  for (double* v : {&start_, &share_, &shape_, &scale_, &shape_mean_}) *v = source.GetF64();
  fit_count_ = source.GetU32();
  since_fit_ = source.GetU32();
  anomaly_run_ = source.GetU32();
  return source.ok() ? Status::Ok() : Status::DataLoss("recent tail: the snapshot is torn");
}

}  // namespace freshet
