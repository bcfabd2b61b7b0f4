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
  /// Settles what waits: a bounded partition ended, or the source is idle.
  void Settle(uint32_t partition, std::vector<std::pair<Row, int64_t>>* released, std::vector<Row>* dead);
  void EndPartition(uint32_t partition);
  /// The partition had nothing for `idle`; returns true if that is news.
  bool MarkIdle(uint32_t partition);
  int64_t waiting_count() const;

  /// min over live partitions of F − lateness; Min() while a live partition has no frontier, nullopt if all are idle or
  /// ended. Never decreases.
  std::optional<EventTime> watermark();
  bool all_idle() const;

  /// Rows older than their own watermark, and the row that moved the frontier furthest: for the warning of §2.3.
  struct Poisoner {
    int64_t older_row_count = 0;
    int64_t row_count = 0;
    int64_t jump_us = 0;
    int64_t line = 0;
    Ordinal ordinal;
    int64_t time_us = 0;
  };
  const Poisoner& poisoner() const { return poisoner_; }

  /// Everything but the clock of `idle`. A partition that was idle stays so until its next row: it would otherwise come
  /// back behind the merged watermark.
  void Encode(ByteSink& sink) const;
  bool Decode(ByteSource& source, const SchemaRef& schema);

 private:
  struct Partition {
    bool started = false;
    bool ended = false;
    bool idle = false;
    int64_t frontier_us = 0;
    std::vector<Row> waiting;
  };
  /// A partition that was idle, comes later than others or grew after its end has nothing to say about the time that
  /// has passed without it: windows up to the merged watermark may be closed.
  void Join(Partition& p);
  void Advance(Partition& p, int64_t time_us, Ordinal ordinal, int64_t line);
  void SettleAt(Partition& p, int64_t start_us, std::vector<std::pair<Row, int64_t>>* released, std::vector<Row>* dead);
  int64_t WatermarkOf(const Partition& p) const;

  const TimeSpec* spec_;
  bool simple_;
  std::vector<Partition> partitions_;
  EventTime merged_ = EventTime::Min();
  Poisoner poisoner_;
};

/// The sentence of SEMANTICS.md §2.3: what share is late, which row moved the watermark, what to set.
std::string LateWarning(const std::string& node_id, const std::string& partition, bool bounded,
                        const TimeStage::Poisoner& poisoner);

}  // namespace freshet
