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

void TimeStage::Advance(Partition& p, int64_t time_us, Ordinal ordinal, int64_t line) {
  ++poisoner_.row_count;
  if (!p.started) {
    p.started = true;
    p.frontier_us = time_us;
  } else if (time_us > p.frontier_us) {
    const int64_t jump = SaturatingSub(time_us, p.frontier_us);
    if (jump > poisoner_.jump_us) {
      poisoner_.jump_us = jump;
      poisoner_.line = line;
      poisoner_.ordinal = ordinal;
      poisoner_.time_us = time_us;
    }
    p.frontier_us = time_us;
  }
}

void TimeStage::Join(Partition& p) {
  p.idle = false;
  p.ended = false;
  if (merged_ == EventTime::Min()) return;
  p.frontier_us = std::max(p.started ? p.frontier_us : INT64_MIN, SaturatingAdd(merged_.us, spec_->lateness.us));
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
  int64_t older = 0;
  for (; i < count; ++i) {
    const int64_t own = frontier - lateness;
    watermarks[i] = own;
    older += times[i] < own ? 1 : 0;
    if (times[i] > frontier) {
      if (times[i] - frontier > poisoner_.jump_us) {
        poisoner_.jump_us = times[i] - frontier;
        poisoner_.line = first_line;
        poisoner_.ordinal = {first.value + static_cast<uint64_t>(i)};
        poisoner_.time_us = times[i];
      }
      frontier = times[i];
    }
    ++poisoner_.row_count;
  }
  p.frontier_us = frontier;
  poisoner_.older_row_count += older;
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
  if (time_us < *watermark_us) ++poisoner_.older_row_count;
  Advance(p, time_us, ordinal, line);
  return Verdict::kAccept;
}

void TimeStage::SettleAt(Partition& p, int64_t start_us, std::vector<std::pair<Row, int64_t>>* released,
                         std::vector<Row>* dead) {
  p.started = true;
  p.frontier_us = start_us;
  std::vector<Row> waiting = std::exchange(p.waiting, {});
  for (Row& row : waiting) {
    if (row.time_us > SaturatingAdd(p.frontier_us, spec_->max_jump->us)) {
      dead->push_back(std::move(row));
      continue;
    }
    const int64_t own = WatermarkOf(p);
    if (row.time_us < own) ++poisoner_.older_row_count;
    ++poisoner_.row_count;
    p.frontier_us = std::max(p.frontier_us, row.time_us);
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
  if (p.started) {
    // A frontier that rows have followed outweighs a handful of strays: they are ahead of it and stay out.
    for (Row& row : p.waiting) dead->push_back(std::move(row));
    p.waiting.clear();
    return;
  }
  SettleAt(p, LargestCluster(p.waiting, spec_->max_jump->us).start_us, released, dead);
}

void TimeStage::EndPartition(uint32_t partition) { partitions_[partition].ended = true; }

bool TimeStage::MarkIdle(uint32_t partition) { return !std::exchange(partitions_[partition].idle, true); }

int64_t TimeStage::waiting_count() const {
  int64_t n = 0;
  for (const Partition& p : partitions_) n += static_cast<int64_t>(p.waiting.size());
  return n;
}

bool TimeStage::all_idle() const {
  bool any = false;
  for (const Partition& p : partitions_) {
    if (p.ended) continue;
    if (!p.idle) return false;
    any = true;
  }
  return any;
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

std::string LateWarning(const std::string& node_id, const std::string& partition, bool bounded,
                        const TimeStage::Poisoner& poisoner) {
  std::string out = "source `" + node_id + "`: " + FormatCount(poisoner.older_row_count) + " of " +
                    FormatCount(poisoner.row_count) +
                    " rows are older than the watermark. The row that moved it furthest, by " +
                    FormatDuration({poisoner.jump_us}) + " to " + FormatTime({poisoner.time_us}) + ", is record " +
                    FormatCount(static_cast<int64_t>(poisoner.ordinal.row()));
  if (poisoner.line > 0) out += " (line " + FormatCount(poisoner.line) + " or after)";
  if (!partition.empty()) out += " of " + partition;
  out += ". If it is a stray, set `time: {max_jump: 1h}`" + std::string(bounded ? "" : " or `time: {max_future: 1m}`") +
         "; if the rows are really that late, raise `time: {lateness: …}`.";
  return out;
}

void TimeStage::Encode(ByteSink& sink) const {
  sink.PutI64(merged_.us);
  sink.PutI64(poisoner_.older_row_count);
  sink.PutI64(poisoner_.row_count);
  sink.PutI64(poisoner_.jump_us);
  sink.PutI64(poisoner_.line);
  sink.PutU64(poisoner_.ordinal.value);
  sink.PutI64(poisoner_.time_us);
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
  poisoner_.older_row_count = source.GetI64();
  poisoner_.row_count = source.GetI64();
  poisoner_.jump_us = source.GetI64();
  poisoner_.line = source.GetI64();
  poisoner_.ordinal.value = source.GetU64();
  poisoner_.time_us = source.GetI64();
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

}  // namespace freshet
