#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/batch/batch.h"
#include "engine/batch/batch_codec.h"
#include "engine/batch/column_builder.h"
#include "engine/state/table_layout.h"

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

/// When a kept row leaves, and its bytes.
struct KeptRow {
  int64_t time_us = 0;
  std::string_view bytes;
};

/// A batch with a row for each of `rows`, at its time and with that as row watermark; `append` adds the values of row
/// `i`. DataLoss if a row of schema `kept` cannot be read.
inline Result<Batch> BatchOfKeptRows(
    const std::vector<KeptRow>& rows, const SchemaRef& kept, const SchemaRef& output,
    const std::function<void(size_t i, const Batch& row, std::vector<ColumnBuilder>& columns)>& append) {
  const auto count = static_cast<int32_t>(rows.size());
  std::vector<ColumnBuilder> columns;
  for (const Field& f : output->fields()) columns.emplace_back(f.type, count);
  RowMeta meta;
  meta.times = AllocateBuffer(int64_t{8} * count);
  for (size_t i = 0; i < rows.size(); ++i) {
    Batch row;
    ByteSource source(rows[i].bytes);
    if (!DecodeBatch(source, kept, &row) || row.empty())
      return Status::DataLoss("a row of an alert that was kept cannot be read");
    append(i, row, columns);
    meta.times.as<int64_t>()[i] = rows[i].time_us;
  }
  meta.watermarks = meta.times;
  std::vector<Column> finished;
  for (ColumnBuilder& b : columns) finished.push_back(b.Finish());
  return Batch(output, std::move(finished), count, std::move(meta));
}

}  // namespace freshet
