#pragma once

#include <array>
#include <cstdint>
#include <limits>

#include "engine/base/bytes.h"
#include "engine/base/time.h"
#include "operators/outlier/severity.h"

namespace freshet {

/// The rules that hold whatever is usual. The values stand in state: frozen.
enum class HardRuleKind : uint8_t { kPerformanceDrop = 1, kEngagementDrop = 2, kErrorRate = 3 };
/// "performance_drop", "engagement_drop", "error_rate".
const char* HardRuleName(HardRuleKind kind);

struct HardRuleOptions {
  HardRuleKind kind = HardRuleKind::kErrorRate;
  double at = 0.05;               ///< the drop, as a share of what is expected; error_rate: the ratio itself
  int64_t over_us = 300'000'000;  ///< mean of the rows of so long, > 0
  double samples = 200;           ///< below so many in that time nothing is said
  bool rises = false;             ///< a performance that is worse when it is higher: a latency
  int metric = 0;
  Severity severity = Severity::kHigh;  ///< at least this while it is broken
};

struct HardRuleVerdict {
  bool broken = false;
  double value = std::numeric_limits<double>::quiet_NaN();     ///< mean over `over_us`, weighed by samples
  double expected = std::numeric_limits<double>::quiet_NaN();  ///< the same mean of what was expected
};

/// The mean of a metric over the last `over_us` of event time against a fixed bound (error_rate), or against the mean
/// of what was expected of the same rows (the drops), once there are `samples`. A drop must also be larger than three
/// standard errors of that many rows, so that a metric as noisy as the bound is wide does not break it by chance.
/// Time moves in tenths of `over_us`: the rows of the last nine tenths to all of it count. Memory is constant.
/// Rows must come by time (older ones count as of the newest). A plain value; not thread-safe.
class HardRule {
 public:
  explicit HardRule(const HardRuleOptions& options) : options_(options) {}

  const HardRuleOptions& options() const { return options_; }
  /// `n`: samples behind x (1 for a row that is one). `expected` and its standard deviation `sd` may be NaN; then a
  /// drop is not judged by this row. Such a row, one that is not finite, or of no samples, is missing: it changes
  /// nothing, and what was said last is said again, until the newest row that was not missing has left `over_us`.
  HardRuleVerdict Add(EventTime time, double x, double n, double expected, double sd);
  void Clear() { slots_ = {}; }

  void Encode(ByteSink& sink) const;
  void Decode(ByteSource& source);

 private:
  static constexpr int kSlotCount = 10;
  static constexpr int64_t kNoIndex = std::numeric_limits<int64_t>::min();
  struct Slot {
    int64_t index = kNoIndex;
    double n = 0, x = 0, expected = 0, variance = 0;  // sums, weighed by n
  };
  /// From the slots as of the one of `index`, the newest.
  HardRuleVerdict Judge(int64_t index) const;

  HardRuleOptions options_;
  std::array<Slot, kSlotCount> slots_;
};

}  // namespace freshet
