#pragma once

#include <cstdint>

namespace freshet {

/// What a metric is, which says on which scale its steps are alike.
enum class MetricKind : uint8_t { kAuto, kCount, kRatio, kLatency, kLevel };

}  // namespace freshet
