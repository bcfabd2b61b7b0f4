#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/env.h"
#include "engine/base/rng.h"
#include "engine/flow/graph_spec.h"
#include "engine/state/checkpoint_store.h"
#include "engine/state/spill_store.h"

namespace freshet {

/// What goes wrong in a simulation beside crashes, as chances. All default to never.
struct SimFaults {
  double slow_edge = 0;           ///< of an edge, in one life of the job, to be slow (a slow sink is an edge too)
  double clock_jump = 0;          ///< per step: the wall clock jumps by up to two hours, either way
  double source_error = 0;        ///< per poll: a passing failure, which the engine retries
  double sink_error = 0;          ///< per call: an outage that ends this life; the next one starts from the state
  double sink_retry = 0;          ///< per call: an outage that passes
  double commit_unavailable = 0;  ///< per commit: the store asks to leave the epoch out
  double commit_no_space = 0;     ///< per commit: the disk is full, this time
  double spill_no_space = 0;      ///< per write to the spill store: the disk is full, this time
  double commit_crash = 0;        ///< per commit: the process dies just before or just after the epoch became durable
  bool any() const {
    return slow_edge + clock_jump + source_error + sink_error + commit_unavailable + commit_no_space + spill_no_space +
               commit_crash >
           0;
  }
};

/// The real files with a clock that only the simulation moves.
class SimEnv final : public Env {
 public:
  explicit SimEnv(Env* base) : base_(base) {}
  void Advance(int64_t us) { now_us_ += us; }
  /// The wall clock only: somebody set it.
  void Jump(int64_t us) { wall_us_ += us; }
  int64_t WallMicros() override { return 1700000000000000 + now_us_ + wall_us_; }
  int64_t SteadyMicros() override { return now_us_; }
  void SleepMicros(int64_t us) override { now_us_ += us; }
  std::optional<std::string> Variable(const std::string& name) override { return base_->Variable(name); }
  Result<std::unique_ptr<ReadableFile>> OpenReadable(const std::string& path) override {
    return base_->OpenReadable(path);
  }
  Result<std::unique_ptr<WritableFile>> OpenWritable(const std::string& path, int64_t truncate_to) override {
    return base_->OpenWritable(path, truncate_to);
  }
  Result<FileInfo> Stat(const std::string& path) override { return base_->Stat(path); }
  Status Rename(const std::string& from, const std::string& to) override { return base_->Rename(from, to); }
  Status Remove(const std::string& path) override { return base_->Remove(path); }
  Status RemoveTree(const std::string& path) override { return base_->RemoveTree(path); }
  Status MakeDirectories(const std::string& path) override { return base_->MakeDirectories(path); }
  Status SyncDirectory(const std::string& path) override { return base_->SyncDirectory(path); }
  Result<std::vector<std::string>> List(const std::string& path) override { return base_->List(path); }
  Result<std::vector<std::string>> Glob(const std::string& pattern) override { return base_->Glob(pattern); }
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override { return base_->Lock(path); }

 private:
  Env* base_;
  int64_t now_us_ = 0;
  int64_t wall_us_ = 0;
};

/// Puts failing sources and sinks in the place of those of `spec`. `faults` and `rng` must outlive the job.
void PlantFaults(const SimFaults& faults, Rng* rng, GraphSpec* spec);
/// True of the failure that a planted sink fault ends a life with.
bool IsPlantedOutage(const Status& status);
/// `base` with failing commits. kCancelled: the process died in the middle; the run must not touch the store again.
/// `meanwhile` is what other threads do: called before and after the real commit.
std::unique_ptr<CheckpointStore> NewFaultyStore(const SimFaults& faults, Rng* rng, CheckpointStore* base,
                                                std::function<void()> meanwhile);
/// `base` with writes that fail.
std::unique_ptr<SpillStore> NewFaultySpill(const SimFaults& faults, Rng* rng, std::unique_ptr<SpillStore> base);

}  // namespace freshet
