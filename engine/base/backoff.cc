#include "engine/base/backoff.h"

#include <algorithm>

namespace freshet {

Duration Backoff::Next() {
  const int doublings = std::min(attempt_++, 30);
  const int64_t ceiling = std::min(options_.longest.us, options_.first.us << std::min(doublings, 20));
  return {static_cast<int64_t>(rng_.NextDouble() * static_cast<double>(std::max<int64_t>(ceiling, 1)))};
}

Duration Backoff::Next(Duration wish, Duration cap) {
  ++attempt_;
  const int64_t wait = std::clamp<int64_t>(wish.us, 0, cap.us);
  return {wait + static_cast<int64_t>(rng_.NextDouble() * static_cast<double>(wait) / 10)};
}

}  // namespace freshet
