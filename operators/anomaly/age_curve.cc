#include "operators/anomaly/age_curve.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace freshet {
namespace {

constexpr int kPerOctave = 4;
constexpr int kQuarterMax = 30 * kPerOctave - 1;
constexpr size_t kHistory = 120;
constexpr size_t kEnough = 8;
constexpr double kReach = kPerOctave;  // how far beyond the last quarter a line is trusted
constexpr double kNormalIqr = 1.349;
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

double Place(double age_s) { return kPerOctave * std::log2(std::max(1.0, age_s)); }
int QuarterOf(double place) { return std::min(kQuarterMax, static_cast<int>(place)); }

double At(const SortedWindow<float>& window, double q) {
  return static_cast<double>(window[static_cast<size_t>(std::lround(q * static_cast<double>(window.size() - 1)))]);
}

}  // namespace

double AgeCurve::Scaled(double x) const {
  switch (kind_) {
    case MetricKind::kCount:
      return 2 * std::sqrt(std::max(0.0, x) + 0.375);
    case MetricKind::kLatency:
      return std::log(std::max(x, 1e-9));
    default:
      return x;
  }
}

double AgeCurve::Unscaled(double s) const {
  switch (kind_) {
    case MetricKind::kCount:
      return std::max(0.0, std::max(0.0, s) * std::max(0.0, s) / 4 - 0.375);
    case MetricKind::kLatency:
      return std::exp(s);
    default:
      return s;
  }
}

AgeCurve::Expectation AgeCurve::Expect(double age_s, double value) const {
  const Expectation unknown{kNone, kNone, kNone, kNone};
  if (!(age_s >= 0) || std::isinf(age_s)) return unknown;
  const double place = Place(age_s);
  // The nearest known quarters whose middles lie below and above; then, for a line beyond them, the next on that side.
  const auto middle = [](const auto& q) { return q->first + 0.5; };
  const auto known = [](const auto& q) { return q->second.size() >= kEnough; };
  auto above = quarters_.lower_bound(static_cast<int>(std::ceil(place - 0.5)));
  auto below = above;
  while (above != quarters_.end() && !known(above)) ++above;
  bool has_below = false;
  while (below != quarters_.begin() && !has_below) has_below = known(--below);
  if (!has_below && above == quarters_.end()) return unknown;
  auto a = has_below ? below : above, b = has_below && above != quarters_.end() ? above : a;
  if (a == b) {  // beyond the last one: the next known on the same side
    auto other = a;
    if (has_below) {
      for (bool found = false; other != quarters_.begin() && !found;) {
        --other;
        if ((found = known(other))) b = other;
      }
    } else {
      for (++other; other != quarters_.end() && b == a; ++other)
        if (known(other)) b = other;
    }
  }
  if (std::abs(middle(a) - place) > kReach && std::abs(middle(b) - place) > kReach) return unknown;
  double centre = At(a->second, 0.5);
  if (b != a) {
    const double slope = (At(b->second, 0.5) - centre) / (middle(b) - middle(a));
    centre += slope * (place - middle(a));
  }
  const auto& nearest = std::abs(middle(b) - place) < std::abs(middle(a) - place) ? b->second : a->second;
  double spread = (At(nearest, 0.75) - At(nearest, 0.25)) / kNormalIqr;
  spread = std::max(spread, kind_ == MetricKind::kCount ? 1.0 : 1e-9 + 1e-6 * std::abs(centre));
  return {Unscaled(centre), Unscaled(centre - 3 * spread), Unscaled(centre + 3 * spread),
          std::isnan(value) ? kNone : Scaled(value) - centre};
}

void AgeCurve::Learn(double age_s, double value) {
  if (!(age_s >= 0) || std::isinf(age_s) || !std::isfinite(value)) return;
  const double scaled = Scaled(value);
  if (std::abs(scaled) > 1e37) return;
  quarters_.try_emplace(QuarterOf(Place(age_s)), kHistory).first->second.Push(static_cast<float>(scaled));
}

size_t AgeCurve::memory_bytes() const {
  size_t bytes = sizeof *this;
  for (const auto& [quarter, values] : quarters_) bytes += 96 + values.memory_bytes();
  return bytes;
}

void AgeCurve::Encode(ByteSink& sink) const {
  sink.PutVarint(quarters_.size());
  for (const auto& [quarter, values] : quarters_) {
    sink.PutVarint(static_cast<uint64_t>(quarter));
    values.Encode(sink);
  }
}

bool AgeCurve::Decode(ByteSource& source) {
  quarters_.clear();
  const uint64_t count = source.GetVarint();
  if (count > kQuarterMax + 1) return false;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t quarter = source.GetVarint();
    if (quarter > kQuarterMax) return false;
    if (!quarters_.try_emplace(static_cast<int>(quarter), kHistory).first->second.Decode(source)) return false;
  }
  return source.ok();
}

}  // namespace freshet
