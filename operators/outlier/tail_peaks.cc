#include "operators/outlier/tail_peaks.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace freshet {
namespace {

constexpr size_t kFitCountMin = 10;
constexpr size_t kFitCountWanted = 20;
// So many peaks are above the point where the tail takes over.
constexpr size_t kAnchorRank = 12;
// Scores seen that the tail's word counts for.
constexpr double kTrustInTail = 1;
// A tail's end is never taken to be near: a usual score just beyond it would get p = 0. Longer ones have no variance.
constexpr double kShapeMin = -0.1;
constexpr double kShapeMax = 0.5;
// The mean of the shape starts as if this many fits had given 0, and forgets after this many.
constexpr uint32_t kShapePrior = 32;
constexpr uint32_t kShapeMemory = 1024;

}  // namespace

TailProbability TailPeaks::Rank(float x) const {
  const size_t below = peaks_.Below(x);
  const size_t up_to = peaks_.UpTo(x);
  const auto all = static_cast<double>(rows() + 1);
  return {static_cast<double>(peaks_.size() - up_to) / all, static_cast<double>(up_to - below + 1) / all};
}

TailProbability TailPeaks::Above(float x) const {
  const TailProbability ranked = Rank(x);
  if (scale_ == 0 || !(x > anchor_)) return ranked;
  const double excess = (static_cast<double>(x) - static_cast<double>(anchor_)) / scale_;
  const double inner = 1 + shape_ * excess;
  double z = excess;
  if (std::abs(shape_) > 1e-6) z = inner > 0 ? std::log(inner) / shape_ : std::numeric_limits<double>::infinity();
  const double tail = std::exp(-z);
  const double fitted =
      (static_cast<double>(peaks_.size() - peaks_.UpTo(anchor_)) + 0.5) * tail / static_cast<double>(rows() + 1);
  // Gamma-Poisson: as if the tail had been right about one score beyond x; then what was seen beyond x is counted.
  const auto all = static_cast<double>(rows() + 1);
  const double seen = ranked.middle() * all - 0.5;
  return {fitted * (kTrustInTail + seen) / (kTrustInTail + fitted * all), 0};
}

void TailPeaks::See(float x, bool is_peak) {
  ++since_peak_;
  if (!is_peak) return;
  const auto gap = static_cast<uint32_t>(std::min<uint64_t>(since_peak_, std::numeric_limits<uint32_t>::max()));
  since_peak_ = 0;
  gathered_ += gap;
  if (peaks_.full()) {
    gathered_ -= gaps_[next_];
    gaps_[next_] = gap;
    next_ = next_ + 1 == gaps_.size() ? 0 : next_ + 1;
  } else {
    gaps_.push_back(gap);
  }
  peaks_.Push(x);
}

void TailPeaks::Fit() {
  scale_ = 0;
  const size_t n = peaks_.size();
  if (n < kFitCountMin) return;
  const size_t count = std::max(std::min(n - 1, kFitCountWanted), n / 2);
  const auto m = static_cast<double>(count);
  const auto start = static_cast<double>(peaks_[n - 1 - count]);
  // a0 = E[Y], a1 = E[Y (1 - F(Y))] over the excesses.
  double a0 = 0, a1 = 0;
  for (size_t i = 0; i < count; ++i) {
    const double y = static_cast<double>(peaks_[n - count + i]) - start;
    a0 += y;
    a1 += y * (1 - (static_cast<double>(i) + 0.65) / m);
  }
  a0 /= m;
  a1 /= m;
  if (!(a0 > 0) || !std::isfinite(a0)) return;
  const double spread = a0 - 2 * a1;
  const double fitted = spread > 0 ? std::clamp(2 - a0 / spread, -1.0, 1.0) : -1.0;
  fit_count_ = std::min(fit_count_ + 1, kShapeMemory);
  shape_mean_ += (fitted - shape_mean_) / (fit_count_ + kShapePrior);
  shape_ = std::clamp(shape_mean_, kShapeMin, kShapeMax);
  anchor_ = peaks_[n - 1 - std::min(kAnchorRank, count)];
  // The mean of a generalised Pareto is scale / (1 - shape), and it stays one beyond any of its points.
  scale_ = std::max(0.0, a0 * (1 - shape_) + shape_ * (static_cast<double>(anchor_) - start));
}

void TailPeaks::Encode(ByteSink& sink) const {
  peaks_.Encode(sink);
  for (size_t i = 0; i < gaps_.size(); ++i) sink.PutVarint(gaps_[(next_ + i) % gaps_.size()]);
  sink.PutVarint(since_peak_);
  for (double v : {static_cast<double>(anchor_), scale_, shape_, shape_mean_}) sink.PutF64(v);
  sink.PutVarint(fit_count_);
}

bool TailPeaks::Decode(ByteSource& source) {
  if (!peaks_.Decode(source)) return false;
  gaps_.assign(peaks_.size(), 0);
  next_ = 0;
  gathered_ = 0;
  for (uint32_t& gap : gaps_) {
    gap = static_cast<uint32_t>(source.GetVarint());
    gathered_ += gap;
  }
  since_peak_ = source.GetVarint();
  double anchor = 0;
  for (double* v : {&anchor, &scale_, &shape_, &shape_mean_}) *v = source.GetF64();
  anchor_ = static_cast<float>(anchor);
  fit_count_ = static_cast<uint32_t>(source.GetVarint());
  return source.ok();
}

}  // namespace freshet
