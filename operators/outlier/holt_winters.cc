#include "operators/outlier/holt_winters.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "operators/outlier/value_window.h"

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
constexpr size_t kEarlyMin = 20;
constexpr double kScaleWeight = 0.05;
constexpr double kFreedom = 30;
constexpr double kBiweight = 2;             // k of rho
constexpr double kBiweightFactor = 2.5153;  // makes E rho(Z) = 1 for a standard normal Z
constexpr int64_t kStepsMax = 1000;         // further ahead the forecast changes no more
constexpr double kFarApart = 8;             // times the usual distance of a phase's two values
constexpr double kRelativeFloor = 1e-6;
constexpr double kAbsoluteFloor = 1e-12;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double Rho(double z) {
  const double u = 1 - z * z / (kBiweight * kBiweight);
  return u <= 0 ? kBiweightFactor : kBiweightFactor * (1 - u * u * u);
}

/// damping + ... + damping^h
double DampedSteps(double damping, int64_t h) {
  const auto n = static_cast<double>(h);
  return damping == 1 ? n : damping * (1 - std::pow(damping, n)) / (1 - damping);
}

double MedianOf(std::vector<double> v) {
  const auto middle = v.begin() + static_cast<ptrdiff_t>(v.size() / 2);
  std::nth_element(v.begin(), middle, v.end());
  if (v.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(v.begin(), middle)) / 2;
}

/// Each phase's level, NaN where there is none: its median; but of two values that lie far apart, as those of a first
/// window that was cut short, the one nearer to the neighbouring phases.
std::vector<double> PhaseLevels(const std::vector<std::vector<double>>& by_phase) {
  const size_t n = by_phase.size();
  std::vector<double> levels(n, kNan), apart;
  for (size_t p = 0; p < n; ++p) {
    if (by_phase[p].empty()) continue;
    levels[p] = MedianOf(by_phase[p]);
    if (by_phase[p].size() == 2) apart.push_back(std::abs(by_phase[p][0] - by_phase[p][1]));
  }
  if (apart.empty()) return levels;
  const double usual = MedianOf(std::move(apart));
  const std::vector<double> medians = levels;
  for (size_t p = 0; p < n; ++p) {
    if (by_phase[p].size() != 2) continue;
    const double a = by_phase[p][0], b = by_phase[p][1];
    const double around = (medians[(p + 1) % n] + medians[(p + n - 1) % n]) / 2;
    if (!std::isnan(around) && std::abs(a - b) > kFarApart * usual)
      levels[p] = std::abs(a - around) < std::abs(b - around) ? a : b;
  }
  return levels;
}

}  // namespace

Status HoltWinters::Validate(const HoltWintersOptions& o) {
  if (!(o.alpha > 0 && o.alpha < 1)) return Status::InvalidArgument("alpha must be in (0, 1)");
  if (!(o.beta >= 0 && o.beta < 1)) return Status::InvalidArgument("beta must be in [0, 1)");
  if (!(o.gamma >= 0 && o.gamma < 1)) return Status::InvalidArgument("gamma must be in [0, 1)");
  if (!(o.damping > 0 && o.damping <= 1)) return Status::InvalidArgument("damping must be in (0, 1]");
  if (!(o.threshold > 0) || !(o.clip > 0)) return Status::InvalidArgument("threshold must be above 0");
  if (!o.season.valid()) return Status::InvalidArgument("period must be 2 to 10080 whole steps");
  return Status::Ok();
}

void HoltWinters::StartFrom(double level, double trend, std::vector<double> seasons, double variance, int64_t last_us) {
  started_ = true;
  level_ = level;
  trend_ = trend;
  seasons_ = std::move(seasons);
  variance_ = variance;
  last_us_ = last_us;
}

int64_t HoltWinters::StepsTo(int64_t local_us) const {
  if (options_.season.step_us == 0) return 1;
  const int64_t gap = GapUs(last_us_, local_us);
  const int64_t step = options_.season.step_us;
  return std::min(kStepsMax, gap / step + (gap % step >= (step + 1) / 2 ? 1 : 0));
}

HoltWinters::Forecast HoltWinters::Ahead(int64_t local_us) const {
  const int64_t h = StepsTo(local_us);
  Forecast f;
  f.level = level_ + DampedSteps(options_.damping, h) * trend_;
  f.trend = h == 1 ? options_.damping * trend_ : std::pow(options_.damping, static_cast<double>(h)) * trend_;
  f.season = seasons_.empty() ? 0 : seasons_[options_.season.PhaseAt(local_us)];
  double variance = 1, steps = 0, power = 1;
  for (int64_t j = 1; j < h; ++j) {
    power *= options_.damping;
    steps += power;
    const double weight = options_.alpha * (1 + options_.beta * steps);
    variance += weight * weight;
  }
  const double floor = std::max(kRelativeFloor * std::abs(f.level), kAbsoluteFloor);
  f.sigma = std::max(std::sqrt(variance_ * variance), floor);
  return f;
}

OutlierVerdict HoltWinters::Score(const OutlierInput& in) const {
  OutlierVerdict verdict;
  if (!started_ || std::isnan(in.x)) return verdict;
  const Forecast f = Ahead(in.local_us());
  if (std::isnan(f.season)) return verdict;
  verdict.expected = f.level + f.season;
  verdict.lower = verdict.expected - options_.threshold * f.sigma;
  verdict.upper = verdict.expected + options_.threshold * f.sigma;
  verdict.score = std::clamp((in.x - verdict.expected) / f.sigma, -kOutlierScoreMax, kOutlierScoreMax);
  verdict.p_value = TwoSidedStudentTail(verdict.score, kFreedom);
  return verdict;
}

void HoltWinters::Learn(const OutlierInput& in, const OutlierVerdict&) {
  if (!std::isfinite(in.x)) return;
  const int64_t now = in.local_us();
  if (!started_) {
    early_.push_back({now, in.x});
    if (EarlyEnough()) Start();
    return;
  }
  const Forecast f = Ahead(now);
  last_us_ = now;
  level_ = f.level;
  trend_ = f.trend;
  const size_t phase = options_.season.PhaseAt(now);
  if (std::isnan(f.season)) {
    seasons_[phase] = in.x - f.level;
    return;
  }
  const double error = in.x - (f.level + f.season);
  const double floor = std::max(kRelativeFloor * std::abs(f.level), kAbsoluteFloor);
  const double growth = (1 - kScaleWeight) + kScaleWeight * Rho(error / f.sigma);
  variance_ = std::max(variance_, floor * floor) * growth;
  const double edge = options_.clip * f.sigma * std::sqrt(growth);
  const double admitted = std::clamp(error, -edge, edge);
  level_ += options_.alpha * admitted;
  trend_ += options_.alpha * options_.beta * admitted;
  if (!seasons_.empty()) seasons_[phase] += options_.gamma * admitted;
}

bool HoltWinters::EarlyEnough() const {
  if (early_.size() < kEarlyMin) return false;
  const SeasonClock& season = options_.season;
  if (season.period_us == 0) return true;
  return GapUs(early_.front().local_us, early_.back().local_us) >= 2 * season.period_us - season.step_us ||
         early_.size() >= std::max<size_t>(64, 4 * season.phases());
}

void HoltWinters::Start() {
  const SeasonClock& season = options_.season;
  const size_t n = early_.size(), phases = season.phases();
  const auto at = [&](size_t i) {
    if (season.step_us == 0) return static_cast<double>(i);
    return static_cast<double>(GapUs(early_[0].local_us, early_[i].local_us)) / static_cast<double>(season.step_us);
  };
  std::vector<double> slopes;
  const auto pair = [&](size_t i, size_t j) {
    if (at(j) > at(i)) slopes.push_back((early_[j].x - early_[i].x) / (at(j) - at(i)));
  };
  std::vector<std::vector<double>> by_phase(phases);
  std::vector<size_t> previous(phases, n);
  for (size_t j = 0; j < n; ++j) {
    if (season.period_us == 0) {
      for (size_t i = 0; i < j; ++i) pair(i, j);
      continue;
    }
    size_t& before = previous[season.PhaseAt(early_[j].local_us)];
    if (before < n && at(j) - at(before) > 1) pair(before, j);
    if (before == n || at(j) - at(before) > 1) before = j;
  }
  trend_ = slopes.empty() ? 0 : MedianOf(std::move(slopes));
  std::vector<double> flat(n);
  for (size_t i = 0; i < n; ++i) {
    flat[i] = early_[i].x - trend_ * at(i);
    by_phase[season.PhaseAt(early_[i].local_us)].push_back(flat[i]);
  }
  const double centre = MedianOf(flat);
  size_t seen = 0;
  for (const std::vector<double>& values : by_phase) seen += values.empty() ? 0 : 1;
  if (season.period_us > 0) {
    seasons_ = PhaseLevels(by_phase);
    for (double& s : seasons_) s -= centre;
  }
  std::vector<double> left(n);
  for (size_t i = 0; i < n; ++i) {
    const double usual = seasons_.empty() ? 0 : seasons_[season.PhaseAt(early_[i].local_us)];
    left[i] = std::abs(flat[i] - centre - usual);
  }
  const double scale = MedianOf(std::move(left)) / kNormalMad;
  const auto rows = static_cast<double>(n);
  variance_ = scale * scale * rows / std::max(1.0, rows - static_cast<double>(seen));
  level_ = centre + trend_ * at(n - 1);
  last_us_ = early_.back().local_us;
  started_ = true;
  early_ = {};
}

size_t HoltWinters::memory_bytes() const {
  return sizeof *this + early_.capacity() * sizeof(Early) + seasons_.capacity() * sizeof(double);
}

void HoltWinters::Encode(ByteSink& sink) const {
  sink.PutU8(kCodec);
  sink.PutBool(started_);
  sink.PutVarint(early_.size());
  for (const Early& e : early_) {
    sink.PutI64(e.local_us);
    sink.PutF64(e.x);
  }
  sink.PutI64(last_us_);
  for (double v : {level_, trend_, variance_}) sink.PutF64(v);
  sink.PutVarint(seasons_.size());
  for (double v : seasons_) sink.PutF64(v);
}

Status HoltWinters::Decode(ByteSource& source) {
  if (source.GetU8() != kCodec) return Status::DataLoss("holt_winters: unknown codec");
  started_ = source.GetBool();
  const uint64_t early = source.GetVarint();
  if (early > source.remaining() / 16) return Status::DataLoss("holt_winters: the snapshot is torn");
  early_.assign(early, {});
  for (Early& e : early_) {
    e.local_us = source.GetI64();
    e.x = source.GetF64();
  }
  last_us_ = source.GetI64();
  for (double* v : {&level_, &trend_, &variance_}) *v = source.GetF64();
  const uint64_t seasons = source.GetVarint();
  const uint64_t wanted = started_ && options_.season.period_us > 0 ? options_.season.phases() : 0;
  if (!source.ok() || seasons != wanted)
    return Status::DataLoss("holt_winters: the snapshot is torn or of another season");
  seasons_.assign(seasons, 0);
  for (double& v : seasons_) v = source.GetF64();
  return source.ok() ? Status::Ok() : Status::DataLoss("holt_winters: the snapshot is torn");
}

}  // namespace freshet
