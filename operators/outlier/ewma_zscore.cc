#include "operators/outlier/ewma_zscore.h"

#include <algorithm>
#include <cmath>

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
constexpr double kRelativeFloor = 1e-6;
constexpr double kAbsoluteFloor = 1e-12;

}  // namespace

Status EwmaZScore::Validate(const EwmaZScoreOptions& options) {
  if (!(options.alpha > 0 && options.alpha <= 0.5)) return Status::InvalidArgument("alpha must be in (0, 0.5]");
  if (!(options.threshold > 0)) return Status::InvalidArgument("threshold must be above 0");
  if (!(options.stddev_floor >= 0)) return Status::InvalidArgument("stddev_floor must not be negative");
  return Status::Ok();
}

double EwmaZScore::Stddev() const {
  return std::max({std::sqrt(variance_), options_.stddev_floor, kRelativeFloor * std::abs(mean_), kAbsoluteFloor});
}

OutlierVerdict EwmaZScore::Score(const OutlierInput& in) const {
  const double x = in.x;
  OutlierVerdict verdict;
  if (!ready() || std::isnan(x)) return verdict;
  const double stddev = Stddev();
  verdict.score = std::clamp((x - mean_) / stddev, -kOutlierScoreMax, kOutlierScoreMax);
  verdict.expected = mean_;
  verdict.lower = mean_ - options_.threshold * stddev;
  verdict.upper = mean_ + options_.threshold * stddev;
  // The mean is itself uncertain by sqrt(alpha / (2 - alpha)) standard deviations.
  const double freedom = (2 - options_.alpha) / options_.alpha;
  verdict.p_value = TwoSidedStudentTail(verdict.score / std::sqrt(1 + 1 / freedom), freedom);
  return verdict;
}

void EwmaZScore::Learn(const OutlierInput& in, const OutlierVerdict& before) {
  if (!std::isfinite(in.x)) return;
  const double d = outside_.Admit(in.x, before, static_cast<int32_t>(1 / options_.alpha)) - mean_;
  ++count_;
  const double a = std::max(options_.alpha, 1 / static_cast<double>(count_));
  mean_ += a * d;
  variance_ = (1 - a) * (variance_ + a * d * d);
}

void EwmaZScore::Encode(ByteSink& sink) const {
  sink.PutU8(kCodec);
  sink.PutI64(count_);
  sink.PutF64(mean_);
  sink.PutF64(variance_);
  sink.PutU32(outside_.Encoded());
}

Status EwmaZScore::Decode(ByteSource& source) {
  if (source.GetU8() != kCodec) return Status::DataLoss("ewma_zscore: unknown codec");
  count_ = source.GetI64();
  mean_ = source.GetF64();
  variance_ = source.GetF64();
  outside_.SetEncoded(source.GetU32());
  return source.ok() ? Status::Ok() : Status::DataLoss("ewma_zscore: the snapshot is torn");
}

}  // namespace freshet
