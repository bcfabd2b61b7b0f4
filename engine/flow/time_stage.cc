#include "engine/flow/time_stage.h"

#include <algorithm>

#include "engine/base/units.h"
#include "engine/batch/batch_codec.h"

namespace freshet {
namespace {

/// SEMANTICS.md §2.2: so many waiting rows within max_jump of each other move a frontier; so many may wait.
constexpr size_t kClusterRowCount = 32;
constexpr size_t kWaitingRowCountMax = 1024;

struct Cluster {
  int64_t start_us = 0;
  size_t size = 0;
};

/// The largest set of times within `width` of each other; of equals the earliest.
Cluster LargestCluster(const std::vector<TimeStage::Row>& rows, int64_t width) {
  std::vector<int64_t> times;
  for (const auto& r : rows) times.push_back(r.time_us);
  std::sort(times.begin(), times.end());
  Cluster best;
  size_t from = 0;
  for (size_t to = 0; to < times.size(); ++to) {
    while (times[to] - times[from] > width) ++from;
    if (to - from + 1 > best.size) best = {times[from], to - from + 1};
  }
  return best;
}

int64_t SaturatingSub(int64_t a, int64_t b) {
  int64_t r = 0;
  return __builtin_sub_overflow(a, b, &r) ? (b > 0 ? INT64_MIN : INT64_MAX) : r;
}
int64_t SaturatingAdd(int64_t a, int64_t b) {
  int64_t r = 0;
  return __builtin_add_overflow(a, b, &r) ? (b > 0 ? INT64_MAX : INT64_MIN) : r;
}

}  // namespace

TimeStage::TimeStage(const TimeSpec* spec)
    : spec_(spec), simple_(!spec->max_jump && !spec->max_future && !spec->not_before && !spec->not_after) {}

void TimeStage::EnsurePartition(uint32_t partition) {
  if (partition >= partitions_.size()) partitions_.resize(partition + 1);
}

int64_t TimeStage::WatermarkOf(const Partition& p) const {
  return p.started ? SaturatingSub(p.frontier_us, spec_->lateness.us) : INT64_MIN;
}

void TimeStage::SetMover(Partition& p, Mover mover) {
  if (p.mover.late_count > lateness_.worst.late_count) lateness_.worst = p.mover;
  p.mover = mover;
}

void TimeStage::Advance(Partition& p, int64_t time_us, Ordinal ordinal, int64_t line) {
  ++lateness_.row_count;
  if (p.started && time_us <= p.frontier_us) return;
  SetMover(p, {0, p.started ? SaturatingSub(time_us, p.frontier_us) : 0, line, ordinal, time_us});
  p.started = true;
  p.frontier_us = time_us;
}

void TimeStage::CountOlder(Partition& p, int64_t own_watermark_us) {
  ++lateness_.older_row_count;
  ++(own_watermark_us <= p.joined_us ? lateness_.after_idle_count : p.mover.late_count);
}

TimeStage::Lateness TimeStage::lateness() const {
  Lateness all = lateness_;
  for (const Partition& p : partitions_)
    if (p.mover.late_count > all.worst.late_count) all.worst = p.mover;
  return all;
}

EventTime TimeStage::frontier(uint32_t partition) const {
  const Partition& p = partitions_[partition];
  return p.started ? EventTime{p.frontier_us} : EventTime::Min();
}

void TimeStage::Join(Partition& p) {
  p.idle = false;
  p.ended = false;
  if (merged_ == EventTime::Min() || WatermarkOf(p) >= merged_.us) return;
  p.frontier_us = SaturatingAdd(merged_.us, spec_->lateness.us);
  p.joined_us = merged_.us;
  p.started = true;
}

void TimeStage::JudgeSimple(uint32_t partition, const int64_t* times, int32_t count, int64_t* watermarks, Ordinal first,
                            int64_t first_line) {
  Partition& p = partitions_[partition];
  if (p.idle || p.ended || !p.started) Join(p);
  int32_t i = 0;
  if (!p.started && count > 0) {
    watermarks[0] = INT64_MIN;
    Advance(p, times[0], first, first_line);
    i = 1;
  }
  const int64_t lateness = spec_->lateness.us;
  int64_t frontier = p.frontier_us;
  int32_t mover = -1;  // the row that moved it last; only of interest once a row is late behind it
  int64_t jump = 0;
  lateness_.row_count += count - i;
  const auto moved = [&] {
    if (mover >= 0) SetMover(p, {0, jump, first_line, {first.value + static_cast<uint64_t>(mover)}, times[mover]});
    mover = -1;
  };
  for (; i < count; ++i) {
    const int64_t own = frontier - lateness;
    watermarks[i] = own;
    if (times[i] < own) [[unlikely]] {
      moved();
      CountOlder(p, own);
    }
    if (times[i] > frontier) {
      mover = i;
      jump = times[i] - frontier;
      frontier = times[i];
    }
  }
  moved();
  p.frontier_us = frontier;
}

TimeStage::Verdict TimeStage::Judge(uint32_t partition, int64_t time_us, Ordinal ordinal, int64_t line, int64_t now_us,
                                    int64_t* watermark_us) {
  Partition& p = partitions_[partition];
  if ((spec_->not_before && time_us < spec_->not_before->us) || (spec_->not_after && time_us > spec_->not_after->us))
    return Verdict::kOutOfRange;
  if (spec_->max_future && time_us > SaturatingAdd(now_us, spec_->max_future->us)) return Verdict::kTimestampAhead;
  if (p.idle || p.ended || !p.started) Join(p);
  if (spec_->max_jump && (!p.started || time_us > SaturatingAdd(p.frontier_us, spec_->max_jump->us)))
    return Verdict::kWait;
  *watermark_us = WatermarkOf(p);
  if (time_us < *watermark_us) CountOlder(p, *watermark_us);
  Advance(p, time_us, ordinal, line);
  return Verdict::kAccept;
}

void TimeStage::SettleAt(Partition& p, int64_t start_us, std::vector<std::pair<Row, int64_t>>* released,
                         std::vector<Row>* dead) {
  std::vector<Row> waiting = std::exchange(p.waiting, {});
  // Rows that were accepted meanwhile may have brought the frontier beyond the cluster: it never falls.
  if (!p.started || start_us > p.frontier_us) {
    const auto first =
        std::find_if(waiting.begin(), waiting.end(), [&](const Row& r) { return r.time_us == start_us; });
    SetMover(p, {0, p.started ? SaturatingSub(start_us, p.frontier_us) : 0, first->line, first->ordinal, start_us});
    p.started = true;
    p.frontier_us = start_us;
  }
  for (Row& row : waiting) {
    if (row.time_us > SaturatingAdd(p.frontier_us, spec_->max_jump->us)) {
      dead->push_back(std::move(row));
      continue;
    }
    const int64_t own = WatermarkOf(p);
    if (row.time_us < own) CountOlder(p, own);
    Advance(p, row.time_us, row.ordinal, row.line);
    released->emplace_back(std::move(row), own);
  }
}

void TimeStage::Wait(uint32_t partition, Row row, std::vector<std::pair<Row, int64_t>>* released,
                     std::vector<Row>* dead) {
  Partition& p = partitions_[partition];
  const int64_t t = row.time_us;
  const int64_t width = spec_->max_jump->us;
  p.waiting.push_back(std::move(row));
  // Only a cluster that contains the new row can be new; look for it among the rows near enough.
  size_t near_count = 0;
  for (const Row& w : p.waiting)
    near_count += w.time_us >= SaturatingSub(t, width) && w.time_us <= SaturatingAdd(t, width) ? 1 : 0;
  if (near_count >= kClusterRowCount) {
    const Cluster cluster = LargestCluster(p.waiting, width);
    if (cluster.size >= kClusterRowCount) return SettleAt(p, cluster.start_us, released, dead);
  }
  if (p.waiting.size() >= kWaitingRowCountMax) Settle(partition, released, dead);
}

void TimeStage::Settle(uint32_t partition, std::vector<std::pair<Row, int64_t>>* released, std::vector<Row>* dead) {
  Partition& p = partitions_[partition];
  if (p.waiting.empty()) return;
  SettleAt(p, LargestCluster(p.waiting, spec_->max_jump->us).start_us, released, dead);
}

void TimeStage::EndPartition(uint32_t partition) { partitions_[partition].ended = true; }

void TimeStage::Reopen() {
  for (Partition& p : partitions_) Join(p);
}

bool TimeStage::MarkIdle(uint32_t partition) { return !std::exchange(partitions_[partition].idle, true); }

int64_t TimeStage::waiting_count() const {
  int64_t n = 0;
  for (const Partition& p : partitions_) n += static_cast<int64_t>(p.waiting.size());
  return n;
}

bool TimeStage::all_idle() const {
  return std::all_of(partitions_.begin(), partitions_.end(), [](const Partition& p) { return p.ended || p.idle; });
}

std::optional<EventTime> TimeStage::watermark() {
  EventTime lowest = EventTime::Max();
  bool any = false;
  for (const Partition& p : partitions_) {
    if (p.ended || p.idle) continue;
    any = true;
    lowest = std::min(lowest, EventTime{WatermarkOf(p)});
  }
  if (!any) return std::nullopt;
  merged_ = std::max(merged_, lowest);
  return merged_;
}

std::string LateWarning(const std::string& node_id, const std::string& partition, bool bounded, const TimeSpec& spec,
                        const TimeStage::Lateness& lateness) {
  std::string out = "source `" + node_id + "`: " + FormatCount(lateness.older_row_count) + " of " +
                    FormatCount(lateness.row_count) + " rows are older than the watermark.";
  const TimeStage::Mover& mover = lateness.worst;
  if (mover.late_count > 0) {
    out += " The row with most of them behind it, " + FormatCount(mover.late_count) + ", is record " +
           FormatCount(static_cast<int64_t>(mover.ordinal.row()));
    if (mover.line > 0) out += " (line " + FormatCount(mover.line) + " or after)";
    if (!partition.empty()) out += " of " + partition;
    out += mover.jump_us > 0 ? ": it moved time by " + FormatDuration({mover.jump_us}) + " to "
                             : ": it is the first, and time began at ";
    out += FormatTime({mover.time_us}) + ". If it is a stray, set `time: {max_jump: ";
    out += spec.max_jump ? "…}` below " + FormatDuration(*spec.max_jump) : std::string("1h}`");
    if (!bounded) out += " or `time: {max_future: 1m}`";
    out +=
        "; if the rows are really that late, raise `time: {lateness: …}` above " + FormatDuration(spec.lateness) + ".";
  }
  if (lateness.after_idle_count > 0)
    out += " " + FormatCount(lateness.after_idle_count) +
           " came from a partition that was back after a silence, or began later than others: raise `time: {idle: …}` "
           "above " +
           FormatDuration(spec.idle) + ".";
  return out;
}

void TimeStage::Encode(ByteSink& sink) const {
  sink.PutI64(merged_.us);
  sink.PutI64(lateness_.older_row_count);
  sink.PutI64(lateness_.row_count);
  const Mover& worst = lateness_.worst;
  sink.PutI64(worst.jump_us);
  sink.PutI64(worst.line);
  sink.PutU64(worst.ordinal.value);
  sink.PutI64(worst.time_us);
  sink.PutVarint(partitions_.size());
  for (const Partition& p : partitions_) {
    sink.PutBool(p.started);
    sink.PutBool(p.ended);
    sink.PutBool(p.idle);
    sink.PutI64(p.frontier_us);
    sink.PutVarint(p.waiting.size());
    for (const Row& row : p.waiting) {
      sink.PutI64(row.time_us);
      sink.PutU64(row.ordinal.value);
      sink.PutI64(row.line);
      sink.PutString(row.raw);
      EncodeBatch(row.batch, sink);
    }
  }
}

bool TimeStage::Decode(ByteSource& source, const SchemaRef& schema) {
  merged_.us = source.GetI64();
  lateness_.older_row_count = source.GetI64();
  lateness_.row_count = source.GetI64();
  Mover& worst = lateness_.worst;
  worst.jump_us = source.GetI64();
  worst.line = source.GetI64();
  worst.ordinal.value = source.GetU64();
  worst.time_us = source.GetI64();
  const uint64_t count = source.GetVarint();
  if (count > source.remaining()) return false;
  partitions_.assign(count, {});
  for (Partition& p : partitions_) {
    p.started = source.GetBool();
    p.ended = source.GetBool();
    p.idle = source.GetBool();
    p.frontier_us = source.GetI64();
    for (uint64_t n = source.GetVarint(); n > 0 && source.ok(); --n) {
      Row row;
      row.time_us = source.GetI64();
      row.ordinal.value = source.GetU64();
      row.line = source.GetI64();
      row.raw = source.GetString();
      if (!DecodeBatch(source, schema, &row.batch)) return false;
      p.waiting.push_back(std::move(row));
    }
  }
  return source.ok();
}

namespace {
constexpr uint8_t kMoreVersion = 1;
}

void TimeStage::EncodeMore(ByteSink& sink) const {
  sink.PutU8(kMoreVersion);
  sink.PutI64(lateness_.after_idle_count);
  sink.PutI64(lateness_.worst.late_count);
  sink.PutVarint(partitions_.size());
  for (const Partition& p : partitions_) {
    sink.PutI64(p.joined_us);
    sink.PutI64(p.mover.late_count);
    sink.PutI64(p.mover.jump_us);
    sink.PutI64(p.mover.line);
    sink.PutU64(p.mover.ordinal.value);
    sink.PutI64(p.mover.time_us);
  }
}

bool TimeStage::DecodeMore(ByteSource& source) {
  if (source.GetU8() != kMoreVersion) return false;
  lateness_.after_idle_count = source.GetI64();
  lateness_.worst.late_count = source.GetI64();
  if (source.GetVarint() != partitions_.size()) return false;
  for (Partition& p : partitions_) {
    p.joined_us = source.GetI64();
    p.mover.late_count = source.GetI64();
    p.mover.jump_us = source.GetI64();
    p.mover.line = source.GetI64();
    p.mover.ordinal.value = source.GetU64();
    p.mover.time_us = source.GetI64();
  }
  return source.ok();
}

}  // namespace freshet
