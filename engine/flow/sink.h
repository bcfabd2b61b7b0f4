#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "engine/base/env.h"
#include "engine/base/status.h"
#include "engine/base/time.h"
#include "engine/batch/batch.h"
#include "engine/state/outbox_store.h"

namespace freshet {

struct SinkOpenContext {
  Env* env = nullptr;
  std::string pipeline_name;
  std::string node_id;
  Epoch restored_epoch;       ///< 0: fresh start
  std::string committed;      ///< what PrepareCommit returned for the restored epoch; empty at a fresh start
  bool fresh_forced = false;  ///< --fresh was given: existing output may be replaced
  // For sinks that leave through the outbox (engine/flow/outbox_sink.h).
  OutboxStore* outbox = nullptr;             ///< null: the run keeps nothing
  std::function<void()> request_checkpoint;  ///< any thread; may be empty
  std::string dead_letter_path;              ///< where what a receiver refuses goes; empty: nowhere
};

/// Writes to the outside. One thread at a time; for blocking sinks that is a thread of the sink's own.
/// Protocol: Open, (Write* PrepareCommit(e) (Commit(e) | Abort(e)))*, Finish, Close. Commit(e) comes once the epoch is
/// durable; between PrepareCommit(e) and Commit(e) further Writes (of the next epoch) may come. Open with
/// `restored_epoch` > 0 must bring the outside back to what `committed` describes (the Recover step): truncate, verify,
/// delete newer parts.
///
/// Errors with RetryHint::kLater (a full disk) do not end the run. Write and Commit are called again with the same
/// arguments after a while, and no row may come twice by it. A PrepareCommit that fails so gives the epoch up: Abort
/// comes, perhaps further Writes, then PrepareCommit of a later epoch, which must cover everything.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual Status Open(const SinkOpenContext& ctx) = 0;
  /// REQUIRES: a dense batch. `first_ordinal` is the number of its first row at this sink, from 0, equal on a replay.
  virtual Status Write(const Batch& batch, int64_t first_ordinal) = 0;
  /// Makes all rows so far durable enough to be committed; returns what a recovery needs to know.
  virtual Result<std::string> PrepareCommit(Epoch epoch) = 0;
  /// This or Abort comes once for every epoch that was prepared, in order; everything prepared so far for it and for
  /// those that were aborted before is committed. At the end of input the next epoch may have been prepared already.
  virtual Status Commit(Epoch epoch) {
    (void)epoch;
    return Status::Ok();
  }
  /// The epoch was given up; what was prepared for it belongs to the next one.
  virtual Status Abort(Epoch epoch) {
    (void)epoch;
    return Status::Ok();
  }
  /// All input has come and the last epoch is committed (bounded inputs).
  virtual Status Finish() { return Status::Ok(); }
  virtual void Close() noexcept {}
  /// One line for the summary ("wrote 44 rows to out.ndjson"); may be empty.
  virtual std::string Summary() const { return {}; }
};

}  // namespace freshet
