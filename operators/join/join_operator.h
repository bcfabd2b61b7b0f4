#pragma once

#include <array>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/flow/operator.h"
#include "engine/state/table_scan.h"
#include "operators/join/join_rows.h"
#include "operators/join/join_schedule.h"

namespace freshet {

/// The constant part of a join node, shared by its lanes. Side 0 is left.
struct JoinPlan {
  bool left_outer = false;
  JoinReach reach;
  std::array<SchemaRef, 2> inputs;
  std::array<std::string, 2> input_names;
  std::array<KeyCodec, 2> keys;
  SchemaRef output;  ///< left's columns, then right's but its key
  SchemaRef late;    ///< the same, with keys of either side in left's columns; then late_input, and as LateSchema says
  /// Per column of an input, its place in `output`; -1: not there.
  std::array<std::vector<int>, 2> places;
  std::string fingerprint;
};

/// The operator behind `join`; see join.h for what it means.
///
/// Rows act at *moments*, when time has passed them, in an order that rows alone decide: a row looks for those that
/// looked before it at its event time (so each pair is found once, by the later row), and is forgotten, or leaves as
/// unmatched, when nothing can meet it any more. Late rows leave at their own row watermark. So neither the timing of
/// the two inputs nor that of partitions shows in any output.
///
/// What a key has to do next follows from its rows, so one place for each key in memory is all that is scheduled. Keys
/// may leave memory between calls, even in the middle of a moment. Of those that are away and have something to do the
/// place is kept (`away_`), and they come back, some together, when all before it is done. The others, whose rows only
/// wait for rows to come, leave nothing behind: a sweep over the store forgets them.
class JoinOperator final : public Operator {
 public:
  explicit JoinOperator(std::shared_ptr<const JoinPlan> plan) : plan_(std::move(plan)) {}
  Status Open(OpenContext& ctx) override;
  Status ProcessBatch(InputIndex input, const Batch& in, Emitter& out) override;
  Result<Progress> OnWatermark(EventTime now, Emitter& out) override;

 private:
  using Due = JoinSchedule::Due;
  using Away = std::pair<JoinPlace, std::string>;
  /// Rows being made for one port.
  struct Output;

  /// The key has something to do at `place`, perhaps before all it has to do yet.
  void Hasten(JoinRows& rows, std::string_view key, JoinPlace place);
  /// As its rows say; a key without rows goes.
  void Reschedule(JoinRows& rows, const std::string& key);
  /// Each does what the key has to do at its place; false: the output is full, call again.
  bool Do(const Due& due, Output* out);
  bool Probe(JoinRows& rows, int64_t moment, Output& out);
  bool Meet(JoinRows& rows, size_t side, JoinRow& row, Output& out);
  bool Tell(JoinRows& rows, int64_t moment, Output& out);
  bool Dismiss(JoinRows& rows, JoinPlace place, Output& out);
  void Forget(JoinRows& rows, int64_t moment);

  // Keys that are not in memory.
  void SetEvictionHooks();
  Status ReadStored();
  /// Keys that are away come before all that can be seen.
  bool AwayIsNext(EventTime now) const;
  Status BringBack(EventTime now);
  Status SweepStored(EventTime now);
  void AccountMemory() { table_->set_value_bytes(rows_bytes_ + schedule_.bytes()); }

  const std::shared_ptr<const JoinPlan> plan_;
  KeyedTable<JoinRows>* table_ = nullptr;
  NodeCounters* counters_ = nullptr;
  int32_t row_count_max_ = 0;

  EncodedKeys keys_;
  JoinSchedule schedule_;
  int64_t rows_bytes_ = 0;  ///< JoinRows::bytes of all keys in memory
  size_t partner_ = 0;      ///< of the row that looks for others: the next one to look at
  bool ending_ = false;
  EventTime closed_ = EventTime::Min();

  std::set<Away> away_;               ///< keys in the store with something to do
  std::optional<Away> back_through_;  ///< up to this one they have been brought back, and stay until it is done
  std::optional<StoredSweep> sweep_;  ///< under way
  SweepPace pace_{64};                ///< rows of a join cost more to look at
  int64_t next_sweep_us_ = std::numeric_limits<int64_t>::min();
};

}  // namespace freshet
