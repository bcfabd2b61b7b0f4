#pragma once

#include <cstdint>
#include <string>

namespace freshet::testing {

/// Runs seeds 1 to `count` (and the regression seeds) of RandomPipeline; every eighth on RocksDB under power cuts.
/// `windows`: pipelines full of windows (RandomPipeline). Fails the doctest case with the command that replays.
void RunRandomPipelines(const std::string& test_case, uint64_t count, bool windows = false);

}  // namespace freshet::testing
