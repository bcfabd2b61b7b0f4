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
    {106, "random pipelines: a run counted as over while a sink was still to repeat its last Commit"},
    {41, "random windows: a lane without rows of a batch whose input had been idle crashed"},
    {1018,
     "random pipelines: a lane of a join met a barrier before an input's end, the other after it, and stood behind"},
    {151, "random pipelines: two gathers of one join waited for each other's lanes under a tiny egress budget"},
    {16, "random pipelines: sources waited for ever for the memory of cells that had ended"},
    {312, "random windows: the same"},
    {1454,
     "random pipelines: the disk was full between two pieces that left memory, and the first was not found again"},
    {95, "random windows: lanes of a join whose inputs had been idle stood at different times at a barrier"},
};

}  // namespace freshet::testing
