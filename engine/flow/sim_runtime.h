#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "engine/base/rng.h"
#include "engine/flow/job.h"
#include "engine/flow/sim_faults.h"

namespace freshet {

/// What a simulation does beside running: all drawn from the seed.
struct SimOptions {
  JobOptions job;  ///< `store` or `store_of_life` is required when crashes are wanted; `env`'s clock is replaced
  /// Opens the store for a life of the job, the first or one after a crash: what the crash left of it. May be empty.
  std::function<Result<CheckpointStore*>()> store_of_life;
  uint64_t seed = 1;
  double epoch_chance = 0.02;                     ///< per step, when none is under way
  double crash_chance = 0;                        ///< per step
  int crash_count_max = 0;                        ///< then no more crashes and no more faults
  bool crash_between_prepare_and_commit = false;  ///< crash only while an epoch waits for its commit
  SimFaults faults;
  bool spill_in_memory = false;  ///< else in RocksDB; with a memory limit
  int64_t step_count_max = 20000000;
};

struct SimResult {
  Status status;  ///< of the run, or the invariant that broke
  JobReport report;
  int64_t step_count = 0;
  int crash_count = 0;
  int crash_before_commit_count = 0;  ///< of these, while an epoch was prepared but not durable
  int outage_count = 0;               ///< lives that a sink's outage ended, among the crashes
  int64_t watermark_count = 0;
};

/// Runs a job on one thread, choosing every interleaving, delay, decode order, checkpoint, fault and crash from a seed:
/// the same cells as tbb_runtime, so what holds here holds there but for data races. `make_spec` gives the same
/// pipeline anew after each crash. Checks while it runs: messages in order per edge, watermarks monotone, no row behind
/// the watermark that promised its absence, conservation at every barrier; at the end: nothing stuck (no deadlock),
/// nothing in flight, all credits back.
SimResult RunSimulation(const std::function<GraphSpec()>& make_spec, const SimOptions& options);

}  // namespace freshet
