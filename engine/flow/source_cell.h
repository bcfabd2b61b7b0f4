#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/queue.h"
#include "engine/flow/operator_cell.h"
#include "engine/flow/time_stage.h"

namespace freshet {

/// Times further than this from 1970 (146,000 years) are taken for garbage: sums with them would overflow.
inline constexpr int64_t kTimeMaxUs = int64_t{1} << 62;
inline bool IsTime(int64_t us) { return us < kTimeMaxUs && us > -kTimeMaxUs; }

/// What a connector thread says about its source, numbered in the order in which it was said.
struct SourceItem {
  /// What SourceCell::Prepare made of the block's rows.
  struct Prepared {
    int32_t row_count = 0;  ///< before the filters
    int64_t byte_count = 0;
    Column times;                 ///< of all rows
    std::vector<int32_t> passed;  ///< rows that passed each of the leading filters
    Selection kept;               ///< which rows passed them all; no indices: every row
    std::vector<Column> columns;  ///< of the kept rows
    /// Where rows are divided over lanes right behind the filters: what goes to each. `columns` is empty then.
    struct Part {
      int32_t row_count = 0;
      BufferRef rows;       ///< of the block
      BufferRef positions;  ///< among the kept rows; the same buffer where all are kept
      std::vector<Column> columns;
    };
    std::vector<Part> parts;
    /// Or what has been combined of the rows in `columns` before that (combiner.h), and the lane of each.
    std::shared_ptr<const CombinedRows> combined;
    std::vector<uint8_t> lane_of;
  };
  enum class Kind : uint8_t { kBlock, kIdle, kEnd, kStopped };
  uint64_t ticket = 0;
  Kind kind = Kind::kBlock;
  RawChunk chunk;
  DecodedBlock block;
  std::optional<Prepared> prepared;
  Batch::Hold hold;
  std::vector<std::string> partitions;  ///< all names known, when they changed since the last item
  std::vector<uint32_t> idle;           ///< kIdle: partitions silent for `idle`
  bool drained = false;                 ///< kEnd: the run ends here, the input does not
};

/// Where a source's partitions stood: the front of its row in the engine's table ("source/NODE").
Result<std::vector<PartitionPosition>> DecodePositions(std::string_view row);

/// The first cell of a source: restores the order of decoded blocks by ticket, gives rows their time, runs the
/// operators fused behind the source, sends watermarks, and injects barriers between two blocks.
class SourceCell final : public OperatorCell {
 public:
  SourceCell(const CellEnvironment& environment, const CellPlan& plan);
  Status Open() override;
  /// Partitions as of the restored epoch, for the source's Open.
  const std::vector<PartitionPosition>& restored_partitions() const { return partitions_; }
  /// Any thread, right after a block was decoded: works out ahead what does not depend on other blocks, the rows' times
  /// and the filters fused behind the source, keeps only the rows that pass, and divides them over the lanes if these
  /// come next. Does nothing where rows have to be looked at one by one (limits of time, rows without one). Then the
  /// operators see them; results are the same.
  void Prepare(SourceItem* item) const;
  /// Any thread. The runtime then nudges the cell.
  void Push(SourceItem item) { items_.Push(std::move(item)); }
  void RequestBarrier(Barrier barrier);
  void Run() noexcept override;

  /// How far the chunks of a partition have been judged; `by_time` sources only. Any thread.
  struct PartitionProgress {
    EventTime frontier = EventTime::Min();
    uint64_t chunk_count = 0;  ///< in this life
  };
  std::vector<PartitionProgress> partition_progress() const;
  /// All partitions are silent, and this has been said downstream. Any thread.
  bool idle() const { return idle_sent_.load(); }

  /// For the warning about late rows (SEMANTICS.md §2.3). After the run, or between messages.
  const TimeStage& time_stage() const { return time_; }
  std::string LateWarning() const;
  bool stopped() const { return stopped_.load(); }
  bool finished() const { return finished_.load(); }
  int64_t records_read() const { return records_read_.load(); }
  EventTime watermark() const { return EventTime{watermark_us_.load()}; }

 protected:
  std::unique_ptr<Operator> MakeOperator(int element) override;
  Result<Progress> HandleWatermark(EventTime) override { return Progress::kDone; }
  Status Snapshot(CellSnapshot* snapshot) override;

 private:
  Status Handle(SourceItem& item);
  Status HandleBlock(SourceItem& item);
  Status HandleRows(SourceItem& item, uint64_t first_record, int64_t first_line);
  Status HandlePrepared(SourceItem& item, uint64_t first_record, int64_t first_line);
  void SendPrepared(SourceItem& item, Ordinal first);
  void SendPreparedCombined(const Batch& rows, const SourceItem::Prepared& prepared);
  /// Time, own watermark and ordinal of `count` rows of a prepared block: those in `rows`, or the first ones.
  RowMeta PreparedMeta(const SourceItem& item, Ordinal first, const int32_t* rows, int32_t count) const;
  /// Divides the kept rows over the lanes.
  void Divide(const Outlets::OnlyExchange& exchange, int32_t kept_count, SourceItem::Prepared* prepared) const;
  /// Makes partial results of the kept rows. False: nothing has changed.
  bool Combine(const Outlets::OnlyExchange& exchange, const EncodedKeys& keys, int32_t kept_count,
               SourceItem::Prepared* prepared) const;
  Status JudgeRows(SourceItem& item, const Batch& rows, uint64_t first_record, int64_t first_line);
  /// As output of element `element`.
  Status EmitRows(const Batch& rows, size_t element = 0);
  Status EmitReleased(std::vector<std::pair<TimeStage::Row, int64_t>>& released, std::vector<TimeStage::Row>& dead,
                      const Batch::Hold& hold);
  Status EmitDead(uint32_t partition, const std::vector<DeadRecord>& dead, uint64_t first_record, int64_t first_line,
                  const Batch::Hold& hold);
  Status InjectBarrier(const Barrier& barrier);
  Status SendWatermark();
  Status SettleAndEnd(uint32_t partition, const Batch::Hold& hold);
  Status HandleIdle(const SourceItem& item);
  Status HandleEnd(const SourceItem& item);
  Status CheckPartitions(const std::vector<std::string>& names) const;
  void PublishProgress(uint32_t partition);
  void WarnOfLateRows();
  /// The wall clock, which may step back, as time that does not.
  int64_t NowUs();
  Status Restore();

  struct Running {
    uint64_t records = 0;
    int64_t lines = 0;
  };

  const SourceNode& source_;
  size_t filter_count_ = 0;                        ///< elements 1 to filter_count_ are filters
  std::optional<Outlets::OnlyExchange> exchange_;  ///< right behind the last filter
  std::vector<int64_t> watermarks_;
  TimeStage time_;
  MpmcQueue<SourceItem> items_;
  std::map<uint64_t, SourceItem> waiting_;
  uint64_t next_ticket_ = 0;
  std::vector<PartitionPosition> partitions_;
  std::vector<Running> running_;
  EventTime sent_ = EventTime::Min();
  std::atomic<bool> idle_sent_{false};
  int64_t now_us_ = INT64_MIN;
  bool warned_ = false;
  mutable std::mutex progress_mutex_;
  std::vector<PartitionProgress> progress_;
  std::mutex barrier_mutex_;
  std::optional<Barrier> requested_;
  std::atomic<bool> stopped_{false};
  std::atomic<bool> finished_{false};
  std::atomic<int64_t> records_read_{0};
  std::atomic<int64_t> watermark_us_{INT64_MIN};
};

}  // namespace freshet
