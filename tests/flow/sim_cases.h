#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/flow/sim_runtime.h"
#include "tests/support/flow_nodes.h"

namespace freshet::testing {

/// Sinks by name: what each received.
using Outputs = std::map<std::string, std::shared_ptr<Published>>;

/// numbers -> drop (fused) -> {running count by key, by arrival} -> rows; -> window -> panes, late; -> running sum ->
/// summed; -> by event time count -> by_time; window and sorted merged -> both. `summed` and `both` publish, the others
/// can be cut.
GraphSpec MakeSpec(const NumbersOptions& numbers, Outputs* outputs, int64_t credit_rows = kSourceCreditRows);
/// Two files of 400 rows with rows beyond the lateness.
NumbersOptions Disorderly(uint64_t seed);
SimResult RunUndisturbed(const NumbersOptions& numbers, Outputs* outputs, uint64_t seed, int lanes = 1,
                         int32_t batch_rows = 4096);
SimResult RunUndisturbed(const std::function<GraphSpec()>& make_spec, uint64_t seed);
void CheckSame(const Outputs& expected, const Outputs& actual);
/// The first difference in words, or "".
std::string DifferenceOf(const Outputs& expected, const Outputs& actual);

/// The first node whose counters differ, in words, or "": at the end a restored run has counted what an undisturbed one
/// counts (SEMANTICS.md §4).
std::string CounterDifferenceOf(const JobReport& expected, const JobReport& actual);

/// What is drawn for a run, from its seed: lanes, batch sizes, crashes, faults.
struct Disturbance {
  bool faults = true;          ///< else only crashes
  bool rocksdb = false;        ///< on the real store, whose disk loses power; else in memory
  bool memory_limits = false;  ///< most runs have to keep their state in less memory than it needs
};
/// A run of `make_spec` with crashes and faults until it has ended.
SimResult RunDisturbed(const std::function<GraphSpec()>& make_spec, uint64_t seed, const Disturbance& disturbance);
void Add(const SimResult& result, SimResult* total);
std::string SummaryOf(const SimResult& total);

/// The regression seeds and 1 to `count`; or the one to replay.
std::vector<uint64_t> SeedsOf(uint64_t count);
/// FRESHET_SIM_SEED: the one seed to run, for the replay of a failure; 0 if it is not set.
uint64_t ReplaySeed();
/// The command that runs one seed of one test case of this program again.
std::string ReplayCommand(const std::string& test_case, uint64_t seed);

}  // namespace freshet::testing
