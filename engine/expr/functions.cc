#include "engine/expr/functions.h"

#include <bit>
#include <cmath>

#include "engine/batch/key_codec.h"
#include "engine/expr/expr.h"

namespace freshet {
namespace expr_internal {
namespace {

class CallNode final : public EvalNode {
 public:
  CallNode(const Function& function, std::vector<EvalRef> args, std::shared_ptr<const void> prepared)
      : EvalNode(function.result), kernel_(function.kernel), args_(std::move(args)), prepared_(std::move(prepared)) {}
  Vec Evaluate(const EvalContext& context) const override {
    std::vector<Vec> args;
    args.reserve(args_.size());
    for (const EvalRef& arg : args_) args.push_back(arg->Evaluate(context));
    return kernel_(context, args, kind(), prepared_.get());
  }

 private:
  Kernel kernel_;
  std::vector<EvalRef> args_;
  std::shared_ptr<const void> prepared_;
};

class ConcatNode final : public EvalNode {
 public:
  ConcatNode(std::vector<EvalRef> operands, bool skip_nulls)
      : EvalNode(Kind::kString), operands_(std::move(operands)), skip_nulls_(skip_nulls) {}

  Vec Evaluate(const EvalContext& context) const override {
    std::vector<Vec> parts;
    bool constant = true;
    for (const EvalRef& operand : operands_) {
      parts.push_back(operand->Evaluate(context));
      constant &= parts.back().constant;
    }
    const int32_t rows = constant ? 1 : context.count;
    VecWriter out(Kind::kString, rows, constant, context.count);
    BufferRef buffer;
    const uint8_t* valid = skip_nulls_ ? nullptr : MergeValid(parts, constant, context.count, &buffer);
    auto* values = out.values<std::string_view>();
    for (int32_t i = 0; i < rows; ++i) {
      values[i] = {};
      if ((valid == nullptr || valid[i] != 0) && (constant || context.IsActive(i))) values[i] = Join(parts, i, out);
    }
    Vec result = out.Finish();
    result.valid = valid;
    result.valid_buffer = std::move(buffer);
    return result;
  }

 private:
  static std::string_view PartAt(const Vec& part, int32_t row) {
    return part.IsValid(row) ? part.as<std::string_view>()[part.constant ? 0 : row] : std::string_view();
  }
  static std::string_view Join(const std::vector<Vec>& parts, int32_t row, VecWriter& out) {
    size_t size = 0;
    for (const Vec& part : parts) size += PartAt(part, row).size();
    if (size == 0) return {};
    char* joined = out.Allocate(size);
    char* at = joined;
    for (const Vec& part : parts) {
      const std::string_view text = PartAt(part, row);
      if (text.empty()) continue;
      std::memcpy(at, text.data(), text.size());
      at += text.size();
    }
    return {joined, size};
  }

  std::vector<EvalRef> operands_;
  bool skip_nulls_;
};

int64_t HashOf(const void* bytes, size_t size) {
  return static_cast<int64_t>(HashBytes({static_cast<const char*>(bytes), size}));
}

int64_t HashNumber(double x) {
  if (x == 0) x = 0;  // -0
  if (std::isnan(x)) x = std::numeric_limits<double>::quiet_NaN();
  const auto bits = std::bit_cast<uint64_t>(x);
  return HashOf(&bits, sizeof bits);
}

int64_t HashAt(const Vec& vec, int32_t at) {
  if (vec.kind == Kind::kFloat64) return HashNumber(vec.as<double>()[at]);
  if (vec.kind == Kind::kInt64) {
    // As the double of the same value, where there is one.
    const int64_t v = vec.as<int64_t>()[at];
    if (v >= -(int64_t{1} << 53) && v <= int64_t{1} << 53) return HashNumber(static_cast<double>(v));
    return HashOf(&v, sizeof v);
  }
  if (IsInteger64(vec.kind)) return HashOf(vec.as<int64_t>() + at, sizeof(int64_t));
  if (vec.kind == Kind::kBool) return HashOf(vec.as<uint8_t>() + at, 1);
  if (vec.kind == Kind::kList) {
    const auto list = vec.as<std::span<const double>>()[at];
    return HashOf(list.data(), list.size_bytes());
  }
  const std::string_view text = vec.as<std::string_view>()[at];
  return HashOf(text.data(), text.size());
}

class HashNode final : public EvalNode {
 public:
  explicit HashNode(EvalRef operand) : EvalNode(Kind::kInt64), operand_(std::move(operand)) {}
  Vec Evaluate(const EvalContext& context) const override {
    const Vec in = operand_->Evaluate(context);
    VecWriter out(Kind::kInt64, in.stored(), in.constant, context.count);
    auto* values = out.values<int64_t>();
    for (int32_t i = 0; i < in.stored(); ++i) values[i] = in.IsValid(i) && in.kind != Kind::kNull ? HashAt(in, i) : 0;
    out.ShareValid(in);
    return out.Finish();
  }

 private:
  EvalRef operand_;
};

/// What is not in the tables because it has its own typing rules.
const FunctionDoc kSpecialDocs[] = {
    {"coalesce", "coalesce(a, b, …) -> their common type", "the first argument that is not null"},
    {"nullif", "nullif(a, b) -> type of a", "null where a = b, else a"},
    {"if", "if(condition, a[, b]) -> their common type", "a where the condition is true, else b (or null)"},
    {"greatest", "greatest(a, b, …) -> their common type", "the greatest argument that is not null; NaN is greatest"},
    {"least", "least(a, b, …) -> their common type", "the least argument that is not null"},
    {"concat", "concat(a, b, …) -> string", "all arguments as text, end to end; null counts as empty"},
    {"cast", "cast(x as type), x::type",
     "x as bool, int64, float64, string, timestamp, interval or json; null and counted where it cannot be"},
    {"try_cast", "try_cast(x as type)", "as cast, but what cannot be converted is not counted"},
    {"hash", "hash(x) -> int64", "a stable hash (XXH3) of any value; equal numbers hash alike"},
    {"pi", "pi() -> float64", "3.14159…"},
    {"delta", "delta(number) -> its type", "needs `key`: the change since this key's previous row; null in the first"},
    {"rate", "rate(number) -> float64",
     "needs `key`: the change per second of event time since this key's previous row; null in the first and when it "
     "fell"},
    {"lag", "lag(x[, n]) -> type of x", "needs `key`: the value n rows ago (default 1) of this key"},
};

}  // namespace

const std::vector<Function>& AllFunctions() {
  static const std::vector<Function> all = [] {
    std::vector<Function> list;
    for (const auto group : {MathFunctions(), StringFunctions(), PatternFunctions(), TimeFunctions()})
      list.insert(list.end(), group.begin(), group.end());
    return list;
  }();
  return all;
}

EvalRef MakeCall(const Function& function, std::vector<EvalRef> args, std::shared_ptr<const void> prepared) {
  return std::make_shared<CallNode>(function, std::move(args), std::move(prepared));
}
EvalRef MakeHash(EvalRef operand) { return std::make_shared<HashNode>(std::move(operand)); }
EvalRef MakeConcat(std::vector<EvalRef> operands, bool skip_nulls) {
  return std::make_shared<ConcatNode>(std::move(operands), skip_nulls);
}

}  // namespace expr_internal

const std::vector<FunctionDoc>& ScalarFunctions() {
  static const std::vector<FunctionDoc> docs = [] {
    std::vector<FunctionDoc> list(std::begin(expr_internal::kSpecialDocs), std::end(expr_internal::kSpecialDocs));
    for (const expr_internal::Function& f : expr_internal::AllFunctions()) list.push_back({f.name, f.signature, f.doc});
    return list;
  }();
  return docs;
}

}  // namespace freshet
