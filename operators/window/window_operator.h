#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/flow/operator.h"
#include "engine/state/keyed_table.h"
#include "operators/window/aggregate_plan.h"
#include "operators/window/key_panes.h"
#include "operators/window/slice_assigner.h"

namespace freshet {

/// The constant part of a window node, shared by its lanes.
struct WindowPlan {
  SliceAssigner assigner;
  Duration allowed_lateness;
  KeyCodec key;  ///< over the input; may be empty
  AggregatePlan aggregates;
  SchemaRef output;  ///< window_start, window_end, key columns, aggregates
  SchemaRef late;
  std::string fingerprint;  ///< of the table
};

/// The operator behind `window`; see window.h for what it means.
///
/// A batch takes two passes: rows find their cells, then each aggregate runs over its own column. An index from window
/// end to the keys whose earliest open window ends there says what is due; it is rebuilt from the table at Open. An
/// entry that was overtaken by an earlier window of its key stays in the index and is skipped.
class WindowOperator final : public Operator {
 public:
  explicit WindowOperator(std::shared_ptr<const WindowPlan> plan);
  Status Open(OpenContext& ctx) override;
  Status ProcessBatch(InputIndex input, const Batch& in, Emitter& out) override;
  Result<Progress> OnWatermark(EventTime now, Emitter& out) override;

 private:
  struct DueKey {
    KeyPanes* panes;
    const std::string* key;  ///< as the table stores it
  };
  /// Columns of results being made.
  struct Rows;

  Status AssignCells(const Batch& in);
  SliceCell* OpenCell(KeyPanes& panes, int32_t row, const SliceAssigner::Slice& slice, int64_t first_end);
  void MarkLate(int32_t row, const SliceAssigner::Slice& slice);
  void Accumulate(const Batch& in);
  void EmitLate(const Batch& in, Emitter& out);
  void Schedule(KeyPanes& panes, const std::string* key);
  bool NextDue(EventTime now);
  void EmitPane(const DueKey& due, Rows& rows);

  const std::shared_ptr<const WindowPlan> plan_;
  CellPool pool_;
  KeyedTable<KeyPanes>* table_ = nullptr;
  NodeCounters* counters_ = nullptr;
  int32_t row_count_max_ = 0;

  EncodedKeys keys_;
  std::vector<std::byte*> cells_;  ///< of the batch's rows; null: late
  std::vector<int32_t> late_rows_;
  std::vector<int64_t> late_ends_;

  std::map<int64_t, std::vector<DueKey>> due_;
  std::vector<DueKey> firing_;  ///< of windows that end at `firing_end_`, sorted by key; done up to `firing_at_`
  size_t firing_at_ = 0;
  int64_t firing_end_ = 0;
  EventTime closed_;  ///< the last watermark handled to its end
};

}  // namespace freshet
