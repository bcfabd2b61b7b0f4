#pragma once

#include <algorithm>
#include <bitset>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/flow/operator.h"
#include "engine/state/keyed_table.h"
#include "engine/state/table_scan.h"
#include "operators/window/aggregate_plan.h"
#include "operators/window/due_keys.h"
#include "operators/window/key_panes.h"
#include "operators/window/slice_assigner.h"

namespace freshet {

/// The constant part of a window node, shared by its lanes.
struct WindowPlan {
  SliceAssigner assigner;
  Duration allowed_lateness;
  RevisionPlan revisions;
  KeyCodec key;  ///< over the input; may be empty
  AggregatePlan aggregates;
  SchemaRef output;  ///< window_start, window_end, key columns, aggregates; then revision, op if results are revised
  SchemaRef late;
  std::string fingerprint;  ///< of the table
  bool revises() const { return revisions.revises; }
};

/// The operator behind `window`; see window.h for what it means.
///
/// A batch takes two passes: rows find their cells, then each aggregate runs over its own column. An index from moment
/// (key_panes.h) to the keys that have something to do then says what is due; it is rebuilt from the table at Open. An
/// entry that was overtaken by an earlier moment of its key stays in the index and is skipped.
///
/// Keys may leave memory (stored_panes.cc). Their rows in the store stay as they are while their windows close: results
/// are made by a walk over the store in key order beside the keys in memory, and what has left since a row was written
/// is taken out of it when it is read. `stored_due_` says at which moments which key groups may have something there.
/// The end of the input is such a happening too: it closes windows that may be heard of again, and rows of the store
/// that have not seen it close theirs when they are read (`ends_`).
///
/// A batch may hold partial results (window_combiner.h). They are taken as they are where all their rows would open the
/// same cell, whatever the order; else, say when their window has left already, row by row.
///
/// What leaves, and in which order, is a function of the rows alone: results of one moment go by (window end, key), and
/// a moment is over when the watermark has passed it, since all rows whose own watermark it is have come by then.
/// Early results have their moment as event time; of one moment they go with the windows that end there, by key.
class WindowOperator final : public Operator {
 public:
  explicit WindowOperator(std::shared_ptr<const WindowPlan> plan);
  Status Open(OpenContext& ctx) override;
  Status ProcessBatch(InputIndex input, const Batch& in, Emitter& out) override;
  Result<Progress> OnWatermark(EventTime now, Emitter& out) override;
  /// The last watermark handled to its end; after a restore what is known of it.
  EventTime closed() const { return closed_; }

 private:
  using DueKey = DueKeyOf<KeyPanes>;
  /// One result to come; KeyPanes::kNone as its end: none, the key only has to be settled.
  struct Firing {
    int64_t end;
    DueKey due;
    bool last;  ///< of its key at this moment
    bool resident = true;
  };
  enum class LateReason : uint8_t { kLate, kAfterIdle, kAfterEnd };
  /// Columns of results being made.
  struct Rows;

  Status AssignCells(const Batch& in);
  /// Takes a partial result into the cell of its key and slice; one that has to be taken row by row goes to `apart_`.
  void TakePartial(const Batch& in, int32_t row, int32_t group, const SliceAssigner::Slice& slice);
  /// The rows of the groups in `apart_`, as they would have come.
  Batch TakeApart(const Batch& in);
  /// A row for which some window of its slice is over, by its own watermark or in fact. False: it is late for all.
  bool Judge(const Batch& in, int32_t row, const SliceAssigner::Slice& slice, int64_t* first_end, int64_t* since);
  /// Null: late after all.
  SliceCell* OpenCell(KeyPanes& panes, int32_t row, const SliceAssigner::Slice& slice, int64_t first_end,
                      int64_t since);
  /// A row for windows that have left already. False: it is late for all.
  bool MeetLeftWindows(KeyPanes& panes, int32_t row, const SliceAssigner::Slice& slice, int64_t first_end);
  void MarkLate(int32_t row, const SliceAssigner::Slice& slice, LateReason reason);
  void EmitLate(const Batch& in, Emitter& out);
  void Schedule(KeyPanes& panes, const std::string* key, int64_t moment);
  /// Sets up the next moment before `now`, if there is one.
  Result<bool> NextDue(EventTime now);
  /// KeyPanes::kNone: nothing.
  int64_t NextMoment() const;
  /// Event time of a result of `moment_`.
  int64_t TimeOf(int64_t end) const { return std::min(end - 1, moment_); }
  void AppendResult(const Firing& firing, std::unique_ptr<Rows>* rows, int32_t* count);
  void ListFirings(const DueKey& due);
  void EmitPane(const Firing& firing, Rows& rows);
  void Settle(const DueKey& due);

  // stored_panes.cc
  Status OpenStored(StateContext& state);
  void SetEvictionHooks();
  /// At a restore: all rows, in memory and not.
  Status ReadStored();
  /// What keys in the store have to do at a moment.
  struct StoredDue {
    std::bitset<kKeyGroupCount> groups;
    std::set<int64_t> times;  ///< where results are revised: the event times of those to come, which go before keys
  };
  /// Makes a value that was just decoded what it is now that all moments before `through` are over. False: nothing.
  Result<bool> Wake(uint32_t hash, int64_t through, KeyPanes* panes);
  /// Lets windows leave as results of moments before `through` made them. `end`: by the end of the input.
  void Replay(int64_t through, bool end, KeyPanes* panes);
  /// The same as Wake for the row at the scan; false also if the key is in memory.
  Result<bool> WakeStored(const StoredScan& scan, int64_t through, KeyPanes* panes);
  /// Begins the walks for `moment_`, if anything may be found: one for each event time of results.
  Status StartStored();
  Status BeginWalk();
  Status NextStored();
  /// Whether what stands at the scan comes before the next result of a key in memory.
  bool StoredIsNext() const;
  /// The results of the row at the scan, as far as there is room.
  Status TakeStored(std::unique_ptr<Rows>* rows, int32_t* count);
  void NoteDue(const KeyPanes& panes, int64_t moment);
  void NoteStored(const KeyPanes& panes, std::string_view key);
  void NoteShell(uint32_t hash, std::string_view key);
  void FinishStored(EventTime now);
  void AccountMemory();

  const std::shared_ptr<const WindowPlan> plan_;
  CellPool pool_;
  KeyedTable<KeyPanes>* table_ = nullptr;
  NodeCounters* counters_ = nullptr;
  int32_t row_count_max_ = 0;

  EncodedKeys keys_;
  std::vector<std::byte*> cells_;  ///< of the batch's rows; null: late
  std::vector<int32_t> late_rows_;
  std::vector<int64_t> late_ends_;
  std::vector<LateReason> late_reasons_;
  std::vector<int32_t> apart_;  ///< groups of the batch

  DueKeysOf<KeyPanes> due_;
  std::vector<Firing> firing_;  ///< results of `moment_`, in order; done up to `firing_at_`
  size_t firing_at_ = 0;
  int64_t moment_ = 0;
  std::vector<int64_t> ends_at_;                 ///< scratch: of windows
  bool ending_ = false;                          ///< the watermark is the end's, which says nothing of time
  EventTime closed_ = EventTime::Min();          ///< the last watermark handled to its end
  int64_t fired_through_ = EventTime::Min().us;  ///< moments before it are over

  KeyGroupNumbers* closed_through_ = nullptr;  ///< `closed_`, kept from the first eviction on
  KeyGroupNumbers* ends_ = nullptr;            ///< how often the input ended while keys were not in memory
  KeyGroupNumbers* ended_at_ = nullptr;        ///< what `closed_through_` was when it did so last
  KeyGroupNumbers* ended_before_ = nullptr;    ///< and the highest of the times before
  std::map<int64_t, StoredDue> stored_due_;
  std::bitset<kKeyGroupCount> shells_left_;  ///< key groups with empty rows that could not be noted
  StoredDue walk_;                        ///< what is left to do of `moment_`: the scan is for the first of its times
  std::unique_ptr<StoredScan> scan_;      ///< null: nothing more
  int64_t taken_end_ = -KeyPanes::kNone;  ///< results of the row at the scan up to this window have left
};

}  // namespace freshet
