#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "engine/base/event.h"
#include "engine/flow/delivery_threads.h"
#include "engine/flow/job.h"

namespace freshet {

/// The thread that begins checkpoints, commits them when all cells have answered, and knows when a run is over:
/// finished, failed, or stopped with a last checkpoint (SEMANTICS.md §3.1). For runtimes with real time and threads;
/// the simulator does the same in steps of its own.
///
/// Thread-safety: Start and Join from one thread; everything else from any.
class Coordinator {
 public:
  /// All outlive this. `carrier` is asked to nudge cells.
  Coordinator(Job* job, const JobOptions& options, Carrier* carrier, DeliveryThreads* deliveries)
      : job_(job), options_(options), carrier_(carrier), deliveries_(deliveries) {}
  /// With `nothing_to_run` it only waits for what still has to be delivered.
  void Start(bool nothing_to_run);
  bool started() const { return thread_.joinable(); }
  void Join() { thread_.join(); }

  /// Sources are to stop (by the caller); then everything passes and a last checkpoint is taken. False: had been asked.
  bool RequestStop();
  /// Nothing more is committed.
  void StopNow();
  void RequestCheckpoint();
  /// Something happened that it may have to look at.
  void Notify() { event_.Notify(); }
  /// A message was taken, a chunk was decoded: a stop is given up when there is none of this for long.
  void CountMove() { moved_count_.fetch_add(1, std::memory_order_relaxed); }
  bool stop_requested() const { return stop_requested_; }
  bool stop_now() const { return stop_now_; }
  /// For threads of sources: waits, but not through a stop.
  void Sleep(int64_t us);
  void WakeSleepers();
  /// True when the run is over; waits at most `timeout`.
  bool WaitOver(Duration timeout);
  /// How it ended; OK until then.
  Status status() const;

 private:
  struct Times;
  void Loop();
  Status Turn(Times* times, bool* over);
  void BeginDue(Times* times, int64_t now_us);
  int64_t WaitUs(const Times& times, int64_t now_us);
  void End(Status status);
  void SettleDeliveries();
  Status WhatHinders(int64_t now_us);
  bool NudgeWaitingSinks();
  bool NudgeClocks();
  void Begin(bool final_one);

  Job* job_;
  const JobOptions& options_;
  Carrier* carrier_;
  DeliveryThreads* deliveries_;
  std::thread thread_;
  Event event_;
  std::atomic<bool> stop_requested_{false};
  std::atomic<bool> stop_now_{false};
  std::atomic<bool> checkpoint_requested_{false};
  std::atomic<int64_t> moved_count_{0};
  int64_t moved_before_ = -1;
  int64_t still_since_us_ = 0;
  std::mutex sleep_mutex_;
  std::condition_variable sleep_condition_;
  mutable std::mutex over_mutex_;
  std::condition_variable over_condition_;
  bool over_ = false;
  Status status_;
};

}  // namespace freshet
