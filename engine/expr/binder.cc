#include "engine/expr/binder.h"

#include <algorithm>
#include <cmath>

#include "engine/base/units.h"
#include "engine/expr/lexer.h"
#include "engine/expr/timestamp_text.h"

namespace freshet::expr_internal {
namespace {

using expr_kernels::ArithmeticOp;
using expr_kernels::CompareOp;

bool AllConstant(const std::vector<EvalRef>& operands) {
  return std::all_of(operands.begin(), operands.end(), [](const EvalRef& e) { return e->constant() != nullptr; });
}

bool IsWhole(const EvalNode& node) {
  const Value* value = node.constant();
  return value != nullptr && value->kind == Kind::kFloat64 && !value->null &&
         std::trunc(value->number) == value->number && std::fabs(value->number) < 9007199254740992.0;
}

/// The kind both can silently become, or kNull when there is none (or both are null).
Kind CommonKind(Kind a, Kind b) {
  if (a == b || b == Kind::kNull) return a;
  if (a == Kind::kNull) return b;
  const auto numeric = [](Kind k) { return IsNumber(k) || k == Kind::kDuration; };
  if (numeric(a) && numeric(b)) return Kind::kFloat64;
  if (IsText(a) && IsText(b)) return Kind::kString;
  return Kind::kNull;
}

}  // namespace

EvalRef Binder::Error(const Node& node, const char* code, std::string message, std::string suggestion) {
  diagnostics_->Error(code, expr_.text_.At(node.offset, node.length), std::move(message), std::move(suggestion));
  return nullptr;
}

EvalRef Binder::NameError(const Node& node, const char* code, std::string message, std::string suggestion) {
  diagnostics_->Error(code, expr_.text_.At(node.name_offset, node.name_length), std::move(message),
                      std::move(suggestion));
  return nullptr;
}

ParsedExpr Binder::Part(const NodeRef& node) const {
  ParsedExpr part;
  part.text_ = expr_.text_;
  part.root_ = node;
  return part;
}

std::shared_ptr<const BoundNode> Binder::Run() {
  EvalRef root = Bind(*expr_.root_);
  if (root == nullptr) return nullptr;
  if (root->kind() == Kind::kDuration) root = Coerce(root, Kind::kFloat64, *expr_.root_, "");
  if (root->kind() == Kind::kNull) root = MakeConstant(Value::Null(Kind::kString));
  auto bound = std::make_shared<BoundNode>();
  bound->type = TypeOf(root->kind());
  std::sort(columns_.begin(), columns_.end());
  columns_.erase(std::unique(columns_.begin(), columns_.end()), columns_.end());
  bound->columns = std::move(columns_);
  if (root->column() < schema_.size()) bound->column = root->column();
  bound->text = ToString(*expr_.root_);
  bound->root = std::move(root);
  return bound;
}

EvalRef Binder::Bind(const Node& node) {
  switch (node.form) {
    case Node::Form::kLiteral:
      return MakeConstant(node.literal);
    case Node::Form::kColumn:
      return BindColumn(node);
    case Node::Form::kOperator:
      return BindOperator(node);
    case Node::Form::kCase:
      return BindCase(node);
    case Node::Form::kCast:
      return BindCast(node);
    case Node::Form::kCall:
      return BindCall(node);
  }
  return nullptr;
}

EvalRef Binder::BindColumn(const Node& node) {
  if (!node.quoted &&
      std::find(options_.enum_values.begin(), options_.enum_values.end(), node.name) != options_.enum_values.end())
    return MakeConstant(Value::Text(node.name));
  if (const std::optional<int> index = schema_.Find(node.name)) {
    columns_.push_back(*index);
    return MakeColumn(*index, KindOf(schema_.field(*index).type));
  }
  std::vector<std::string> names = options_.enum_values;
  for (const Field& field : schema_.fields()) names.push_back(field.name);
  const std::string lower = Lower(node.name);
  std::string nearest;
  for (const std::string& name : names)
    if (Lower(name) == lower) nearest = name;
  if (nearest.empty()) nearest = NearestName(node.name, names.data(), names.size());
  std::string suggestion = "the columns are " + schema_.ToString();
  if (!nearest.empty())
    suggestion = "did you mean `" + nearest + "`?";
  else if (node.quoted)
    suggestion = "double quotes name a column; text stands in 'single quotes'";
  return NameError(node, "FR3005", "there is no column `" + node.name + "`", std::move(suggestion));
}

bool Binder::BindAll(const Node& node, std::vector<EvalRef>* out, size_t from) {
  bool ok = true;
  for (size_t i = from; i < node.args.size(); ++i) {
    out->push_back(Bind(*node.args[i]));
    ok &= out->back() != nullptr;
  }
  return ok;
}

EvalRef Binder::Fold(const Node& node, EvalRef bound, bool all_constant) {
  if (bound == nullptr || !all_constant || bound->constant() != nullptr || bound->kind() == Kind::kList) return bound;
  int64_t nulled = 0;
  EvalContext context;
  context.count = 1;
  context.nulled = &nulled;
  const Value value = ValueAt(bound->Evaluate(context), 0);
  if (nulled > 0 && value.null)
    diagnostics_->Warning("FR3017", expr_.text_.At(node.offset, node.length),
                          "this is always null: it overflows, divides by zero or cannot be computed");
  return MakeConstant(value);
}

EvalRef Binder::Coerce(EvalRef operand, Kind to, const Node& node, const char* what) {
  const Kind from = operand->kind();
  if (from == to) return operand;
  const Value* constant = operand->constant();
  if (from == Kind::kNull) return MakeConstant(Value::Null(to));
  if (to == Kind::kFloat64 && (from == Kind::kInt64 || from == Kind::kDuration))
    return Fold(node, MakeConvert(operand, to, true), constant != nullptr);
  if (to == Kind::kInt64 && IsWhole(*operand))
    return MakeConstant(Value::Integer(to, static_cast<int64_t>(constant->number)));
  if (IsText(from) && IsText(to)) return Fold(node, MakeConvert(operand, to, true), constant != nullptr);
  if (to == Kind::kTimestamp && from == Kind::kString && constant != nullptr) {
    int64_t us = 0;
    if (constant->null) return MakeConstant(Value::Null(to));
    if (ParseTimestamp(constant->text, &us)) return MakeConstant(Value::Integer(to, us));
    return Error(node, "FR3010", "'" + constant->text + "' is not a timestamp",
                 "write it like '2015-09-12T00:46:58Z', '2015-09-12 00:46:58+02:00' or '2015-09-12'");
  }
  if (what == nullptr || *what == '\0') return nullptr;
  return Error(node, "FR3008", std::string(what) + " must be " + KindName(to) + ", but this is " + KindName(from));
}

bool Binder::Unify(std::vector<EvalRef>* operands, const std::vector<const Node*>& nodes, const Node& at,
                   bool compare) {
  Kind common = Kind::kNull;
  bool timestamp = false;
  bool whole = compare;  // all float64 operands are whole constants
  for (const EvalRef& operand : *operands) {
    timestamp |= operand->kind() == Kind::kTimestamp;
    whole &= operand->kind() != Kind::kFloat64 || IsWhole(*operand);
  }
  bool integers = false;
  for (size_t i = 0; i < operands->size(); ++i) {
    const EvalRef& operand = (*operands)[i];
    const Kind kind = timestamp && operand->kind() == Kind::kString && operand->constant() != nullptr ? Kind::kTimestamp
                                                                                                      : operand->kind();
    integers |= kind == Kind::kInt64;
    const Kind next = CommonKind(common, kind);
    if (next == Kind::kNull && common != Kind::kNull) {
      std::string hint;
      if ((IsText(kind) && IsNumber(common)) || (IsText(common) && IsNumber(kind)))
        hint = "a number is written without quotes; text becomes a number with cast(x as float64)";
      if ((kind == Kind::kTimestamp && IsNumber(common)) || (common == Kind::kTimestamp && IsNumber(kind)))
        hint = "to_timestamp(seconds) makes a timestamp, epoch(t) makes seconds";
      Error(*nodes[i], "FR3009", std::string(KindName(kind)) + " does not go together with " + KindName(common), hint);
      return false;
    }
    common = next;
  }
  (void)at;
  if (common == Kind::kFloat64 && integers && whole) {
    const bool only_numbers =
        std::all_of(operands->begin(), operands->end(), [](const EvalRef& e) { return e->kind() != Kind::kDuration; });
    if (only_numbers) common = Kind::kInt64;
  }
  for (size_t i = 0; i < operands->size(); ++i) {
    (*operands)[i] = Coerce((*operands)[i], common, *nodes[i], "this");
    if ((*operands)[i] == nullptr) return false;
  }
  return true;
}

EvalRef Binder::AsBool(EvalRef operand, const Node& node, const char* where) {
  if (operand->kind() == Kind::kBool) return operand;
  if (operand->kind() == Kind::kNull) return MakeConstant(Value::Null(Kind::kBool));
  std::string hint;
  if (IsNumber(operand->kind())) hint = "compare it, such as `" + ToString(node) + " != 0`";
  return Error(node, "FR3008", std::string(where) + " must be bool, but this is " + KindName(operand->kind()), hint);
}

EvalRef Binder::BindOperator(const Node& node) {
  const std::string& op = node.name;
  if (op == "and" || op == "or" || op == "not" || op.starts_with("is ")) return BindLogic(node);
  if (op == "in" || op == "between" || op == "like" || op == "ilike") return BindMembership(node);
  if (op == "=" || op == "!=" || op == "<" || op == "<=" || op == ">" || op == ">=") return BindComparison(node);
  std::vector<EvalRef> operands;
  if (!BindAll(node, &operands)) return nullptr;
  const bool constant = AllConstant(operands);
  if (op == "neg") return Fold(node, BindNegation(node, operands[0]), constant);
  if (op == "||") {
    for (size_t i = 0; i < operands.size(); ++i) {
      if (operands[i]->kind() == Kind::kNull) operands[i] = MakeConstant(Value::Null(Kind::kString));
      if (!CanCast(operands[i]->kind(), Kind::kString))
        return Error(*node.args[i], "FR3008", std::string(KindName(operands[i]->kind())) + " cannot be joined as text");
      operands[i] = MakeConvert(operands[i], Kind::kString, true);
    }
    return Fold(node, MakeConcat(std::move(operands), false), constant);
  }
  return Fold(node, BindArithmetic(node, operands[0], operands[1]), constant);
}

EvalRef Binder::BindNegation(const Node& node, EvalRef operand) {
  const Kind kind = operand->kind();
  if (kind == Kind::kNull) return operand;
  if (kind == Kind::kFloat64)
    return MakeArithmetic(ArithmeticOp::kMultiply, kind, operand, MakeConstant(Value::Number(-1)));
  if (kind == Kind::kInt64 || kind == Kind::kDuration)
    return MakeArithmetic(ArithmeticOp::kSubtract, kind, MakeConstant(Value::Integer(kind, 0)), operand);
  return Error(*node.args[0], "FR3008", std::string("`-` needs a number, but this is ") + KindName(kind));
}

EvalRef Binder::BindArithmetic(const Node& node, EvalRef left, EvalRef right) {
  const std::string& op = node.name;
  const bool both_null = left->kind() == Kind::kNull && right->kind() == Kind::kNull;
  if (both_null) return MakeConstant(Value::Null(op == "/" ? Kind::kFloat64 : Kind::kInt64));
  if (left->kind() == Kind::kNull) left = MakeConstant(Value::Null(right->kind()));
  if (right->kind() == Kind::kNull)
    right = MakeConstant(Value::Null(left->kind() == Kind::kTimestamp ? Kind::kDuration : left->kind()));
  const auto is_time = [](Kind k) { return k == Kind::kTimestamp || k == Kind::kDuration; };
  if (is_time(left->kind()) || is_time(right->kind())) return BindTimeArithmetic(node, left, right);
  for (int i = 0; i < 2; ++i) {
    const Kind kind = (i == 0 ? left : right)->kind();
    if (IsNumber(kind)) continue;
    std::string hint;
    if (IsText(kind))
      hint = op == "+" ? "text is joined with `||`; cast(x as float64) makes a number of it"
                       : "cast(x as float64) makes a number of it";
    return Error(*node.args[static_cast<size_t>(i)], "FR3008",
                 "`" + op + "` needs numbers, but this is " + KindName(kind), hint);
  }
  const bool integers = left->kind() == Kind::kInt64 && right->kind() == Kind::kInt64;
  if (op == "div" || op == "%") {
    if (!integers)
      return Error(*node.args[left->kind() == Kind::kInt64 ? 1 : 0], "FR3008",
                   "`" + op + "` is for int64, but this is float64",
                   op == "%" ? "mod(x, y) takes float64" : "floor(x / y) takes float64");
    return MakeArithmetic(op == "%" ? ArithmeticOp::kModulo : ArithmeticOp::kIntegerDivide, Kind::kInt64, left, right);
  }
  const ArithmeticOp which = op == "+"   ? ArithmeticOp::kAdd
                             : op == "-" ? ArithmeticOp::kSubtract
                             : op == "*" ? ArithmeticOp::kMultiply
                                         : ArithmeticOp::kDivide;
  if (integers && which != ArithmeticOp::kDivide) return MakeArithmetic(which, Kind::kInt64, left, right);
  return MakeArithmetic(which, Kind::kFloat64, Coerce(left, Kind::kFloat64, *node.args[0], ""),
                        Coerce(right, Kind::kFloat64, *node.args[1], ""));
}

EvalRef Binder::BindTimeArithmetic(const Node& node, EvalRef left, EvalRef right) {
  const std::string& op = node.name;
  const bool add = op == "+";
  const ArithmeticOp which = add ? ArithmeticOp::kAdd : ArithmeticOp::kSubtract;
  if (add || op == "-") {
    // A text constant beside a timestamp is one as well: at - '2015-09-12'.
    for (int i = 0; i < 2 && !add; ++i) {
      EvalRef& operand = i == 0 ? left : right;
      if (!IsText(operand->kind()) || operand->constant() == nullptr) continue;
      operand = Coerce(operand, Kind::kTimestamp, *node.args[static_cast<size_t>(i)], "this");
      if (operand == nullptr) return nullptr;
    }
    const Kind a = left->kind();
    const Kind b = right->kind();
    if (a == Kind::kTimestamp && b == Kind::kTimestamp && !add)
      return MakeConvert(MakeArithmetic(which, Kind::kDuration, left, right), Kind::kFloat64, true);
    if (a == Kind::kTimestamp && b == Kind::kDuration) return MakeArithmetic(which, Kind::kTimestamp, left, right);
    if (a == Kind::kDuration && b == Kind::kTimestamp && add)
      return MakeArithmetic(which, Kind::kTimestamp, left, right);
    if (a == Kind::kDuration && b == Kind::kDuration) return MakeArithmetic(which, Kind::kDuration, left, right);
  }
  const bool left_duration = left->kind() == Kind::kDuration;
  const EvalRef& other = left_duration ? right : left;
  if (op == "*" && (left_duration || right->kind() == Kind::kDuration) && IsNumber(other->kind())) {
    if (other->kind() == Kind::kInt64) return MakeArithmetic(ArithmeticOp::kMultiply, Kind::kDuration, left, right);
    EvalRef product =
        MakeArithmetic(ArithmeticOp::kMultiply, Kind::kFloat64, Coerce(left, Kind::kFloat64, *node.args[0], ""),
                       Coerce(right, Kind::kFloat64, *node.args[1], ""));
    return MakeConvert(product, Kind::kDuration, true);
  }
  // Otherwise a duration counts as seconds: t2 - t1 + 10s, interval '1h' / 2.
  const auto number = [](Kind k) { return IsNumber(k) || k == Kind::kDuration; };
  if (number(left->kind()) && number(right->kind()) && op != "div" && op != "%") {
    const ArithmeticOp any = add         ? ArithmeticOp::kAdd
                             : op == "-" ? ArithmeticOp::kSubtract
                             : op == "*" ? ArithmeticOp::kMultiply
                                         : ArithmeticOp::kDivide;
    return MakeArithmetic(any, Kind::kFloat64, Coerce(left, Kind::kFloat64, *node.args[0], ""),
                          Coerce(right, Kind::kFloat64, *node.args[1], ""));
  }
  std::string hint;
  if (left->kind() == Kind::kTimestamp || right->kind() == Kind::kTimestamp)
    hint = "add a duration such as 10s, 1h or seconds(x); two timestamps can only be subtracted, which gives seconds";
  return Error(node, "FR3008",
               "`" + op + "` does not work on " + KindName(left->kind()) + " and " + KindName(right->kind()), hint);
}

EvalRef Binder::BindComparison(const Node& node) {
  std::vector<EvalRef> operands;
  if (!BindAll(node, &operands)) return nullptr;
  for (size_t i = 0; i < 2; ++i) {
    if (node.args[i]->form == Node::Form::kLiteral && operands[i]->kind() == Kind::kNull)
      diagnostics_->Warning("FR3016", expr_.text_.At(node.offset, node.length), "a comparison with null is never true",
                            "write `is null` or `is not null`");
  }
  if (!Unify(&operands, {node.args[0].get(), node.args[1].get()}, node, true)) return nullptr;
  if (operands[0]->kind() == Kind::kList) return Error(node, "FR3008", "lists cannot be compared");
  if (operands[0]->kind() == Kind::kNull) return MakeConstant(Value::Null(Kind::kBool));
  const std::string& op = node.name;
  CompareOp which = op == "="    ? CompareOp::kEqual
                    : op == "!=" ? CompareOp::kNotEqual
                    : op == "<"  ? CompareOp::kLess
                    : op == "<=" ? CompareOp::kLessEqual
                    : op == ">"  ? CompareOp::kGreater
                                 : CompareOp::kGreaterEqual;
  const bool constant = AllConstant(operands);
  if (operands[0]->constant() != nullptr && !constant) {
    // The constant on the right: that is where the fast paths look for it.
    std::swap(operands[0], operands[1]);
    if (which == CompareOp::kLess)
      which = CompareOp::kGreater;
    else if (which == CompareOp::kLessEqual)
      which = CompareOp::kGreaterEqual;
    else if (which == CompareOp::kGreater)
      which = CompareOp::kLess;
    else if (which == CompareOp::kGreaterEqual)
      which = CompareOp::kLessEqual;
  }
  return Fold(node, MakeCompare(which, operands[0], operands[1]), constant);
}

EvalRef Binder::BindLogic(const Node& node) {
  std::vector<EvalRef> operands;
  if (!BindAll(node, &operands)) return nullptr;
  const bool constant = AllConstant(operands);
  if (node.name == "is null") return Fold(node, MakeIs(IsTest::kNull, operands[0]), constant);
  const std::string what =
      node.name.starts_with("is ") ? "the operand of `" + node.name + "`" : "each operand of `" + node.name + "`";
  bool ok = true;
  for (size_t i = 0; i < operands.size(); ++i) {
    operands[i] = AsBool(operands[i], *node.args[i], what.c_str());
    ok &= operands[i] != nullptr;
  }
  if (!ok) return nullptr;
  if (node.name == "not") return Fold(node, MakeNot(operands[0]), constant);
  if (node.name == "is true") return Fold(node, MakeIs(IsTest::kTrue, operands[0]), constant);
  if (node.name == "is false") return Fold(node, MakeIs(IsTest::kFalse, operands[0]), constant);
  return Fold(node, node.name == "and" ? MakeAnd(std::move(operands)) : MakeOr(std::move(operands)), constant);
}

EvalRef Binder::BindMembership(const Node& node) {
  std::vector<EvalRef> operands;
  if (!BindAll(node, &operands)) return nullptr;
  const bool constant = AllConstant(operands);
  if (node.name == "like" || node.name == "ilike") {
    for (const Function& function : PatternFunctions()) {
      if (function.name != node.name) continue;
      for (size_t i = 0; i < 2; ++i) {
        operands[i] = Coerce(operands[i], Kind::kString, *node.args[i], "an operand of `like`");
        if (operands[i] == nullptr) return nullptr;
      }
      PrepareProblem problem;
      auto prepared = function.prepare ? function.prepare(operands, &problem) : nullptr;
      return Fold(node, MakeCall(function, std::move(operands), std::move(prepared)), constant);
    }
    return nullptr;
  }
  std::vector<const Node*> nodes;
  for (const NodeRef& arg : node.args) nodes.push_back(arg.get());
  if (!Unify(&operands, nodes, node, true)) return nullptr;
  if (operands[0]->kind() == Kind::kList) return Error(node, "FR3008", "lists cannot be compared");
  if (operands[0]->kind() == Kind::kNull) return MakeConstant(Value::Null(Kind::kBool));
  if (node.name == "between") return Fold(node, MakeBetween(operands[0], operands[1], operands[2]), constant);
  EvalRef operand = operands[0];
  operands.erase(operands.begin());
  return Fold(node, MakeIn(std::move(operand), std::move(operands)), constant);
}

}  // namespace freshet::expr_internal
