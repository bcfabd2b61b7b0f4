#pragma once

#include <cstdint>

namespace freshet::testing {

/// Seeds that once failed; they run first, always. With each: what it found.
struct RegressionSeed {
  uint64_t seed;
  const char* found;
};
inline constexpr RegressionSeed kRegressionSeeds[] = {
    {12, "an epoch aborted after a sink had ended was committed by another number: its rows stayed unpublished"},
    {36, "the same, by an Abort of an epoch that had never been prepared"},
};

}  // namespace freshet::testing
