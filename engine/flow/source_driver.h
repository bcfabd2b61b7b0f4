#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>

#include "engine/flow/activity.h"
#include "engine/flow/credits.h"
#include "engine/flow/source_cell.h"

namespace freshet {

/// Reads one source: polls within the credits, numbers what it gets, and hands it on. Knows no thread: a connector
/// thread or a simulator calls Step.
class SourceDriver {
 public:
  SourceDriver(Env* env, SourceCell* cell, const NodeSpec* node);
  /// Opens the source, or takes over the one that is open already.
  Status Open(std::unique_ptr<Source> open);
  /// The source, if it stays open over a reload; nothing is left to Close then.
  std::unique_ptr<Source> TakeOpenSource() { return bound_.stays_open && open_ ? std::move(source_) : nullptr; }
  enum class Outcome : uint8_t {
    kChunk,   ///< `*item` is filled: decode it (unless finished), then SourceCell::Push
    kSignal,  ///< `*item` is filled and needs no decoding
    kNoCredit,
    kNothing,  ///< ask again after retry_after_us
    kRetry,    ///< a passing failure: ask again later; `last_error` says what
    kDone,
  };
  /// One poll. After kDone or Stop()'s signal nothing follows.
  Outcome Step(SourceItem* item, Status* error);
  /// The source is not polled for now: silence does not count as idleness. From the thread that calls Step.
  void Hold() { quiet_since_us_ = -1; }
  /// The next Step gives a kStopped item, then kDone. Any thread.
  void RequestStop();
  SourceCell& cell() { return *cell_; }
  CreditPool& credits() { return *credits_; }
  const CreditPool& credits() const { return *credits_; }
  Source& source() { return *source_; }
  const BoundSource& bound() const { return bound_; }
  int64_t retry_wait_us() const { return retry_wait_us_; }
  std::optional<double> progress() const;
  void Close();
  /// Time of the connector's thread and of decoding, kept by the runtime; bytes read by Step.
  ActivityMeter& read_meter() { return read_meter_; }
  ActivityMeter& decode_meter() { return decode_meter_; }

 private:
  Outcome Give(SourceItem* item, SourceItem::Kind kind);

  Env* env_;
  SourceCell* cell_;
  const NodeSpec* node_;
  const SourceNode& spec_;
  const BoundSource& bound_;
  std::unique_ptr<Source> source_;
  std::shared_ptr<CreditPool> credits_;
  std::atomic<bool> stop_{false};
  uint64_t next_ticket_ = 0;
  size_t partitions_told_ = 0;
  int64_t quiet_since_us_ = -1;
  bool idle_told_ = false;
  bool done_ = false;
  bool open_ = false;
  int64_t left_ = -1;
  int64_t retry_wait_us_ = 20000;
  ActivityMeter read_meter_;
  ActivityMeter decode_meter_;
  mutable std::mutex progress_mutex_;
  std::optional<double> progress_;
};

}  // namespace freshet
