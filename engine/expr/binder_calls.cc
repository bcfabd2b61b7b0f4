#include <algorithm>
#include <cmath>

#include "engine/base/units.h"
#include "engine/expr/binder.h"

namespace freshet::expr_internal {
namespace {

constexpr std::string_view kAggregates[] = {"sum",      "count",     "avg",      "mean",      "min",
                                            "max",      "stddev",    "variance", "first",     "count_distinct",
                                            "quantile", "quantiles", "median",   "histogram", "top_k"};
constexpr const char* kSpecial[] = {"coalesce", "nullif", "if",   "greatest", "least", "concat",  "hash",
                                    "pi",       "delta",  "rate", "lag",      "cast",  "try_cast"};

std::string Types(const std::vector<EvalRef>& args) {
  std::string out;
  for (const EvalRef& arg : args) {
    if (!out.empty()) out += ", ";
    out += KindName(arg->kind());
  }
  return out;
}

/// Cost of passing a value where `to` is wanted; -1: not possible silently.
int CoercionCost(const EvalNode& from, Kind to) {
  const Kind kind = from.kind();
  if (kind == to) return 0;
  if (kind == Kind::kNull) return 1;
  if (kind == Kind::kInt64 && to == Kind::kFloat64) return 1;
  if (kind == Kind::kJson && to == Kind::kString) return 1;
  if (kind == Kind::kDuration && to == Kind::kFloat64) return 2;
  if (kind == Kind::kString && to == Kind::kTimestamp && from.constant() != nullptr) return 2;
  return -1;
}

struct CastType {
  const char* name;
  Kind kind;
};
constexpr CastType kCastTypes[] = {
    {"bool", Kind::kBool},         {"boolean", Kind::kBool},        {"int64", Kind::kInt64},
    {"int", Kind::kInt64},         {"integer", Kind::kInt64},       {"bigint", Kind::kInt64},
    {"float64", Kind::kFloat64},   {"float", Kind::kFloat64},       {"double", Kind::kFloat64},
    {"real", Kind::kFloat64},      {"string", Kind::kString},       {"text", Kind::kString},
    {"varchar", Kind::kString},    {"timestamp", Kind::kTimestamp}, {"json", Kind::kJson},
    {"interval", Kind::kDuration}, {"duration", Kind::kDuration}};

}  // namespace

Kind ParameterKind(char letter) {
  switch (letter) {
    case 'b':
      return Kind::kBool;
    case 'i':
      return Kind::kInt64;
    case 'f':
      return Kind::kFloat64;
    case 's':
      return Kind::kString;
    case 't':
      return Kind::kTimestamp;
    case 'd':
      return Kind::kDuration;
    default:
      return Kind::kNull;
  }
}

bool Binder::CheckArity(const Node& node, size_t least, size_t most) {
  const size_t n = node.args.size();
  if (n >= least && n <= most) return true;
  std::string wanted = std::to_string(least);
  if (most == SIZE_MAX)
    wanted = "at least " + wanted;
  else if (most != least)
    wanted += " to " + std::to_string(most);
  Error(
      node, "FR3007",
      "`" + node.name + "` takes " + wanted + (most == 1 ? " argument" : " arguments") + ", not " + std::to_string(n));
  return false;
}

EvalRef Binder::BindCase(const Node& node) {
  std::vector<EvalRef> bound;
  if (!BindAll(node, &bound)) return nullptr;
  const bool constant =
      std::all_of(bound.begin(), bound.end(), [](const EvalRef& e) { return e->constant() != nullptr; });
  size_t i = 0;
  std::vector<EvalRef> compared, conditions, values;
  std::vector<const Node*> compared_nodes, value_nodes;
  if (node.has_operand) {
    compared.push_back(bound[0]);
    compared_nodes.push_back(node.args[i++].get());
  }
  const size_t end = node.args.size() - (node.has_else ? 1 : 0);
  for (; i < end; i += 2) {
    EvalRef condition = node.has_operand ? bound[i] : AsBool(bound[i], *node.args[i], "the condition of `when`");
    if (condition == nullptr) return nullptr;
    (node.has_operand ? compared : conditions).push_back(condition);
    compared_nodes.push_back(node.args[i].get());
    values.push_back(bound[i + 1]);
    value_nodes.push_back(node.args[i + 1].get());
  }
  if (node.has_else) {
    values.push_back(bound[end]);
    value_nodes.push_back(node.args[end].get());
  }
  EvalRef operand;
  if (node.has_operand) {
    if (!Unify(&compared, compared_nodes, node, true)) return nullptr;
    operand = compared[0];
    conditions.assign(compared.begin() + 1, compared.end());
  }
  if (!Unify(&values, value_nodes, node, false)) return nullptr;
  EvalRef otherwise;
  if (node.has_else) {
    otherwise = values.back();
    values.pop_back();
  }
  const Kind kind = values[0]->kind();
  return Fold(node, MakeCase(operand, std::move(conditions), std::move(values), otherwise, kind), constant);
}

EvalRef Binder::BindCast(const Node& node) {
  const EvalRef operand = Bind(*node.args[0]);
  const CastType* type = std::find_if(std::begin(kCastTypes), std::end(kCastTypes),
                                      [&](const CastType& t) { return node.name == t.name; });
  if (type == std::end(kCastTypes)) {
    std::vector<std::string> names;
    for (const CastType& t : kCastTypes) names.push_back(t.name);
    const std::string nearest = NearestName(node.name, names.data(), names.size());
    return NameError(node, "FR3011", "there is no type `" + node.name + "`",
                     nearest.empty() ? "types are bool, int64, float64, string, timestamp, interval and json"
                                     : "did you mean `" + nearest + "`?");
  }
  if (operand == nullptr) return nullptr;
  const Kind from = operand->kind();
  if (!CanCast(from, type->kind)) {
    std::string hint;
    if (type->kind == Kind::kTimestamp && IsNumber(from)) hint = "to_timestamp(x) reads seconds since 1970";
    if (from == Kind::kTimestamp && IsNumber(type->kind)) hint = "epoch(t) gives seconds since 1970";
    return Error(node, "FR3011", std::string(KindName(from)) + " cannot be cast to " + KindName(type->kind), hint);
  }
  // A text constant that is no timestamp is a mistake now, not a null later.
  if (type->kind == Kind::kTimestamp && from == Kind::kString && operand->constant() != nullptr && !node.try_cast)
    return Coerce(operand, type->kind, *node.args[0], "this");
  return Fold(node, MakeConvert(operand, type->kind, !node.try_cast), operand->constant() != nullptr);
}

EvalRef Binder::BindCall(const Node& node) {
  if (node.star || node.distinct || node.filter)
    return NameError(node, "FR3013",
                     "`" + node.name + "` is written as an aggregate here, but this is a scalar expression",
                     "aggregates belong into `aggregates` of a window");
  bool handled = false;
  EvalRef special = BindSpecial(node, &handled);
  if (handled) return special;
  std::vector<const Function*> overloads;
  for (const Function& function : AllFunctions())
    if (function.name == node.name) overloads.push_back(&function);
  if (overloads.empty()) return UnknownFunction(node);
  std::vector<EvalRef> args;
  if (!BindAll(node, &args)) return nullptr;
  const Function* best = nullptr;
  int best_cost = 0;
  for (const Function* function : overloads) {
    const std::string_view parameters = function->parameters;
    if (parameters.size() != args.size()) continue;
    int cost = 0;
    for (size_t i = 0; i < args.size() && cost >= 0; ++i) {
      const int one = CoercionCost(*args[i], ParameterKind(parameters[i]));
      cost = one < 0 ? -1 : cost + one;
    }
    if (cost < 0 || (best != nullptr && cost >= best_cost)) continue;
    best = function;
    best_cost = cost;
  }
  if (best == nullptr) return Mismatch(node, args, overloads);
  bool constant = true;
  for (size_t i = 0; i < args.size(); ++i) {
    args[i] = Coerce(args[i], ParameterKind(best->parameters[i]), *node.args[i], "this");
    if (args[i] == nullptr) return nullptr;
    constant &= args[i]->constant() != nullptr;
  }
  std::shared_ptr<const void> prepared;
  if (best->prepare != nullptr) {
    PrepareProblem problem;
    prepared = best->prepare(args, &problem);
    if (!problem.message.empty())
      return Error(*node.args[problem.argument], problem.code, problem.message, problem.suggestion);
  }
  return Fold(node, MakeCall(*best, std::move(args), std::move(prepared)), constant);
}

EvalRef Binder::UnknownFunction(const Node& node) {
  std::string suggestion;
  if (std::find(std::begin(kAggregates), std::end(kAggregates), node.name) != std::end(kAggregates)) {
    suggestion = "aggregates belong into `aggregates` of a window";
    if (node.name == "max") suggestion = "greatest(a, b) compares values of one row; " + suggestion;
    if (node.name == "min") suggestion = "least(a, b) compares values of one row; " + suggestion;
    return NameError(node, "FR3013", "`" + node.name + "` is an aggregate, but this is a scalar expression",
                     suggestion);
  }
  std::vector<std::string> names(std::begin(kSpecial), std::end(kSpecial));
  for (const Function& function : AllFunctions()) names.push_back(function.name);
  const std::string nearest = NearestName(node.name, names.data(), names.size());
  if (node.name == "now" || node.name == "current_timestamp")
    suggestion =
        "there is no clock in an expression: results must not depend on when they are computed; use the event time's "
        "column";
  else if (!nearest.empty())
    suggestion = "did you mean `" + nearest + "`?";
  else
    suggestion = "`freshet help expressions` lists all functions";
  return NameError(node, "FR3006", "there is no function `" + node.name + "`", suggestion);
}

EvalRef Binder::Mismatch(const Node& node, const std::vector<EvalRef>& args,
                         const std::vector<const Function*>& overloads) {
  std::string signatures;
  bool arity = false;
  for (const Function* function : overloads) {
    if (!signatures.empty()) signatures += " or ";
    signatures += function->signature;
    arity |= std::string_view(function->parameters).size() == args.size();
  }
  if (!arity)
    return Error(node, "FR3007",
                 "`" + node.name + "` does not take " + std::to_string(args.size()) +
                     (args.size() == 1 ? " argument" : " arguments"),
                 "it is " + signatures);
  // The first argument that fits no overload of this arity is the one to underline.
  for (size_t i = 0; i < args.size(); ++i) {
    const bool fits = std::any_of(overloads.begin(), overloads.end(), [&](const Function* f) {
      return std::string_view(f->parameters).size() == args.size() &&
             CoercionCost(*args[i], ParameterKind(f->parameters[i])) >= 0;
    });
    if (!fits)
      return Error(*node.args[i], "FR3008", "`" + node.name + "` does not take " + KindName(args[i]->kind()) + " here",
                   "it is " + signatures);
  }
  return Error(node, "FR3008", "`" + node.name + "` does not take (" + Types(args) + ")", "it is " + signatures);
}

EvalRef Binder::BindSpecial(const Node& node, bool* handled) {
  const std::string& name = node.name;
  *handled = true;
  if (name == "if") return BindIf(node);
  if (name == "nullif") return BindNullIf(node);
  if (name == "delta" || name == "rate" || name == "lag") return BindKeyed(node);
  if (name == "pi") return CheckArity(node, 0, 0) ? MakeConstant(Value::Number(M_PI)) : nullptr;
  if (name != "coalesce" && name != "greatest" && name != "least" && name != "concat" && name != "hash") {
    *handled = false;
    return nullptr;
  }
  std::vector<EvalRef> args;
  const bool ok = BindAll(node, &args);
  if (!CheckArity(node, 1, name == "hash" ? 1 : SIZE_MAX) || !ok) return nullptr;
  const bool constant =
      std::all_of(args.begin(), args.end(), [](const EvalRef& e) { return e->constant() != nullptr; });
  if (name == "hash") return Fold(node, MakeHash(args[0]), constant);
  if (name == "concat") {
    for (size_t i = 0; i < args.size(); ++i) {
      if (args[i]->kind() == Kind::kNull) args[i] = MakeConstant(Value::Null(Kind::kString));
      if (!CanCast(args[i]->kind(), Kind::kString))
        return Error(*node.args[i], "FR3008", std::string(KindName(args[i]->kind())) + " cannot be joined as text");
      args[i] = MakeConvert(args[i], Kind::kString, true);
    }
    return Fold(node, MakeConcat(std::move(args), true), constant);
  }
  std::vector<const Node*> nodes;
  for (const NodeRef& arg : node.args) nodes.push_back(arg.get());
  if (!Unify(&args, nodes, node, false)) return nullptr;
  if (args[0]->kind() == Kind::kNull || args.size() == 1) return args[0];
  if (name == "coalesce") return Fold(node, MakeCoalesce(std::move(args)), constant);
  if (args[0]->kind() == Kind::kList) return Error(node, "FR3008", "lists cannot be compared");
  return Fold(node, MakeExtreme(name == "greatest", std::move(args)), constant);
}

EvalRef Binder::BindIf(const Node& node) {
  std::vector<EvalRef> args;
  const bool ok = BindAll(node, &args);
  if (!CheckArity(node, 2, 3) || !ok) return nullptr;
  const EvalRef condition = AsBool(args[0], *node.args[0], "the condition of `if`");
  if (condition == nullptr) return nullptr;
  std::vector<EvalRef> values(args.begin() + 1, args.end());
  std::vector<const Node*> nodes;
  for (size_t i = 1; i < args.size(); ++i) nodes.push_back(node.args[i].get());
  if (!Unify(&values, nodes, node, false)) return nullptr;
  const bool constant =
      std::all_of(args.begin(), args.end(), [](const EvalRef& e) { return e->constant() != nullptr; });
  const Kind kind = values[0]->kind();
  return Fold(node, MakeCase(nullptr, {condition}, {values[0]}, values.size() > 1 ? values[1] : nullptr, kind),
              constant);
}

EvalRef Binder::BindNullIf(const Node& node) {
  std::vector<EvalRef> args;
  const bool ok = BindAll(node, &args);
  if (!CheckArity(node, 2, 2) || !ok) return nullptr;
  std::vector<EvalRef> compared = args;
  if (!Unify(&compared, {node.args[0].get(), node.args[1].get()}, node, true)) return nullptr;
  if (args[0]->kind() == Kind::kNull) return args[0];
  if (compared[0]->kind() == Kind::kList) return Error(node, "FR3008", "lists cannot be compared");
  const bool constant = args[0]->constant() != nullptr && args[1]->constant() != nullptr;
  // A text constant compared with a timestamp is the timestamp; every other left side keeps its own type.
  const bool became_time = compared[0]->kind() == Kind::kTimestamp;
  return Fold(node, MakeNullIf(became_time ? compared[0] : args[0], compared[0]->kind(), compared[1]), constant);
}

EvalRef Binder::BindKeyed(const Node& node) {
  const bool lag = node.name == "lag";
  if (inside_keyed_call_)
    return NameError(node, "FR3012", "`" + node.name + "` cannot stand inside another keyed function",
                     "derive a column first, then use that");
  if (options_.keyed_calls == nullptr)
    return NameError(node, "FR3012",
                     "`" + node.name + "` needs `key`: it compares a row with the previous one of its key",
                     "use it in `derive` with `key`");
  if (!CheckArity(node, 1, lag ? 2 : 1)) return nullptr;
  KeyedCall call;
  call.function = lag                   ? KeyedCall::Function::kLag
                  : node.name == "rate" ? KeyedCall::Function::kRate
                                        : KeyedCall::Function::kDelta;
  const ParsedExpr part = Part(node.args[0]);
  Binder inner(part, schema_, options_, diagnostics_);
  inner.set_inside_keyed_call();
  std::shared_ptr<const BoundNode> argument = inner.Run();
  if (argument == nullptr) return nullptr;
  const TypeId type = argument->type;
  if (!lag && !IsNumeric(type))
    return Error(*node.args[0], "FR3008", "`" + node.name + "` needs a number, but this is " + TypeName(type));
  if (node.args.size() == 2) {
    const EvalRef offset = Bind(*node.args[1]);
    if (offset == nullptr) return nullptr;
    const Value* value = offset->constant();
    if (value == nullptr || value->kind != Kind::kInt64 || value->null || value->integer < 1 || value->integer > 10000)
      return Error(*node.args[1], "FR3012", "the second argument of `lag` must be a whole number from 1 to 10000");
    call.offset = value->integer;
  }
  call.result_type = call.function == KeyedCall::Function::kRate ? TypeId::kFloat64 : type;
  call.argument = BoundExpr(std::move(argument));
  std::vector<KeyedCall>& calls = *options_.keyed_calls;
  size_t number = 0;
  while (number < calls.size() && !(calls[number].function == call.function && calls[number].offset == call.offset &&
                                    calls[number].argument.ToString() == call.argument.ToString()))
    ++number;
  if (number == calls.size()) calls.push_back(call);
  return MakeColumn(schema_.size() + static_cast<int>(number), KindOf(call.result_type));
}

}  // namespace freshet::expr_internal
