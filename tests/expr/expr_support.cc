#include "tests/expr/expr_support.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "engine/base/units.h"

namespace freshet::test {

std::string CellText(const Column& column, int32_t row) {
  if (column.IsNull(row)) return "null";
  switch (column.type()) {
    case TypeId::kBool:
      return column.BoolAt(row) ? "true" : "false";
    case TypeId::kInt64:
      return std::to_string(column.int64s()[row]);
    case TypeId::kTimestamp:
      return FormatTime(EventTime{column.int64s()[row]});
    case TypeId::kFloat64: {
      const double value = column.float64s()[row];
      if (std::isnan(value)) return "nan";
      char text[40];
      std::snprintf(text, sizeof text, "%.15g", value);
      if (std::strtod(text, nullptr) != value) std::snprintf(text, sizeof text, "%.17g", value);
      return text;
    }
    case TypeId::kString:
    case TypeId::kJson:
      return "'" + std::string(column.StringAt(row)) + "'";
    case TypeId::kListFloat64: {
      std::string out = "[";
      for (const double v : column.ListAt(row)) out += (out.size() > 1 ? "," : "") + std::to_string(v);
      return out + "]";
    }
  }
  return "?";
}

Batch MakeBatch(const std::vector<std::vector<Cell>>& rows) {
  const SchemaRef schema = TestSchema();
  std::vector<Column> columns;
  for (const Field& field : schema->fields()) {
    ColumnBuilder builder(field.type);
    for (const auto& row : rows) {
      const Cell* cell = nullptr;
      for (const Cell& c : row)
        if (c.column == field.name) cell = &c;
      if (cell == nullptr || cell->text == "null") {
        builder.AppendNull();
        continue;
      }
      switch (field.type) {
        case TypeId::kBool:
          builder.AppendBool(cell->text == "true");
          break;
        case TypeId::kInt64:
          builder.AppendInt64(std::strtoll(cell->text.c_str(), nullptr, 10));
          break;
        case TypeId::kTimestamp:
          builder.AppendInt64(std::strtoll(cell->text.c_str(), nullptr, 10));
          break;
        case TypeId::kFloat64:
          builder.AppendFloat64(std::strtod(cell->text.c_str(), nullptr));
          break;
        case TypeId::kString:
        case TypeId::kJson:
          builder.AppendString(cell->text);
          break;
        case TypeId::kListFloat64: {
          const double values[] = {std::strtod(cell->text.c_str(), nullptr)};
          builder.AppendList(values);
          break;
        }
      }
    }
    columns.push_back(builder.Finish());
  }
  return Batch(schema, std::move(columns), static_cast<int32_t>(rows.size()), RowMeta());
}

std::string OnRow(const std::string& text, const std::vector<Cell>& cells, int64_t* nulled) {
  Diagnostics diagnostics;
  const auto bound = BindText(text, &diagnostics);
  if (!bound) return "ERROR " + Problems(text);
  return CellText(bound->Evaluate(MakeBatch({cells}), nulled), 0);
}

std::string Constant(const std::string& text) { return OnRow(text, {}); }

}  // namespace freshet::test
