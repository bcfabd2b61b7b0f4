#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "engine/flow/cell.h"

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
  /// After the last commit of a bounded run. On the sink's thread.
  Status Finish() { return sink_->Finish(); }
  std::string Summary() const { return sink_->Summary(); }

 protected:
  Status HandleBatch(InputIndex input, const Batch& batch, uint64_t exchange_sequence) override;
  Result<Progress> HandleWatermark(EventTime) override { return Progress::kDone; }
  Result<Progress> HandleEnd() override { return Progress::kDone; }
  Status Snapshot(CellSnapshot* snapshot) override;
  void FillPublished(Published* published) const override;

 private:
  const NodeSpec& node_;
  const SinkNode& sink_node_;
  std::unique_ptr<Sink> sink_;
  NodeCounters counters_;
  Epoch last_epoch_;
  std::mutex posted_mutex_;
  std::vector<std::pair<Epoch, bool>> posted_;
};

}  // namespace freshet
