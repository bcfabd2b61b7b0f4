#pragma once

#include <cstdint>

namespace freshet {

/// What a metric is, which says on which scale its steps are alike.
enum class MetricKind : uint8_t { kAuto, kCount, kRatio, kLatency, kLevel };

/// As written in pipeline files, in the order of the enum.
inline constexpr const char* kMetricKindNames[] = {"auto", "count", "ratio", "latency", "level"};

}  // namespace freshet
