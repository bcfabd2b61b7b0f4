#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/bytes.h"
#include "engine/base/env.h"
#include "engine/base/status.h"
#include "engine/base/time.h"
#include "engine/batch/batch.h"
#include "engine/state/keyed_table.h"

namespace freshet {

/// What a node did with its rows: the conservation law of SEMANTICS.md §4 is checked over these at every barrier.
/// The cell counts `in` and, per output port, `out`; operators count the rest. Part of the checkpoint.
///   row-wise : in = out + filtered + rejected + late + dead + held
///   stateful : in = absorbed + late + dead + held,  panes_opened = panes_emitted + panes_open + panes_empty
///   expanding: in = matched + unmatched + dead
///   source   : read = emitted(out) + dead + skipped + waiting      (in = read, held = waiting)
struct NodeCounters {
  int64_t in = 0;
  int64_t out = 0;  ///< rows on the main output
  int64_t filtered = 0;
  int64_t rejected = 0;
  int64_t late = 0;
  int64_t dead = 0;
  int64_t held = 0;  ///< rows waiting inside now (not a running sum)
  int64_t skipped = 0;
  int64_t absorbed = 0;
  int64_t late_panes = 0;  ///< panes a row missed although it was on time for others
  int64_t matched = 0;
  int64_t unmatched = 0;
  int64_t panes_opened = 0;
  int64_t panes_emitted = 0;
  int64_t panes_open = 0;  ///< now
  int64_t panes_empty = 0;
  int64_t dropped = 0;  ///< of the skipped ones: by `on_overflow`
  int64_t nulled = 0;   ///< values that became null: overflow, counter_fell, dt <= 0 (shown, not part of the law)
};

class Command;

using InputIndex = int;
using PortIndex = int;

/// Takes an operator's output. Owned by the cell. One thread.
class Emitter {
 public:
  virtual ~Emitter() = default;
  /// Sends rows on an output port (0 is the main one, then as in BoundOperator::outputs). An empty batch is dropped.
  /// REQUIRES: the port's schema. The rows must not exceed kBatchRowCountMax.
  virtual void Emit(Batch batch, PortIndex port = 0) = 0;
};

/// What an operator gets at Open. Valid only during the call, except for what the getters' comments say.
class OpenContext {
 public:
  virtual ~OpenContext() = default;
  virtual StateContext& state() = 0;
  /// Lives as long as the operator.
  virtual NodeCounters& counters() = 0;
  virtual Env& env() = 0;
  virtual const std::string& pipeline_name() const = 0;
  virtual const std::string& node_id() const = 0;
  virtual int32_t batch_row_count_max() const = 0;
};

/// Whether an operator has more to emit for the same call.
enum class Progress : uint8_t { kDone, kMore };

/// One instance of a processing step. Calls come one at a time from the owning cell, never concurrently, in this order:
/// Open, (ProcessBatch | OnWatermark)*, OnEnd, Close. After a non-OK status only Close follows. Barriers never reach an
/// operator: the cell aligns inputs, hands over the barrier's commands, drains the declared tables, then calls
/// SnapshotExtra.
///
/// Determinism: what an operator emits may depend on the rows (values, times, row watermarks, ordinals) and on
/// watermark values, never on how rows are cut into batches, on time, or on threads.
class Operator {
 public:
  virtual ~Operator() = default;
  /// Opens tables; on a restore they already hold the state of the restored epoch, as does `ctx.state().extra()`.
  virtual Status Open(OpenContext& ctx) = 0;
  /// REQUIRES: row_count() >= 1; no selection unless BoundOperator::accepts_selection. Must not retain `in` (copy rows
  /// out, or keep in.Detached()). Row-wise operators derive their output from `in` so that row meta data passes on.
  virtual Status ProcessBatch(InputIndex input, const Batch& in, Emitter& out) = 0;
  /// `now` is the minimum over live inputs and never decreases. Emits at most one batch a call; kMore asks to be called
  /// again with the same `now` (SEMANTICS.md §7). The cell forwards the watermark after kDone.
  virtual Result<Progress> OnWatermark(EventTime now, Emitter& out) {
    (void)now;
    (void)out;
    return Progress::kDone;
  }
  /// Only with BoundOperator::wants_clock: the wall clock stands at `now`, which never decreases within a run. Called
  /// between messages, some times a second, as long as the input has not ended. Same protocol as OnWatermark.
  virtual Result<Progress> OnClock(EventTime now, Emitter& out) {
    (void)now;
    (void)out;
    return Progress::kDone;
  }
  /// One input's own watermark advanced (EventTime::Max() when it ended). For steps that merge inputs; emits nothing.
  virtual void OnInputWatermark(InputIndex input, EventTime now) {
    (void)input;
    (void)now;
  }
  /// All inputs ended (a watermark of EventTime::Max() has been handed over before). Same protocol as OnWatermark.
  virtual Result<Progress> OnEnd(Emitter& out) {
    (void)out;
    return Progress::kDone;
  }
  /// An order for this node (command.h), at a barrier: the snapshot follows. Emits nothing; what it causes shows from
  /// the next watermark on. Each lane is asked; who has something to do answers.
  virtual void OnCommand(Command& command) { (void)command; }
  /// Bytes of state not held in tables (models), with a codec version inside. Called at each barrier.
  virtual Status SnapshotExtra(ByteSink& sink) {
    (void)sink;
    return Status::Ok();
  }
  virtual void Close() noexcept {}
};

}  // namespace freshet
