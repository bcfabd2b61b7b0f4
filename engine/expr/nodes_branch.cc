#include <algorithm>
#include <cmath>

#include "engine/expr/eval.h"
#include "engine/expr/kernels/bits.h"

namespace freshet::expr_internal {
namespace {

using expr_kernels::CompareOp;

BufferRef ActiveRows(const EvalContext& context) {
  BufferRef rows = AllocateBuffer(std::max(context.count, 1));
  if (context.active != nullptr)
    std::memcpy(rows->data(), context.active, static_cast<size_t>(context.count));
  else
    std::memset(rows->data(), 1, static_cast<size_t>(context.count));
  return rows;
}

/// Copies the rows of `mask` from several Vecs of one kind into one; rows never copied are null.
class Blend {
 public:
  Blend(Kind kind, int32_t count) : width_(WidthOf(kind)), count_(count), out_(kind, count, false, count) {
    std::memset(out_.values<char>(), 0, static_cast<size_t>(width_) * static_cast<size_t>(count));
    valid_ = out_.valid();
    std::memset(valid_, 0, static_cast<size_t>(count));
  }
  void Copy(const Vec& from, const uint8_t* mask) {
    if (from.kind == Kind::kNull) return;
    if (from.kind == Kind::kFloat64)
      CopyRows<double>(from, mask);
    else if (IsInteger64(from.kind))
      CopyRows<int64_t>(from, mask);
    else if (from.kind == Kind::kBool)
      CopyRows<uint8_t>(from, mask);
    else if (from.kind == Kind::kList)
      CopyRows<std::span<const double>>(from, mask);
    else
      CopyRows<std::string_view>(from, mask);
    if (width_ == 16) out_.Hold(from);
  }
  /// Copies the rows of `mask` that are valid in `from` and clears them in `mask`.
  void CopyValid(const Vec& from, uint8_t* mask) {
    Copy(from, mask);
    for (int32_t i = 0; i < count_; ++i) mask[i] = mask[i] & (from.IsValid(i) ? 0 : 1);
  }
  const uint8_t* valid() const { return valid_; }
  Vec Finish() {
    Vec vec = out_.Finish();
    if (std::memchr(vec.valid, 0, static_cast<size_t>(count_)) == nullptr) vec.valid = nullptr;
    return vec;
  }

 private:
  template <class T>
  void CopyRows(const Vec& from, const uint8_t* mask) {
    const Reader<T> in(from);
    T* out = out_.values<T>();
    for (int32_t i = 0; i < count_; ++i) {
      if (mask[i] == 0) continue;
      out[i] = in[i];
      valid_[i] = from.IsValid(i) ? 1 : 0;
    }
  }

  int width_;
  int32_t count_;
  VecWriter out_;
  uint8_t* valid_;
};

class CaseNode final : public EvalNode {
 public:
  CaseNode(EvalRef operand, std::vector<EvalRef> conditions, std::vector<EvalRef> values, EvalRef otherwise, Kind kind)
      : EvalNode(kind),
        operand_(std::move(operand)),
        conditions_(std::move(conditions)),
        values_(std::move(values)),
        otherwise_(std::move(otherwise)) {}

  Vec Evaluate(const EvalContext& context) const override {
    const int32_t count = context.count;
    Blend out(kind(), count);
    const BufferRef rest = ActiveRows(context);
    const BufferRef taken = AllocateBuffer(std::max(count, 1));
    std::optional<Vec> operand;
    if (operand_) operand = operand_->Evaluate(context);
    for (size_t k = 0; k < conditions_.size() && expr_kernels::AnySet(rest->data(), count); ++k) {
      std::memcpy(taken->data(), rest->data(), static_cast<size_t>(count));
      if (operand)
        Equal(context, *operand, *conditions_[k], taken->data());
      else
        conditions_[k]->Narrow(context, taken->data());
      if (!expr_kernels::AnySet(taken->data(), count)) continue;
      out.Copy(values_[k]->Evaluate(context.With(taken->data())), taken->data());
      expr_kernels::AndNot(rest->data(), taken->data(), count, rest->data());
    }
    if (otherwise_ && expr_kernels::AnySet(rest->data(), count))
      out.Copy(otherwise_->Evaluate(context.With(rest->data())), rest->data());
    return out.Finish();
  }

 private:
  static void Equal(const EvalContext& context, const Vec& operand, const EvalNode& with, uint8_t* mask) {
    const Vec equal = CompareVecs(context, CompareOp::kEqual, operand, with.Evaluate(context.With(mask)));
    for (int32_t i = 0; i < context.count; ++i)
      mask[i] = mask[i] & (equal.IsValid(i) && equal.as<uint8_t>()[equal.constant ? 0 : i] != 0 ? 1 : 0);
  }

  EvalRef operand_;
  std::vector<EvalRef> conditions_;
  std::vector<EvalRef> values_;
  EvalRef otherwise_;
};

class CoalesceNode final : public EvalNode {
 public:
  explicit CoalesceNode(std::vector<EvalRef> operands)
      : EvalNode(operands[0]->kind()), operands_(std::move(operands)) {}
  Vec Evaluate(const EvalContext& context) const override {
    Vec first = operands_[0]->Evaluate(context);
    if (first.valid == nullptr) return first;
    Blend out(kind(), context.count);
    const BufferRef rest = ActiveRows(context);
    out.CopyValid(first, rest->data());
    for (size_t k = 1; k < operands_.size() && expr_kernels::AnySet(rest->data(), context.count); ++k)
      out.CopyValid(operands_[k]->Evaluate(context.With(rest->data())), rest->data());
    return out.Finish();
  }

 private:
  std::vector<EvalRef> operands_;
};

class NullIfNode final : public EvalNode {
 public:
  NullIfNode(EvalRef left, Kind compared, EvalRef right)
      : EvalNode(left->kind()), left_(std::move(left)), compared_(compared), right_(std::move(right)) {}
  Vec Evaluate(const EvalContext& context) const override {
    Vec left = left_->Evaluate(context);
    const Vec right = right_->Evaluate(context);
    const Vec equal = compared_ == left.kind
                          ? CompareVecs(context, CompareOp::kEqual, left, right)
                          : CompareVecs(context, CompareOp::kEqual, ConvertVec(context, left, compared_, false), right);
    if (left.constant) {
      Blend spread(kind(), context.count);
      const BufferRef all = ActiveRows(context.With(nullptr));
      spread.Copy(left, all->data());
      left = spread.Finish();
    }
    const Reader<uint8_t> same(equal);
    BufferRef valid = AllocateBuffer(std::max(context.count, 1));
    for (int32_t i = 0; i < context.count; ++i)
      valid->data()[i] = left.IsValid(i) && !(equal.IsValid(i) && same[i] != 0) ? 1 : 0;
    left.column.reset();
    left.valid = valid->data();
    left.valid_buffer = std::move(valid);
    return left;
  }

 private:
  EvalRef left_;
  Kind compared_;
  EvalRef right_;
};

class ExtremeNode final : public EvalNode {
 public:
  ExtremeNode(bool greatest, std::vector<EvalRef> operands)
      : EvalNode(operands[0]->kind()), greatest_(greatest), operands_(std::move(operands)) {}
  Vec Evaluate(const EvalContext& context) const override {
    Vec best = operands_[0]->Evaluate(context);
    const BufferRef all = ActiveRows(context.With(nullptr));
    for (size_t k = 1; k < operands_.size(); ++k) {
      const Vec next = operands_[k]->Evaluate(context);
      const Vec better = CompareVecs(context, greatest_ ? CompareOp::kGreater : CompareOp::kLess, next, best);
      const Reader<uint8_t> wins(better);
      const BufferRef take = AllocateBuffer(std::max(context.count, 1));
      for (int32_t i = 0; i < context.count; ++i)
        take->data()[i] = next.IsValid(i) && (!best.IsValid(i) || wins[i] != 0) ? 1 : 0;
      Blend out(kind(), context.count);
      out.Copy(best, all->data());
      out.Copy(next, take->data());
      best = out.Finish();
    }
    return best;
  }

 private:
  bool greatest_;
  std::vector<EvalRef> operands_;
};

}  // namespace

EvalRef MakeCase(EvalRef operand, std::vector<EvalRef> conditions, std::vector<EvalRef> values, EvalRef otherwise,
                 Kind kind) {
  return std::make_shared<CaseNode>(std::move(operand), std::move(conditions), std::move(values), std::move(otherwise),
                                    kind);
}
EvalRef MakeCoalesce(std::vector<EvalRef> operands) { return std::make_shared<CoalesceNode>(std::move(operands)); }
EvalRef MakeNullIf(EvalRef left, Kind compared, EvalRef right) {
  return std::make_shared<NullIfNode>(std::move(left), compared, std::move(right));
}
EvalRef MakeExtreme(bool greatest, std::vector<EvalRef> operands) {
  return std::make_shared<ExtremeNode>(greatest, std::move(operands));
}

}  // namespace freshet::expr_internal
