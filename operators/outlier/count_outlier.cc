#include "operators/outlier/count_outlier.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "operators/outlier/discrete_band.h"
#include "operators/outlier/distributions.h"

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
constexpr int64_t kWarmup = 10;
constexpr int64_t kDispersionWarmup = 50;
constexpr double kPrior = 0.5;  // Jeffreys'
constexpr double kDispersionMax = 100;

}  // namespace

Status CountOutlier::Validate(const CountOutlierOptions& options) {
  if (!(options.alpha > 0 && options.alpha <= 0.5)) return Status::InvalidArgument("alpha must be in (0, 0.5]");
  if (!(options.threshold > 0 && options.threshold < 30))
    return Status::InvalidArgument("threshold must be in (0, 30)");
  return Status::Ok();
}

double CountOutlier::dispersion() const {
  return squares_ > 0 ? std::clamp(excess_ / squares_, 0.0, kDispersionMax) : 0;
}

OutlierVerdict CountOutlier::Score(const OutlierInput& in) const {
  OutlierVerdict verdict;
  const double exposure = Exposure(in);
  if (count_ < (options_.overdispersed ? kDispersionWarmup : kWarmup) || std::isnan(in.x)) return verdict;
  if ((in.x < 0 && std::isfinite(in.x)) || !(exposure > 0) || std::isinf(exposure)) return verdict;
  const double known = sum_ + kPrior;
  const double mean = known / exposure_ * exposure;
  const double size = 1 / (1 / known + (options_.overdispersed ? dispersion() : 0));
  const double spread = std::sqrt(mean * (1 + mean / size));
  const double skew = (1 + 2 * mean / size) / spread;
  const auto p_of = [&](double k) { return CountTails(k, mean, size).two_sided(); };
  const double p_min = TwoSidedNormalTail(options_.threshold);
  const auto edge = [&](int side) {
    return DiscreteBandEdge(p_of, side, p_min, options_.threshold, mean, spread, skew, 0,
                            std::numeric_limits<double>::max());
  };
  verdict.expected = mean;
  verdict.lower = std::min(edge(-1), mean);
  verdict.upper = std::max(edge(1), mean);
  const double side = in.x < mean ? -1 : 1;
  verdict.p_value = std::isinf(in.x) ? 0 : p_of(in.x);
  verdict.score = side * (std::isinf(in.x) ? kOutlierScoreMax : NormalScore(verdict.p_value));
  return verdict;
}

void CountOutlier::Learn(const OutlierInput& in, const OutlierVerdict& before) {
  const double exposure = Exposure(in);
  if (!std::isfinite(in.x) || in.x < 0 || !(exposure > 0) || std::isinf(exposure)) return;
  const double k = outside_.Admit(in.x, before, static_cast<int32_t>(1 / options_.alpha));
  if (options_.overdispersed && count_ >= kWarmup) {
    const double known = sum_ + kPrior;
    const double mean = known / exposure_ * exposure;
    const double keep = 1 - options_.alpha / 4;
    excess_ = keep * excess_ + (k - mean) * (k - mean) - mean * (1 + mean / known);
    squares_ = keep * squares_ + mean * mean;
  }
  ++count_;
  sum_ = (1 - options_.alpha) * sum_ + k;
  exposure_ = (1 - options_.alpha) * exposure_ + exposure;
}

void CountOutlier::Encode(ByteSink& sink) const {
  sink.PutU8(kCodec);
  sink.PutU32(outside_.Encoded());
  sink.PutI64(count_);
  for (double v : {sum_, exposure_, excess_, squares_}) sink.PutF64(v);
}

Status CountOutlier::Decode(ByteSource& source) {
  if (source.GetU8() != kCodec) return Status::DataLoss("counts: unknown codec");
  outside_.SetEncoded(source.GetU32());
  count_ = source.GetI64();
  for (double* v : {&sum_, &exposure_, &excess_, &squares_}) *v = source.GetF64();
  return source.ok() ? Status::Ok() : Status::DataLoss("counts: the snapshot is torn");
}

}  // namespace freshet
