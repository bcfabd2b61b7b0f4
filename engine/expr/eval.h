#pragma once

#include <memory>
#include <vector>

#include "engine/expr/kernels/arithmetic.h"
#include "engine/expr/kernels/compare.h"
#include "engine/expr/vec.h"

namespace freshet::expr_internal {

/// One evaluation over one batch. `active` (a byte per row; null: all) are the rows whose values are asked for: a
/// batch's selection, narrowed by `case`, `coalesce`, `and` and `or`. Other rows may get any value; only active ones
/// are counted.
struct EvalContext {
  const Batch* batch = nullptr;
  int32_t count = 0;
  const uint8_t* active = nullptr;
  int64_t* nulled = nullptr;  ///< may be null

  EvalContext With(const uint8_t* rows) const { return {batch, count, rows, nulled}; }
  bool IsActive(int32_t row) const { return active == nullptr || active[row] != 0; }
};

/// A typed node of a bound expression. Immutable; evaluation is thread-safe.
class EvalNode {
 public:
  explicit EvalNode(Kind kind) : kind_(kind) {}
  virtual ~EvalNode() = default;
  Kind kind() const { return kind_; }
  virtual Vec Evaluate(const EvalContext& context) const = 0;
  /// For bool nodes: clears the bytes of `mask` (0 or 1 per row) where this is not true. Rows already cleared cost
  /// little.
  virtual void Narrow(const EvalContext& context, uint8_t* mask) const;
  /// The value, if it is a constant.
  virtual const Value* constant() const { return nullptr; }
  /// The column index, if it is just a column.
  virtual int column() const { return -1; }

 private:
  Kind kind_;
};
using EvalRef = std::shared_ptr<const EvalNode>;

/// Adds active rows of `merged` validity that are no longer valid to the context's counter.
void CountNulled(const EvalContext& context, const uint8_t* merged, const Vec& result);

EvalRef MakeConstant(Value value);
EvalRef MakeColumn(int index, Kind kind);
/// REQUIRES: both float64, or both of int64's layout (and then an op other than kDivide).
EvalRef MakeArithmetic(expr_kernels::ArithmeticOp op, Kind result, EvalRef left, EvalRef right);
/// REQUIRES: operands of one kind.
EvalRef MakeCompare(expr_kernels::CompareOp op, EvalRef left, EvalRef right);
Vec CompareVecs(const EvalContext& context, expr_kernels::CompareOp op, const Vec& left, const Vec& right);

/// Three-valued logic over bool operands.
EvalRef MakeAnd(std::vector<EvalRef> operands);
EvalRef MakeOr(std::vector<EvalRef> operands);
EvalRef MakeNot(EvalRef operand);
enum class IsTest : uint8_t { kNull, kTrue, kFalse };
EvalRef MakeIs(IsTest test, EvalRef operand);
/// x in (items). REQUIRES: one kind.
EvalRef MakeIn(EvalRef operand, std::vector<EvalRef> items);
EvalRef MakeBetween(EvalRef operand, EvalRef low, EvalRef high);

/// `operand` may be null. REQUIRES: conditions are bool, or of the operand's kind; values (and `otherwise`, which may
/// be null) are of one kind.
EvalRef MakeCase(EvalRef operand, std::vector<EvalRef> conditions, std::vector<EvalRef> values, EvalRef otherwise,
                 Kind kind);
EvalRef MakeCoalesce(std::vector<EvalRef> operands);
/// `left` unless it equals `right`; `compared` is `left` converted to `right`'s kind, or null if they are of one kind.
EvalRef MakeNullIf(EvalRef left, Kind compared, EvalRef right);
/// The greatest (or least) of the operands that are not null.
EvalRef MakeExtreme(bool greatest, std::vector<EvalRef> operands);

/// Whether a value of one kind can be cast to another.
bool CanCast(Kind from, Kind to);
/// Converts; what cannot be converted becomes null and is counted if `counted` (cast) or not (try_cast).
EvalRef MakeConvert(EvalRef operand, Kind to, bool counted);
Vec ConvertVec(const EvalContext& context, const Vec& vec, Kind to, bool counted);

}  // namespace freshet::expr_internal
