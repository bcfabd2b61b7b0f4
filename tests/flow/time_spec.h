#pragma once

#include <cstdint>
#include <optional>

#include "engine/flow/time_stage.h"

namespace freshet {

inline constexpr int64_t kSecond = 1000000;
inline constexpr int64_t kHour = 3600 * kSecond;

inline TimeSpec Spec(int64_t lateness_us, std::optional<int64_t> max_jump_us = {}) {
  TimeSpec spec;
  spec.lateness = {lateness_us};
  if (max_jump_us) spec.max_jump = Duration{*max_jump_us};
  return spec;
}

}  // namespace freshet
