#pragma once

#include <stdlib.h>

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "engine/base/env.h"
#include "engine/batch/batch.h"
#include "engine/batch/column_builder.h"

namespace freshet::test {

/// A cell of a test row: null, int64, float64, string or bool; a timestamp column takes int64 microseconds.
using Cell = std::variant<std::monostate, int64_t, double, std::string, bool>;
using Row = std::vector<Cell>;

inline SchemaRef MakeSchema(std::vector<Field> fields) { return std::make_shared<const Schema>(std::move(fields)); }

inline Batch MakeBatch(const SchemaRef& schema, const std::vector<Row>& rows) {
  std::vector<Column> columns;
  for (int c = 0; c < schema->size(); ++c) {
    ColumnBuilder builder(schema->field(c).type);
    for (const Row& row : rows) {
      const Cell& cell = row[static_cast<size_t>(c)];
      if (const auto* i = std::get_if<int64_t>(&cell))
        builder.AppendInt64(*i);
      else if (const auto* d = std::get_if<double>(&cell))
        builder.AppendFloat64(*d);
      else if (const auto* s = std::get_if<std::string>(&cell))
        builder.AppendString(*s);
      else if (const auto* b = std::get_if<bool>(&cell))
        builder.AppendBool(*b);
      else
        builder.AppendNull();
    }
    columns.push_back(builder.Finish());
  }
  return Batch(schema, std::move(columns), static_cast<int32_t>(rows.size()), RowMeta{});
}

/// A directory of its own under $TMPDIR, removed at the end.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    const char* base = ::getenv("TMPDIR");
    path_ = std::string(base != nullptr ? base : "/tmp") + "/freshet_test_XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~TemporaryDirectory() {
    if (!path_.empty()) (void)Env::Posix()->RemoveTree(path_);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace freshet::test
