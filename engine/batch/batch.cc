#include "engine/batch/batch.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace freshet {
namespace {

template <class T>
BufferRef TakeMeta(const BufferRef& buffer, int32_t offset, const int32_t* indices, int32_t count) {
  if (!buffer) return {};
  BufferRef taken = AllocateBuffer(int64_t{sizeof(T)} * count);
  const T* from = buffer.as<T>() + offset;
  T* to = taken.as<T>();
  for (int32_t i = 0; i < count; ++i) to[i] = from[indices[i]];
  return taken;
}

/// One meta value per row: from its buffer, or the one that all rows share.
void FillMeta(int64_t* to, const BufferRef& buffer, int32_t offset, int64_t shared, int32_t count) {
  if (buffer)
    std::memcpy(to, buffer.as<int64_t>() + offset, static_cast<size_t>(count) * 8);
  else
    std::fill_n(to, count, shared);
}

}  // namespace

Batch::Batch(SchemaRef schema, std::vector<Column> columns, int32_t row_count, RowMeta meta, Hold hold)
    : data_(std::make_shared<const Data>(
          Data{std::move(schema), std::move(columns), row_count, {}, std::move(meta), std::move(hold)})) {}

Batch Batch::Dense() const {
  return has_selection() ? Take(data_->selection.indices.as<int32_t>(), data_->selection.count) : *this;
}

Batch Batch::WithSelection(Selection selection) const {
  auto data = std::make_shared<Data>(*data_);
  data->selection = std::move(selection);
  return Batch(std::move(data));
}

Batch Batch::Take(const int32_t* indices, int32_t count) const {
  auto data = std::make_shared<Data>();
  data->schema = data_->schema;
  data->row_count = count;
  data->hold = data_->hold;
  data->columns.reserve(data_->columns.size());
  for (const Column& c : data_->columns) data->columns.push_back(c.Take(indices, count));
  const RowMeta& m = data_->meta;
  data->meta.watermark = m.watermark;
  data->meta.joined = m.joined;
  data->meta.times = TakeMeta<int64_t>(m.times, m.offset, indices, count);
  data->meta.watermarks = TakeMeta<int64_t>(m.watermarks, m.offset, indices, count);
  data->meta.positions = TakeMeta<uint32_t>(m.positions, m.offset, indices, count);
  data->meta.ordinals = AllocateBuffer(int64_t{8} * count);
  auto* ordinals = data->meta.ordinals.as<uint64_t>();
  for (int32_t i = 0; i < count; ++i) ordinals[i] = ordinal(indices[i]).value;
  return Batch(std::move(data));
}

Batch Batch::Slice(int32_t from, int32_t count) const {
  assert(!has_selection());
  auto data = std::make_shared<Data>(*data_);
  data->row_count = count;
  for (Column& c : data->columns) c = c.Slice(from, count);
  data->meta.offset += from;
  return Batch(std::move(data));
}

Batch Batch::WithColumns(SchemaRef schema, std::vector<Column> columns) const {
  auto data = std::make_shared<Data>();
  data->schema = std::move(schema);
  data->columns = std::move(columns);
  data->row_count = data_->row_count;
  data->selection = data_->selection;
  data->meta = data_->meta;
  data->hold = data_->hold;
  return Batch(std::move(data));
}

Batch Batch::WithAppended(SchemaRef schema, std::vector<Column> more) const {
  std::vector<Column> columns = data_->columns;
  for (Column& c : more) columns.push_back(std::move(c));
  return WithColumns(std::move(schema), std::move(columns));
}

Batch Batch::WithMeta(RowMeta meta) const {
  auto data = std::make_shared<Data>(*data_);
  data->meta = std::move(meta);
  return Batch(std::move(data));
}

Batch Batch::WithHold(Hold hold) const {
  auto data = std::make_shared<Data>(*data_);
  data->hold = std::move(hold);
  return Batch(std::move(data));
}

int64_t Batch::ByteSize() const {
  if (!data_ || data_->row_count == 0) return 0;
  int64_t bytes = int64_t{16} * data_->row_count;
  for (const Column& c : data_->columns) bytes += c.ByteSize();
  return has_selection() ? bytes * data_->selection.count / data_->row_count : bytes;
}

Batch ConcatBatches(const std::vector<Batch>& batches) {
  if (batches.size() == 1) return batches[0];
  int32_t rows = 0;
  for (const Batch& b : batches) rows += b.row_count();
  const SchemaRef schema = batches.front().schema();
  std::vector<Column> columns;
  std::vector<Column> parts;
  for (int c = 0; c < schema->size(); ++c) {
    parts.clear();
    for (const Batch& b : batches) parts.push_back(b.column(c));
    columns.push_back(ConcatColumns(schema->field(c).type, parts));
  }
  RowMeta meta;
  meta.watermarks = AllocateBuffer(int64_t{8} * rows);
  meta.ordinals = AllocateBuffer(int64_t{8} * rows);
  meta.positions = AllocateBuffer(int64_t{4} * rows);
  meta.joined = batches.front().meta().joined;
  if (batches.front().has_times()) meta.times = AllocateBuffer(int64_t{8} * rows);
  auto holds = std::make_shared<std::vector<Batch::Hold>>();
  int32_t at = 0;
  for (const Batch& b : batches) {
    if (b.hold()) holds->push_back(b.hold());
    meta.joined = std::min(meta.joined, b.meta().joined);
    const RowMeta& m = b.meta();
    FillMeta(meta.watermarks.as<int64_t>() + at, m.watermarks, m.offset, m.watermark.us, b.row_count());
    if (meta.times) FillMeta(meta.times.as<int64_t>() + at, m.times, m.offset, EventTime::Min().us, b.row_count());
    for (int32_t i = 0; i < b.row_count(); ++i, ++at) {
      meta.ordinals.as<uint64_t>()[at] = b.ordinal(i).value;
      meta.positions.as<uint32_t>()[at] = b.position(i);
    }
  }
  Batch::Hold hold;
  if (!holds->empty()) hold = holds;
  return Batch(schema, std::move(columns), rows, std::move(meta), std::move(hold));
}

}  // namespace freshet
