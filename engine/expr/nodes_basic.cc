#include <algorithm>

#include "engine/expr/eval.h"
#include "engine/expr/kernels/bits.h"

namespace freshet::expr_internal {
namespace {

using expr_kernels::ArithmeticOp;
using expr_kernels::CompareOp;
using expr_kernels::Operand;

template <class T>
Operand<T> OperandOf(const Vec& vec) {
  return {vec.as<T>(), vec.constant};
}

class ConstantNode final : public EvalNode {
 public:
  explicit ConstantNode(Value value) : EvalNode(value.kind), value_(std::move(value)) {}
  Vec Evaluate(const EvalContext& context) const override { return ConstantVec(value_, context.count); }
  const Value* constant() const override { return &value_; }

 private:
  Value value_;
};

class ColumnNode final : public EvalNode {
 public:
  ColumnNode(int index, Kind kind) : EvalNode(kind), index_(index) {}
  Vec Evaluate(const EvalContext& context) const override { return VecFromColumn(context.batch->column(index_)); }
  int column() const override { return index_; }

 private:
  int index_;
};

class ArithmeticNode final : public EvalNode {
 public:
  ArithmeticNode(ArithmeticOp op, Kind result, EvalRef left, EvalRef right)
      : EvalNode(result), op_(op), left_(std::move(left)), right_(std::move(right)) {}

  Vec Evaluate(const EvalContext& context) const override {
    const Vec operands[] = {left_->Evaluate(context), right_->Evaluate(context)};
    return operands[0].kind == Kind::kFloat64 ? Compute<double>(context, operands)
                                              : Compute<int64_t>(context, operands);
  }

 private:
  template <class T>
  Vec Compute(const EvalContext& context, const Vec (&operands)[2]) const {
    const bool constant = operands[0].constant && operands[1].constant;
    const int32_t rows = constant ? 1 : context.count;
    VecWriter out(kind(), rows, constant, context.count);
    const Operand<T> a = OperandOf<T>(operands[0]);
    const Operand<T> b = OperandOf<T>(operands[1]);
    const bool failed = expr_kernels::Arithmetic(op_, a, b, rows, out.values<T>());
    BufferRef buffer;
    const uint8_t* merged = MergeValid(operands, constant, context.count, &buffer);
    if (!failed) {
      Vec result = out.Finish();
      result.valid = merged;
      result.valid_buffer = std::move(buffer);
      return result;
    }
    uint8_t* valid = out.valid();
    expr_kernels::ArithmeticFailures(op_, a, b, rows, valid);
    expr_kernels::Not(valid, rows, valid);
    if (merged != nullptr) expr_kernels::And(valid, merged, rows, valid);
    Vec result = out.Finish();
    CountNulled(context, merged, result);
    return result;
  }

  ArithmeticOp op_;
  EvalRef left_;
  EvalRef right_;
};

template <class Compare>
void CompareText(const Vec& left, const Vec& right, int32_t rows, const uint8_t* valid, uint8_t* out, Compare compare) {
  const Reader<std::string_view> a(left);
  const Reader<std::string_view> b(right);
  for (int32_t i = 0; i < rows; ++i) out[i] = (valid == nullptr || valid[i] != 0) && compare(a[i], b[i]);
}

void CompareTexts(CompareOp op, const Vec& a, const Vec& b, int32_t rows, const uint8_t* valid, uint8_t* out) {
  using View = std::string_view;
  switch (op) {
    case CompareOp::kEqual:
      return CompareText(a, b, rows, valid, out, [](View x, View y) { return x == y; });
    case CompareOp::kNotEqual:
      return CompareText(a, b, rows, valid, out, [](View x, View y) { return x != y; });
    case CompareOp::kLess:
      return CompareText(a, b, rows, valid, out, [](View x, View y) { return x < y; });
    case CompareOp::kLessEqual:
      return CompareText(a, b, rows, valid, out, [](View x, View y) { return x <= y; });
    case CompareOp::kGreater:
      return CompareText(a, b, rows, valid, out, [](View x, View y) { return x > y; });
    case CompareOp::kGreaterEqual:
      return CompareText(a, b, rows, valid, out, [](View x, View y) { return x >= y; });
  }
}

class CompareNode final : public EvalNode {
 public:
  CompareNode(CompareOp op, EvalRef left, EvalRef right)
      : EvalNode(Kind::kBool), op_(op), left_(std::move(left)), right_(std::move(right)) {}

  Vec Evaluate(const EvalContext& context) const override {
    return CompareVecs(context, op_, left_->Evaluate(context), right_->Evaluate(context));
  }

  void Narrow(const EvalContext& context, uint8_t* mask) const override {
    const Value* constant = right_->constant();
    const bool equality = op_ == CompareOp::kEqual || op_ == CompareOp::kNotEqual;
    if (!equality || left_->column() < 0 || constant == nullptr || constant->null || !IsText(constant->kind))
      return EvalNode::Narrow(context, mask);
    // Straight from Arrow's bytes, without views.
    const Column& column = context.batch->column(left_->column());
    if (column.may_have_nulls()) {
      const BufferRef valid = AllocateBuffer(std::max(context.count, 1));
      expr_kernels::ExpandBits(column.validity_bits(), column.offset(), context.count, valid->data());
      expr_kernels::And(mask, valid->data(), context.count, mask);
    }
    expr_kernels::NarrowTextEqual(column.offsets(), column.bytes(), context.count, constant->text.data(),
                                  static_cast<int32_t>(constant->text.size()), op_ == CompareOp::kEqual, mask);
  }

 private:
  CompareOp op_;
  EvalRef left_;
  EvalRef right_;
};

}  // namespace

void EvalNode::Narrow(const EvalContext& context, uint8_t* mask) const {
  const Vec vec = Evaluate(context.With(mask));
  if (vec.constant) {
    if (!vec.IsValid(0) || *vec.as<uint8_t>() == 0) std::memset(mask, 0, static_cast<size_t>(context.count));
    return;
  }
  expr_kernels::And(mask, vec.as<uint8_t>(), context.count, mask);
  if (vec.valid != nullptr) expr_kernels::And(mask, vec.valid, context.count, mask);
}

void CountNulled(const EvalContext& context, const uint8_t* merged, const Vec& result) {
  if (context.nulled == nullptr || result.valid == nullptr) return;
  const int32_t rows = context.count;
  int64_t nulled = 0;
  for (int32_t i = 0; i < rows; ++i) {
    const int32_t at = result.constant ? 0 : i;
    nulled += context.IsActive(i) && (merged == nullptr || merged[at] != 0) && result.valid[at] == 0;
  }
  *context.nulled += nulled;
}

EvalRef MakeConstant(Value value) { return std::make_shared<ConstantNode>(std::move(value)); }
EvalRef MakeColumn(int index, Kind kind) { return std::make_shared<ColumnNode>(index, kind); }
EvalRef MakeArithmetic(ArithmeticOp op, Kind result, EvalRef left, EvalRef right) {
  return std::make_shared<ArithmeticNode>(op, result, std::move(left), std::move(right));
}
EvalRef MakeCompare(CompareOp op, EvalRef left, EvalRef right) {
  return std::make_shared<CompareNode>(op, std::move(left), std::move(right));
}

Vec CompareVecs(const EvalContext& context, CompareOp op, const Vec& left, const Vec& right) {
  const bool constant = left.constant && right.constant;
  const int32_t rows = constant ? 1 : context.count;
  VecWriter out(Kind::kBool, rows, constant, context.count);
  const Vec operands[] = {left, right};
  BufferRef buffer;
  const uint8_t* valid = MergeValid(operands, constant, context.count, &buffer);
  auto* values = out.values<uint8_t>();
  if (left.kind == Kind::kFloat64)
    expr_kernels::Compare(op, OperandOf<double>(left), OperandOf<double>(right), rows, values);
  else if (IsInteger64(left.kind))
    expr_kernels::Compare(op, OperandOf<int64_t>(left), OperandOf<int64_t>(right), rows, values);
  else if (IsText(left.kind))
    CompareTexts(op, left, right, rows, valid, values);
  else if (left.kind == Kind::kBool)
    expr_kernels::Compare(op, OperandOf<uint8_t>(left), OperandOf<uint8_t>(right), rows, values);
  else
    std::memset(values, 0, static_cast<size_t>(rows));
  Vec result = out.Finish();
  result.valid = valid;
  result.valid_buffer = std::move(buffer);
  return result;
}

}  // namespace freshet::expr_internal
