#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "engine/flow/cell.h"
#include "engine/flow/outbox_sink.h"

namespace freshet {

/// The last cell: writes rows, prepares and commits epochs. For blocking sinks the runtime drives it on a thread of its
/// own.
class SinkCell final : public Cell {
 public:
  SinkCell(const CellEnvironment& environment, const CellPlan& plan);
  Status Open() override;
  void Close() noexcept override;
  void Run() noexcept override;
  bool blocking() const { return sink_node_.bound.blocking; }
  /// The epoch is durable, or was given up. Any thread; the runtime then nudges the cell.
  void PostCommit(Epoch epoch, bool committed);
  /// After a snapshot with a failure of a cell that has ended: prepare again, for this epoch, and answer with
  /// OnSnapshot. Any thread; then a nudge.
  void PostPrepare(Epoch epoch);
  /// A full disk or the like: the cell takes nothing and tries again when Run is called, with growing pauses. Then the
  /// error. Any thread.
  Status waiting_for() const;
  /// After the last commit of a bounded run. On the sink's thread.
  Status Finish() { return sink_->Finish(); }
  std::string Summary() const { return sink_->Summary(); }
  /// The sink's way out by network: the runtime calls its DeliverStep on a thread of its own. Null for other sinks.
  OutboxSink* outbox() { return outbox_; }
  const OutboxSink* outbox() const { return outbox_; }
  /// Every epoch told by PostCommit has been handled.
  bool commits_handled() const {
    const std::lock_guard lock(posted_mutex_);
    return posted_.empty();
  }
  Published published() const override;

 protected:
  Status HandleBatch(InputIndex input, const Batch& batch, uint64_t exchange_sequence) override;
  Result<Progress> HandleWatermark(EventTime) override { return Progress::kDone; }
  Result<Progress> HandleEnd() override { return Progress::kDone; }
  Status Snapshot(CellSnapshot* snapshot) override;
  void FillPublished(Published* published) const override;

 private:
  struct Posted {
    enum class Kind : uint8_t { kCommit, kAbort, kPrepare };
    Kind kind;
    Epoch epoch;
  };
  void Post(Posted posted);
  Status DoPosted(const Posted& posted);
  Status WriteHeld();
  /// Decides about a failed call: false if it has to be repeated.
  bool Passed(Status status);
  Status Prepare(Epoch epoch, CellSnapshot* snapshot);

  Status MakeSink(SinkOpenContext* context);
  const NodeSpec& node_;
  const SinkNode& sink_node_;
  std::unique_ptr<Sink> sink_;
  OutboxSink* outbox_ = nullptr;
  NodeCounters counters_;
  Epoch last_epoch_;
  std::optional<Batch> held_;  // not written yet
  int64_t retry_at_us_ = 0;
  int64_t retry_wait_us_ = 0;
  mutable std::mutex posted_mutex_;
  std::deque<Posted> posted_;
  Status waiting_for_;  // guarded by posted_mutex_
};

}  // namespace freshet
