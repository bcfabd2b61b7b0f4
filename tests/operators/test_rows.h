#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "engine/batch/column_builder.h"
#include "tests/support/operator_harness.h"

namespace freshet::testing {

/// A cell of a row written in a test: null, int64 or timestamp, float64, text, bool. Integers fit float64 columns too.
struct TestCell {
  TestCell(std::nullptr_t) {}                          // NOLINT: implicit on purpose
  TestCell(int v) : value(static_cast<int64_t>(v)) {}  // NOLINT
  TestCell(int64_t v) : value(v) {}                    // NOLINT
  TestCell(double v) : value(v) {}                     // NOLINT
  TestCell(bool v) : value(v) {}                       // NOLINT
  TestCell(const char* v) : value(std::string(v)) {}   // NOLINT
  TestCell(std::string v) : value(std::move(v)) {}     // NOLINT
  std::variant<std::monostate, int64_t, double, bool, std::string> value;
};

struct TestRow {
  int64_t time_us = 0;
  int64_t watermark_us = EventTime::Min().us;  ///< the row's own
  uint64_t ordinal = 0;
  std::vector<TestCell> cells;
};

inline Batch MakeRows(const SchemaRef& schema, const std::vector<TestRow>& rows, size_t from, size_t count) {
  std::vector<Column> columns;
  for (int c = 0; c < schema->size(); ++c) {
    ColumnBuilder builder(schema->field(c).type, static_cast<int32_t>(count));
    for (size_t r = from; r < from + count; ++r) {
      const auto& value = rows[r].cells[static_cast<size_t>(c)].value;
      if (const auto* i = std::get_if<int64_t>(&value))
        builder.type() == TypeId::kFloat64 ? builder.AppendFloat64(static_cast<double>(*i)) : builder.AppendInt64(*i);
      else if (const auto* d = std::get_if<double>(&value))
        builder.AppendFloat64(*d);
      else if (const auto* b = std::get_if<bool>(&value))
        builder.AppendBool(*b);
      else if (const auto* s = std::get_if<std::string>(&value))
        builder.AppendString(*s);
      else
        builder.AppendNull();
    }
    columns.push_back(builder.Finish());
  }
  RowMeta meta;
  const auto bytes = int64_t{8} * static_cast<int64_t>(count);
  meta.times = AllocateBuffer(bytes);
  meta.watermarks = AllocateBuffer(bytes);
  meta.ordinals = AllocateBuffer(bytes);
  for (size_t r = 0; r < count; ++r) {
    meta.times.as<int64_t>()[r] = rows[from + r].time_us;
    meta.watermarks.as<int64_t>()[r] = rows[from + r].watermark_us;
    meta.ordinals.as<uint64_t>()[r] = rows[from + r].ordinal;
  }
  return Batch(schema, std::move(columns), static_cast<int32_t>(count), std::move(meta));
}
inline Batch MakeRows(const Schema& schema, const std::vector<TestRow>& rows) {
  return MakeRows(std::make_shared<const Schema>(schema), rows, 0, rows.size());
}

}  // namespace freshet::testing
