#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/time.h"
#include "engine/batch/batch.h"
#include "engine/flow/graph_spec.h"

namespace freshet {

/// Gives each row of one source its time and its own watermark, keeps stray timestamps from poisoning time, and knows
/// the source's watermark (SEMANTICS.md §2). Runs after decode order is restored; one per source; one thread. What it
/// says of a row depends only on the rows before it in the same partition (and, for `max_future`, on the clock).
class TimeStage {
 public:
  explicit TimeStage(const TimeSpec* spec);

  /// A row on its way through.
  struct Row {
    int64_t time_us = 0;
    Ordinal ordinal;
    int64_t line = 0;  ///< 1-based; 0 unknown
    std::string raw;   ///< filled only when it may have to wait
    Batch batch;       ///< one row, detached; only for waiting rows
  };
  enum class Verdict : uint8_t { kAccept, kWait, kTimestampAhead, kOutOfRange };

  void EnsurePartition(uint32_t partition);
  /// True when rows can be accepted by a plain loop: no max_jump, no bounds.
  bool simple() const { return simple_; }
  /// The plain loop over one partition's rows: fills `watermarks` (F − lateness before each row) and moves the
  /// frontier.
  void JudgeSimple(uint32_t partition, const int64_t* times, int32_t count, int64_t* watermarks, Ordinal first,
                   int64_t first_line);
  /// One row in general. On kAccept `*watermark_us` is its own watermark; `now_us` is the wall clock. kWait: the caller
  /// hands the row over with Wait().
  Verdict Judge(uint32_t partition, int64_t time_us, Ordinal ordinal, int64_t line, int64_t now_us,
                int64_t* watermark_us);
  /// Takes a waiting row; if the frontier settles, the rows released (in source order) and the dead ones are appended.
  void Wait(uint32_t partition, Row row, std::vector<std::pair<Row, int64_t>>* released, std::vector<Row>* dead);
  /// Settles what waits, by its largest cluster: a partition ended, or is idle.
  void Settle(uint32_t partition, std::vector<std::pair<Row, int64_t>>* released, std::vector<Row>* dead);
  /// The largest accepted event time of the partition; Min() before there is one.
  EventTime frontier(uint32_t partition) const;
  /// Where the partition joined the others' time when it came back or came late (RowMeta::joined); Min(): it did not.
  EventTime joined(uint32_t partition) const { return {partitions_[partition].joined_us}; }
  void EndPartition(uint32_t partition);
  /// After the end of all input there may be more: every partition holds time back again, from where it stands or the
  /// others' time does, until it ends.
  void Reopen();
  /// The partition had nothing for `idle`; returns true if that is news.
  bool MarkIdle(uint32_t partition);
  int64_t waiting_count() const;

  /// min over live partitions of F − lateness; Min() while a live partition has no frontier, nullopt if all are idle or
  /// ended. Never decreases.
  std::optional<EventTime> watermark();
  /// No partition is awake.
  bool all_idle() const;

  /// A row that moved its partition's frontier, and how many rows came after it, while the frontier stood there, that
  /// were older than their watermark.
  struct Mover {
    int64_t late_count = 0;
    int64_t jump_us = 0;  ///< how far; 0: the partition began with it
    int64_t line = 0;     ///< of it or of a row before it in its chunk; 0 unknown
    Ordinal ordinal;
    int64_t time_us = 0;
  };
  /// For the warning of §2.3.
  struct Lateness {
    int64_t older_row_count = 0;  ///< older than their own watermark
    int64_t row_count = 0;
    int64_t after_idle_count = 0;  ///< of the older ones: only because their partition joined the others' time
    Mover worst;                   ///< the mover with most late rows after it
  };
  Lateness lateness() const;
  /// More than 1 % of the rows, and at least 100, are late.
  bool too_late() const {
    return lateness_.older_row_count >= 100 && lateness_.older_row_count * 100 > lateness_.row_count;
  }

  /// Everything but the clock of `idle`. A partition that was idle stays so until its next row: it would otherwise come
  /// back behind the merged watermark.
  void Encode(ByteSink& sink) const;
  bool Decode(ByteSource& source, const SchemaRef& schema);
  /// What Encode's layout has no place for: where partitions joined, and who moved the frontiers (FORMAT.md, "time").
  void EncodeMore(ByteSink& sink) const;
  bool DecodeMore(ByteSource& source);

 private:
  struct Partition {
    bool started = false;
    bool ended = false;
    bool idle = false;
    int64_t frontier_us = 0;
    int64_t joined_us = INT64_MIN;
    Mover mover;  ///< of the frontier as it stands
    std::vector<Row> waiting;
  };
  /// A partition that was idle, comes later than others or grew after its end has nothing to say about the time that
  /// has passed without it: windows up to the merged watermark may be closed.
  void Join(Partition& p);
  void Advance(Partition& p, int64_t time_us, Ordinal ordinal, int64_t line);
  /// Moves the frontier for a reason that is known: closes the account of the mover before.
  void SetMover(Partition& p, Mover mover);
  void CountOlder(Partition& p, int64_t own_watermark_us);
  void SettleAt(Partition& p, int64_t start_us, std::vector<std::pair<Row, int64_t>>* released, std::vector<Row>* dead);
  int64_t WatermarkOf(const Partition& p) const;

  const TimeSpec* spec_;
  bool simple_;
  std::vector<Partition> partitions_;
  EventTime merged_ = EventTime::Min();
  Lateness lateness_;
};

/// The sentence of SEMANTICS.md §2.3: what share is late, which row moved the watermark, what to set.
std::string LateWarning(const std::string& node_id, const std::string& partition, bool bounded, const TimeSpec& spec,
                        const TimeStage::Lateness& lateness);

}  // namespace freshet
