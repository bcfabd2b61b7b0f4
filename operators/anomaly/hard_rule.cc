#include "operators/anomaly/hard_rule.h"

#include <algorithm>
#include <cmath>

namespace freshet {
namespace {

constexpr double kStandardErrors = 3;

}  // namespace

const char* HardRuleName(HardRuleKind kind) {
  switch (kind) {
    case HardRuleKind::kPerformanceDrop:
      return "performance_drop";
    case HardRuleKind::kEngagementDrop:
      return "engagement_drop";
    case HardRuleKind::kErrorRate:
      return "error_rate";
  }
  return "";
}

HardRuleVerdict HardRule::Add(EventTime time, double x, double n, double expected, double sd) {
  const bool is_drop = options_.kind != HardRuleKind::kErrorRate;
  const int64_t width = std::max<int64_t>(1, options_.over_us / kSlotCount);
  int64_t index = time.us / width - (time.us % width < 0 ? 1 : 0);
  int64_t newest = kNoIndex;
  for (const Slot& s : slots_) newest = std::max(newest, s.index);
  const bool is_missing = !std::isfinite(x) || !(n > 0) || !std::isfinite(n) ||
                          (is_drop && (!std::isfinite(expected) || !std::isfinite(sd)));
  if (is_missing) return newest > kNoIndex && newest > index - kSlotCount ? Judge(newest) : HardRuleVerdict();
  index = std::max(index, newest);
  const int64_t place = index % kSlotCount;
  Slot& slot = slots_[static_cast<size_t>(place < 0 ? place + kSlotCount : place)];
  if (slot.index != index) slot = Slot{index, 0, 0, 0, 0};
  slot.n += n;
  slot.x += n * x;
  if (is_drop) {
    slot.expected += n * expected;
    slot.variance += n * sd * n * sd;
  }
  return Judge(index);
}

HardRuleVerdict HardRule::Judge(int64_t index) const {
  HardRuleVerdict verdict;
  Slot sum;
  for (const Slot& s : slots_) {
    if (s.index == kNoIndex || s.index <= index - kSlotCount) continue;
    sum.n += s.n;
    sum.x += s.x;
    sum.expected += s.expected;
    sum.variance += s.variance;
  }
  verdict.value = sum.x / sum.n;
  if (options_.kind == HardRuleKind::kErrorRate) {
    verdict.broken = sum.n >= options_.samples && verdict.value > options_.at;
    return verdict;
  }
  verdict.expected = sum.expected / sum.n;
  const bool rises = options_.kind == HardRuleKind::kPerformanceDrop && options_.rises;
  const double drop = rises ? verdict.value - verdict.expected : verdict.expected - verdict.value;
  verdict.broken = sum.n >= options_.samples && verdict.expected > 0 && drop >= options_.at * verdict.expected &&
                   drop > kStandardErrors * std::sqrt(sum.variance) / sum.n;
  return verdict;
}

void HardRule::Encode(ByteSink& sink) const {
  sink.PutI64(options_.over_us);
  for (const Slot& s : slots_) {
    sink.PutI64(s.index);
    for (const double v : {s.n, s.x, s.expected, s.variance}) sink.PutF64(v);
  }
}

void HardRule::Decode(ByteSource& source) {
  const bool same = source.GetI64() == options_.over_us;
  for (Slot& s : slots_) {
    s.index = source.GetI64();
    for (double* v : {&s.n, &s.x, &s.expected, &s.variance}) *v = source.GetF64();
  }
  if (!same) Clear();  // slots of another width
}

}  // namespace freshet
