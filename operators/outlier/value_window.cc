#include "operators/outlier/value_window.h"

#include <algorithm>

namespace freshet {
namespace {

constexpr double kRelativeFloor = 1e-6;
constexpr double kAbsoluteFloor = 1e-12;

bool IsFractional(double x) { return x != std::floor(x); }

}  // namespace

void ValueWindow::Push(double x) {
  if (values_.full()) fractional_ -= IsFractional(values_.Oldest());
  fractional_ += IsFractional(x);
  values_.Push(x);
}

double ValueWindow::Quantile(double q) const {
  const double at = q * static_cast<double>(values_.size() - 1);
  const auto low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, values_.size() - 1);
  return values_[low] + (at - static_cast<double>(low)) * (values_[high] - values_[low]);
}

// The k smallest |x - centre| are neighbours in sorted order: the k-th smallest deviation is that of the tightest run
// of k values around the centre, whose start is found by halving.
double ValueWindow::MedianDeviation(double centre) const {
  const size_t n = values_.size();
  const size_t k = n / 2 + 1;
  size_t low = 0, high = n - k;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (centre - values_[middle] > values_[middle + k] - centre)
      low = middle + 1;
    else
      high = middle;
  }
  return std::max(centre - values_[low], values_[low + k - 1] - centre);
}

double ValueWindow::RobustScale(double median, double unit) const {
  return Floor(std::max(MedianDeviation(median) / kNormalMad, (Quantile(0.75) - Quantile(0.25)) / kNormalIqr), median,
               unit);
}

double ValueWindow::Floor(double spread, double median, double unit) const {
  if (unit == 0 && fractional_ == 0) unit = spread > 0 ? 0 : 1;
  return std::max({spread, unit, kRelativeFloor * std::abs(median), kAbsoluteFloor});
}

void ValueWindow::Encode(ByteSink& sink) const {
  sink.PutVarint(values_.size());
  values_.ForEach([&](double x) { sink.PutF64(x); });
}

bool ValueWindow::Decode(ByteSource& source) {
  const uint64_t count = source.GetVarint();
  if (count > values_.size_max() || source.remaining() / sizeof(double) < count) return false;
  values_.Clear();
  fractional_ = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const double x = source.GetF64();
    if (!std::isfinite(x)) return false;
    Push(x);
  }
  return source.ok();
}

}  // namespace freshet
