#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/batch/batch.h"
#include "engine/batch/batch_codec.h"
#include "engine/batch/column_builder.h"
#include "engine/flow/operator.h"
#include "engine/state/table_layout.h"
#include "engine/state/table_scan.h"

namespace freshet {

/// One row of a batch as bytes, for operators that keep rows until later.
inline std::string KeptRowBytes(const Batch& in, int32_t row) {
  ByteSink sink;
  EncodeBatch(in.Slice(row, 1), sink);
  return sink.Take();
}

/// Makes the bytes of a kept row anew; false if they are none.
using RowChange = std::function<bool(std::string*)>;

/// If rows that the table keeps are to be read by `stored` (TakeStoredRows): makes all of them anew. `change_rows`
/// calls its second argument for each row of a value.
template <class V, class F>
Status RewriteKeptRows(const std::vector<StoredColumns>& stored, KeyedTable<V>* table, F&& change_rows) {
  if (stored.empty()) return Status::Ok();
  const RowChange change = [&](std::string* bytes) {
    auto now = stored[0].Rewrite(*bytes);
    if (now) *bytes = std::move(*now);
    return now.has_value();
  };
  bool good = true;
  table->ForEach([&](std::string_view key, V& value) {
    good = change_rows(value, change) && good;
    table->MarkDirty(HashKey(key), key);
  });
  return good ? Status::Ok() : Status::DataLoss("a row of an alert that was kept cannot be read");
}

/// A table's value that keeps rows in a V, which says how it is written and read and what it takes.
template <class V>
struct KeepingCell {
  V value;
  void Encode(ByteSink& sink) const { value.Encode(sink); }
  bool Decode(ByteSource& source, uint16_t) { return value.Decode(source); }
  int64_t MemoryBytes() const { return value.memory_bytes(); }
};

/// Opens the table of such values whose rows are of `layout`; rows of another one are made anew. Then f(key, V) for
/// each, as ForEachStored does.
template <class V, class F>
Status OpenKept(StateContext& state, const std::string& name, const RowLayout& layout,
                KeyedTable<KeepingCell<V>>** table, F&& f) {
  const auto stored = TakeStoredRows(state, name, layout);
  FRESHET_ASSIGN_OR_RETURN(*table, state.OpenKeyed<KeepingCell<V>>(name, {1, layout.Fingerprint(), true}));
  FRESHET_RETURN_IF_ERROR(RewriteKeptRows(
      stored, *table, [](KeepingCell<V>& cell, const RowChange& change) { return cell.value.ChangeRows(change); }));
  return ForEachStored(*table,
                       [&](std::string_view key, const KeepingCell<V>& cell) { f(std::string(key), cell.value); });
}

/// A batch with a row for each of these, which have `time_us` and `row_bytes`: at that time, and with that as row
/// watermark. append(it, row, columns) adds its values. DataLoss if a row of schema `kept` cannot be read.
template <class It, class F>
Result<Batch> BatchOfKeptRows(It begin, It end, const SchemaRef& kept, const SchemaRef& output, F&& append) {
  const auto count = static_cast<int32_t>(end - begin);
  std::vector<ColumnBuilder> columns;
  for (const Field& f : output->fields()) columns.emplace_back(f.type, count);
  RowMeta meta;
  meta.times = AllocateBuffer(int64_t{8} * count);
  for (It it = begin; it != end; ++it) {
    Batch row;
    ByteSource source(it->row_bytes);
    if (!DecodeBatch(source, kept, &row) || row.empty())
      return Status::DataLoss("a row of an alert that was kept cannot be read");
    append(*it, row, columns);
    meta.times.as<int64_t>()[it - begin] = it->time_us;
  }
  meta.watermarks = meta.times;
  std::vector<Column> finished;
  for (ColumnBuilder& b : columns) finished.push_back(b.Finish());
  return Batch(output, std::move(finished), count, std::move(meta));
}

/// The first of `pending` leave, at most `row_count_max`, as BatchOfKeptRows has it.
template <class Pending, class F>
Result<Progress> EmitKeptRows(Pending* pending, int32_t row_count_max, const SchemaRef& kept, const SchemaRef& output,
                              Emitter& out, F&& append) {
  if (pending->empty()) return Progress::kDone;
  const auto end = pending->begin() + std::min<int64_t>(static_cast<int64_t>(pending->size()), row_count_max);
  FRESHET_ASSIGN_OR_RETURN(Batch batch, BatchOfKeptRows(pending->begin(), end, kept, output, append));
  pending->erase(pending->begin(), end);
  out.Emit(std::move(batch));
  return pending->empty() ? Progress::kDone : Progress::kMore;
}

}  // namespace freshet
