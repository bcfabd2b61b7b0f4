#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/env.h"
#include "engine/base/status.h"
#include "engine/batch/batch.h"

namespace freshet {

/// A record that could not be used, on its way to the dead-letter output.
struct DeadRecord {
  int64_t record_offset = 0;  ///< which record of the block, from 0
  int64_t line_offset = 0;    ///< which line of the chunk it begins on, from 0
  std::string reason;         ///< a short code and the facts: "wrong_type: views: expected int64, found string"
  std::string raw;            ///< its bytes, any bytes; cut at kRecordBytesMaxDefault
};

/// What a decoder makes of a chunk: columns of the (pushed-down) source schema, all of `row_count` rows.
struct DecodedBlock {
  std::vector<Column> columns;
  int32_t row_count = 0;
  int64_t record_count = 0;             ///< rows + dead + skipped
  int64_t line_count = 0;               ///< newlines in the chunk
  int64_t skipped = 0;                  ///< blank lines are not records; headers are not either
  int64_t dropped = 0;                  ///< of the skipped ones: by `on_overflow`
  std::vector<int32_t> record_offsets;  ///< per row; empty: row i is record i
  std::vector<DeadRecord> dead;
  /// For dead letters that are decided after decoding (timestamps), optional. If each record is a line: where in the
  /// chunk the first one begins; else -1.
  int64_t lines_begin = -1;
  /// Or per row, where its record lies in the chunk's bytes ([begin, end)), and its line. Empty when the decoder does
  /// not know.
  std::vector<int32_t> row_begins;
  std::vector<int32_t> row_ends;
  std::vector<int32_t> row_lines;
};

/// A piece of input that can be decoded on its own: whole records of one partition.
struct RawChunk {
  uint32_t partition = 0;
  BufferRef bytes;  ///< at least 64 readable bytes follow `size`
  int64_t size = 0;
  /// Where the partition stands after this chunk: opaque to the engine, given back at a restore.
  std::string position_after;
  bool partition_end = false;              ///< nothing follows in this partition (bounded inputs)
  int64_t numbers[2] = {0, 0};             ///< for sources that generate: what to make, e.g. first id and count
  std::shared_ptr<DecodedBlock> finished;  ///< already decoded: then `bytes` is empty and no decoder is asked
  int64_t row_count_hint = 0;              ///< rows to charge against the row credit; 0: unknown, charged as 1
};

/// A partition of a source (a file, a topic partition, a connection), by name, and where it stands.
struct PartitionPosition {
  std::string name;
  std::string position;
  bool ended = false;
};

struct SourceOpenContext {
  Env* env = nullptr;
  /// Partitions of the restored epoch in ordinal order; empty at a fresh start. The source keeps their ordinals
  /// (index).
  std::vector<PartitionPosition> restored;
  uint64_t run_seed = 0;
};

struct PollBudget {
  int64_t rows = 0;
  int64_t bytes = 0;
  /// Which partition to read; -1: the source's own choice. Only sources bound with `by_time` are told.
  int32_t partition = -1;
};

enum class PollOutcome : uint8_t {
  kChunk,    ///< `*chunk` is filled
  kNothing,  ///< nothing now: ask again after `retry_after_us`
  kEnd,      ///< bounded input: all partitions ended
};

/// Reads from the outside. All calls come from one thread of the source's own (never from the arena), except Interrupt.
class Source {
 public:
  virtual ~Source() = default;
  virtual Status Open(const SourceOpenContext& ctx) = 0;
  /// Names of the partitions known so far; the index is the partition ordinal. May grow while running (follow, globs).
  virtual std::vector<std::string> Partitions() const = 0;
  /// Gives the next chunk. Stays within the budget (a single larger record is given alone). May block up to ~100 ms.
  /// A non-OK status with RetryHint::kLater is retried with backoff by the engine; others fail the pipeline.
  virtual Result<PollOutcome> Poll(const PollBudget& budget, RawChunk* chunk) = 0;
  /// Live sources of several partitions: those that Poll asked since the last call and that had nothing, for the clocks
  /// of `idle`. Called after every Poll. nullopt: Poll asks all of them, so kNothing means every partition.
  virtual std::optional<std::vector<uint32_t>> TakeQuiet() { return std::nullopt; }
  /// Whether there is input behind the positions of `ctx.restored`: a file grew, or a new one came (SEMANTICS.md §3.2).
  /// Asked of a finished state, instead of Open.
  virtual Result<bool> HasMore(const SourceOpenContext& ctx) {
    (void)ctx;
    return false;
  }
  /// How long to wait after kNothing, in microseconds.
  virtual int64_t retry_after_us() const { return 20000; }
  /// Share of a bounded input read so far, in [0, 1], if it can be known.
  virtual std::optional<double> ProgressRatio() const { return std::nullopt; }
  /// Makes a blocked Poll return soon. Any thread.
  virtual void Interrupt() {}
  /// Goes on after an Interrupt, for another job: only for sources that stay open over a reload. No Open follows.
  virtual void Resume() {}
  virtual void Close() noexcept {}
};

/// Turns chunks into rows. Instances are used by one thread at a time and may keep scratch memory; results must depend
/// on the chunk alone. Never fails as a whole: what cannot be used goes to `dead`.
class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual void Decode(const RawChunk& chunk, DecodedBlock* block) = 0;
};

}  // namespace freshet
