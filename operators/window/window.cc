#include "operators/window/window.h"
#include "engine/flow/descriptor.h"

#include "engine/base/units.h"
#include "operators/binding.h"
#include "operators/window/window_operator.h"

namespace freshet {
namespace {

constexpr Duration kSizeMax = Duration::Seconds(int64_t{100} * 366 * 86400);
constexpr const char* kWindowsNow = "available: {tumbling: 10s} and {hopping: 1h, every: 1m}";

struct Shape {
  Duration size;
  Duration slide;
  std::string text;
};

std::optional<Shape> ReadShape(const OptionsNode& options, Diagnostics* diagnostics) {
  const OptionsNode window = options.GetObject("window");
  const auto fail = [&](const char* code, const SourceSpan& span, std::string message, std::string suggestion) {
    diagnostics->Error(code, span, std::move(message), std::move(suggestion));
    return std::nullopt;
  };
  for (const char* later : {"sliding", "session", "count", "cumulate", "global"})
    if (window.Has(later))
      return fail("FR3251", window.span(later), std::string("`") + later + "` windows are not available yet",
                  kWindowsNow);
  const auto tumbling = window.FindDuration("tumbling");
  const auto hopping = window.FindDuration("hopping");
  const auto every = window.FindDuration("every");
  if (window.Has("tumbling") == window.Has("hopping"))
    return fail("FR3252", window.span(), "a window is either tumbling or hopping", kWindowsNow);
  if (tumbling) {
    if (window.Has("every"))
      return fail("FR3252", window.span("every"), "a tumbling window has no `every`",
                  "write {hopping: SIZE, every: STEP}");
    return Shape{*tumbling, *tumbling, "tumbling " + FormatDuration(*tumbling)};
  }
  if (!hopping) return std::nullopt;
  if (!every) {
    if (window.Has("every")) return std::nullopt;
    return fail("FR3252", window.span("hopping"), "a hopping window needs `every`", "write {hopping: 1h, every: 1m}");
  }
  if (*every > *hopping)
    return fail("FR3252", window.span("every"),
                "`every` is longer than the window: rows between two windows would be in none",
                "make `every` at most " + FormatDuration(*hopping));
  return Shape{*hopping, *every, "hopping " + FormatDuration(*hopping) + " every " + FormatDuration(*every)};
}

/// Output columns: window_start, window_end, the key's, the aggregates, revision and op. FR3253 when a name comes
/// twice.
SchemaRef OutputSchema(const Schema& input, const std::vector<int>& key, const AggregatePlan& aggregates,
                       const std::vector<std::pair<SpannedText, SpannedText>>& lines, const OptionsNode& options,
                       bool revises, Diagnostics* diagnostics) {
  Schema schema({{"window_start", TypeId::kTimestamp}, {"window_end", TypeId::kTimestamp}});
  bool ok = true;
  const auto add = [&](const Field& field, const SourceSpan& span) {
    if (schema.Find(field.name)) {
      diagnostics->Error("FR3253", span, "the window's output would have two columns `" + field.name + "`",
                         "choose another name, or rename the input column with `select`");
      ok = false;
      return;
    }
    schema = schema.With({field});
  };
  for (int column : key) add(input.field(column), options.span("key"));
  for (size_t i = 0; i < lines.size(); ++i)
    add({aggregates.outputs[i].name, aggregates.outputs[i].type}, lines[i].first.span);
  if (revises) {
    add({"revision", TypeId::kInt64}, options.span("allowed_lateness"));
    add({"op", TypeId::kString}, options.span("allowed_lateness"));
  }
  return ok ? std::make_shared<const Schema>(std::move(schema)) : nullptr;
}

std::string Fingerprint(const WindowPlan& plan) {
  std::string text =
      "size " + std::to_string(plan.assigner.size()) + "; slide " + std::to_string(plan.assigner.slide()) + "; key";
  for (TypeId type : plan.key.types()) text += std::string(" ") + TypeName(type);
  return text + "; " + plan.aggregates.Fingerprint() + (plan.revises() ? "; revised" : "");
}

void FillPlanner(const Schema& input, const std::vector<int>& key, const Shape& shape, const WindowPlan& plan,
                 const std::vector<std::pair<SpannedText, SpannedText>>& lines, BoundOperator* bound) {
  std::string names;
  std::vector<int> output_key;
  for (int column : key) {
    AddName(input.field(column).name, &bound->columns_read);
    names += (names.empty() ? "" : ", ") + input.field(column).name;
    output_key.push_back(2 + static_cast<int>(output_key.size()));
  }
  for (const BoundExpr& e : plan.aggregates.arguments) AddColumnsRead(e, input, &bound->columns_read);
  for (const BoundExpr& e : plan.aggregates.filters) AddColumnsRead(e, input, &bound->columns_read);
  bound->outputs = {{"", plan.output, OutputOrder::kByTime, std::move(output_key)},
                    {"late", plan.late, OutputOrder::kInputOrder, {}}};
  bound->outputs[0].revises = plan.revises();
  bound->node_class = NodeClass::kStateful;
  bound->passes_input_columns = false;
  if (!key.empty()) bound->key = key;
  bound->explain = {{"window", shape.text}};
  if (plan.revises())
    bound->explain.emplace_back("revised", "for rows up to " + FormatDuration(plan.allowed_lateness) +
                                               " after the window's end; columns revision, op");
  if (!key.empty()) bound->explain.emplace_back("key", names);
  for (const auto& [name, text] : lines) bound->explain.emplace_back(name.value, text.value);
}

std::optional<BoundOperator> MakeWindow(const OptionsNode& options, const BindContext& bind) {
  const Schema* input = CommonInput(bind);
  if (input == nullptr) return std::nullopt;
  const auto shape = ReadShape(options, bind.diagnostics);
  const auto key = FindKey(*input, options, "key", bind.diagnostics);
  const auto lines = options.GetMap("aggregates");
  auto aggregates = BindAggregates(lines, *input, bind.diagnostics);
  const Duration allowed_lateness = options.GetDuration("allowed_lateness");
  bool ok = true;
  if (options.Has("emit_every")) {
    bind.diagnostics->Error("FR3251", options.span("emit_every"), "`emit_every` is not available yet",
                            "use {hopping: …, every: …} for frequent results");
    ok = false;
  }
  if (lines.empty() && options.Has("aggregates"))
    bind.diagnostics->Error("FR3254", options.span("aggregates"), "`aggregates` is empty",
                            "write `name: sum(x)` lines");
  if (!ok || !shape || !key || !aggregates || lines.empty()) return std::nullopt;
  auto plan = std::make_shared<WindowPlan>();
  plan->output =
      OutputSchema(*input, *key, *aggregates, lines, options, allowed_lateness > Duration{}, bind.diagnostics);
  if (plan->output == nullptr) return std::nullopt;
  plan->assigner = SliceAssigner(shape->size, shape->slide);
  plan->allowed_lateness = allowed_lateness;
  plan->key = KeyCodec(*input, *key);
  plan->aggregates = std::move(*aggregates);
  plan->aggregates.LayOut(sizeof(SliceCell));
  plan->late = LateSchema(*input);
  plan->fingerprint = Fingerprint(*plan);
  BoundOperator bound;
  FillPlanner(*input, *key, *shape, *plan, lines, &bound);
  bound.instantiate = [plan = std::shared_ptr<const WindowPlan>(plan)] {
    return std::make_unique<WindowOperator>(plan);
  };
  return bound;
}

OptionSpec DurationOption(const char* name, const char* doc) {
  OptionSpec o;
  o.name = name;
  o.kind = OptionKind::kDuration;
  o.doc = doc;
  o.state = StateEffect::kBreaking;
  o.min = 1;
  o.max = static_cast<double>(kSizeMax.us);
  return o;
}

std::vector<OptionSpec> Options() {
  OptionSpec window;
  window.name = "window";
  window.kind = OptionKind::kObject;
  window.required = true;
  window.state = StateEffect::kBreaking;
  window.doc = "The shape: `{tumbling: 10s}`, or `{hopping: 1h, every: 1m}` for windows of 1h that start every minute.";
  window.fields = {DurationOption("tumbling", "Size of windows that follow each other."),
                   DurationOption("hopping", "Size of windows that overlap."),
                   DurationOption("every", "Time from one hopping window's start to the next.")};
  for (const char* later : {"sliding", "session", "count", "cumulate", "global"}) {
    OptionSpec o;
    o.name = later;
    o.kind = OptionKind::kAny;
    o.doc = "Not available yet.";
    window.fields.push_back(o);
  }
  OptionSpec key;
  key.name = "key";
  key.kind = OptionKind::kNameList;
  key.state = StateEffect::kBreaking;
  key.doc = "Columns to group by; rows with a null key are one group. Without it all rows are one group.";
  OptionSpec aggregates;
  aggregates.name = "aggregates";
  aggregates.kind = OptionKind::kExprMap;
  aggregates.required = true;
  aggregates.state = StateEffect::kBreaking;
  aggregates.doc = "`name: sum(x)` lines, each with an optional ` filter (where …)`.";
  OptionSpec allowed_lateness;
  allowed_lateness.name = "allowed_lateness";
  allowed_lateness.kind = OptionKind::kDuration;
  allowed_lateness.default_text = "0s";
  allowed_lateness.min = 0;
  allowed_lateness.max = static_cast<double>(kSizeMax.us);
  allowed_lateness.doc =
      "How long after its end, by a row's own watermark, a window still takes the row: its result then leaves again, "
      "as a\n"
      "revision. Above 0 results have the columns `revision` (0, 1, 2, …) and `op` (`insert`, then `update`).";
  OptionSpec emit_every;
  emit_every.name = "emit_every";
  emit_every.kind = OptionKind::kDuration;
  emit_every.doc = "Not available yet.";
  return {window, key, aggregates, allowed_lateness, emit_every};
}

}  // namespace

NodeDescriptor WindowDescriptor() {
  NodeDescriptor d;
  d.type = "window";
  d.summary = "aggregates per key over tumbling or hopping windows of event time";
  d.doc =
      "Rows are put into windows by their event time; windows are aligned to 1970-01-01 00:00 UTC. A result row leaves "
      "when\n"
      "the watermark reaches the window's end: window_start, window_end, the key columns, the aggregates; its event "
      "time is\n"
      "the last microsecond of the window. Results are ordered by window end and key.\n"
      "\n"
      "A row is late for a window that was over by the row's own watermark (the largest time before it in its file or\n"
      "partition, minus the source's `lateness`). What is late for all its windows leaves on `late`, with the window's "
      "end\n"
      "and by how many milliseconds; what is late for some counts in the others (`late_panes`).\n"
      "\n"
      "With `allowed_lateness` a window takes rows for so long after its end, and its result leaves again, revised: "
      "`revision` 1, 2, …\n"
      "and `op` `update`, for one row watermark at a time, once time has passed that. Sinks only append, so they want "
      "both\n"
      "columns; a reader takes the highest revision of a window and key.\n"
      "\n"
      "Aggregates: count(*), count(x), sum, avg, min, max, var, stddev (of the sample), first, last (by event time),\n"
      "count_distinct (exact up to 1,024 values, then HyperLogLog with 1.6 % standard error); each takes\n"
      "`filter (where …)`. Nulls are skipped; without values a result is null, a count 0. Sums of float64 do not "
      "depend on the\n"
      "order of rows; integer sums are exact, and null where the result does not fit into int64.\n"
      "\n"
      "Memory grows with keys times open slices (one per `every`, two if it does not divide the size).";
  d.example =
      "per_minute:\n  type: window\n  inputs: [events]\n  window: {tumbling: 1m}\n  key: [channel]\n  aggregates:\n    "
      "edits: count(*)\n"
      "    robots: count(*) filter (where is_robot)\n    bytes: sum(added)";
  d.options = Options();
  d.inputs_max = 64;
  d.output_names = {"late"};
  d.make_operator = MakeWindow;
  return d;
}

}  // namespace freshet
