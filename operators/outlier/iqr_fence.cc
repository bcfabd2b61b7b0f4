#include "operators/outlier/iqr_fence.h"

#include <algorithm>
#include <cmath>

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
constexpr uint32_t kSkewEvery = 8;
constexpr size_t kSkewSample = 101;

double MedianOf(std::vector<double>& v) {
  const size_t n = v.size();
  const auto middle = v.begin() + static_cast<ptrdiff_t>(n / 2);
  std::nth_element(v.begin(), middle, v.end());
  if (n % 2 == 1) return *middle;
  return (*middle + *std::max_element(v.begin(), middle)) / 2;
}

double MedcoupleOf(const SortedWindow<double>& values) {
  const size_t n = values.size();
  const size_t count = std::min(n, kSkewSample);
  std::vector<double> sample(count);
  for (size_t i = 0; i < count; ++i) sample[i] = values[count == 1 ? 0 : i * (n - 1) / (count - 1)];
  return Medcouple(sample);
}

}  // namespace

double Medcouple(const std::vector<double>& sorted) {
  const size_t n = sorted.size();
  if (n < 3) return 0;
  const double median = n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
  const auto low_end = std::upper_bound(sorted.begin(), sorted.end(), median);
  const auto high_begin = std::lower_bound(sorted.begin(), sorted.end(), median);
  const auto ties = low_end - high_begin;  // values equal to the median stand on both sides
  std::vector<double> kernel;
  kernel.reserve(static_cast<size_t>((low_end - sorted.begin()) * (sorted.end() - high_begin)));
  for (auto high = high_begin; high != sorted.end(); ++high) {
    for (auto low = sorted.begin(); low != low_end; ++low) {
      if (*high > *low) {
        kernel.push_back(((*high - median) - (median - *low)) / (*high - *low));
        continue;
      }
      // Both are the median: by rank among the ties, so that these pairs balance.
      const auto i = high - high_begin, j = low - high_begin;
      const auto sum = i + j + 1;
      kernel.push_back(sum < ties ? -1 : sum > ties ? 1 : 0);
    }
  }
  return MedianOf(kernel);
}

Status IqrFence::Validate(const IqrFenceOptions& options) {
  if (options.window < 8 || options.window > 65535) return Status::InvalidArgument("window must be from 8 to 65535");
  if (options.warmup < 8 || options.warmup > options.window) {
    return Status::InvalidArgument("warmup must be from 8 to window");
  }
  if (!(options.threshold > 0)) return Status::InvalidArgument("threshold must be above 0");
  return Status::Ok();
}

OutlierVerdict IqrFence::Score(const OutlierInput& in) const {
  OutlierVerdict verdict;
  if (window_.size() < static_cast<size_t>(options_.warmup) || std::isnan(in.x)) return verdict;
  const double k = options_.threshold;
  const double median = window_.Quantile(0.5);
  const double low = window_.Quantile(0.25), high = window_.Quantile(0.75);
  const double range = kNormalIqr * window_.Floor((high - low) / kNormalIqr, median, 0);
  const double toward_low = skew_ >= 0 ? std::exp(-4 * skew_) : std::exp(-3 * skew_);
  const double toward_high = skew_ >= 0 ? std::exp(3 * skew_) : std::exp(4 * skew_);
  verdict.expected = median;
  verdict.lower = low - k * toward_low * range;
  verdict.upper = high + k * toward_high * range;
  const double reach = in.x < median ? median - verdict.lower : verdict.upper - median;
  verdict.score = std::clamp(k * (in.x - median) / reach, -kOutlierScoreMax, kOutlierScoreMax);
  const double n = static_cast<double>(window_.size());
  const double z = verdict.score / k * (kNormalMad + kNormalIqr * k) / std::sqrt(1 + std::numbers::pi / 2 / n);
  verdict.p_value = TwoSidedStudentTail(z, std::max(1.0, kMadEfficiency * (n - 1)));
  return verdict;
}

void IqrFence::Learn(const OutlierInput& in, const OutlierVerdict& before) {
  if (!std::isfinite(in.x)) return;
  window_.Push(outside_.Admit(in.x, before, options_.window / 4));
  if (!options_.adjust_skew || ++since_skew_ < kSkewEvery) return;
  since_skew_ = 0;
  skew_ = MedcoupleOf(window_.values());
}

void IqrFence::Encode(ByteSink& sink) const {
  sink.PutU8(kCodec);
  sink.PutU32(outside_.Encoded());
  sink.PutU32(since_skew_);
  sink.PutF64(skew_);
  window_.Encode(sink);
}

Status IqrFence::Decode(ByteSource& source) {
  if (source.GetU8() != kCodec) return Status::DataLoss("iqr: unknown codec");
  outside_.SetEncoded(source.GetU32());
  since_skew_ = source.GetU32();
  skew_ = source.GetF64();
  if (!window_.Decode(source)) return Status::DataLoss("iqr: the snapshot is damaged or of a longer window");
  return std::abs(skew_) <= 1 ? Status::Ok() : Status::DataLoss("iqr: the snapshot is damaged");
}

}  // namespace freshet
