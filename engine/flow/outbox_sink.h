#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "engine/base/backoff.h"
#include "engine/flow/network_sink.h"
#include "engine/flow/operator.h"
#include "engine/flow/outbox.h"
#include "engine/flow/sink.h"

namespace freshet {

/// A network sink as the engine sees it: rows go to the outbox, and from there to the receiver (SEMANTICS.md §6.1).
///   Eager rows are synced into the outbox by Write and may be sent at once. Their id is ALERT_ID-STATE; a replayed row
///     finds its id and nothing is added. An id is kept until the epoch of its row is committed, and at least 24 h.
///   Other rows are written by Write, synced by PrepareCommit and may be sent once that epoch is committed; a restart
///     forgets those of epochs that were not. Their id is a hash of pipeline, sink and row number. While some wait for
///     an epoch one is asked for.
///   Order: eager rows before others; within each kind in the order of their arrival, one at a time. While the receiver
///     fails, nothing is tried before the wait is over.
///   Memory: a handful of parcels; what waits is on disk. Beyond `waiting_count_max` sendable parcels the credit of
///     batches is kept, so that sources run out of it. Rows made out of state (windows, alerts) carry none, and to keep
///     their egress budget would stop barriers; for their sake sources wait while it is full(). What the rows under
///     way still make of themselves comes on top.
/// Threads: the Sink's calls on one, DeliverStep on another (or the same), the others on any.
class OutboxSink final : public Sink {
 public:
  OutboxSink(std::unique_ptr<NetworkSink> network, OutboxOptions options);

  Status Open(const SinkOpenContext& ctx) override;
  Status Write(const Batch& batch, int64_t first_ordinal) override;
  Result<std::string> PrepareCommit(Epoch epoch) override;
  Status Commit(Epoch epoch) override;
  Status Abort(Epoch epoch) override;
  /// Sends what waits, unless it has been given up before. kUnavailable: some wait still.
  Status Finish() override;
  std::string Summary() const override;

  struct Step {
    bool worked = false;  ///< a parcel left, or an attempt failed: call again
    int64_t wait_us = 0;  ///< else: not before this long, or until on_work
  };
  /// One attempt to send one parcel, if there is one and its time has come. An error ends the run.
  Result<Step> DeliverStep();
  /// Called, on any thread, when DeliverStep may have something new to do.
  std::function<void()> on_work;
  /// Something may leave.
  bool has_work() const;
  /// So much waits that sources must. Any thread.
  bool full() const { return full_; }
  /// Nothing can be sent now or is not worth waiting for: nothing waits that may leave, or the receiver fails
  /// (`patient`: and has failed for all attempts of a parcel).
  bool settled(bool patient) const;
  /// Attempts end soon and no new ones are made. Any thread.
  void Interrupt();

  DeliveryCounts counts() const;
  /// `out`, `dead` and `held` for the conservation law; their sum is the rows taken so far.
  void FillCounters(NodeCounters* counters) const;

 private:
  struct Prepared {
    Epoch epoch;
    uint64_t ordinal = 0;  ///< rows before it are part of the epoch
    int64_t parcel_count = 0;
  };

  static constexpr int64_t kPruneEveryUs = int64_t{3600} * 1000000;
  static constexpr size_t kScanCount = 256;
  static size_t IndexOf(DeliverMode mode) { return static_cast<size_t>(mode); }

  Status Recover(Epoch restored);
  bool IsEager(const Batch& batch);
  Status WriteEager(const Batch& batch);
  Status TakeEager(const Batch& batch);
  Status WriteOnCommit(const Batch& batch);
  void TakeOnCommit(const Batch& batch);
  void CloseParcel();
  void HoldBack(const Batch& batch);
  void AddBacklog(int64_t parcels);

  // outbox_delivery.cc
  Result<bool> NextParcel(Outbox::Waiting* next);
  Result<Step> Retry(const Outbox::Waiting& waiting, const DeliveryResult& result);
  Result<Step> GiveUp(const Outbox::Waiting& waiting, const std::string& reason);
  Status Settle(const Outbox::Waiting& waiting, Outbox::Fate fate);
  Status WriteDeadLetter(const Outbox::Waiting& waiting, const std::string& reason);
  Status Prune();

  const std::unique_ptr<NetworkSink> network_;
  OutboxOptions options_;
  SinkOpenContext context_;
  std::unique_ptr<OutboxStore> own_store_;  ///< when the run keeps no state
  std::unique_ptr<Outbox> outbox_;

  // The sink's thread.
  std::vector<std::pair<SchemaRef, bool>> known_schemas_;
  Outbox::Waiting open_;  ///< rows on commit that do not fill a parcel yet
  Outbox::Changes to_write_;
  Outbox::Changes to_write_eager_;
  bool rows_taken_ = false;  ///< a Write failed after it had taken its rows: it comes again
  uint64_t ordinal_ = 0;     ///< of the next row on commit, counting all rows
  int64_t open_epoch_parcels_ = 0;
  Epoch next_epoch_;
  bool unsynced_ = false;  ///< something was written that only the next PrepareCommit makes durable

  // The delivery's thread.
  std::deque<Outbox::Waiting> ready_[2];  ///< by DeliverMode
  uint64_t next_number_[2] = {0, 0};
  std::string failing_id_;
  int attempt_count_ = 0;
  Backoff backoff_{{}, 0};
  int64_t not_before_us_ = 0;
  int64_t next_prune_us_ = 0;
  std::unique_ptr<Sink> dead_letters_;
  std::optional<std::pair<Outbox::Waiting, Outbox::Fate>> unmarked_;  ///< done, but the disk was full

  std::atomic<bool> interrupted_{false};
  std::atomic<bool> full_{false};  ///< written with mutex_ held

  mutable std::mutex mutex_;
  std::deque<Prepared> prepared_;
  uint64_t sendable_[2] = {0, 0};  ///< numbers below may leave, by DeliverMode
  int64_t backlog_ = 0;            ///< parcels that may leave
  bool failing_ = false;
  bool gave_up_ = false;
  Epoch committed_;
  Outbox::Totals totals_;
  NodeCounters rows_;  ///< out, dead, held
  int64_t waiting_rows_ = 0;
  int64_t retried_count_ = 0;
  int64_t repeated_count_ = 0;
  std::vector<Batch::Hold> held_back_;
};

}  // namespace freshet
