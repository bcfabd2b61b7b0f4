#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "engine/flow/cell.h"

namespace freshet {

class OperatorState;

/// A cell that runs one operator, or a chain of which all but the first are stateless.
class OperatorCell : public Cell {
 public:
  OperatorCell(const CellEnvironment& environment, const CellPlan& plan);
  ~OperatorCell() override;
  Status Open() override;
  void Close() noexcept override;
  /// Also accounts for the state's memory, and drops what may be dropped of it when there is too much.
  void Run() noexcept override;
  /// An epoch is durable, with all that this cell gave to it. Any thread; the runtime then nudges the cell.
  void PostCommit(Epoch epoch) { committed_.store(epoch.number, std::memory_order_release); }
  /// Has tables, so that a commit means something to it.
  bool wants_commits() const;
  /// Up to kLateSampleCount late rows of a node whose `late` output nobody reads. After the run only.
  const std::vector<Batch>& late_samples() const { return late_samples_; }

 protected:
  struct Element {
    int node = -1;
    const BoundOperator* bound = nullptr;  ///< null for a source's own place
    std::unique_ptr<Operator> op;
    std::unique_ptr<OperatorState> state;
    NodeCounters counters;
    bool counts_in = true;
  };

  /// The operator of element 0; sorters and merges are built in.
  virtual std::unique_ptr<Operator> MakeOperator(int element);
  Status HandleBatch(InputIndex input, const Batch& batch, uint64_t exchange_sequence) override;
  void HandleInputWatermark(InputIndex input, EventTime now) override;
  Result<Progress> HandleWatermark(EventTime now) override;
  Result<Progress> HandleEnd() override;
  Result<Progress> HandleClock(EventTime now) override;
  Status Snapshot(CellSnapshot* snapshot) override;
  Result<bool> SnapshotSome(CellSnapshot* snapshot) override;
  void FillPublished(Published* published) const override;

  /// Passes rows to element `element` (or, past the last, nowhere).
  Status ProcessElement(size_t element, InputIndex input, const Batch& batch);
  /// What element `element` emitted on `port`.
  Status EmitFrom(size_t element, PortIndex port, Batch batch);
  const NodeSpec& node_of(size_t element) const;
  Status RestoreCounters(Element& element);
  void ObeyCommands();

  std::vector<Element> elements_;
  uint64_t exchange_sequence_ = 0;

 private:
  class ElementEmitter;
  class ElementContext;
  Status OpenElement(size_t element);
  std::string StateScope() const;
  Batch Stamp(Batch batch, PortIndex port);

  void TakeCommit();
  void AccountMemory();
  void ShedMemory();
  /// In the middle of a call: only when there is clearly more than after the last time, since each looks at all keys.
  void ShedMemoryMidway();

  std::atomic<uint64_t> committed_{0};  ///< the newest epoch told by PostCommit
  uint64_t committed_known_ = 0;
  int64_t accounted_bytes_ = 0;
  int64_t accounted_unclean_ = 0;
  int64_t accounted_aside_ = 0;
  int64_t used_when_shed_ = 0;
  std::vector<int64_t> stamped_;  ///< next ordinal per port of element 0
  std::vector<Batch> late_samples_;
  int late_sample_rows_ = 0;
};

/// Puts the rows of one port of a keyed node's lanes in order again (SEMANTICS.md §1.2).
class GatherCell final : public Cell {
 public:
  GatherCell(const CellEnvironment& environment, const CellPlan& plan);
  ~GatherCell() override;
  Status Open() override;

 protected:
  Status HandleBatch(InputIndex input, const Batch& batch, uint64_t exchange_sequence) override;
  void HandleMark(InputIndex input, uint64_t sequence) override;
  Result<Progress> HandleWatermark(EventTime now) override;
  Result<Progress> HandleEnd() override;
  Result<Progress> Pump() override;
  Status Snapshot(CellSnapshot* snapshot) override;
  void FillPublished(Published* published) const override;

 private:
  struct Lane;
  Progress PumpInputOrder();
  Progress PumpByTime();
  Lane* SmallestHead();
  void Release();
  void EmitByTime(std::vector<std::pair<Batch, int32_t>>& rows);

  const OutputPort& port_;
  const NodeSpec& node_;
  KeyCodec codec_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  uint64_t next_sequence_ = 1;
  int64_t next_ordinal_ = 0;
};

/// Rows picked from several batches of one schema, in the order given, as one batch without positions or hold.
Batch PickRows(const SchemaRef& schema, const std::vector<std::pair<Batch, int32_t>>& rows);

/// Operators of the engine's own: see ordering.cc.
/// `judges_moments`, `passes_late` (BoundOperator::takes_late): see BoundOperator.
std::unique_ptr<Operator> NewEventTimeSorter(SchemaRef schema, SchemaRef late_schema, bool judges_moments = false,
                                             bool passes_late = false);
/// `by_partition`: one input, merged by the partitions of its rows' ordinals.
std::unique_ptr<Operator> NewInputMerge(std::vector<SchemaRef> schemas, bool by_partition = false);
std::unique_ptr<Operator> NewArrivals();

}  // namespace freshet
