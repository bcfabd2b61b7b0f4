// What a source does beside its decoder, and what is left of it for the cell (README.md, "The decode stage").
#include <cstring>

#include "engine/flow/divide_rows.h"
#include "engine/flow/source_cell.h"

namespace freshet {

void SourceCell::Prepare(SourceItem* item) const {
  DecodedBlock& block = item->block;
  if (item->kind != SourceItem::Kind::kBlock || block.row_count == 0 || !time_.simple() || !source_.time.evaluate)
    return;
  Batch rows(source_.bound.schema, block.columns, block.row_count, {});
  SourceItem::Prepared prepared;
  prepared.times = source_.time.evaluate(rows);
  if (prepared.times.may_have_nulls() && prepared.times.CountNulls() > 0) return;
  const int64_t* const times = prepared.times.int64s();
  bool plain = true;
  for (int32_t i = 0; i < block.row_count; ++i) plain = plain && IsTime(times[i]);
  if (!plain) return;
  prepared.row_count = block.row_count;
  prepared.byte_count = rows.ByteSize();
  for (size_t f = 1; f <= filter_count_ && !rows.empty(); ++f) {
    rows = rows.WithSelection(elements_[f].bound->filter(rows));
    prepared.passed.push_back(rows.row_count());
  }
  prepared.passed.resize(filter_count_);
  prepared.columns = std::move(block.columns);
  if (rows.row_count() < prepared.row_count) prepared.kept = rows.selection();
  if (exchange_ && !rows.empty() && rows.row_count() <= environment_.batch_row_count_max) {
    Divide(*exchange_, rows.row_count(), &prepared);
  } else if (prepared.kept.indices) {
    for (Column& column : prepared.columns)
      column = column.Take(prepared.kept.indices.as<int32_t>(), prepared.kept.count);
  }
  item->prepared = std::move(prepared);
  item->chunk.bytes = {};  // for the next chunk, while it is in the cache
}

void SourceCell::Divide(const Outlets::OnlyExchange& exchange, int32_t kept_count,
                        SourceItem::Prepared* prepared) const {
  const int32_t* const kept = prepared->kept.indices ? prepared->kept.indices.as<int32_t>() : nullptr;
  std::vector<Column> key_columns(prepared->columns.size());
  for (const int c : exchange.codec->columns()) {
    const Column& column = prepared->columns[static_cast<size_t>(c)];
    key_columns[static_cast<size_t>(c)] = kept != nullptr ? column.Take(kept, kept_count) : column;
  }
  EncodedKeys keys;
  keys.Encode(*exchange.codec, Batch(source_.bound.schema, std::move(key_columns), kept_count, {}));
  if (exchange.combiner != nullptr && exchange.combiner->Wants() && Combine(exchange, keys, kept_count, prepared))
    return;
  // First how many there are for each lane: then nothing grows.
  const BufferRef lane_buffer = AllocateBuffer(int64_t{4} * kept_count);
  auto* const lanes = lane_buffer.as<int32_t>();
  prepared->parts.resize(static_cast<size_t>(exchange.lane_count()));
  for (int32_t i = 0; i < kept_count; ++i) {
    lanes[i] = LaneOfKeyGroup(KeyGroupOf(keys.hash(i)), exchange.lane_count());
    ++prepared->parts[static_cast<size_t>(lanes[i])].row_count;
  }
  std::vector<int32_t*> next;
  for (SourceItem::Prepared::Part& part : prepared->parts) {
    if (part.row_count > 0) part.positions = AllocateBuffer(int64_t{4} * part.row_count);
    next.push_back(part.row_count > 0 ? part.positions.as<int32_t>() : nullptr);
  }
  for (int32_t i = 0; i < kept_count; ++i) *next[static_cast<size_t>(lanes[i])]++ = i;
  for (SourceItem::Prepared::Part& part : prepared->parts) {
    part.rows = part.positions;
    if (part.row_count == 0) continue;
    if (kept != nullptr) {
      part.rows = AllocateBuffer(int64_t{4} * part.row_count);
      for (int32_t i = 0; i < part.row_count; ++i) part.rows.as<int32_t>()[i] = kept[part.positions.as<int32_t>()[i]];
    }
    for (const Column& column : prepared->columns)
      part.columns.push_back(column.Take(part.rows.as<int32_t>(), part.row_count));
  }
  prepared->columns.clear();
}

bool SourceCell::Combine(const Outlets::OnlyExchange& exchange, const EncodedKeys& keys, int32_t kept_count,
                         SourceItem::Prepared* prepared) const {
  const int32_t* const kept = prepared->kept.indices ? prepared->kept.indices.as<int32_t>() : nullptr;
  std::vector<Column> columns = prepared->columns;
  Column times = prepared->times;
  if (kept != nullptr) {
    for (Column& column : columns) column = column.Take(kept, kept_count);
    times = times.Take(kept, kept_count);
  }
  RowMeta meta;
  meta.times = AllocateBuffer(int64_t{8} * kept_count);
  std::memcpy(meta.times.as<int64_t>(), times.int64s(), static_cast<size_t>(kept_count) * 8);
  prepared->combined = exchange.combiner->Combine(Batch(source_.bound.schema, columns, kept_count, meta), keys);
  if (!prepared->combined) return false;
  prepared->columns = std::move(columns);
  FindLanes(keys, kept_count, exchange.lane_count(), &prepared->lane_of);
  return true;
}

namespace {
/// Which record of its block a row is.
int32_t RecordOf(const DecodedBlock& block, int32_t row) {
  return block.record_offsets.empty() ? row : block.record_offsets[static_cast<size_t>(row)];
}
}  // namespace

RowMeta SourceCell::PreparedMeta(const SourceItem& item, Ordinal first, const int32_t* rows, int32_t count) const {
  RowMeta meta;
  meta.first_ordinal = first;
  meta.joined = time_.joined(item.chunk.partition);
  meta.times = AllocateBuffer(int64_t{8} * count);
  meta.watermarks = AllocateBuffer(int64_t{8} * count);
  meta.ordinals = AllocateBuffer(int64_t{8} * count);
  const int64_t* const times = item.prepared->times.int64s();
  auto* const time = meta.times.as<int64_t>();
  auto* const watermark = meta.watermarks.as<int64_t>();
  auto* const ordinal = meta.ordinals.as<uint64_t>();
  for (int32_t i = 0; i < count; ++i) {
    const int32_t row = rows != nullptr ? rows[i] : i;
    time[i] = times[row];
    watermark[i] = watermarks_[static_cast<size_t>(row)];
    ordinal[i] = first.value + static_cast<uint64_t>(RecordOf(item.block, row));
  }
  return meta;
}

Status SourceCell::HandlePrepared(SourceItem& item, uint64_t first_record, int64_t first_line) {
  SourceItem::Prepared& prepared = *item.prepared;
  const DecodedBlock& block = item.block;
  const Ordinal first = Ordinal::Of(item.chunk.partition, first_record);
  watermarks_.resize(static_cast<size_t>(prepared.row_count));
  time_.JudgeSimple(item.chunk.partition, prepared.times.int64s(), prepared.row_count, watermarks_.data(),
                    {first.value + static_cast<uint64_t>(RecordOf(block, 0))},
                    first_line + 1 + (block.row_lines.empty() ? RecordOf(block, 0) : block.row_lines[0]));
  if (filter_count_ > 0) elements_[0].counters.out += prepared.row_count;
  int32_t count = prepared.row_count;
  for (size_t f = 1; f <= filter_count_; ++f) {
    const int32_t passed = prepared.passed[f - 1];
    NodeCounters& counters = elements_[f].counters;
    counters.in += count;
    counters.filtered += count - passed;
    if (f < filter_count_) counters.out += passed;
    meter(f - 1).AddBytes(0, prepared.byte_count * count / prepared.row_count);
    meter(f).AddBytes(prepared.byte_count * count / prepared.row_count, 0);
    count = passed;
  }
  if (count == 0) return Status::Ok();
  if (!prepared.parts.empty()) {
    SendPrepared(item, first);
    return Status::Ok();
  }
  const int32_t* const kept = prepared.kept.indices ? prepared.kept.indices.as<int32_t>() : nullptr;
  RowMeta meta = PreparedMeta(item, first, kept, count);
  if (prepared.combined) {
    SendPreparedCombined(Batch(source_.bound.schema, std::move(prepared.columns), count, std::move(meta), item.hold),
                         prepared);
    return Status::Ok();
  }
  return EmitRows(Batch(source_.bound.schema, std::move(prepared.columns), count, std::move(meta), item.hold),
                  filter_count_);
}

void SourceCell::SendPrepared(SourceItem& item, Ordinal first) {
  std::vector<Batch> batches;
  int64_t bytes = 0;
  for (SourceItem::Prepared::Part& part : item.prepared->parts) {
    batches.emplace_back();
    const int32_t count = part.row_count;
    if (count == 0) continue;
    RowMeta meta = PreparedMeta(item, first, part.rows.as<int32_t>(), count);
    meta.positions = std::move(part.positions);
    batches.back() = Batch(source_.bound.schema, std::move(part.columns), count, std::move(meta), item.hold);
    bytes += batches.back().ByteSize();
    if (plan_.counts_out || filter_count_ > 0) elements_[filter_count_].counters.out += count;
  }
  if (plan_.counts_out || filter_count_ > 0) meter(filter_count_).AddBytes(0, bytes);
  outlets_.SendParts(*exchange_, std::move(batches));
}

void SourceCell::SendPreparedCombined(const Batch& rows, const SourceItem::Prepared& prepared) {
  if (plan_.counts_out || filter_count_ > 0) {
    elements_[filter_count_].counters.out += rows.row_count();
    meter(filter_count_).AddBytes(0, rows.ByteSize());
  }
  outlets_.SendCombined(*exchange_, rows, prepared.combined, prepared.lane_of);
}

}  // namespace freshet
