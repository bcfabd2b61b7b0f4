#include "operators/anomaly/alarm_budget.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

namespace freshet {
namespace {

constexpr double kPeriods = 8;
constexpr double kFloor = 1;
constexpr int64_t kStretchRows = 200;
constexpr size_t kKept = 1024;

}  // namespace

double AlarmBudget::Periods() const {
  const double periods = static_cast<double>(now_us_ - first_us_) / static_cast<double>(options_.period_us);
  return std::min(periods, kPeriods);
}

size_t AlarmBudget::Affordable() const { return static_cast<size_t>(options_.alarms * Periods()); }

double AlarmBudget::bar() const {
  const size_t affordable = Affordable();
  double bar = kFloor;
  if (past_.size() > affordable) {
    std::vector<double> scores;
    scores.reserve(past_.size());
    for (const Candidate& c : past_) scores.push_back(c.score);
    const auto nth = scores.begin() + static_cast<ptrdiff_t>(affordable);
    std::nth_element(scores.begin(), nth, scores.end(), std::greater<>());
    bar = std::max(bar, *nth);
  }
  return Periods() < 1 ? std::max(bar, options_.alarm_at) : bar;
}

/// Both are by time.
void AlarmBudget::ForgetOld() {
  const int64_t from = now_us_ - static_cast<int64_t>(kPeriods * static_cast<double>(options_.period_us));
  if (!past_.empty() && past_.front().time_us < from)
    std::erase_if(past_, [&](const Candidate& c) { return c.time_us < from; });
  if (!alarms_.empty() && alarms_.front() < from) std::erase_if(alarms_, [&](int64_t us) { return us < from; });
}

void AlarmBudget::Close() {
  past_.push_back(open_);
  open_count_ = -1;
  if (past_.size() > kKept)
    past_.erase(std::min_element(past_.begin(), past_.end(),
                                 [](const Candidate& a, const Candidate& b) { return a.score < b.score; }));
  if (alarms_.size() > kKept) alarms_.erase(alarms_.begin());
}

double AlarmBudget::Pass(EventTime time, double score) {
  if (count_++ == 0) first_us_ = now_us_ = time.us;
  now_us_ = std::max(now_us_, time.us);
  const int64_t stretch = std::min(kStretchRows, count_ / 10);
  const double stretch_us = static_cast<double>(options_.period_us) / options_.alarms / 2;
  if (open_count_ >= 0 &&
      (count_ - open_count_ >= stretch || static_cast<double>(now_us_ - open_.time_us) >= stretch_us))
    Close();
  ForgetOld();
  if (!(score > kFloor)) return 0;
  if (open_count_ < 0) {
    open_count_ = count_;
    open_ = {now_us_, score};
    open_alarmed_ = false;
  }
  open_.score = std::max(open_.score, score);
  if (open_alarmed_) return 0;
  const double bar = this->bar();
  const bool above = score > bar || (score == bar && alarms_.size() < Affordable());
  if (!above) return 0;
  open_alarmed_ = true;
  alarms_.push_back(now_us_);
  return score;
}

std::optional<double> AlarmBudget::rate() const {
  const double periods = Periods();
  if (periods < 1) return std::nullopt;
  const int64_t from = now_us_ - static_cast<int64_t>(kPeriods * static_cast<double>(options_.period_us));
  const auto count = std::count_if(alarms_.begin(), alarms_.end(), [&](int64_t us) { return us >= from; });
  return static_cast<double>(count) / periods;
}

void AlarmBudget::Encode(ByteSink& sink) const {
  sink.PutI64(count_);
  sink.PutI64(first_us_);
  sink.PutI64(now_us_);
  sink.PutI64(open_count_);
  sink.PutBool(open_alarmed_);
  sink.PutI64(open_.time_us);
  sink.PutF64(open_.score);
  sink.PutVarint(past_.size());
  for (const Candidate& c : past_) {
    sink.PutI64(c.time_us);
    sink.PutF64(c.score);
  }
  sink.PutVarint(alarms_.size());
  for (const int64_t us : alarms_) sink.PutI64(us);
}

bool AlarmBudget::Decode(ByteSource& source) {
  count_ = source.GetI64();
  first_us_ = source.GetI64();
  now_us_ = source.GetI64();
  open_count_ = source.GetI64();
  open_alarmed_ = source.GetBool();
  open_.time_us = source.GetI64();
  open_.score = source.GetF64();
  const uint64_t past = source.GetVarint();
  if (past > kKept + 1 || source.remaining() / 16 < past) return false;
  past_.resize(past);
  for (Candidate& c : past_) {
    c.time_us = source.GetI64();
    c.score = source.GetF64();
  }
  const uint64_t alarms = source.GetVarint();
  if (alarms > kKept + kStretchRows || source.remaining() / 8 < alarms) return false;
  alarms_.resize(alarms);
  for (int64_t& us : alarms_) us = source.GetI64();
  return source.ok();
}

std::optional<AlarmBudgetOptions> ParseAlarmBudget(std::string_view text) {
  AlarmBudgetOptions options;
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  std::string_view number = text.substr(0, slash), unit = text.substr(slash + 1);
  while (!number.empty() && number.back() == ' ') number.remove_suffix(1);
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), options.alarms);
  if (error != std::errc() || end != number.data() + number.size()) return std::nullopt;
  constexpr int64_t kHour = 3'600'000'000;
  options.period_us = unit == "hour" ? kHour : unit == "day" ? 24 * kHour : unit == "week" ? 168 * kHour : 0;
  if (!(options.alarms > 0) || !(options.alarms <= 1000) || options.period_us == 0) return std::nullopt;
  return options;
}

}  // namespace freshet
