#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/batch/batch.h"
#include "engine/options/diagnostics.h"
#include "engine/options/span.h"

namespace freshet {

namespace expr_internal {
struct Node;
struct BoundNode;
class Binder;
}  // namespace expr_internal

/// A parsed expression: SQL's scalar subset (engine/expr/README.md lists the grammar and all functions). Cheap to copy.
class ParsedExpr {
 public:
  /// Reports a syntax error at its place inside the YAML scalar and returns nullopt.
  static std::optional<ParsedExpr> Parse(const SpannedText& text, Diagnostics* diagnostics);
  const SpannedText& text() const { return text_; }
  /// If the whole expression is a bare column name, that name.
  std::optional<std::string> AsColumnName() const;
  /// Column names that occur, each once.
  std::vector<std::string> ColumnNames() const;
  /// If the whole expression is one call `name(args…) [filter (where …)]`, as aggregates are written.
  struct Call {
    std::string function;               ///< lower case
    std::vector<ParsedExpr> arguments;  ///< `count(*)` has none
    bool star = false;
    bool distinct = false;           ///< count(distinct x)
    std::vector<ParsedExpr> filter;  ///< none or one
    SourceSpan function_span;
  };
  std::optional<Call> AsCall() const;

 private:
  friend class BoundExpr;
  friend class expr_internal::Binder;
  SpannedText text_;
  std::shared_ptr<const expr_internal::Node> root_;
};

/// A keyed function (`delta`, `rate`, `lag`) found while binding: the caller computes it row by row per key.
struct KeyedCall;

/// An expression bound to a schema: type-checked, constants folded, evaluated a column at a time. Immutable and
/// thread-safe; cheap to copy.
class BoundExpr {
 public:
  struct Options {
    /// Where keyed functions go; null: they are an error that says "needs `key`". Call number i becomes a reference to
    /// column schema.size() + i of the batch given to Evaluate.
    std::vector<KeyedCall>* keyed_calls = nullptr;
    /// Bare words taken before column names (SEMANTICS.md §8.3), e.g. severities: they become string constants.
    std::vector<std::string> enum_values;
  };
  BoundExpr() = default;
  /// Reports unknown columns (with a suggestion), wrong types and arities at their place and returns nullopt.
  static std::optional<BoundExpr> Bind(const ParsedExpr& expr, const Schema& schema, Diagnostics* diagnostics,
                                       const Options& options);
  static std::optional<BoundExpr> Bind(const ParsedExpr& expr, const Schema& schema, Diagnostics* diagnostics);

  explicit operator bool() const { return root_ != nullptr; }
  TypeId type() const;
  /// Columns of the schema that are read (keyed calls' arguments not included).
  const std::vector<int>& columns_read() const;
  /// If it is just a column, its index.
  std::optional<int> AsColumn() const;
  /// The expression in canonical text, for `plan` and fingerprints.
  std::string ToString() const;
  /// A column of batch.physical_row_count() rows; rows outside the batch's selection may hold anything (they are
  /// evaluated too, without side effects). `nulled` (may be null) counts values that became null by overflow or
  /// division by zero in selected rows.
  Column Evaluate(const Batch& batch, int64_t* nulled = nullptr) const;
  /// For bool expressions: the selected rows for which it is true (null is false), as physical indices.
  Selection Filter(const Batch& batch) const;

 private:
  friend class expr_internal::Binder;
  explicit BoundExpr(std::shared_ptr<const expr_internal::BoundNode> root) : root_(std::move(root)) {}
  std::shared_ptr<const expr_internal::BoundNode> root_;
};

struct KeyedCall {
  enum class Function : uint8_t { kDelta, kRate, kLag };
  Function function;
  BoundExpr argument;  ///< bound to the input schema
  int64_t offset = 1;  ///< lag(x, n)
  TypeId result_type;  ///< rate: float64; delta: the argument's numeric type; lag: the argument's type
};

/// The names of all scalar functions with their signatures and one line each: for `freshet help expressions`.
struct FunctionDoc {
  std::string name;
  std::string signature;
  std::string doc;
};
const std::vector<FunctionDoc>& ScalarFunctions();

}  // namespace freshet
