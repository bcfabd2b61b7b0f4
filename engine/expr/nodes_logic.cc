#include <algorithm>
#include <unordered_set>

#include "engine/expr/eval.h"
#include "engine/expr/kernels/bits.h"

namespace freshet::expr_internal {
namespace {

using expr_kernels::CompareOp;

BufferRef Bytes(int32_t count, uint8_t value) {
  BufferRef buffer = AllocateBuffer(std::max(count, 1));
  std::memset(buffer->data(), value, static_cast<size_t>(count));
  return buffer;
}

/// Three-valued truth as two masks: rows that are true, rows that are false; null is neither.
struct Truth {
  BufferRef is_true;
  BufferRef is_false;
};

Truth TruthOf(const Vec& vec, int32_t count) {
  if (vec.constant) {
    const bool valid = vec.IsValid(0);
    const bool value = *vec.as<uint8_t>() != 0;
    return {Bytes(count, valid && value), Bytes(count, valid && !value)};
  }
  Truth truth = {AllocateBuffer(std::max(count, 1)), AllocateBuffer(std::max(count, 1))};
  const auto* values = vec.as<uint8_t>();
  if (vec.valid == nullptr) {
    std::memcpy(truth.is_true->data(), values, static_cast<size_t>(count));
    expr_kernels::Not(values, count, truth.is_false->data());
  } else {
    expr_kernels::And(values, vec.valid, count, truth.is_true->data());
    expr_kernels::AndNot(vec.valid, values, count, truth.is_false->data());
  }
  return truth;
}

Vec VecOf(const Truth& truth, int32_t count) {
  Vec vec;
  vec.kind = Kind::kBool;
  vec.count = count;
  vec.values_buffer = truth.is_true;
  vec.values = truth.is_true->data();
  expr_kernels::Or(truth.is_true->data(), truth.is_false->data(), count, truth.is_false->data());
  vec.valid_buffer = truth.is_false;
  vec.valid = truth.is_false->data();
  return vec;
}

/// `and` and `or`: the same with true and false swapped. Rows that are decided are not asked of later operands.
class ChainNode final : public EvalNode {
 public:
  ChainNode(bool is_and, std::vector<EvalRef> operands)
      : EvalNode(Kind::kBool), is_and_(is_and), operands_(std::move(operands)) {}

  Vec Evaluate(const EvalContext& context) const override {
    const int32_t count = context.count;
    Truth all = TruthOf(operands_[0]->Evaluate(context), count);
    BufferRef open = AllocateBuffer(std::max(count, 1));
    for (size_t k = 1; k < operands_.size(); ++k) {
      const uint8_t* decided = is_and_ ? all.is_false->data() : all.is_true->data();
      if (context.active != nullptr)
        expr_kernels::AndNot(context.active, decided, count, open->data());
      else
        expr_kernels::Not(decided, count, open->data());
      if (!expr_kernels::AnySet(open->data(), count)) break;
      const Truth next = TruthOf(operands_[k]->Evaluate(context.With(open->data())), count);
      uint8_t* t = all.is_true->data();
      uint8_t* f = all.is_false->data();
      if (is_and_) {
        expr_kernels::And(t, next.is_true->data(), count, t);
        expr_kernels::Or(f, next.is_false->data(), count, f);
      } else {
        expr_kernels::Or(t, next.is_true->data(), count, t);
        expr_kernels::And(f, next.is_false->data(), count, f);
      }
    }
    return VecOf(all, count);
  }

  void Narrow(const EvalContext& context, uint8_t* mask) const override {
    const int32_t count = context.count;
    if (is_and_) {
      for (const EvalRef& operand : operands_) {
        operand->Narrow(context, mask);
        if (!expr_kernels::AnySet(mask, count)) return;
      }
      return;
    }
    const BufferRef rest = AllocateBuffer(std::max(count, 1));
    const BufferRef part = AllocateBuffer(std::max(count, 1));
    std::memcpy(rest->data(), mask, static_cast<size_t>(count));
    std::memset(mask, 0, static_cast<size_t>(count));
    for (const EvalRef& operand : operands_) {
      std::memcpy(part->data(), rest->data(), static_cast<size_t>(count));
      operand->Narrow(context, part->data());
      expr_kernels::Or(mask, part->data(), count, mask);
      expr_kernels::AndNot(rest->data(), part->data(), count, rest->data());
      if (!expr_kernels::AnySet(rest->data(), count)) return;
    }
  }

 private:
  bool is_and_;
  std::vector<EvalRef> operands_;
};

class NotNode final : public EvalNode {
 public:
  explicit NotNode(EvalRef operand) : EvalNode(Kind::kBool), operand_(std::move(operand)) {}
  Vec Evaluate(const EvalContext& context) const override {
    const Vec in = operand_->Evaluate(context);
    VecWriter out(Kind::kBool, in.stored(), in.constant, context.count);
    expr_kernels::Not(in.as<uint8_t>(), in.stored(), out.values<uint8_t>());
    out.ShareValid(in);
    return out.Finish();
  }

 private:
  EvalRef operand_;
};

class IsNode final : public EvalNode {
 public:
  IsNode(IsTest test, EvalRef operand) : EvalNode(Kind::kBool), test_(test), operand_(std::move(operand)) {}

  Vec Evaluate(const EvalContext& context) const override {
    if (test_ == IsTest::kNull && operand_->column() >= 0) return NullsOf(context);
    const Vec in = operand_->Evaluate(context);
    const int32_t rows = in.stored();
    VecWriter out(Kind::kBool, rows, in.constant, context.count);
    auto* values = out.values<uint8_t>();
    if (test_ == IsTest::kNull) {
      if (in.kind == Kind::kNull)
        std::memset(values, 1, static_cast<size_t>(rows));
      else if (in.valid == nullptr)
        std::memset(values, 0, static_cast<size_t>(rows));
      else
        expr_kernels::Not(in.valid, rows, values);
      return out.Finish();
    }
    std::memcpy(values, in.values, static_cast<size_t>(rows));
    if (test_ == IsTest::kFalse) expr_kernels::Not(values, rows, values);
    if (in.valid != nullptr) expr_kernels::And(values, in.valid, rows, values);
    return out.Finish();
  }

 private:
  /// From the validity bits alone: text columns need no views for it.
  Vec NullsOf(const EvalContext& context) const {
    const Column& column = context.batch->column(operand_->column());
    VecWriter out(Kind::kBool, context.count, false, context.count);
    auto* values = out.values<uint8_t>();
    if (column.may_have_nulls()) {
      expr_kernels::ExpandBits(column.validity_bits(), column.offset(), context.count, values);
      expr_kernels::Not(values, context.count, values);
    } else {
      std::memset(values, 0, static_cast<size_t>(context.count));
    }
    return out.Finish();
  }

  IsTest test_;
  EvalRef operand_;
};

class InNode final : public EvalNode {
 public:
  InNode(EvalRef operand, std::vector<EvalRef> items) : EvalNode(Kind::kBool), operand_(std::move(operand)) {
    for (EvalRef& item : items) {
      const Value* value = item->constant();
      if (value == nullptr || !IsSetKind(value->kind))
        others_.push_back(std::move(item));
      else if (value->null)
        has_null_ = true;
      else if (IsText(value->kind))
        texts_.push_back(value->text);
      else
        integers_.push_back(value->integer);
    }
    std::sort(integers_.begin(), integers_.end());
    text_set_.insert(texts_.begin(), texts_.end());
  }

  Vec Evaluate(const EvalContext& context) const override {
    const Vec in = operand_->Evaluate(context);
    const int32_t rows = in.stored();
    VecWriter out(Kind::kBool, rows, in.constant, context.count);
    auto* found = out.values<uint8_t>();
    FindInSet(in, rows, found);
    if (has_null_) std::memcpy(out.valid(), found, static_cast<size_t>(rows));
    if (in.valid != nullptr) expr_kernels::And(out.valid(), in.valid, rows, out.valid());
    if (others_.empty()) return out.Finish();
    Truth all = TruthOf(out.Finish(), context.count);
    for (const EvalRef& item : others_) {
      const Truth next = TruthOf(CompareVecs(context, CompareOp::kEqual, in, item->Evaluate(context)), context.count);
      expr_kernels::Or(all.is_true->data(), next.is_true->data(), context.count, all.is_true->data());
      expr_kernels::And(all.is_false->data(), next.is_false->data(), context.count, all.is_false->data());
    }
    return VecOf(all, context.count);
  }

 private:
  static bool IsSetKind(Kind kind) { return IsText(kind) || IsInteger64(kind); }

  void FindInSet(const Vec& in, int32_t rows, uint8_t* found) const {
    if (IsText(in.kind) && !texts_.empty()) {
      const auto* values = in.as<std::string_view>();
      for (int32_t i = 0; i < rows; ++i) found[i] = in.IsValid(i) && text_set_.contains(values[i]);
    } else if (IsInteger64(in.kind) && !integers_.empty()) {
      const auto* values = in.as<int64_t>();
      for (int32_t i = 0; i < rows; ++i) found[i] = std::binary_search(integers_.begin(), integers_.end(), values[i]);
    } else {
      std::memset(found, 0, static_cast<size_t>(rows));
    }
  }

  EvalRef operand_;
  std::vector<EvalRef> others_;  ///< compared one by one
  std::vector<std::string> texts_;
  std::unordered_set<std::string_view> text_set_;  ///< views of texts_
  std::vector<int64_t> integers_;
  bool has_null_ = false;
};

class BetweenNode final : public EvalNode {
 public:
  BetweenNode(EvalRef operand, EvalRef low, EvalRef high)
      : EvalNode(Kind::kBool), operand_(std::move(operand)), low_(std::move(low)), high_(std::move(high)) {}
  Vec Evaluate(const EvalContext& context) const override {
    const Vec in = operand_->Evaluate(context);
    const int32_t count = context.count;
    Truth all = TruthOf(CompareVecs(context, CompareOp::kGreaterEqual, in, low_->Evaluate(context)), count);
    const Truth next = TruthOf(CompareVecs(context, CompareOp::kLessEqual, in, high_->Evaluate(context)), count);
    expr_kernels::And(all.is_true->data(), next.is_true->data(), count, all.is_true->data());
    expr_kernels::Or(all.is_false->data(), next.is_false->data(), count, all.is_false->data());
    return VecOf(all, count);
  }

 private:
  EvalRef operand_;
  EvalRef low_;
  EvalRef high_;
};

}  // namespace

EvalRef MakeAnd(std::vector<EvalRef> operands) { return std::make_shared<ChainNode>(true, std::move(operands)); }
EvalRef MakeOr(std::vector<EvalRef> operands) { return std::make_shared<ChainNode>(false, std::move(operands)); }
EvalRef MakeNot(EvalRef operand) { return std::make_shared<NotNode>(std::move(operand)); }
EvalRef MakeIs(IsTest test, EvalRef operand) { return std::make_shared<IsNode>(test, std::move(operand)); }
EvalRef MakeIn(EvalRef operand, std::vector<EvalRef> items) {
  return std::make_shared<InNode>(std::move(operand), std::move(items));
}
EvalRef MakeBetween(EvalRef operand, EvalRef low, EvalRef high) {
  return std::make_shared<BetweenNode>(std::move(operand), std::move(low), std::move(high));
}

}  // namespace freshet::expr_internal
