#include "operators/outlier/gesd.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "operators/outlier/distributions.h"
#include "operators/outlier/value_window.h"

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
constexpr size_t kWarmup = 20;
constexpr uint32_t kPhaseWarmup = 3;
constexpr double kRelativeFloor = 1e-6;
constexpr double kAbsoluteFloor = 1e-12;

double Middle(std::span<const double> sorted) {
  const size_t n = sorted.size();
  return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

// As ValueWindow::MedianDeviation: the tightest run of half the values around the centre.
double MiddleDeviation(std::span<const double> sorted, double centre) {
  const size_t n = sorted.size(), k = n / 2 + 1;
  size_t low = 0, high = n - k;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (centre - sorted[middle] > sorted[middle + k] - centre)
      low = middle + 1;
    else
      high = middle;
  }
  return std::max(centre - sorted[low], sorted[low + k - 1] - centre);
}

struct Moments {
  double mean = 0, deviation = 0;
};
Moments MomentsOf(std::span<const double> values) {
  const auto n = static_cast<double>(values.size());
  Moments m;
  for (const double v : values) m.mean += v / n;
  double squares = 0;
  for (const double v : values) squares += (v - m.mean) * (v - m.mean);
  m.deviation = std::sqrt(squares / (n - 1));
  return m;
}

}  // namespace

std::vector<double> RosnerCriticalValues(int size, double significance) {
  std::vector<double> critical(static_cast<size_t>(size) + 1, std::numeric_limits<double>::infinity());
  for (size_t left = 3; left < critical.size(); ++left) {
    const auto m = static_cast<double>(left);
    const double t = StudentQuantile(1 - significance / (2 * m), m - 2);
    critical[left] = (m - 1) * t / std::sqrt(m * (m - 2 + t * t));
  }
  return critical;
}

GesdOutcome Gesd(std::span<const double> sorted, int outliers_max, std::span<const double> critical, bool robust,
                 bool keep_deviations) {
  GesdOutcome outcome{0, sorted.size(), {}};
  size_t first = 0, last = sorted.size();
  for (int stage = 0; stage < outliers_max && last - first >= 3; ++stage) {
    const auto left = sorted.subspan(first, last - first);
    double centre = 0, scale = 0;
    if (robust) {
      centre = Middle(left);
      scale = MiddleDeviation(left, centre) / kNormalMad;
    } else {
      const Moments moments = MomentsOf(left);
      centre = moments.mean;
      scale = moments.deviation;
    }
    const bool low = centre - left.front() > left.back() - centre;
    const double furthest = low ? centre - left.front() : left.back() - centre;
    const double deviation = furthest / std::max({scale, kRelativeFloor * std::abs(centre), kAbsoluteFloor});
    if (keep_deviations) outcome.deviations.push_back(deviation);
    const bool is_critical = deviation > critical[left.size()];
    low ? ++first : --last;
    if (!is_critical) continue;
    outcome.first = first;
    outcome.last = last;
  }
  return outcome;
}

Status GesdModel::Validate(const GesdOptions& options) {
  if (options.window < 20 || options.window > 20000) return Status::InvalidArgument("window must be from 20 to 20000");
  if (!(options.share_max > 0 && options.share_max <= 0.49)) {
    return Status::InvalidArgument("outliers_max must be in (0, 0.49]");
  }
  if (!(options.significance > 0 && options.significance <= 0.5)) {
    return Status::InvalidArgument("significance must be in (0, 0.5]");
  }
  if (!(options.threshold >= 0)) return Status::InvalidArgument("threshold must not be negative");
  if (!options.season.valid()) return Status::InvalidArgument("period must be 2 to 10080 whole steps");
  return Status::Ok();
}

GesdModel::GesdModel(const GesdOptions& options) : options_(options), residuals_(static_cast<size_t>(options.window)) {
  if (!options_.critical)
    options_.critical =
        std::make_shared<const std::vector<double>>(RosnerCriticalValues(options.window, options.significance));
  if (options_.season.period_us > 0) phases_.resize(options_.season.phases());
}

double GesdModel::Usual(const OutlierInput& in) const {
  if (phases_.empty()) return 0;
  const Phase& phase = phases_[options_.season.PhaseAt(in.local_us())];
  if (phase.count < kPhaseWarmup) return OutlierVerdict::kNone;
  double sorted[kPhaseDepth];
  const size_t n = std::min<size_t>(phase.count, kPhaseDepth);
  std::copy_n(phase.values, n, sorted);
  std::sort(sorted, sorted + n);
  return Middle({sorted, n});
}

OutlierVerdict GesdModel::Score(const OutlierInput& in) const {
  OutlierVerdict verdict;
  const double usual = Usual(in);
  if (residuals_.size() < kWarmup || std::isnan(in.x) || std::isnan(usual)) return verdict;
  const auto outliers_max = static_cast<int>(options_.share_max * static_cast<double>(residuals_.size()));
  const GesdOutcome outcome = Gesd(residuals_.sorted(), outliers_max, *options_.critical, true);
  const auto kept = residuals_.sorted().subspan(outcome.first, outcome.last - outcome.first);
  const Moments moments = MomentsOf(kept);
  verdict.expected = usual + moments.mean;
  const double scale = std::max({moments.deviation, kRelativeFloor * std::abs(verdict.expected), kAbsoluteFloor});
  const double width = (options_.threshold > 0 ? options_.threshold : (*options_.critical)[kept.size()]) * scale;
  verdict.lower = verdict.expected - width;
  verdict.upper = verdict.expected + width;
  verdict.score = std::clamp((in.x - verdict.expected) / scale, -kOutlierScoreMax, kOutlierScoreMax);
  const auto m = static_cast<double>(kept.size());
  verdict.p_value = TwoSidedStudentTail(verdict.score / std::sqrt(1 + 1 / m), m - 1);
  return verdict;
}

void GesdModel::Learn(const OutlierInput& in, const OutlierVerdict&) {
  if (!std::isfinite(in.x)) return;
  const double usual = Usual(in);
  if (!std::isnan(usual)) residuals_.Push(in.x - usual);
  if (phases_.empty()) return;
  Phase& phase = phases_[options_.season.PhaseAt(in.local_us())];
  phase.values[phase.count % kPhaseDepth] = in.x;
  ++phase.count;
  if (phase.count == 2 * kPhaseDepth) phase.count = kPhaseDepth;  // only the place in the ring counts from here on
}

size_t GesdModel::memory_bytes() const {
  return sizeof *this + residuals_.memory_bytes() + phases_.capacity() * sizeof(Phase);
}

void GesdModel::Encode(ByteSink& sink) const {
  sink.PutU8(kCodec);
  residuals_.Encode(sink);
  sink.PutVarint(phases_.size());
  for (const Phase& phase : phases_) {
    sink.PutU8(static_cast<uint8_t>(phase.count));
    for (size_t i = 0; i < std::min<size_t>(phase.count, kPhaseDepth); ++i) sink.PutF64(phase.values[i]);
  }
}

Status GesdModel::Decode(ByteSource& source) {
  if (source.GetU8() != kCodec) return Status::DataLoss("gesd: unknown codec");
  if (!residuals_.Decode(source)) return Status::DataLoss("gesd: the snapshot is damaged or of a longer window");
  if (source.GetVarint() != phases_.size()) return Status::DataLoss("gesd: the snapshot is of another season");
  for (Phase& phase : phases_) {
    phase.count = source.GetU8();
    if (phase.count >= 2 * kPhaseDepth) return Status::DataLoss("gesd: the snapshot is damaged");
    for (size_t i = 0; i < std::min<size_t>(phase.count, kPhaseDepth); ++i) phase.values[i] = source.GetF64();
  }
  return source.ok() ? Status::Ok() : Status::DataLoss("gesd: the snapshot is torn");
}

}  // namespace freshet
