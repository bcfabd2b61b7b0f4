#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/batch/batch.h"
#include "engine/batch/column_builder.h"
#include "engine/expr/expr.h"

namespace freshet::test {

/// Wraps text as a scalar that stands in line 1, column 1 of a file of that content.
inline SpannedText Spanned(const std::string& text) {
  SpannedText spanned;
  spanned.value = text;
  spanned.span.text = std::make_shared<SourceText>(SourceText{"test.yaml", text});
  spanned.span.line = 1;
  spanned.span.column = 1;
  spanned.span.length = static_cast<int32_t>(text.size());
  spanned.line_starts = {{0, 1, 1}};
  return spanned;
}

/// The columns that the tests speak of.
inline SchemaRef TestSchema() {
  return std::make_shared<Schema>(std::vector<Field>{{"b", TypeId::kBool},
                                                     {"i", TypeId::kInt64},
                                                     {"j", TypeId::kInt64},
                                                     {"x", TypeId::kFloat64},
                                                     {"y", TypeId::kFloat64},
                                                     {"s", TypeId::kString},
                                                     {"u", TypeId::kString},
                                                     {"t", TypeId::kTimestamp},
                                                     {"doc", TypeId::kJson},
                                                     {"l", TypeId::kListFloat64}});
}

inline std::optional<BoundExpr> BindText(const std::string& text, Diagnostics* diagnostics,
                                         const Schema& schema = *TestSchema(), const BoundExpr::Options& options = {}) {
  const auto parsed = ParsedExpr::Parse(Spanned(text), diagnostics);
  if (!parsed) return std::nullopt;
  return BoundExpr::Bind(*parsed, schema, diagnostics, options);
}

/// "CODE line:column+length message | suggestion" of each problem, one a line; empty if there is none.
inline std::string Problems(const std::string& text, const Schema& schema = *TestSchema(),
                            const BoundExpr::Options& options = {}) {
  Diagnostics diagnostics;
  (void)BindText(text, &diagnostics, schema, options);
  std::string out;
  for (const Diagnostic& d : diagnostics.Sorted()) {
    if (!out.empty()) out += "\n";
    out += d.code + " " + std::to_string(d.span.line) + ":" + std::to_string(d.span.column) + "+" +
           std::to_string(d.span.length) + " " + d.message;
    if (!d.suggestion.empty()) out += " | " + d.suggestion;
  }
  return out;
}

/// A row's value as text: null, true, 12, 1.5, 'text', 2015-09-12T00:00:00Z.
std::string CellText(const Column& column, int32_t row);
/// Evaluates a text without columns; "ERROR …" if it does not bind.
std::string Constant(const std::string& text);
/// Evaluates it on a batch of one row with the given cells (by column of TestSchema; others are null).
struct Cell {
  std::string column;
  std::string text;  ///< as CellText writes it
};
std::string OnRow(const std::string& text, const std::vector<Cell>& cells, int64_t* nulled = nullptr);
/// A batch of TestSchema; each row is a list of cells.
Batch MakeBatch(const std::vector<std::vector<Cell>>& rows);

}  // namespace freshet::test
