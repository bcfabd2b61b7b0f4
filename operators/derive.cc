#include "operators/derive.h"

#include <optional>

#include "engine/state/keyed_table.h"
#include "operators/binding.h"
#include "operators/keyed_history.h"
#include "operators/state_ttl.h"

namespace freshet {
namespace {

/// One new column. Its expression is bound to the input, the columns derived before it, and `calls` behind these.
struct Derived {
  std::string name;
  BoundExpr expr;
  SchemaRef schema;      ///< the input and the columns derived before
  SchemaRef with_calls;  ///< and the results of the calls
  size_t first_call = 0;
  size_t call_count = 0;
};

struct DerivePlan {
  std::vector<Derived> columns;
  std::vector<KeyedCall> calls;  ///< of all columns, in order
  SchemaRef output;
  KeyCodec key;
  int64_t ttl_us = 0;  ///< 0: keys are kept for ever
};

class Derive final : public Operator {
 public:
  explicit Derive(std::shared_ptr<const DerivePlan> plan) : plan_(std::move(plan)), expiry_(plan_->ttl_us) {}

  Status Open(OpenContext& ctx) override {
    counters_ = &ctx.counters();
    if (plan_->calls.empty()) return Status::Ok();
    std::string fingerprint = "key:";
    for (TypeId type : plan_->key.types()) fingerprint += std::string(" ") + TypeName(type);
    for (const KeyedCall& call : plan_->calls)
      fingerprint += "; " + std::to_string(static_cast<int>(call.function)) + "(" + call.argument.ToString() + ", " +
                     std::to_string(call.offset) + ")";
    FRESHET_ASSIGN_OR_RETURN(histories_, ctx.state().OpenKeyed<KeyedHistory>(
                                             "derive", {KeyedHistory::kCodec, std::move(fingerprint), true}));
    return Status::Ok();
  }

  Status ProcessBatch(InputIndex, const Batch& in, Emitter& out) override {
    if (!plan_->calls.empty()) {
      keys_.Encode(plan_->key, in);
      expiry_.RowsCame(in.row_count());
      FRESHET_RETURN_IF_ERROR(histories_->LoadMissing(keys_, in.physical_row_count()));
    }
    // Calls of one column may stand on columns derived before it, so histories are stepped column by column; each has
    // its own calls in the key's history.
    Batch batch = in;
    for (const Derived& column : plan_->columns) {
      Batch seen = batch;
      if (column.call_count > 0) seen = batch.WithAppended(column.with_calls, StepCalls(column, batch));
      Column value = column.expr.Evaluate(seen, &counters_->nulled);
      const bool last = &column == &plan_->columns.back();
      const SchemaRef& schema = last ? plan_->output : (&column + 1)->schema;
      batch = batch.WithAppended(schema, {std::move(value)});
    }
    out.Emit(std::move(batch));
    return Status::Ok();
  }

  Result<Progress> OnWatermark(EventTime now, Emitter&) override {
    if (histories_ != nullptr) FRESHET_RETURN_IF_ERROR(expiry_.OnWatermark(histories_, now));
    return Progress::kDone;
  }

 private:
  std::vector<Column> StepCalls(const Derived& column, const Batch& batch) {
    const int32_t rows = batch.physical_row_count();
    std::vector<Column> results;
    for (size_t c = column.first_call; c < column.first_call + column.call_count; ++c) {
      const KeyedCall& call = plan_->calls[c];
      const Column argument = call.argument.Evaluate(batch, &counters_->nulled);
      ColumnBuilder builder(call.result_type, rows);
      for (int32_t row = 0; row < rows; ++row) {
        KeyedHistory& history = histories_->FindOrCreate(keys_.hash(row), keys_.key(row));
        history.Step(c, call, argument, row, batch.time(row), plan_->ttl_us, builder, &counters_->nulled);
      }
      results.push_back(builder.Finish());
    }
    return results;
  }

  const std::shared_ptr<const DerivePlan> plan_;
  KeyedTable<KeyedHistory>* histories_ = nullptr;
  EncodedKeys keys_;
  NodeCounters* counters_ = nullptr;
  KeyExpiry<KeyedHistory> expiry_;
};

/// Binds one column to the columns before it. Its name must be new.
bool BindColumn(const SpannedText& name, const SpannedText& text, bool keyed, const Schema& input, DerivePlan* plan,
                Schema* schema, BoundOperator* bound, Diagnostics* diagnostics) {
  if (schema->Find(name.value)) {
    diagnostics->Error("FR3231", name.span,
                       "there is a column `" + name.value + "` already, and `derive` does not overwrite",
                       "choose another name, or drop the column with `select` first");
    return false;
  }
  const auto parsed = ParsedExpr::Parse(text, diagnostics);
  if (!parsed) return false;
  std::vector<KeyedCall> calls;
  BoundExpr::Options options;
  if (keyed) options.keyed_calls = &calls;
  auto expr = BoundExpr::Bind(*parsed, *schema, diagnostics, options);
  if (!expr) return false;
  Derived column;
  column.name = name.value;
  column.expr = *expr;
  column.schema = std::make_shared<const Schema>(*schema);
  column.first_call = plan->calls.size();
  column.call_count = calls.size();
  std::vector<Field> results;
  for (const KeyedCall& call : calls) {
    results.push_back({FreeName(*schema, "call " + std::to_string(results.size())), call.result_type});
    AddColumnsRead(call.argument, input, &bound->columns_read);
    plan->calls.push_back(call);
  }
  column.with_calls = std::make_shared<const Schema>(schema->With(results));
  AddColumnsRead(*expr, input, &bound->columns_read);
  bound->explain.emplace_back(name.value, expr->ToString());
  *schema = schema->With({{name.value, expr->type()}});
  plan->columns.push_back(std::move(column));
  return true;
}

std::optional<BoundOperator> MakeDerive(const OptionsNode& options, const BindContext& bind) {
  const Schema* input = CommonInput(bind);
  if (input == nullptr) return std::nullopt;
  const auto key = FindKey(*input, options, "key", bind.diagnostics);
  bool ok = key.has_value();
  const bool keyed = options.Has("key");
  auto plan = std::make_shared<DerivePlan>();
  BoundOperator bound;
  Schema schema = *input;
  const auto columns = options.GetMap("columns");
  for (const auto& [name, text] : columns)
    ok = BindColumn(name, text, keyed, *input, plan.get(), &schema, &bound, bind.diagnostics) && ok;
  if (columns.empty() && options.Has("columns"))
    bind.diagnostics->Error("FR3232", options.span("columns"), "`columns` is empty", "write `name: expression` lines");
  const auto ttl_us = ReadStateTtl(options, bind, keyed);
  if (!ok || columns.empty() || !ttl_us) return std::nullopt;
  plan->output = std::make_shared<const Schema>(schema);
  bound.outputs = {{"", plan->output, OutputOrder::kInputOrder, {}},
                   {"late", LateSchema(*input), OutputOrder::kInputOrder, {}}};
  bound.stateless = plan->calls.empty();
  bound.accepts_selection = bound.stateless;
  if (!bound.stateless) {
    plan->key = KeyCodec(*input, *key);
    plan->ttl_us = *ttl_us;
    bound.input_order = InputOrder::kByEventTime;
    if (!key->empty()) bound.key = *key;
    for (int column : *key) AddName(input->field(column).name, &bound.columns_read);
  }
  bound.instantiate = [plan = std::shared_ptr<const DerivePlan>(plan)] { return std::make_unique<Derive>(plan); };
  return bound;
}

}  // namespace

NodeDescriptor DeriveDescriptor() {
  NodeDescriptor d;
  d.type = "derive";
  d.summary = "adds columns computed from others";
  d.doc =
      "Each line of `columns` is `name: expression`, over the input's columns and the columns derived above it. Input "
      "columns\n"
      "pass through and cannot be overwritten.\n"
      "\n"
      "With `key`, expressions may use what came before in the same key: `delta(x)`, `rate(x)` (per second) and "
      "`lag(x)` or\n"
      "`lag(x, n)`. Rows are then taken in event-time order; rows behind the watermark leave on `late`. The first row "
      "of a key\n"
      "gives null. `rate` is null where no time passed and where the value fell (a counter that was reset); the new "
      "value is\n"
      "the base of the next row. `delta` and `rate` look past nulls; `lag` counts them.";
  d.example =
      "motion:\n  type: derive\n  inputs: [clean]\n  key: [video_id]\n  columns:\n    view_velocity: rate(views)\n"
      "    engagement_rate: (likes + comments) / nullif(views, 0)";
  OptionSpec columns;
  columns.name = "columns";
  columns.kind = OptionKind::kExprMap;
  columns.required = true;
  columns.state = StateEffect::kBreaking;
  columns.doc = "`name: expression` lines, in order.";
  OptionSpec key;
  key.name = "key";
  key.kind = OptionKind::kNameList;
  key.state = StateEffect::kBreaking;
  key.doc = "Columns whose values make the key of `delta`, `rate` and `lag`.";
  d.options = {columns, key, StateTtlOption()};
  d.inputs_max = 64;
  d.output_names = {"late"};
  d.make_operator = MakeDerive;
  return d;
}

}  // namespace freshet
