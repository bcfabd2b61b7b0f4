#pragma once

#include <cstdint>
#include <string>

#include "engine/base/status.h"

namespace freshet {

/// Refuses, in words, an option of a forest that is not from `low` to `high`.
inline Status CheckRange(const char* name, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return Status::Ok();
  return Status::InvalidArgument(std::string(name) + " must be from " + std::to_string(low) + " to " +
                                 std::to_string(high) + ", not " + std::to_string(value));
}

}  // namespace freshet
