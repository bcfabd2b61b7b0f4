#include "operators/window/aggregate_plan.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "engine/base/units.h"
#include "operators/binding.h"

namespace freshet {
namespace {

struct Function {
  const char* name;
  AccumulatorKind kind;
  AggregateResult result;
};
constexpr Function kFunctions[] = {
    {"count", AccumulatorKind::kCount, AggregateResult::kCount},
    {"sum", AccumulatorKind::kSum, AggregateResult::kSum},
    {"min", AccumulatorKind::kMin, AggregateResult::kValue},
    {"max", AccumulatorKind::kMax, AggregateResult::kValue},
    {"avg", AccumulatorKind::kSum, AggregateResult::kAvg},
    {"stddev", AccumulatorKind::kVariance, AggregateResult::kStddev},
    {"var", AccumulatorKind::kVariance, AggregateResult::kVar},
    {"first", AccumulatorKind::kFirst, AggregateResult::kValue},
    {"last", AccumulatorKind::kLast, AggregateResult::kValue},
    {"count_distinct", AccumulatorKind::kDistinct, AggregateResult::kValue},
};
constexpr const char* kKindNames[] = {"count", "sum", "var", "min", "max", "first", "last", "count_distinct"};
// Named in DESIGN.md §4, not built yet.
constexpr const char* kLater[] = {"arg_min", "arg_max",   "any",  "delta",        "rate", "quantile",
                                  "top_k",   "histogram", "corr", "linear_trend", "ewma"};

std::string Available() {
  std::string names;
  for (const Function& f : kFunctions) names += (names.empty() ? "" : ", ") + std::string(f.name);
  return "available: " + names;
}

const Function* FindFunction(const ParsedExpr::Call& call, Diagnostics* diagnostics) {
  const std::string name = call.distinct && call.function == "count" ? "count_distinct" : call.function;
  for (const Function& f : kFunctions)
    if (name == f.name) return &f;
  if (std::find(std::begin(kLater), std::end(kLater), name) != std::end(kLater)) {
    diagnostics->Error("FR3242", call.function_span, "the aggregate `" + name + "` is not available yet", Available());
    return nullptr;
  }
  std::array<std::string, std::size(kFunctions)> names;
  for (size_t i = 0; i < names.size(); ++i) names[i] = kFunctions[i].name;
  const std::string nearest = NearestName(name, names.data(), names.size());
  diagnostics->Error("FR3241", call.function_span, "there is no aggregate `" + name + "`",
                     nearest.empty() ? Available() : "did you mean `" + nearest + "`?");
  return nullptr;
}

int IndexOf(std::vector<BoundExpr>& exprs, const BoundExpr& expr) {
  for (size_t i = 0; i < exprs.size(); ++i)
    if (exprs[i].ToString() == expr.ToString()) return static_cast<int>(i);
  exprs.push_back(expr);
  return static_cast<int>(exprs.size()) - 1;
}

TypeId ResultType(const Function& f, TypeId argument) {
  switch (f.result) {
    case AggregateResult::kCount:
      return TypeId::kInt64;
    case AggregateResult::kAvg:
    case AggregateResult::kVar:
    case AggregateResult::kStddev:
      return TypeId::kFloat64;
    default:
      return f.kind == AccumulatorKind::kDistinct ? TypeId::kInt64 : argument;
  }
}

class Binder {
 public:
  Binder(const Schema& input, Diagnostics* diagnostics) : input_(input), diagnostics_(diagnostics) {}

  bool Bind(const SpannedText& name, const SpannedText& text) {
    const auto parsed = ParsedExpr::Parse(text, diagnostics_);
    if (!parsed) return false;
    const auto call = parsed->AsCall();
    if (!call)
      return Fail("FR3243", text.span, "an aggregate is one call, such as `sum(x)` or `count(*) filter (where x > 0)`",
                  "compute with results in a `derive` behind the window");
    const Function* function = FindFunction(*call, diagnostics_);
    if (function == nullptr) return false;
    if (call->distinct && function->kind != AccumulatorKind::kDistinct)
      return Fail("FR3243", call->function_span, "`distinct` goes with `count` only",
                  "write `count(distinct x)` or `count_distinct(x)`");
    const bool bare = function->kind == AccumulatorKind::kCount && call->arguments.empty();
    if (call->star ? !bare : call->arguments.size() != (bare ? 0 : 1))
      return Fail("FR3243", call->function_span, "`" + call->function + "` takes one argument",
                  "as in `" + call->function + "(x)`");
    std::string identity = kKindNames[static_cast<int>(function->kind)];
    TypeId type = TypeId::kInt64;
    AggregatePlan::State state;
    identity += "(";
    if (!bare) {
      const auto argument = BoundExpr::Bind(call->arguments[0], input_, diagnostics_);
      if (!argument) return false;
      type = argument->type();
      state.argument = IndexOf(plan_.arguments, *argument);
      identity += argument->ToString() + ": " + TypeName(type);
    } else {
      identity += "*";
    }
    identity += ")";
    if (!call->filter.empty() && !BindFilter(call->filter[0], &state, &identity)) return false;
    state.accumulator = MakeAccumulator(function->kind, type);
    if (state.accumulator == nullptr)
      return Fail("FR3244", call->function_span, "`" + call->function + "` does not take " + TypeName(type),
                  IsNumeric(type) ? "" : "it needs a number; `cast` makes one");
    state.identity = std::move(identity);
    plan_.outputs.push_back({name.value, StateIndex(std::move(state)), function->result, ResultType(*function, type)});
    return true;
  }

  AggregatePlan Take() { return std::move(plan_); }

 private:
  bool Fail(const char* code, const SourceSpan& span, std::string message, std::string suggestion) {
    diagnostics_->Error(code, span, std::move(message), std::move(suggestion));
    return false;
  }

  bool BindFilter(const ParsedExpr& expr, AggregatePlan::State* state, std::string* identity) {
    const auto filter = BoundExpr::Bind(expr, input_, diagnostics_);
    if (!filter) return false;
    if (filter->type() != TypeId::kBool)
      return Fail("FR3205", expr.text().span,
                  std::string("a condition is needed after `where`, but this is ") + TypeName(filter->type()),
                  "compare it with something, as in `x > 0`");
    state->filter = IndexOf(plan_.filters, *filter);
    *identity += " filter (where " + filter->ToString() + ")";
    return true;
  }

  int StateIndex(AggregatePlan::State state) {
    for (size_t i = 0; i < plan_.states.size(); ++i)
      if (plan_.states[i].identity == state.identity) return static_cast<int>(i);
    plan_.states.push_back(std::move(state));
    return static_cast<int>(plan_.states.size()) - 1;
  }

  const Schema& input_;
  Diagnostics* const diagnostics_;
  AggregatePlan plan_;
};

}  // namespace

void AggregatePlan::LayOut(size_t header_bytes) {
  cell_bytes = header_bytes;
  for (State& s : states) {
    const size_t alignment = s.accumulator->alignment();
    s.offset = (cell_bytes + alignment - 1) / alignment * alignment;
    cell_bytes = s.offset + s.accumulator->size();
  }
}

std::string AggregatePlan::Fingerprint() const {
  std::string text;
  for (const State& s : states) text += (text.empty() ? "" : "; ") + s.identity;
  return text;
}

std::optional<AggregatePlan> BindAggregates(const std::vector<std::pair<SpannedText, SpannedText>>& lines,
                                            const Schema& input, Diagnostics* diagnostics) {
  Binder binder(input, diagnostics);
  bool ok = true;
  for (const auto& [name, text] : lines) ok = binder.Bind(name, text) && ok;
  if (!ok) return std::nullopt;
  return binder.Take();
}

void AccumulateRows(const AggregatePlan& plan, const Batch& in, std::byte* const* cells, int64_t* nulled,
                    int64_t* heap_bytes) {
  std::vector<Column> arguments;
  arguments.reserve(plan.arguments.size());
  for (const BoundExpr& e : plan.arguments)
    arguments.push_back(e.AsColumn() ? in.column(*e.AsColumn()) : e.Evaluate(in, nulled));
  std::vector<Selection> filters;
  filters.reserve(plan.filters.size());
  for (const BoundExpr& e : plan.filters) filters.push_back(e.Filter(in));
  for (const AggregatePlan::State& state : plan.states) {
    AccumulatorInput input;
    input.cells = cells;
    input.batch = &in;
    input.heap_bytes = heap_bytes;
    if (state.argument >= 0) input.argument = &arguments[static_cast<size_t>(state.argument)];
    input.count = in.row_count();
    if (state.filter >= 0) {
      const Selection& kept = filters[static_cast<size_t>(state.filter)];
      if (kept.count == 0) continue;
      input.rows = kept.indices.as<int32_t>();
      input.count = kept.count;
    }
    state.accumulator->Update(input, state.offset);
  }
}

}  // namespace freshet
