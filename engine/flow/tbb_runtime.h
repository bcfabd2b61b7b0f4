#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "engine/flow/job.h"

namespace freshet {

/// The workers that graphs run on: one arena, and one owner thread that sits in it, which is the executor where there
/// is one core only. Several runtimes of a process share it; whoever comes first is served first, and a source's
/// credits bound how much of one pipeline can stand before another's next message. Thread-safe. Outlives its runtimes.
class TbbArena final {
 public:
  /// `concurrency` slots; 0: the cores the process may use.
  explicit TbbArena(int concurrency = 0);
  ~TbbArena();
  int concurrency() const;
  /// For the test that sees that nothing moves without it: see TbbRuntime::OccupyArena.
  int Occupy(const std::shared_ptr<std::atomic<bool>>& release, const std::shared_ptr<std::atomic<int>>& started);

 private:
  friend class TbbGraph;
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// Runs one job on a oneTBB flow graph: a serial, queueing node per cell; a parallel decode node per source; threads of
/// their own for connectors (sources and blocking sinks) and for the checkpoint coordinator.
///
/// Thread-safety: Start, then any thread may call RequestStop, StopNow and Report; one thread calls Wait and Finish.
class TbbRuntime final {
 public:
  struct Options {
    JobOptions job;
    std::shared_ptr<TbbArena> arena;  ///< null: one of its own, with `concurrency` slots
    int concurrency = 0;              ///< 0: the cores the process may use
  };
  static Result<std::unique_ptr<TbbRuntime>> Start(GraphSpec spec, const Options& options);
  ~TbbRuntime();

  /// Like a signal: sources stop, what is in flight passes, a last checkpoint is taken (SEMANTICS.md §3.1).
  void RequestStop();
  /// Gives up at once: nothing more is committed.
  void StopNow();
  /// True when the run is over (finished, stopped or failed); waits at most `timeout`.
  bool Wait(Duration timeout);
  /// Joins everything and says how it ended. Afterwards only Report and job() may be used.
  JobReport Finish();
  JobReport Report() const;
  /// Asks for a checkpoint now.
  void RequestCheckpoint();
  Job& job();

  /// How many tasks of the graph ran; for tests that see that it is oneTBB that works.
  int64_t body_count() const;
  /// Fills every slot of the arena with a task that spins until `*release`; `*started` counts them. For the test that
  /// sees that nothing moves without the arena. Returns the number of slots.
  int OccupyArena(std::shared_ptr<std::atomic<bool>> release, std::shared_ptr<std::atomic<int>> started);

 private:
  class Impl;
  explicit TbbRuntime(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace freshet
