#include "operators/outlier/rolling_mad.h"

#include <algorithm>
#include <cmath>

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;

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

OutlierVerdict RollingMad::Score(const OutlierInput& in) const {
  OutlierVerdict verdict;
  if (!ready() || std::isnan(in.x)) return verdict;
  const double median = window_.Quantile(0.5);
  const double scale = window_.RobustScale(median, options_.unit);
  verdict.score = std::clamp((in.x - median) / scale, -kOutlierScoreMax, kOutlierScoreMax);
  verdict.expected = median;
  verdict.lower = median - options_.threshold * scale;
  verdict.upper = median + options_.threshold * scale;
  const double n = static_cast<double>(window_.size());
  // A median's variance is pi / (2 n).
  verdict.p_value = TwoSidedStudentTail(verdict.score / std::sqrt(1 + std::numbers::pi / 2 / n),
                                        std::max(1.0, kMadEfficiency * (n - 1)));
  return verdict;
}

void RollingMad::Learn(const OutlierInput& in, const OutlierVerdict&) {
  if (std::isfinite(in.x)) window_.Push(in.x);
}

void RollingMad::Encode(ByteSink& sink) const {
  sink.PutU8(kCodec);
  window_.Encode(sink);
}

Status RollingMad::Decode(ByteSource& source) {
  if (source.GetU8() != kCodec) return Status::DataLoss("rolling_mad: unknown codec");
  if (!window_.Decode(source)) return Status::DataLoss("rolling_mad: the snapshot is damaged or of a longer window");
  return Status::Ok();
}

}  // namespace freshet
