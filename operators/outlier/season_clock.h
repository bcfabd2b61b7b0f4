#pragma once

#include <cstddef>
#include <cstdint>

namespace freshet {

/// later - earlier in µs, at most INT64_MAX; 0 where time goes back.
inline int64_t GapUs(int64_t earlier, int64_t later) {
  if (later <= earlier) return 0;
  int64_t gap = 0;
  return __builtin_sub_overflow(later, earlier, &gap) ? INT64_MAX : gap;
}

/// Where in a season a moment lies: `period_us` cut into steps of `step_us`, counted in local time from the start of
/// 1970 (a Thursday). period_us 0: no season, one phase.
struct SeasonClock {
  int64_t period_us = 0;
  int64_t step_us = 0;

  /// A period has at least two steps and at most 10,080 (minutes of a week).
  bool valid() const {
    if (period_us == 0) return step_us >= 0;
    return step_us > 0 && period_us >= 2 * step_us && period_us / step_us <= 10080 && period_us % step_us == 0;
  }
  size_t phases() const { return period_us == 0 ? 1 : static_cast<size_t>(period_us / step_us); }
  size_t PhaseAt(int64_t local_us) const {
    if (period_us == 0) return 0;
    const int64_t within = local_us % period_us;
    return static_cast<size_t>((within < 0 ? within + period_us : within) / step_us);
  }
};

}  // namespace freshet
