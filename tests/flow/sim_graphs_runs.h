#pragma once

#include <cstdint>
#include <string>

#include "engine/flow/planted_bugs.h"

namespace freshet::testing {

/// Runs seeds 1 to `count` (and the regression seeds) of RandomPipeline; every eighth on RocksDB under power cuts, most
/// of them with less memory than their state needs, and of these some without a state directory. `windows`: pipelines
/// full of windows (RandomPipeline). Fails the doctest case with the command that replays.
void RunRandomPipelines(const std::string& test_case, uint64_t count, bool windows = false);

/// The first of the seeds 1 to `count` of both kinds at which a planted mistake shows, or 0.
uint64_t FirstSeedThatFinds(const PlantedBugName& planted, uint64_t count);

}  // namespace freshet::testing
