#include "operators/anomaly/series_scorer.h"

#include <algorithm>
#include <cmath>

namespace freshet {
namespace {

// By week, and the hours of the week at the end; 1 and 2 knew no excursions.
constexpr uint8_t kCodec = 3;
constexpr uint8_t kCodecByWeek = 4;
constexpr uint8_t kWithoutExcursions = 2;  // less than the codec
constexpr size_t kWarmup = 50;
constexpr int64_t kWarmCount = 200;
constexpr int64_t kWarmWithoutHours = 750;
constexpr double kScoreMax = 8;
constexpr int kHourCount = 24;
constexpr int64_t kHourUs = 3600000000;
constexpr int64_t kDayUs = kHourCount * kHourUs;
constexpr int64_t kWeekUs = 7 * kDayUs;
constexpr int64_t kMondayUs = 4 * kDayUs;  // 1970-01-05
constexpr double kWeeksFull = 3;
constexpr size_t kHourHistory = 120;
constexpr size_t kWeekHistory = 60;
constexpr size_t kHourWarmup = 4;
constexpr size_t kRecent = 1000;
constexpr size_t kRecentWarmup = 20;
constexpr double kNormalIqr = 1.349;
constexpr double kFastWeight = 0.1;
constexpr double kSlowWeight = 0.03;
// A value whose own evidence has a p-value below this is odd by itself.
constexpr double kOddBelow = 1e-3;
constexpr double kEchoGone = 1e-6;  // of the mean
constexpr double kSumLeak = 0.98;
constexpr double kSumSlack = 0.5;
constexpr double kSumClip = 5;

double At(const SortedWindow<float>& window, double q) {
  return static_cast<double>(window[static_cast<size_t>(std::lround(q * static_cast<double>(window.size() - 1)))]);
}

/// IQR / 1.349, at least a millionth of the median.
double Spread(const SortedWindow<float>& window) {
  return std::max((At(window, 0.75) - At(window, 0.25)) / kNormalIqr, 1e-9 + 1e-6 * std::abs(At(window, 0.5)));
}

RecentTailOptions TailOptions(const SeriesScorerOptions& options) {
  RecentTailOptions tail;
  tail.history = options.history;
  tail.warmup = static_cast<int>(kWarmup);
  return tail;
}

/// Of the mean without its echo, once that has a part in it: NaN otherwise. An echo of no weight any more ends.
double GapWithoutEcho(const NearestGap& seen, double mean, double* echo) {
  if (std::abs(*echo) <= kEchoGone * std::abs(mean) || !std::isnormal(*echo)) *echo = 0;
  return *echo == 0 || seen.size() < kWarmup ? SeriesVerdict::kNone : seen.Gap(mean - *echo);
}

size_t HourIn(int64_t period_us, int64_t us) {
  const int64_t in_period = us % period_us;
  return static_cast<size_t>((in_period < 0 ? in_period + period_us : in_period) / kHourUs);
}
size_t HourOf(int64_t us) { return HourIn(kDayUs, us); }
size_t HourOfWeek(int64_t us) { return HourIn(kWeekUs, us - kMondayUs); }

}  // namespace

const char* EvidenceName(int evidence) {
  switch (evidence) {
    case SeriesScorer::kValue:
      return "a value never seen";
    case SeriesScorer::kPattern:
      return "a shape never seen";
    case SeriesScorer::kHour:
      return "unusual for this hour";
    case SeriesScorer::kLevel:
      return "a level never held";
    case SeriesScorer::kDrift:
      return "a lasting shift";
    default:
      return "";
  }
}

Status SeriesScorer::Validate(const SeriesScorerOptions& options) {
  if (options.history < 200 || options.history > 65535)
    return Status::InvalidArgument("history must be from 200 to 65535");
  return Status::Ok();
}

SeriesScorer::SeriesScorer(const SeriesScorerOptions& options)
    : options_(options),
      values_(options.history),
      hourly_(options.history),
      fast_(options.history),
      slow_(options.history),
      patterns_(options.history),
      hours_(kHourCount, SortedWindow<float>(kHourHistory)),
      week_(options.by_week ? 7 * kHourCount : 0, SortedWindow<float>(kWeekHistory)),
      recent_(kRecent),
      recent_raw_(kRecent),
      tails_(kInputCount, RecentTail(TailOptions(options))) {
  decided_ = options.kind != MetricKind::kAuto;
  logarithmic_ = options.kind == MetricKind::kCount || options.kind == MetricKind::kLatency;
}

// A count by its looks: whole and not negative. What is positive and leans to the right is compared by ratios.
void SeriesScorer::DecideScale() {
  decided_ = true;
  std::vector<double> sorted = std::move(first_values_);
  std::sort(sorted.begin(), sorted.end());
  const size_t n = sorted.size();
  const double median = sorted[n / 2];
  if (sorted[0] >= 0 && std::all_of(sorted.begin(), sorted.end(), [](double x) { return x == std::floor(x); })) {
    logarithmic_ = true;
  } else if (sorted[0] >= 0 && median > 0 && sorted[n * 9 / 10] - median > 2 * (median - sorted[n / 10])) {
    logarithmic_ = true;
    log_offset_ = 0.05 * median;
  }
  recent_.Clear();
  recent_raw_.ForEach([&](float x) { recent_.Push(static_cast<float>(Scaled(static_cast<double>(x)))); });
  sum_up_ = sum_down_ = 0;
}

double SeriesScorer::Scaled(double x) const { return logarithmic_ ? std::log(std::max(x, 0.0) + log_offset_) : x; }

double SeriesScorer::Cumulate(double x) {
  const double scaled = Scaled(x);
  double sum = SeriesVerdict::kNone;
  if (recent_.size() >= kRecentWarmup) {
    const double z = std::clamp((scaled - At(recent_, 0.5)) / Spread(recent_), -kSumClip, kSumClip);
    sum_up_ = std::max(0.0, kSumLeak * sum_up_ + z - kSumSlack);
    sum_down_ = std::max(0.0, kSumLeak * sum_down_ - z - kSumSlack);
    sum = std::max(sum_up_, sum_down_);
  }
  recent_.Push(static_cast<float>(scaled));
  return sum;
}

bool SeriesScorer::SeesHours(const SortedWindow<float>& hour) const {
  return options_.by_hour && last_us_ - first_us_ >= kDayUs && hour.size() >= kHourWarmup;
}

SeriesScorer::Basis SeriesScorer::SeasonBasis(int64_t local_us) const {
  const SortedWindow<float>& day = hours_[HourOf(local_us)];
  Basis basis{At(day, 0.5), Spread(day)};
  if (week_.empty() || last_us_ - first_us_ < kWeekUs) return basis;
  const SortedWindow<float>& week = week_[HourOfWeek(local_us)];
  if (week.size() < kHourWarmup) return basis;
  const double weeks = static_cast<double>(last_us_ - first_us_) / static_cast<double>(kWeekUs);
  const double weight = std::min(1.0, weeks / kWeeksFull);
  basis.median += weight * (At(week, 0.5) - basis.median);
  basis.spread += weight * (Spread(week) - basis.spread);
  return basis;
}

bool SeriesScorer::IsOdd(const Inputs& inputs) const {
  for (const Input i : {kNearest, kHourly}) {
    const std::optional<double> p = tails_[i].PValue(inputs[i]);
    if (p && *p < kOddBelow) return true;
  }
  return false;
}

/// Lowers what is odd only because of an excursion that is over; whether there was any. REQUIRES: `inputs` are what
/// Measure has just returned.
bool SeriesScorer::QuietEcho(Inputs* inputs) {
  bool lowered = false;
  const auto lower = [&](Input i, double to) {
    if (!(to < (*inputs)[i])) return;
    (*inputs)[i] = to;
    lowered = true;
  };
  lower(kFast, quiet_fast_);
  lower(kSlow, quiet_slow_);
  if (std::isnan((*inputs)[kLongRun]) || std::all_of(echo_.begin(), echo_.end(), [](float e) { return e == 0; }))
    return lowered;
  std::array<float, PatternDistance::kLong> run;
  for (size_t i = 0; i < run.size(); ++i) run[i] = patterns_.Last(run.size() - 1 - i) - echo_[i];
  const PatternDistance::Distances instead = patterns_.Instead(run);
  lower(kShortRun, instead.short_run);
  lower(kLongRun, instead.long_run);
  return lowered;
}

SeriesScorer::Inputs SeriesScorer::Measure(EventTime time, int64_t local_us, double x) {
  Inputs inputs;
  inputs.fill(SeriesVerdict::kNone);
  const auto gap = [](NearestGap& seen, double value, double* input) {
    if (seen.size() >= kWarmup) *input = seen.Gap(value);
    seen.Learn(value);
  };
  const bool first = count_ == 0;
  if (first) first_us_ = last_us_ = time.us;
  last_us_ = std::max(last_us_, time.us);
  ++count_;
  SortedWindow<float>& hour = hours_[HourOf(local_us)];
  if (SeesHours(hour)) gap(hourly_, x - SeasonBasis(local_us).median, &inputs[kHourly]);
  hour.Push(static_cast<float>(x));
  if (!week_.empty()) week_[HourOfWeek(local_us)].Push(static_cast<float>(x));
  gap(values_, x, &inputs[kNearest]);
  std::rotate(echo_.begin(), echo_.begin() + 1, echo_.end());
  echo_.back() = 0;
  fast_echo_ *= 1 - kFastWeight;
  slow_echo_ *= 1 - kSlowWeight;
  if (excursion_.Ends(x, IsOdd(inputs))) {
    for (size_t i = 0; i < excursion_.rows(); ++i) {
      const size_t ago = excursion_.rows() - i;
      const double away = excursion_.value(i) - excursion_.usual();
      echo_[echo_.size() - 1 - ago] = static_cast<float>(away);
      fast_echo_ += kFastWeight * std::pow(1 - kFastWeight, static_cast<double>(ago)) * away;
      slow_echo_ += kSlowWeight * std::pow(1 - kSlowWeight, static_cast<double>(ago)) * away;
    }
  }
  fast_mean_ = first ? x : fast_mean_ + kFastWeight * (x - fast_mean_);
  slow_mean_ = first ? x : slow_mean_ + kSlowWeight * (x - slow_mean_);
  // Before the means are learned: the gap to a mean that was learned is at most the echo.
  quiet_fast_ = GapWithoutEcho(fast_, fast_mean_, &fast_echo_);
  quiet_slow_ = GapWithoutEcho(slow_, slow_mean_, &slow_echo_);
  gap(fast_, fast_mean_, &inputs[kFast]);
  gap(slow_, slow_mean_, &inputs[kSlow]);
  const PatternDistance::Distances runs = patterns_.Push(x);
  inputs[kShortRun] = runs.short_run;
  inputs[kLongRun] = runs.long_run;
  inputs[kSum] = Cumulate(x);
  recent_raw_.Push(static_cast<float>(x));
  if (!decided_) {
    first_values_.push_back(x);
    if (first_values_.size() >= kWarmup) DecideScale();
  }
  return inputs;
}

double SeriesScorer::Combine(const std::array<double, kInputCount>& evidence, int* strongest) const {
  static constexpr std::array<int, kInputCount> kEvidenceOf = {kValue, kPattern, kPattern, kHour,
                                                               kLevel, kLevel,   kDrift};
  std::array<double, kEvidenceCount> sums{};
  std::array<int, kEvidenceCount> counts{};
  for (size_t i = 0; i < kInputCount; ++i) {
    if (std::isnan(evidence[i])) continue;
    sums[static_cast<size_t>(kEvidenceOf[i])] += evidence[i];
    ++counts[static_cast<size_t>(kEvidenceOf[i])];
  }
  double total = 0, best = -1;
  int kinds = 0;
  for (size_t e = 0; e < kEvidenceCount; ++e) {
    if (counts[e] == 0) continue;
    const double s = sums[e] / counts[e];
    total += std::pow(10.0, s);
    ++kinds;
    if (s <= best) continue;
    best = s;
    *strongest = static_cast<int>(e);
  }
  return kinds == 0 ? SeriesVerdict::kNone : std::log10(total / kinds);
}

double SeriesScorer::Score(const Inputs& inputs, int* strongest) const {
  Inputs evidence;
  for (size_t i = 0; i < kInputCount; ++i) {
    const std::optional<double> p = tails_[i].PValue(inputs[i]);
    evidence[i] = p ? std::min(kScoreMax, -std::log10(*p)) : SeriesVerdict::kNone;
  }
  const double score = Combine(evidence, strongest);
  return std::isnan(score) ? score : std::max(0.0, score);
}

void SeriesScorer::Expect(int64_t local_us, SeriesVerdict* verdict) const {
  Basis basis{};
  if (SeesHours(hours_[HourOf(local_us)]))
    basis = SeasonBasis(local_us);
  else if (recent_raw_.size() >= kHourWarmup)
    basis = {At(recent_raw_, 0.5), Spread(recent_raw_)};
  else
    return;
  verdict->expected = basis.median;
  verdict->lower = basis.median - 3 * basis.spread;
  verdict->upper = basis.median + 3 * basis.spread;
}

SeriesVerdict SeriesScorer::ScoreAndLearn(EventTime time, double x, int64_t zone_us) {
  SeriesVerdict verdict;
  const int64_t local_us = time.us + zone_us;
  if (std::isnan(x)) return verdict;
  if (std::isinf(x) || std::abs(x) > 1e37) {
    if (!warm()) return verdict;
    verdict.score = verdict.with_echo = kScoreMax;
    verdict.evidence = kValue;
    Expect(local_us, &verdict);
    return verdict;
  }
  Expect(local_us, &verdict);
  const Inputs inputs = Measure(time, local_us, x);
  verdict.score = verdict.with_echo = Score(inputs, &verdict.evidence);
  Inputs quiet = inputs;
  if (QuietEcho(&quiet)) verdict.score = Score(quiet, &verdict.evidence);
  for (size_t i = 0; i < kInputCount; ++i) tails_[i].Learn(inputs[i]);
  return verdict;
}

bool SeriesScorer::warm() const {
  if (count_ < kWarmCount) return false;
  return !options_.by_hour || tails_[kHourly].ready() || count_ >= kWarmWithoutHours;
}

size_t SeriesScorer::memory_bytes() const {
  size_t bytes = sizeof *this + patterns_.memory_bytes() + recent_.memory_bytes() + recent_raw_.memory_bytes();
  for (const NearestGap* seen : {&values_, &hourly_, &fast_, &slow_}) bytes += seen->memory_bytes();
  for (const auto& hour : hours_) bytes += hour.memory_bytes();
  for (const auto& hour : week_) bytes += sizeof hour + hour.memory_bytes();
  for (const RecentTail& tail : tails_) bytes += tail.memory_bytes();
  return bytes;
}

void SeriesScorer::Encode(ByteSink& sink) const {
  sink.PutU8(week_.empty() ? kCodec : kCodecByWeek);
  for (int64_t v : {count_, first_us_, last_us_}) sink.PutI64(v);
  sink.PutBool(decided_);
  sink.PutBool(logarithmic_);
  for (double v : {log_offset_, fast_mean_, slow_mean_, sum_up_, sum_down_}) sink.PutF64(v);
  sink.PutVarint(first_values_.size());
  for (double v : first_values_) sink.PutF64(v);
  for (const NearestGap* seen : {&values_, &hourly_, &fast_, &slow_}) seen->Encode(sink);
  patterns_.Encode(sink);
  for (const auto& hour : hours_) hour.Encode(sink);
  recent_.Encode(sink);
  recent_raw_.Encode(sink);
  for (const RecentTail& tail : tails_) tail.Encode(sink);
  for (const auto& hour : week_) hour.Encode(sink);
  excursion_.Encode(sink);
  for (const float e : echo_) sink.PutF64(static_cast<double>(e));
  for (const double e : {fast_echo_, slow_echo_}) sink.PutF64(e);
}

Status SeriesScorer::Decode(ByteSource& source) {
  const auto damaged = [] { return Status::DataLoss("anomaly: the snapshot is damaged or of a longer history"); };
  const uint8_t codec = source.GetU8(), newest = week_.empty() ? kCodec : kCodecByWeek;
  if (codec != newest && codec + kWithoutExcursions != newest) return Status::DataLoss("anomaly: unknown codec");
  for (int64_t* v : {&count_, &first_us_, &last_us_}) *v = source.GetI64();
  decided_ = source.GetBool();
  logarithmic_ = source.GetBool();
  for (double* v : {&log_offset_, &fast_mean_, &slow_mean_, &sum_up_, &sum_down_}) *v = source.GetF64();
  const uint64_t first_count = source.GetVarint();
  if (first_count >= kWarmup + 1) return damaged();
  first_values_.resize(first_count);
  for (double& v : first_values_) v = source.GetF64();
  for (NearestGap* seen : {&values_, &hourly_, &fast_, &slow_})
    if (!seen->Decode(source)) return damaged();
  if (!patterns_.Decode(source)) return damaged();
  for (auto& hour : hours_)
    if (!hour.Decode(source)) return damaged();
  if (!recent_.Decode(source) || !recent_raw_.Decode(source)) return damaged();
  for (RecentTail& tail : tails_) FRESHET_RETURN_IF_ERROR(tail.Decode(source));
  for (auto& hour : week_)
    if (!hour.Decode(source)) return damaged();
  excursion_ = {};
  echo_ = {};
  fast_echo_ = slow_echo_ = 0;
  if (codec == newest) {
    if (!excursion_.Decode(source)) return damaged();
    for (float& e : echo_) e = static_cast<float>(source.GetF64());
    for (double* e : {&fast_echo_, &slow_echo_}) *e = source.GetF64();
  }
  return source.ok() ? Status::Ok() : damaged();
}

}  // namespace freshet
