#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>

#include "engine/flow/activity.h"
#include "engine/flow/credits.h"
#include "engine/flow/overflow_queue.h"
#include "engine/flow/silence.h"
#include "engine/flow/skew_gate.h"
#include "engine/flow/source_cell.h"

namespace freshet {

/// Reads one source: polls within the credits, numbers what it gets, and hands it on; knows which partitions are
/// silent, waits for slower inputs (skew_gate.h), drops on overflow, chooses the partition to read next for `by_time`.
/// Knows no thread: a connector thread or a simulator calls Step.
class SourceDriver {
 public:
  /// `linger`: of a source that never ends, how long what a poll gave short of a whole chunk is followed by none, so
  /// that rows come together. Nothing is held for it: the rows of the poll go on at once, and those that come meanwhile
  /// wait outside, no longer than that.
  SourceDriver(Env* env, SourceCell* cell, const NodeSpec* node, Duration linger);
  /// Opens the source, or takes over the one that is open already.
  Status Open(std::unique_ptr<Source> open);
  /// The source, if it stays open over a reload; nothing is left to Close then.
  std::unique_ptr<Source> TakeOpenSource() { return bound_.stays_open && open_ ? std::move(source_) : nullptr; }
  /// Before the first Step; `gate` outlives the driver.
  void AddGate(const SkewGate* gate) { gates_.push_back(gate); }
  /// A stop, or the limit, ends the input instead of interrupting it: windows close, the state is finished
  /// (SEMANTICS.md §3.1). Before the stop; any thread.
  void set_drain(bool drain) { drain_ = drain; }
  enum class Outcome : uint8_t {
    kChunk,   ///< `*item` is filled: decode it (unless finished), then SourceCell::Push
    kSignal,  ///< `*item` is filled and needs no decoding
    kNoCredit,
    kHeld,     ///< slower inputs, or partitions, come first: ask again soon
    kQueued,   ///< a chunk went to the overflow queue: ask again
    kNothing,  ///< ask again after retry_after_us
    kLinger,   ///< ask again after linger_us
    kRetry,    ///< a passing failure: ask again later; `last_error` says what
    kDone,
  };
  /// One poll. After kDone or Stop()'s signal nothing follows.
  Outcome Step(SourceItem* item, Status* error);
  /// The source is not polled for now: silence does not count as idleness. From the thread that calls Step.
  void Hold() { silence_.Pause(); }
  /// The next Step gives a kStopped (draining: kEnd) item, then kDone. Any thread.
  void RequestStop();
  /// Step would do more than wait for credit or for others. Same thread as Step.
  bool ready() const;
  SourceCell& cell() { return *cell_; }
  CreditPool& credits() { return *credits_; }
  const CreditPool& credits() const { return *credits_; }
  Source& source() { return *source_; }
  const BoundSource& bound() const { return bound_; }
  int64_t retry_wait_us() const { return retry_wait_us_; }
  int64_t linger_us() const { return std::max<int64_t>(0, linger_until_us_ - env_->SteadyMicros()); }
  std::optional<double> progress() const;
  /// For how long the source has been polled and had nothing, in microseconds; 0: it has something, or waits for the
  /// pipeline. Any thread.
  int64_t quiet_us() const { return quiet_us_.load(std::memory_order_relaxed); }
  bool done() const { return done_.load(); }
  void Close();
  /// Time of the connector's thread and of decoding, kept by the runtime; bytes read by Step.
  ActivityMeter& read_meter() { return read_meter_; }
  ActivityMeter& decode_meter() { return decode_meter_; }

 private:
  Outcome Give(SourceItem* item, SourceItem::Kind kind);
  Outcome GiveChunk(SourceItem* item, RawChunk chunk);
  Outcome Poll(const PollBudget& budget, SourceItem* item, Status* error);
  Outcome Failed(Status status, Status* error);
  /// Notes silent partitions; those that are idle from now on go to newly_idle_.
  void Listen(bool heard, uint32_t partition);
  /// After a chunk, until when the source is not polled.
  void Linger(const RawChunk& chunk, const PollBudget& budget);
  bool HeldBySkew() const;
  /// by_time: the partition that time waits for; nullopt: what has been read of it is not judged yet; -1: all have
  /// ended.
  std::optional<int32_t> Slowest() const;

  Env* env_;
  SourceCell* cell_;
  const NodeSpec* node_;
  const SourceNode& spec_;
  const BoundSource& bound_;
  std::unique_ptr<Source> source_;
  std::shared_ptr<CreditPool> credits_;
  std::vector<const SkewGate*> gates_;
  std::atomic<bool> drain_{false};
  std::atomic<bool> stop_{false};
  uint64_t next_ticket_ = 0;
  size_t partitions_told_ = 0;
  Silence silence_;
  std::vector<uint32_t> newly_idle_;
  int64_t quiet_since_us_ = -1;  // on the clock of silence_
  std::atomic<int64_t> quiet_us_{0};
  std::optional<OverflowQueue> overflow_;
  struct Reading {
    uint64_t chunk_count = 0;
    bool ended = false;
  };
  std::vector<Reading> readings_;  // by_time: per partition
  bool input_ended_ = false;
  std::atomic<bool> done_{false};
  bool open_ = false;
  int64_t left_ = -1;
  int64_t retry_wait_us_ = 20000;
  const Duration linger_;
  int64_t linger_until_us_ = 0;  // steady clock
  ActivityMeter read_meter_;
  ActivityMeter decode_meter_;
  mutable std::mutex progress_mutex_;
  std::optional<double> progress_;
};

}  // namespace freshet
