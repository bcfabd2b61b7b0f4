#include "operators/outlier/ratio_outlier.h"

#include <algorithm>
#include <cmath>

#include "operators/outlier/discrete_band.h"
#include "operators/outlier/distributions.h"

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
constexpr int64_t kWarmup = 20;
constexpr double kPrior = 0.5;  // Jeffreys'
constexpr double kCorrelationMax = 0.5;
// A row's estimate of rho has a standard deviation of about (1 + (n - 1) rho) / (n - 1): its weight is the inverse
// square, as if rho were this.
constexpr double kTypicalCorrelation = 0.01;
constexpr double kRowsMax = 0x1p52;

bool IsUsable(const OutlierInput& in) { return in.x >= 0 && in.x <= 1 && in.of >= 0.5 && in.of < kRowsMax; }

}  // namespace

Status RatioOutlier::Validate(const RatioOutlierOptions& options) {
  if (!(options.alpha > 0 && options.alpha <= 0.5)) return Status::InvalidArgument("alpha must be in (0, 0.5]");
  if (!(options.threshold > 0 && options.threshold < 30))
    return Status::InvalidArgument("threshold must be in (0, 30)");
  return Status::Ok();
}

double RatioOutlier::correlation() const {
  return weights_ > 0 ? std::clamp(excess_ / weights_, 0.0, kCorrelationMax) : 0;
}

OutlierVerdict RatioOutlier::Score(const OutlierInput& in) const {
  OutlierVerdict verdict;
  if (count_ < kWarmup || !(IsUsable(in) || std::isinf(in.x))) return verdict;
  const double n = in.of >= 0.5 && in.of < kRowsMax ? std::round(in.of) : 1;
  const double known = hits_ + misses_ + 2 * kPrior;
  const double share = (hits_ + kPrior) / known;
  const double rho = correlation();
  const double strength = 1 / (rho + (1 - rho) / (known + 1)) - 1;
  const double a = share * strength, b = (1 - share) * strength;
  const double mean = n * share;
  const double spread = std::sqrt(mean * (1 - share) * (strength + n) / (strength + 1));
  const double skew = (strength + 2 * n) * (1 - 2 * share) / (strength + 2) / spread;
  const auto p_of = [&](double k) { return BetaBinomialTails(k, n, a, b).two_sided(); };
  const double p_min = TwoSidedNormalTail(options_.threshold);
  const auto edge = [&](int side) {
    return DiscreteBandEdge(p_of, side, p_min, options_.threshold, mean, spread, skew, 0, n) / n;
  };
  verdict.expected = share;
  verdict.lower = std::min(edge(-1), share);
  verdict.upper = std::max(edge(1), share);
  if (std::isinf(in.x)) {
    verdict.p_value = 0;
    verdict.score = std::copysign(kOutlierScoreMax, in.x);
    return verdict;
  }
  const double k = std::round(in.x * n);
  verdict.p_value = p_of(k);
  verdict.score = (k < mean ? -1 : 1) * NormalScore(verdict.p_value);
  return verdict;
}

void RatioOutlier::Learn(const OutlierInput& in, const OutlierVerdict& before) {
  if (!IsUsable(in)) return;
  const double n = std::round(in.of);
  const double k = n * outside_.Admit(std::round(in.x * n) / n, before, static_cast<int32_t>(1 / options_.alpha));
  if (count_ >= kWarmup / 2 && n > 1) {
    const double known = hits_ + misses_ + 2 * kPrior;
    const double share = (hits_ + kPrior) / known;
    const double chance = n * share * (1 - share);
    const double error = k - n * share;
    const double single = (error * error / chance - 1 - n / (known + 1)) / (n - 1);
    const double precision = (n - 1) / (1 + (n - 1) * kTypicalCorrelation);
    const double keep = 1 - options_.alpha / 4;
    excess_ = keep * excess_ + precision * precision * single;
    weights_ = keep * weights_ + precision * precision;
  }
  ++count_;
  const double worth = 1 / (1 + (n - 1) * correlation());
  hits_ = (1 - options_.alpha) * hits_ + k * worth;
  misses_ = (1 - options_.alpha) * misses_ + (n - k) * worth;
}

void RatioOutlier::Encode(ByteSink& sink) const {
  sink.PutU8(kCodec);
  sink.PutU32(outside_.Encoded());
  sink.PutI64(count_);
  for (double v : {hits_, misses_, excess_, weights_}) sink.PutF64(v);
}

Status RatioOutlier::Decode(ByteSource& source) {
  if (source.GetU8() != kCodec) return Status::DataLoss("beta_binomial: unknown codec");
  outside_.SetEncoded(source.GetU32());
  count_ = source.GetI64();
  for (double* v : {&hits_, &misses_, &excess_, &weights_}) *v = source.GetF64();
  return source.ok() ? Status::Ok() : Status::DataLoss("beta_binomial: the snapshot is torn");
}

}  // namespace freshet
