#pragma once

#include <cstdint>
#include <optional>

namespace freshet {

/// How bad it is. The values stand in state: frozen.
enum class Severity : uint8_t { kNone = 0, kLow = 1, kMedium = 2, kHigh = 3, kCritical = 4 };

/// Severity by surprise alone: low below 1e-2, medium below 1e-3, high below 1e-4, critical below 1e-6. A NaN is none.
constexpr Severity SeverityOf(double p_value) {
  if (p_value < 1e-6) return Severity::kCritical;
  if (p_value < 1e-4) return Severity::kHigh;
  if (p_value < 1e-3) return Severity::kMedium;
  if (p_value < 1e-2) return Severity::kLow;
  return Severity::kNone;
}
constexpr Severity SeverityOf(std::optional<double> p_value) {
  return p_value ? SeverityOf(*p_value) : Severity::kNone;
}

/// "low" … "critical"; nullptr for none, which rows carry as null.
constexpr const char* SeverityName(Severity severity) {
  switch (severity) {
    case Severity::kLow:
      return "low";
    case Severity::kMedium:
      return "medium";
    case Severity::kHigh:
      return "high";
    case Severity::kCritical:
      return "critical";
    case Severity::kNone:
      break;
  }
  return nullptr;
}

}  // namespace freshet
