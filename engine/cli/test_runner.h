#pragma once

#include <string>
#include <vector>

#include "engine/plan/pipeline.h"

namespace freshet::cli {

/// One way to run a test: which runtime, from which seed, in how many lanes, in batches of how many rows.
struct TestPermutation {
  bool simulated = true;
  uint64_t seed = 1;
  int lanes = 1;
  int32_t batch_rows = 4096;
  bool crashes = false;  ///< simulated only: the process dies now and then and is restored
  std::string ToString() const;
};

/// 3 seeds x lanes 1 and 4 x batches of 1, 7 and 4096 rows on the simulator, and oneTBB with 1 and 4 lanes.
std::vector<TestPermutation> AllPermutations();

/// Runs one test of a pipeline in one permutation. OK: `*failure` is empty if it passed, else says what differs.
/// `*rows` gets every row that came out, with all columns, so that permutations can be compared with each other. A
/// non-OK status means that the test cannot be run at all. REQUIRES: a pipeline loaded without push-down.
Status RunTest(const Pipeline& pipeline, const PipelineTest& test, const TestPermutation& permutation,
               std::string* failure, std::vector<std::string>* rows);

}  // namespace freshet::cli
