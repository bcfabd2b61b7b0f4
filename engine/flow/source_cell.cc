#include "engine/flow/source_cell.h"

#include <algorithm>
#include <cstring>

#include "engine/base/log.h"
#include "engine/base/units.h"
#include "engine/batch/column_builder.h"
#include "engine/flow/planted_bugs.h"

namespace freshet {
namespace {
/// The bytes of a chunk's records, asked for from front to back.
class RecordBytes {
 public:
  RecordBytes(const RawChunk& chunk, const DecodedBlock& block)
      : block_(block), bytes_(chunk.bytes ? chunk.bytes.as<char>() : nullptr), size_(chunk.size) {
    at_ = block.lines_begin;
  }
  std::string Of(int32_t row, int64_t record) {
    const auto r = static_cast<size_t>(row);
    if (bytes_ == nullptr) return {};
    if (r < block_.row_begins.size())
      return {bytes_ + block_.row_begins[r], static_cast<size_t>(block_.row_ends[r] - block_.row_begins[r])};
    if (at_ < 0) return {};
    for (; record_ < record; ++record_) at_ = LineEnd() + 1;
    return {bytes_ + at_, static_cast<size_t>(LineEnd() - at_)};
  }

 private:
  int64_t LineEnd() const {
    const void* const found = std::memchr(bytes_ + at_, '\n', static_cast<size_t>(size_ - at_));
    return found != nullptr ? static_cast<const char*>(found) - bytes_ : size_;
  }

  const DecodedBlock& block_;
  const char* bytes_;
  int64_t size_;
  int64_t at_ = 0;
  int64_t record_ = 0;
};

/// The front of a source's row in the engine's table.
template <class F>
void ReadPositions(ByteSource& source, F&& take) {
  const uint64_t count = source.GetVarint();
  for (uint64_t i = 0; i < count && source.ok(); ++i) {
    PartitionPosition p;
    p.name = source.GetString();
    p.position = source.GetString();
    p.ended = source.GetBool();
    const uint64_t records = source.GetU64();
    take(std::move(p), records, source.GetI64());
  }
}
}  // namespace

Result<std::vector<PartitionPosition>> DecodePositions(std::string_view row) {
  std::vector<PartitionPosition> positions;
  ByteSource source(row);
  ReadPositions(source, [&](PartitionPosition p, uint64_t, int64_t) { positions.push_back(std::move(p)); });
  if (!source.ok()) return Status::DataLoss("the source's position in the checkpoint cannot be read");
  return positions;
}

SourceCell::SourceCell(const CellEnvironment& environment, const CellPlan& plan)
    : OperatorCell(environment, plan),
      source_(std::get<SourceNode>(environment.spec->nodes[static_cast<size_t>(plan.nodes[0])].kind)),
      time_(&source_.time) {
  while (filter_count_ + 1 < elements_.size() && elements_[filter_count_ + 1].bound->filter) ++filter_count_;
  if (filter_count_ + 1 == elements_.size()) exchange_ = outlets_.only_exchange(static_cast<int>(filter_count_), 0);
}

std::unique_ptr<Operator> SourceCell::MakeOperator(int element) {
  return elements_[static_cast<size_t>(element)].bound->instantiate();
}

Status SourceCell::Open() {
  FRESHET_RETURN_IF_ERROR(OperatorCell::Open());
  return Restore();
}

Status SourceCell::Restore() {
  FRESHET_ASSIGN_OR_RETURN(const std::string bytes, RestoredEngineRow(EngineKey("source", node_of(0).id)));
  if (bytes.empty()) return Status::Ok();
  ByteSource source(bytes);
  ReadPositions(source, [&](PartitionPosition p, uint64_t records, int64_t lines) {
    partitions_.push_back(std::move(p));
    running_.push_back({records, lines});
  });
  sent_.us = source.GetI64();
  if (!time_.Decode(source, source_.bound.schema))
    return Status::DataLoss("the source's position in the checkpoint cannot be read");
  FRESHET_ASSIGN_OR_RETURN(const std::string more, RestoredEngineRow(EngineKey("time", node_of(0).id)));
  ByteSource more_source(more);
  if (!more.empty() && !time_.DecodeMore(more_source))
    return Status::DataLoss("what the source knows of time cannot be read from the checkpoint");
  if (environment_.restored_finished) time_.Reopen();
  watermark_us_ = sent_.us;
  idle_sent_ = !partitions_.empty() && time_.all_idle();
  for (uint32_t p = 0; p < partitions_.size(); ++p) PublishProgress(p);
  for (PartitionProgress& progress : progress_) progress.chunk_count = 0;
  elements_[0].counters.held = time_.waiting_count();
  records_read_ = elements_[0].counters.in;
  return Status::Ok();
}

Status SourceCell::Snapshot(CellSnapshot* snapshot) {
  FRESHET_RETURN_IF_ERROR(OperatorCell::Snapshot(snapshot));
  ByteSink sink;
  sink.PutVarint(partitions_.size());
  for (size_t i = 0; i < partitions_.size(); ++i) {
    sink.PutString(partitions_[i].name);
    sink.PutString(partitions_[i].position);
    sink.PutBool(partitions_[i].ended);
    sink.PutU64(running_[i].records);
    sink.PutI64(running_[i].lines);
  }
  sink.PutI64(sent_.us);
  time_.Encode(sink);
  snapshot->rows.Put(kEngineTable, 0, EngineKey("source", node_of(0).id), sink.bytes());
  ByteSink more;
  time_.EncodeMore(more);
  snapshot->rows.Put(kEngineTable, 0, EngineKey("time", node_of(0).id), more.bytes());
  return Status::Ok();
}

void SourceCell::RequestBarrier(Barrier barrier) {
  const std::lock_guard lock(barrier_mutex_);
  requested_ = barrier;
}

void SourceCell::Run() noexcept {
  SourceItem item;
  while (items_.TryPop(item)) {
    const uint64_t ticket = item.ticket;
    waiting_.emplace(ticket, std::move(item));
  }
  if (failed_) {
    waiting_.clear();
    return;
  }
  try {
    for (;;) {
      std::optional<Barrier> barrier;
      {
        const std::lock_guard lock(barrier_mutex_);
        barrier = std::exchange(requested_, std::nullopt);
      }
      Status status;
      if (barrier && !ended_) status = InjectBarrier(*barrier);
      const auto next = waiting_.find(next_ticket_);
      if (status.ok() && next == waiting_.end()) break;
      if (status.ok()) {
        SourceItem now = std::move(next->second);
        waiting_.erase(next);
        ++next_ticket_;
        status = Handle(now);
      }
      cause_ = {};
      if (!status.ok()) {
        Fail(std::move(status));
        break;
      }
    }
    Publish();
  } catch (const std::exception& e) {
    Fail(Status::Internal(std::string("unexpected exception: ") + e.what()));
  }
}

Status SourceCell::InjectBarrier(const Barrier& barrier) {
  CellSnapshot snapshot;
  snapshot.cell = plan_.id;
  FRESHET_RETURN_IF_ERROR(Snapshot(&snapshot));
  outlets_.SendAll(barrier);
  environment_.listener->OnSnapshot(barrier.epoch, std::move(snapshot));
  return Status::Ok();
}

Status SourceCell::Handle(SourceItem& item) {
  FRESHET_RETURN_IF_ERROR(CheckPartitions(item.partitions));
  for (size_t i = partitions_.size(); i < item.partitions.size(); ++i) {
    partitions_.push_back({item.partitions[i], {}, false});
    running_.push_back({});
  }
  if (!item.partitions.empty()) time_.EnsurePartition(static_cast<uint32_t>(item.partitions.size() - 1));
  switch (item.kind) {
    case SourceItem::Kind::kBlock:
      return HandleBlock(item);
    case SourceItem::Kind::kIdle:
      return HandleIdle(item);
    case SourceItem::Kind::kStopped:
      stopped_ = true;
      return Status::Ok();
    case SourceItem::Kind::kEnd:
      return HandleEnd(item);
  }
  return Status::Ok();
}

/// A partition is its name: positions, ordinals and time of another one must not be taken for its own.
Status SourceCell::CheckPartitions(const std::vector<std::string>& names) const {
  if (names.empty()) return Status::Ok();
  if (names.size() < partitions_.size())
    return Status::Internal("the source forgot partitions: it knows " + std::to_string(names.size()) + " of " +
                            std::to_string(partitions_.size()));
  for (size_t i = 0; i < partitions_.size(); ++i)
    if (names[i] != partitions_[i].name)
      return Status::Internal("the source says that partition `" + partitions_[i].name + "` is `" + names[i] +
                              "`; start over with --fresh");
  return Status::Ok();
}

Status SourceCell::SettleAndEnd(uint32_t partition, const Batch::Hold& hold) {
  std::vector<std::pair<TimeStage::Row, int64_t>> released;
  std::vector<TimeStage::Row> dead;
  time_.Settle(partition, &released, &dead);
  FRESHET_RETURN_IF_ERROR(EmitReleased(released, dead, hold));
  time_.EndPartition(partition);
  partitions_[partition].ended = true;
  return Status::Ok();
}

Status SourceCell::HandleIdle(const SourceItem& item) {
  std::vector<std::pair<TimeStage::Row, int64_t>> released;
  std::vector<TimeStage::Row> dead;
  for (const uint32_t p : item.idle) {
    if (p >= partitions_.size() || partitions_[p].ended) continue;
    time_.Settle(p, &released, &dead);
    time_.MarkIdle(p);
  }
  FRESHET_RETURN_IF_ERROR(EmitReleased(released, dead, {}));
  FRESHET_RETURN_IF_ERROR(SendWatermark());
  if (time_.all_idle() && !idle_sent_.exchange(true)) outlets_.SendAll(Idle{});
  return Status::Ok();
}

Status SourceCell::HandleEnd(const SourceItem& item) {
  // Partitions that did not say that they end, end here: what waits is settled.
  for (uint32_t p = 0; p < partitions_.size(); ++p) {
    if (partitions_[p].ended) continue;
    FRESHET_RETURN_IF_ERROR(SettleAndEnd(p, {}));
    if (item.drained) partitions_[p].ended = false;
  }
  ended_ = true;
  CellSnapshot snapshot;
  snapshot.cell = plan_.id;
  FRESHET_RETURN_IF_ERROR(Snapshot(&snapshot));
  outlets_.SendAll(End{});
  finished_ = true;
  environment_.listener->OnEnded(std::move(snapshot));
  return Status::Ok();
}

std::vector<SourceCell::PartitionProgress> SourceCell::partition_progress() const {
  const std::lock_guard lock(progress_mutex_);
  return progress_;
}

void SourceCell::PublishProgress(uint32_t partition) {
  if (!source_.bound.by_time) return;
  const std::lock_guard lock(progress_mutex_);
  if (partition >= progress_.size()) progress_.resize(partition + 1);
  progress_[partition].frontier = time_.frontier(partition);
  ++progress_[partition].chunk_count;
}

int64_t SourceCell::NowUs() {
  now_us_ = std::max(now_us_, environment_.env->WallMicros());
  return now_us_;
}

void SourceCell::WarnOfLateRows() {
  if (warned_ || !time_.too_late()) return;
  warned_ = true;
  Log(LogLevel::kWarning, LateWarning(), {{"pipeline", environment_.spec->pipeline_name}});
}

std::string SourceCell::LateWarning() const {
  const TimeStage::Lateness lateness = time_.lateness();
  const size_t partition = lateness.worst.ordinal.partition();
  return freshet::LateWarning(node_of(0).id, partition < partitions_.size() ? partitions_[partition].name : "",
                              source_.bound.bounded, source_.time, lateness);
}

Status SourceCell::HandleBlock(SourceItem& item) {
  const uint32_t p = item.chunk.partition;
  if (p >= partitions_.size()) return Status::Internal("a chunk of an unknown partition");
  NodeCounters& counters = elements_[0].counters;
  const DecodedBlock& block = item.block;
  const uint64_t first_record = running_[p].records;
  const int64_t first_line = running_[p].lines;
  running_[p].records += static_cast<uint64_t>(block.record_count);
  running_[p].lines += block.line_count;
  counters.in += block.record_count;
  counters.skipped += block.skipped;
  counters.dropped += block.dropped;
  records_read_ += block.record_count;
  cause_ = item.hold;
  if (!block.dead.empty()) FRESHET_RETURN_IF_ERROR(EmitDead(p, block.dead, first_record, first_line, item.hold));
  if (block.row_count > 0) {
    idle_sent_ = false;
    partitions_[p].ended = false;  // it grew since
    FRESHET_RETURN_IF_ERROR(HandleRows(item, first_record, first_line));
  }
  if (!(IsPlanted(PlantedBug::kPositionShort) && first_record % 3 == 1))
    partitions_[p].position = item.chunk.position_after;
  if (item.chunk.partition_end) FRESHET_RETURN_IF_ERROR(SettleAndEnd(p, item.hold));
  PublishProgress(p);
  WarnOfLateRows();
  counters.held = time_.waiting_count();
  return SendWatermark();
}

Status SourceCell::HandleRows(SourceItem& item, uint64_t first_record, int64_t first_line) {
  if (item.prepared) return HandlePrepared(item, first_record, first_line);
  DecodedBlock& block = item.block;
  RowMeta meta;
  meta.first_ordinal = Ordinal::Of(item.chunk.partition, first_record);
  if (!block.record_offsets.empty()) {
    meta.ordinals = AllocateBuffer(int64_t{8} * block.row_count);
    for (int32_t i = 0; i < block.row_count; ++i)
      meta.ordinals.as<uint64_t>()[i] =
          meta.first_ordinal.value + static_cast<uint64_t>(block.record_offsets[static_cast<size_t>(i)]);
  }
  const Batch rows(source_.bound.schema, std::move(block.columns), block.row_count, std::move(meta), item.hold);
  return JudgeRows(item, rows, first_record, first_line);
}

Status SourceCell::JudgeRows(SourceItem& item, const Batch& rows, uint64_t first_record, int64_t first_line) {
  const int32_t count = rows.row_count();
  const uint32_t p = item.chunk.partition;
  const int64_t now_us = NowUs();
  // A partition's stamps rise, also over a restart.
  const int64_t stamp_us = std::max(now_us, time_.frontier(p).us);
  Column times;
  if (source_.time.evaluate) times = source_.time.evaluate(rows);
  RowMeta meta = rows.meta();
  meta.watermarks = AllocateBuffer(int64_t{8} * count);
  meta.times = AllocateBuffer(int64_t{8} * count);
  auto* watermark = meta.watermarks.as<int64_t>();
  auto* time = meta.times.as<int64_t>();
  bool plain = time_.simple();
  for (int32_t i = 0; i < count; ++i) {
    time[i] = source_.time.evaluate ? times.int64s()[i] : stamp_us;
    plain = plain && IsTime(time[i]);
  }
  if (source_.time.evaluate && times.may_have_nulls()) plain = plain && times.CountNulls() == 0;
  const auto line_of = [&](int32_t i) {
    const auto& lines = item.block.row_lines;
    return first_line + 1 +
           (lines.empty() ? static_cast<int64_t>(rows.ordinal(i).row() - first_record) : lines[static_cast<size_t>(i)]);
  };
  if (plain) {
    time_.JudgeSimple(p, time, count, watermark, rows.ordinal(0), line_of(0));
    meta.joined = time_.joined(p);
    return EmitRows(rows.WithMeta(std::move(meta)));
  }
  RecordBytes bytes(item.chunk, item.block);
  const auto raw_of = [&](int32_t i) {
    return bytes.Of(i, static_cast<int64_t>(rows.ordinal(i).row() - first_record));
  };
  std::vector<int32_t> accepted;
  std::vector<DeadRecord> dead;
  std::vector<std::pair<TimeStage::Row, int64_t>> released;
  std::vector<TimeStage::Row> waited_dead;
  const auto reject = [&](int32_t i, std::string reason) {
    dead.push_back({static_cast<int64_t>(rows.ordinal(i).row() - first_record), line_of(i) - first_line - 1,
                    std::move(reason), raw_of(i)});
  };
  const auto flush = [&]() -> Status {
    if (accepted.empty()) return Status::Ok();
    meta.joined = time_.joined(p);
    const Batch part = rows.WithMeta(meta).Take(accepted.data(), static_cast<int32_t>(accepted.size()));
    accepted.clear();
    return EmitRows(part);
  };
  for (int32_t i = 0; i < count; ++i) {
    if (source_.time.evaluate && times.IsNull(i)) {
      reject(i, "time_missing: `" + source_.time.text + "` gives no time for this record");
      continue;
    }
    if (!IsTime(time[i])) {
      reject(i, "timestamp_out_of_range: not a time");
      continue;
    }
    switch (time_.Judge(p, time[i], rows.ordinal(i), line_of(i), now_us, &watermark[i])) {
      case TimeStage::Verdict::kAccept:
        accepted.push_back(i);
        break;
      case TimeStage::Verdict::kOutOfRange:
        reject(i, "timestamp_out_of_range: " + FormatTime({time[i]}));
        break;
      case TimeStage::Verdict::kTimestampAhead:
        reject(i, "timestamp_ahead: " + FormatTime({time[i]}) + " is later than max_future allows");
        break;
      case TimeStage::Verdict::kWait: {
        time_.Wait(p, {time[i], rows.ordinal(i), line_of(i), raw_of(i), rows.WithMeta(meta).Take(&i, 1).Detached()},
                   &released, &waited_dead);
        if (released.empty() && waited_dead.empty()) break;
        FRESHET_RETURN_IF_ERROR(flush());
        FRESHET_RETURN_IF_ERROR(EmitReleased(released, waited_dead, item.hold));
        released.clear();
        waited_dead.clear();
        break;
      }
    }
  }
  FRESHET_RETURN_IF_ERROR(flush());
  return dead.empty() ? Status::Ok() : EmitDead(p, dead, first_record, first_line, item.hold);
}

Status SourceCell::EmitReleased(std::vector<std::pair<TimeStage::Row, int64_t>>& released,
                                std::vector<TimeStage::Row>& dead, const Batch::Hold& hold) {
  for (auto& [row, watermark_us] : released) {
    RowMeta meta = row.batch.meta();
    meta.watermarks = AllocateBuffer(8);
    meta.watermarks.as<int64_t>()[0] = watermark_us;
    meta.offset = 0;
    meta.times = AllocateBuffer(8);
    meta.times.as<int64_t>()[0] = row.time_us;
    meta.ordinals = {};
    meta.first_ordinal = row.ordinal;
    meta.joined = time_.joined(row.ordinal.partition());
    FRESHET_RETURN_IF_ERROR(EmitRows(row.batch.WithMeta(std::move(meta)).WithHold(hold)));
  }
  for (const TimeStage::Row& row : dead) {
    const DeadRecord record{
        0, 0, "timestamp_ahead: " + FormatTime({row.time_us}) + " is further ahead of the stream than max_jump allows",
        row.raw};
    FRESHET_RETURN_IF_ERROR(EmitDead(row.ordinal.partition(), {record}, row.ordinal.row(), row.line - 1, hold));
  }
  elements_[0].counters.held = time_.waiting_count();
  return Status::Ok();
}

Status SourceCell::EmitRows(const Batch& rows, size_t element) {
  const int32_t limit = environment_.batch_row_count_max;
  if (rows.row_count() <= limit) return EmitFrom(element, 0, rows);
  for (int32_t from = 0; from < rows.row_count(); from += limit)
    FRESHET_RETURN_IF_ERROR(EmitFrom(element, 0, rows.Slice(from, std::min(limit, rows.row_count() - from))));
  return Status::Ok();
}

Status SourceCell::EmitDead(uint32_t partition, const std::vector<DeadRecord>& dead, uint64_t first_record,
                            int64_t first_line, const Batch::Hold& hold) {
  NodeCounters& counters = elements_[0].counters;
  const auto count = static_cast<int32_t>(dead.size());
  const std::string& name = partitions_[partition].name;
  if (source_.on_error == OnError::kSkip) {
    counters.skipped += count;
    return Status::Ok();
  }
  if (source_.on_error == OnError::kFail)
    return Status::DataLoss(name + " line " + std::to_string(first_line + dead[0].line_offset + 1) + ": " +
                            dead[0].reason + " (`on_error: fail`; use dead_letter to go on without such records)");
  counters.dead += count;
  ColumnBuilder node(TypeId::kString, count), file(TypeId::kString, count), line(TypeId::kInt64, count),
      record(TypeId::kInt64, count), reason(TypeId::kString, count), raw(TypeId::kString, count);
  RowMeta meta;
  meta.times = AllocateBuffer(int64_t{8} * count);
  meta.watermark = sent_;
  meta.first_ordinal = Ordinal::Of(partition, first_record);
  for (int32_t i = 0; i < count; ++i) {
    const DeadRecord& d = dead[static_cast<size_t>(i)];
    node.AppendString(node_of(0).id);
    file.AppendString(name);
    line.AppendInt64(first_line + d.line_offset + 1);
    record.AppendInt64(static_cast<int64_t>(first_record) + d.record_offset);
    reason.AppendString(d.reason);
    raw.AppendString(d.raw);
    // Dead letters have no time of their own: they stand at the source's watermark.
    meta.times.as<int64_t>()[i] = sent_.us;
  }
  const Batch batch(DeadLetterSchema(),
                    {node.Finish(), file.Finish(), line.Finish(), record.Finish(), reason.Finish(), raw.Finish()},
                    count, std::move(meta), hold);
  outlets_.SendRows(0, 1, batch, 0);
  return Status::Ok();
}

Status SourceCell::SendWatermark() {
  const std::optional<EventTime> watermark = time_.watermark();
  if (!watermark || *watermark <= sent_ || *watermark == EventTime::Max()) return Status::Ok();
  sent_ = *watermark;
  watermark_us_ = sent_.us;
  idle_sent_ = false;
  ForwardWatermark(sent_);
  return Status::Ok();
}

}  // namespace freshet
