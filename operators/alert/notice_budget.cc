#include "operators/alert/notice_budget.h"

#include <algorithm>
#include <cmath>

namespace freshet {

bool NoticeBudget::Pass(int64_t time_us, const NoticeStrength& given, const NoticeBudgetOptions& options) {
  constexpr uint8_t kCritical = 4;
  NoticeStrength strength = given;
  strength.peak = std::isnan(strength.peak) ? 0 : std::abs(strength.peak);
  if (passed_count_ + held_back_count_ == 0) first_us_ = time_us;
  last_us_ = time_us;
  const auto over = [&](int64_t at) { return time_us - at >= options.period_us; };
  while (!came_.empty() && over(came_.front().time_us)) came_.pop_front();
  while (!passed_us_.empty() && over(passed_us_.front())) passed_us_.pop_front();
  const auto stronger = std::count_if(came_.begin(), came_.end(), [&](const Came& c) { return strength < c.strength; });
  const bool affordable = static_cast<int64_t>(passed_us_.size()) < options.count && stronger < options.count;
  came_.push_back({time_us, strength});
  if (came_.size() > kKeptMax) came_.pop_front();
  const bool passes = affordable || strength.severity >= kCritical;
  ++(passes ? passed_count_ : held_back_count_);
  if (passes) passed_us_.push_back(time_us);
  if (passed_us_.size() > kKeptMax) passed_us_.pop_front();
  return passes;
}

double NoticeBudget::Rate(const NoticeBudgetOptions& options) const {
  const int64_t span_us = last_us_ - first_us_;
  if (span_us < options.period_us) return 0;
  return static_cast<double>(passed_count_) * static_cast<double>(options.period_us) / static_cast<double>(span_us);
}

void NoticeBudget::Encode(ByteSink& sink) const {
  sink.PutI64(first_us_);
  sink.PutI64(last_us_);
  sink.PutI64(passed_count_);
  sink.PutI64(held_back_count_);
  sink.PutVarint(came_.size());
  for (const Came& c : came_) {
    sink.PutI64(c.time_us);
    sink.PutU8(c.strength.severity);
    sink.PutF64(c.strength.peak);
  }
  sink.PutVarint(passed_us_.size());
  for (const int64_t us : passed_us_) sink.PutI64(us);
}

bool NoticeBudget::Decode(ByteSource& source) {
  first_us_ = source.GetI64();
  last_us_ = source.GetI64();
  passed_count_ = source.GetI64();
  held_back_count_ = source.GetI64();
  const uint64_t came = source.GetVarint();
  if (!source.ok() || came > kKeptMax) return false;
  for (uint64_t i = 0; i < came; ++i) {
    Came c;
    c.time_us = source.GetI64();
    c.strength.severity = source.GetU8();
    c.strength.peak = source.GetF64();
    came_.push_back(c);
  }
  const uint64_t passed = source.GetVarint();
  if (!source.ok() || passed > kKeptMax) return false;
  for (uint64_t i = 0; i < passed; ++i) passed_us_.push_back(source.GetI64());
  return source.ok();
}

void BudgetCell::Encode(ByteSink& sink) const {
  sink.PutI64(options.count);
  sink.PutI64(options.period_us);
  budget.Encode(sink);
}

bool BudgetCell::Decode(ByteSource& source, uint16_t) {
  options.count = source.GetI64();
  options.period_us = source.GetI64();
  return budget.Decode(source);
}

}  // namespace freshet
