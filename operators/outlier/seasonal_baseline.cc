#include "operators/outlier/seasonal_baseline.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
constexpr int64_t kHourUs = 3'600'000'000;
constexpr int64_t kMondayShift = 3 * 24;  // 1970-01-01 was a Thursday
constexpr double kFullVisits = 3;
constexpr size_t kDeviationsMin = 5;
// A visit of one row is worth half a degree of freedom, one of several rows at most four times that.
constexpr double kFreedomShare = 0.5, kRowsWorth = 4;
constexpr double kRelativeFloor = 1e-6;
constexpr double kAbsoluteFloor = 1e-12;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
// The median of |Z| and its mean, for a standard normal Z: what the median of mean deviations lies between.
constexpr double kMedianAbs = 0.6745, kMeanAbs = 0.7979;

double MedianOf(std::vector<double>& v) {
  if (v.empty()) return kNan;
  const auto middle = v.begin() + static_cast<ptrdiff_t>(v.size() / 2);
  std::nth_element(v.begin(), middle, v.end());
  if (v.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(v.begin(), middle)) / 2;
}

int64_t HoursSince1970(int64_t local_us) { return local_us / kHourUs - (local_us % kHourUs < 0 ? 1 : 0); }

}  // namespace

Status SeasonalBaseline::Validate(const SeasonalBaselineOptions& options) {
  return options.threshold > 0 ? Status::Ok() : Status::InvalidArgument("threshold must be above 0");
}

SeasonalBaseline::SeasonalBaseline(const SeasonalBaselineOptions& options)
    : options_(options), hours_(options.by_week ? 168 : 24) {}

size_t SeasonalBaseline::HourOf(int64_t local_us) const { return HourOfVisit(HoursSince1970(local_us)); }

size_t SeasonalBaseline::HourOfVisit(int64_t visit) const {
  const auto count = static_cast<int64_t>(hours_.size());
  const int64_t within = (visit % count + kMondayShift) % count;
  return static_cast<size_t>(within < 0 ? within + count : within);
}

double SeasonalBaseline::Expected(size_t hour) const {
  const Hour& own = hours_[hour];
  std::vector<double> values(own.means, own.means + own.visits);
  const double median = MedianOf(values);
  if (own.visits >= kFullVisits) return median;
  values.clear();
  const size_t step = options_.by_week ? 24 : 1;
  for (size_t h = hour % step; h < hours_.size(); h += step)
    values.insert(values.end(), hours_[h].means, hours_[h].means + hours_[h].visits);
  const double parent = MedianOf(values);
  if (own.visits == 0) return options_.by_week ? parent : kNan;
  const double weight = own.visits / kFullVisits;
  return weight * median + (1 - weight) * parent;
}

std::vector<double> SeasonalBaseline::Deviations(size_t hour) const {
  std::vector<double> values;
  const auto add = [&](const Hour& h) {
    for (size_t i = 0; i < h.visits; ++i)
      if (!std::isnan(h.deviations[i])) values.push_back(h.deviations[i]);
  };
  const size_t n = hours_.size();
  for (const size_t h : {hour, (hour + 1) % n, (hour + n - 1) % n}) add(hours_[h]);
  if (values.size() >= kDeviationsMin) return values;
  values.clear();
  for (const Hour& h : hours_) add(h);
  return values;
}

OutlierVerdict SeasonalBaseline::Score(const OutlierInput& in) const {
  OutlierVerdict verdict;
  if (std::isnan(in.x)) return verdict;
  const size_t hour = HourOf(in.local_us());
  const double expected = Expected(hour);
  if (std::isnan(expected)) return verdict;
  std::vector<double> deviations = Deviations(hour);
  if (deviations.size() < kDeviationsMin) return verdict;
  const double rows = static_cast<double>(all_rows_) / static_cast<double>(std::max<uint64_t>(1, all_visits_));
  const double freedom = kFreedomShare * std::min(rows, kRowsWorth) * static_cast<double>(deviations.size());
  const double unit = kMeanAbs - (kMeanAbs - kMedianAbs) / std::max(1.0, rows);
  const double scale = std::max({MedianOf(deviations) / unit, kRelativeFloor * std::abs(expected), kAbsoluteFloor});
  verdict.expected = expected;
  verdict.lower = expected - options_.threshold * scale;
  verdict.upper = expected + options_.threshold * scale;
  verdict.score = std::clamp((in.x - expected) / scale, -kOutlierScoreMax, kOutlierScoreMax);
  verdict.p_value = TwoSidedStudentTail(verdict.score, std::max(1.0, freedom));
  return verdict;
}

void SeasonalBaseline::Learn(const OutlierInput& in, const OutlierVerdict&) {
  if (!std::isfinite(in.x)) return;
  const int64_t visit = HoursSince1970(in.local_us());
  if (visit != visit_) {
    CloseVisit();
    visit_ = visit;
    expected_ = Expected(HourOf(in.local_us()));
    sum_ = deviation_ = 0;
    rows_ = 0;
  }
  sum_ += in.x;
  deviation_ += std::abs(in.x - expected_);
  ++rows_;
}

void SeasonalBaseline::CloseVisit() {
  if (rows_ == 0) return;
  Hour& hour = hours_[HourOfVisit(visit_)];
  hour.means[hour.next] = sum_ / rows_;
  hour.deviations[hour.next] = deviation_ / rows_;
  hour.next = static_cast<uint8_t>((hour.next + 1) % kDepth);
  if (hour.visits < kDepth) ++hour.visits;
  ++all_visits_;
  all_rows_ += rows_;
}

size_t SeasonalBaseline::memory_bytes() const { return sizeof *this + hours_.capacity() * sizeof(Hour); }

void SeasonalBaseline::Encode(ByteSink& sink) const {
  sink.PutU8(kCodec);
  sink.PutU8(static_cast<uint8_t>(hours_.size()));
  for (const Hour& hour : hours_) {
    sink.PutU8(hour.visits);
    sink.PutU8(hour.next);
    for (size_t i = 0; i < hour.visits; ++i) {
      sink.PutF64(hour.means[i]);
      sink.PutF64(hour.deviations[i]);
    }
  }
  sink.PutI64(visit_);
  for (double v : {expected_, sum_, deviation_}) sink.PutF64(v);
  sink.PutU32(rows_);
  sink.PutU64(all_visits_);
  sink.PutU64(all_rows_);
}

Status SeasonalBaseline::Decode(ByteSource& source) {
  if (source.GetU8() != kCodec) return Status::DataLoss("seasonal: unknown codec");
  if (source.GetU8() != hours_.size()) return Status::DataLoss("seasonal: the snapshot is of another season");
  for (Hour& hour : hours_) {
    hour.visits = source.GetU8();
    hour.next = source.GetU8();
    if (hour.visits > kDepth || hour.next >= kDepth) return Status::DataLoss("seasonal: the snapshot is damaged");
    for (size_t i = 0; i < hour.visits; ++i) {
      hour.means[i] = source.GetF64();
      hour.deviations[i] = source.GetF64();
    }
  }
  visit_ = source.GetI64();
  for (double* v : {&expected_, &sum_, &deviation_}) *v = source.GetF64();
  rows_ = source.GetU32();
  all_visits_ = source.GetU64();
  all_rows_ = source.GetU64();
  return source.ok() ? Status::Ok() : Status::DataLoss("seasonal: the snapshot is torn");
}

}  // namespace freshet
