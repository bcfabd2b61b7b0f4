#include "engine/flow/coordinator.h"

#include <algorithm>
#include <chrono>

#include "engine/base/units.h"

namespace freshet {

namespace {
/// How long after a checkpoint none is begun because of memory.
/// How often outputs that could not be written are tried again at most.
constexpr int64_t kWaitingSinkLookUs = 100000;
/// Least time between two checkpoints that rows on commit have asked for (SEMANTICS.md §6.1).
constexpr int64_t kWantedCheckpointUs = 500000;
/// How often it looks while a stop is under way.
constexpr int64_t kStopLookUs = 5000;
/// A stop is given up when nothing has moved for so many times its patience.
constexpr int kStillPatienceCount = 6;
/// How long a stop waits for receivers that take what is sent, and how often it looks.
constexpr int64_t kSettleAfterStopUs = 2000000;
constexpr int64_t kSettleLookUs = 5000;
}  // namespace

/// When what is due, on the steady clock.
struct Coordinator::Times {
  int64_t next_us = 0;         ///< the next checkpoint
  int64_t early_us = 0;        ///< none because of memory before: cells still have to hear of the last one
  int64_t retry_us = 0;        ///< none at all before: one has failed
  int64_t wanted_from_us = 0;  ///< none that rows have asked for before
  int64_t stop_us = -1;        ///< since when a stop is under way
  bool final_begun = false;
};

void Coordinator::Start(bool nothing_to_run) {
  thread_ = std::thread([this, nothing_to_run] {
    if (nothing_to_run)
      End(Status::Ok());
    else
      Loop();
  });
}

bool Coordinator::RequestStop() {
  const bool first = !stop_requested_.exchange(true);
  event_.Notify();
  return first;
}

void Coordinator::StopNow() {
  stop_now_ = true;
  event_.Notify();
}

void Coordinator::RequestCheckpoint() {
  checkpoint_requested_ = true;
  event_.Notify();
}

void Coordinator::Sleep(int64_t us) {
  std::unique_lock lock(sleep_mutex_);
  sleep_condition_.wait_for(lock, std::chrono::microseconds(us), [&] { return stop_requested_ || stop_now_; });
}

/// Under the lock: else one that has just looked at the flags would sleep on.
void Coordinator::WakeSleepers() {
  const std::lock_guard lock(sleep_mutex_);
  sleep_condition_.notify_all();
}

bool Coordinator::WaitOver(Duration timeout) {
  std::unique_lock lock(over_mutex_);
  return over_condition_.wait_for(lock, std::chrono::microseconds(timeout.us), [&] { return over_; });
}

Status Coordinator::status() const {
  const std::lock_guard lock(over_mutex_);
  return status_;
}

void Coordinator::Loop() {
  Times times;
  times.next_us = options_.env->SteadyMicros() + options_.checkpoint_every.us;
  Status status;
  for (bool over = false; !over && status.ok();) status = Turn(&times, &over);
  End(std::move(status));
}

/// Does what is due now; waits if that was nothing.
Status Coordinator::Turn(Times* times, bool* over) {
  const int64_t now = options_.env->SteadyMicros();
  if (stop_requested_ && times->stop_us < 0) times->stop_us = now;
  if (stop_requested_ || stop_now_) WakeSleepers();
  *over = stop_now_ || job_->failed();
  if (*over) return Status::Ok();
  if (times->stop_us >= 0 && now - times->stop_us > options_.stop_patience.us)
    FRESHET_RETURN_IF_ERROR(WhatHinders(now));
  if (job_->commit_ready() && now >= times->retry_us) {
    const bool was_final = times->final_begun;
    FRESHET_RETURN_IF_ERROR(job_->CommitReady());
    CountMove();
    for (const int cell : job_->cells_to_nudge()) carrier_->Nudge(cell);
    const int64_t then = options_.env->SteadyMicros();
    times->early_us = then + kEarlyCheckpointGapUs;
    times->next_us = then + options_.checkpoint_every.us;
    times->retry_us = 0;
    if (job_->retry_wait_us() > 0) {
      times->retry_us = then + job_->retry_wait_us();
      if (!job_->last_failure().ok()) times->next_us = std::min(times->next_us, times->retry_us);
      times->final_begun = false;  // what must not be left out, a run's last epoch, is tried again
    } else {
      *over = job_->finished() || (was_final && !job_->epoch_under_way());
    }
    return Status::Ok();
  }
  if (!job_->epoch_under_way() && job_->memory().wants_checkpoint())
    times->next_us = std::min(times->next_us, std::max(now, times->early_us));
  if (!job_->epoch_under_way() && now >= times->retry_us) {
    if (stop_requested_ && job_->sources_at_rest() && !times->final_begun) {
      times->final_begun = true;
      Begin(true);
      return Status::Ok();
    }
    BeginDue(times, now);
  }
  job_->GiveUpSlowEpoch();
  event_.Wait(WaitUs(*times, now));
  return Status::Ok();
}

void Coordinator::BeginDue(Times* times, int64_t now_us) {
  if (stop_requested_) return;
  const bool wanted = job_->checkpoint_wanted() && now_us >= times->wanted_from_us;
  if (!checkpoint_requested_.exchange(false) && !wanted && now_us < times->next_us) return;
  Begin(false);
  times->wanted_from_us = now_us + kWantedCheckpointUs;
  times->next_us = now_us + options_.checkpoint_every.us;
}

int64_t Coordinator::WaitUs(const Times& times, int64_t now_us) {
  const bool wanted = job_->checkpoint_wanted() && !job_->epoch_under_way();
  const int64_t due_us = wanted ? std::min(times.next_us, times.wanted_from_us) : times.next_us;
  int64_t wait_us = std::clamp<int64_t>(due_us - now_us, 1000, 1000000);
  if (times.retry_us > now_us) wait_us = std::min(wait_us, times.retry_us - now_us);
  if (NudgeWaitingSinks()) wait_us = std::min(wait_us, kWaitingSinkLookUs);
  if (NudgeClocks()) wait_us = std::min(wait_us, kClockTickUs);
  return stop_requested_ ? kStopLookUs : wait_us;
}

void Coordinator::End(Status status) {
  if (status.ok()) SettleDeliveries();
  const std::lock_guard lock(over_mutex_);
  status_ = std::move(status);
  stop_now_ = true;
  WakeSleepers();
  over_ = true;
  over_condition_.notify_all();
}

/// Before a run is over: what may leave leaves, as long as the receivers take it. After a stop only for a moment: the
/// next run goes on.
void Coordinator::SettleDeliveries() {
  int64_t stopping_since_us = -1;
  for (;;) {
    if (stop_now_ || job_->failed()) return;
    const bool patient = (job_->finished() || job_->already_finished()) && !stop_requested_;
    const int64_t now = options_.env->SteadyMicros();
    if (!patient && stopping_since_us < 0) stopping_since_us = now;
    if (!patient && now - stopping_since_us > kSettleAfterStopUs) return;
    if (deliveries_->Settled(patient)) return;
    event_.Wait(kSettleLookUs);
  }
}

/// Why a stop cannot be completed: the last checkpoint fails, an output cannot be written, or nothing moves.
Status Coordinator::WhatHinders(int64_t now_us) {
  for (SinkCell* sink : job_->sinks())
    if (Status status = sink->waiting_for(); !status.ok()) return status;
  if (Status status = job_->last_failure(); !status.ok()) return status;
  const int64_t moved = moved_count_.load(std::memory_order_relaxed);
  if (moved != std::exchange(moved_before_, moved)) still_since_us_ = now_us;
  if (now_us - still_since_us_ <= kStillPatienceCount * options_.stop_patience.us) return Status::Ok();
  return Status::Unavailable("the run does not come to rest: " + job_->AwaitedByStop() + ", and for " +
                             FormatDuration({now_us - still_since_us_}) +
                             " nothing has moved; the next run goes on from the last checkpoint");
}

bool Coordinator::NudgeWaitingSinks() {
  bool any = false;
  for (SinkCell* sink : job_->sinks()) {
    if (sink->waiting_for().ok()) continue;
    any = true;
    carrier_->Nudge(sink->id());
  }
  return any;
}

/// Cells with timers of the wall clock look at it now. False: there are none.
bool Coordinator::NudgeClocks() {
  bool any = false;
  for (const CellPlan& cell : job_->plan().cells) {
    if (!cell.wants_clock) continue;
    any = true;
    carrier_->Nudge(cell.id);
  }
  return any;
}

void Coordinator::Begin(bool final_one) {
  for (const int cell : job_->BeginEpoch(final_one)) carrier_->Nudge(cell);
}

}  // namespace freshet
