#include "operators/window/window.h"

#include <charconv>

#include "engine/base/units.h"
#include "engine/flow/descriptor.h"
#include "operators/binding.h"
#include "operators/window/ordered_window.h"
#include "operators/window/processing_time.h"
#include "operators/window/sliding_window.h"
#include "operators/window/window_combiner.h"

namespace freshet {
namespace {

constexpr Duration kSizeMax = Duration::Seconds(int64_t{100} * 366 * 86400);
constexpr const char* kShapes =
    "write one of {tumbling: 10s}, {hopping: 1h, every: 1m}, {sliding: 1h}, {cumulate: 1d, every: 1h}, {session: 30m}, "
    "{count: 100, every: 10}, {global: true}";
constexpr int64_t kCountMax = 1000000;

struct Shape {
  SliceAssigner assigner;
  int64_t gap_us = 0;  ///< sessions
  int64_t count = 0;   ///< count windows
  int64_t every = 0;
  int64_t trailing_us = 0;  ///< sliding windows
  std::string text;
  /// Follows from the rows of a key in order of event time.
  bool ordered() const { return gap_us > 0 || count > 0 || trailing_us > 0; }
};

class ShapeReader {
 public:
  ShapeReader(const OptionsNode& window, Diagnostics* diagnostics) : window_(window), diagnostics_(diagnostics) {}

  std::optional<Shape> Read() {
    std::vector<const char*> kinds;
    for (const char* kind : {"tumbling", "hopping", "sliding", "cumulate", "session", "count", "global"})
      if (window_.Has(kind)) kinds.push_back(kind);
    if (kinds.size() != 1)
      return Fail("FR3252", kinds.empty() ? "" : kinds[1],
                  "a window is either tumbling, hopping, sliding, cumulate, session, count or global", kShapes);
    const std::string kind = kinds[0];
    if (kind == "count") return Count();
    if (kind == "global") return Global();
    const auto size = window_.FindDuration(kind);
    if (!size) return std::nullopt;
    if (kind == "hopping" || kind == "cumulate") return Stepped(kind, *size);
    if (window_.Has("every"))
      return Fail("FR3252", "every", "a " + kind + " window has no `every`", "write {hopping: SIZE, every: STEP}");
    Shape shape;
    shape.text = kind + " " + FormatDuration(*size);
    if (kind == "session")
      shape.gap_us = size->us;
    else if (kind == "sliding")
      shape.trailing_us = size->us;
    else
      shape.assigner = SliceAssigner(*size, *size);
    return shape;
  }

 private:
  std::nullopt_t Fail(const char* code, const char* option, std::string message, std::string suggestion) {
    diagnostics_->Error(code, *option == '\0' ? window_.span() : window_.span(option), std::move(message),
                        std::move(suggestion));
    return std::nullopt;
  }

  std::optional<Shape> Stepped(const std::string& kind, Duration size) {
    if (!window_.Has("every"))
      return Fail("FR3252", kind.c_str(), "a " + kind + " window needs `every`", "write {" + kind + ": 1h, every: 1m}");
    const auto text = window_.FindString("every");
    if (!text) return std::nullopt;
    const auto every = ParseDuration(*text);
    if (!every.ok() || *every <= Duration{})
      return Fail("FR3252", "every", "`every` of a " + kind + " window is a time, such as 1m", "");
    if (*every > size)
      return Fail("FR3252", "every", "`every` is longer than the window: rows between two windows would be in none",
                  "make `every` at most " + FormatDuration(size));
    if (kind == "cumulate" && size.us % every->us != 0)
      return Fail("FR3252", "every", "`every` does not divide the window's size",
                  "its last step must end with the window");
    Shape shape;
    shape.assigner = kind == "cumulate" ? SliceAssigner::Cumulate(size, *every) : SliceAssigner(size, *every);
    shape.text = kind + " " + FormatDuration(size) + " every " + FormatDuration(*every);
    return shape;
  }

  std::optional<Shape> Global() {
    if (!window_.GetBool("global")) return Fail("FR3252", "global", "`global: false` is no window", kShapes);
    if (window_.Has("every"))
      return Fail("FR3252", "every", "a global window has no `every`",
                  "`emit_every`, beside `window`, gives results before the end of the input");
    Shape shape;
    shape.assigner = SliceAssigner::Global();
    shape.text = "global";
    return shape;
  }

  std::optional<Shape> Count() {
    const auto count = window_.FindInt("count");
    if (!count) return std::nullopt;
    Shape shape;
    shape.count = shape.every = *count;
    if (window_.Has("every")) {
      const auto text = window_.FindString("every");
      if (!text) return std::nullopt;
      const auto end = std::from_chars(text->data(), text->data() + text->size(), shape.every);
      if (end.ec != std::errc() || end.ptr != text->data() + text->size() || shape.every < 1)
        return Fail("FR3252", "every", "`every` of a count window is a number of rows, such as 10", "");
      if (shape.every > shape.count || shape.count % shape.every != 0)
        return Fail("FR3252", "every", "`every` does not divide `count`", "");
    }
    shape.text = "the last " + std::to_string(shape.count) + " rows, every " + std::to_string(shape.every);
    return shape;
  }

  const OptionsNode& window_;
  Diagnostics* diagnostics_;
};

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
    const char* const reason = options.Has("emit_every")         ? "emit_every"
                               : options.Has("allowed_lateness") ? "allowed_lateness"
                                                                 : "window";
    add({"revision", TypeId::kInt64}, options.span(reason));
    add({"op", TypeId::kString}, options.span(reason));
  }
  return ok ? std::make_shared<const Schema>(std::move(schema)) : nullptr;
}

std::string Fingerprint(const WindowPlan& plan, const Shape& shape, bool processing) {
  std::string text =
      "size " + std::to_string(plan.assigner.size()) + "; slide " + std::to_string(plan.assigner.slide()) + "; key";
  if (plan.assigner.cumulates()) text = "cumulate; " + text;
  if (plan.assigner.global()) text = "global; key";
  if (processing) text = "by the clock; " + text;
  if (shape.ordered()) text = shape.text + "; key";
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
  const bool row_wise = shape.trailing_us > 0;
  bound->outputs = {{"", plan.output, row_wise ? OutputOrder::kInputOrder : OutputOrder::kByTime, {}},
                    {"late", plan.late, OutputOrder::kInputOrder, {}}};
  if (!row_wise) bound->outputs[0].key_columns = std::move(output_key);
  bound->outputs[0].revises = plan.revises();
  bound->node_class = row_wise ? NodeClass::kRowWise : NodeClass::kStateful;
  bound->passes_input_columns = false;
  if (!key.empty() && !bound->wants_clock) bound->key = key;
  bound->explain = {{"window", shape.text}};
  if (bound->wants_clock) bound->explain.emplace_back("time", "the wall clock, in one lane");
  if (plan.revisions.early_us > 0)
    bound->explain.emplace_back("early", "every " + FormatDuration(Duration{plan.revisions.early_us}) + " of " +
                                             (bound->wants_clock ? "the clock" : "event time") +
                                             "; columns revision, op");
  if (plan.assigner.global()) bound->explain.emplace_back("result", "at the end of the input; columns revision, op");
  if (plan.allowed_lateness > Duration{})
    bound->explain.emplace_back("revised", "for rows up to " + FormatDuration(plan.allowed_lateness) +
                                               " after the window's end; columns revision, op");
  if (!key.empty()) bound->explain.emplace_back("key", names);
  for (const auto& [name, text] : lines) bound->explain.emplace_back(name.value, text.value);
}

/// What goes with which shape. FR3252, FR3255.
std::optional<RevisionPlan> ReadRevisions(const OptionsNode& options, const Shape& shape, Diagnostics* diagnostics) {
  RevisionPlan plan;
  bool ok = true;
  const auto fail = [&](const char* code, const char* option, std::string message, std::string suggestion) {
    diagnostics->Error(code, options.span(option), std::move(message), std::move(suggestion));
    ok = false;
  };
  const Duration allowed = options.GetDuration("allowed_lateness");
  const bool processing = options.GetString("time") == "processing";
  if (allowed > Duration{} && shape.ordered())
    fail("FR3255", "allowed_lateness",
         "sliding, session and count windows take rows by event time: they have no late rows to be revised for",
         "raise `time: {lateness: …}` of the source, or connect the `late` output");
  if (allowed > Duration{} && shape.assigner.global())
    fail("FR3255", "allowed_lateness", "no row is late for a global window", "leave `allowed_lateness` out");
  if (processing && (shape.ordered() || allowed > Duration{}))
    fail("FR3255", "time",
         "`time: processing` goes with tumbling, hopping, cumulate and global windows, without `allowed_lateness`",
         "by the wall clock no row is late");
  if (options.Has("emit_every")) {
    const int64_t every = options.GetDuration("emit_every").us;
    if (shape.ordered())
      fail("FR3255", "emit_every", "sliding, session and count windows have no early results",
           shape.trailing_us > 0 ? "a sliding window has a result for each row" : "use a tumbling or hopping window");
    else if (!shape.assigner.global() && (shape.assigner.size() % every != 0 || shape.assigner.slide() % every != 0))
      fail("FR3252", "emit_every", "`emit_every` does not divide the window's size and its `every`",
           "windows must begin and end where early results leave, which is at multiples of `emit_every`");
    plan.early_us = every;
  }
  if (!ok) return std::nullopt;
  plan.revises = allowed > Duration{} || plan.early_us > 0 || shape.assigner.global();
  plan.keep_us = allowed.us;
  if (plan.early_us > 0) plan.keep_us = (allowed.us + plan.early_us - 1) / plan.early_us * plan.early_us;
  return plan;
}

/// What `pre_aggregate` asks for, where the window allows it. FR2206.
void SetCombiner(const OptionsNode& options, const Shape& shape, const std::shared_ptr<const WindowPlan>& plan,
                 Diagnostics* diagnostics, BoundOperator* bound) {
  const std::string mode = options.GetString("pre_aggregate");
  if (mode == "off") return;
  const bool always = mode == "on";
  const bool fits = bound->key && !shape.ordered() && WindowCombiner::Fits(*plan);
  if (!fits) {
    if (always)
      diagnostics->Warning("FR2206", options.span("pre_aggregate"), "`pre_aggregate` has no effect on this window",
                           "rows are combined by key, in tumbling, hopping, cumulate and global windows of event time "
                           "without `emit_every`, and without the aggregates `first` and `last`");
    return;
  }
  bound->make_combiner = [plan, always] { return std::make_unique<WindowCombiner>(plan, always); };
}

std::optional<BoundOperator> MakeWindow(const OptionsNode& options, const BindContext& bind) {
  const Schema* input = CommonInput(bind);
  if (input == nullptr) return std::nullopt;
  const OptionsNode window = options.GetObject("window");
  const auto shape = ShapeReader(window, bind.diagnostics).Read();
  const bool processing = options.GetString("time") == "processing";
  const auto key = FindKey(*input, options, "key", bind.diagnostics);
  const auto lines = options.GetMap("aggregates");
  auto aggregates = BindAggregates(lines, *input, bind.diagnostics);
  const auto revisions = shape ? ReadRevisions(options, *shape, bind.diagnostics) : std::nullopt;
  if (lines.empty() && options.Has("aggregates"))
    bind.diagnostics->Error("FR3254", options.span("aggregates"), "`aggregates` is empty",
                            "write `name: sum(x)` lines");
  if (!revisions || !key || !aggregates || lines.empty()) return std::nullopt;
  auto plan = std::make_shared<WindowPlan>();
  plan->output = OutputSchema(*input, *key, *aggregates, lines, options, revisions->revises, bind.diagnostics);
  if (plan->output == nullptr) return std::nullopt;
  plan->assigner = shape->assigner;
  plan->allowed_lateness = options.GetDuration("allowed_lateness");
  plan->revisions = *revisions;
  plan->key = KeyCodec(*input, *key);
  plan->aggregates = std::move(*aggregates);
  plan->aggregates.LayOut(sizeof(SliceCell));
  plan->late = LateSchema(*input);
  plan->fingerprint = Fingerprint(*plan, *shape, processing);
  BoundOperator bound;
  bound.wants_clock = processing;
  if (shape->ordered()) bound.input_order = InputOrder::kByEventTime;
  bound.takes_late = shape->gap_us > 0;
  FillPlanner(*input, *key, *shape, *plan, lines, &bound);
  SetCombiner(options, *shape, plan, bind.diagnostics, &bound);
  bound.instantiate = [plan = std::shared_ptr<const WindowPlan>(plan), shape = *shape,
                       processing]() -> std::unique_ptr<Operator> {
    if (shape.trailing_us > 0) return std::make_unique<SlidingWindow>(plan, shape.trailing_us);
    if (shape.ordered())
      return std::make_unique<OrderedWindow>(OrderedWindowPlan{plan, shape.gap_us, shape.count, shape.every});
    if (processing) return std::make_unique<ProcessingTimeWindow>(plan);
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
  window.doc =
      "The shape: `{tumbling: 10s}`; `{hopping: 1h, every: 1m}` for windows of 1h that start every minute; `{cumulate: "
      "1d, "
      "every: 1h}` for windows that start together every day and end one hour after the other; `{session: 30m}` for "
      "rows "
      "with less than 30m between them; `{count: 100, every: 10}` for the last 100 rows of a key, every 10 rows; "
      "`{sliding: 1h}` for the hour that ends with each row; `{global: true}` for all there is.";
  OptionSpec count;
  count.name = "count";
  count.kind = OptionKind::kInt;
  count.state = StateEffect::kBreaking;
  count.min = 1;
  count.max = kCountMax;
  count.doc = "How many rows of a key make a window.";
  OptionSpec every;
  every.name = "every";
  every.kind = OptionKind::kString;
  every.state = StateEffect::kBreaking;
  every.doc = "Hopping and cumulate: the time from one window to the next. Count: rows, by default as many as `count`.";
  OptionSpec global;
  global.name = "global";
  global.kind = OptionKind::kBool;
  global.state = StateEffect::kBreaking;
  global.doc = "One window over the whole input.";
  window.fields = {DurationOption("tumbling", "Size of windows that follow each other."),
                   DurationOption("hopping", "Size of windows that overlap."),
                   DurationOption("sliding", "How far back each row looks."),
                   DurationOption("cumulate", "Size of the last of the windows that start together."),
                   DurationOption("session", "How long nothing must come for a session to end."),
                   count,
                   every,
                   global};
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
  OptionSpec time;
  time.name = "time";
  time.kind = OptionKind::kEnum;
  time.enum_values = {"event", "processing"};
  time.default_text = "event";
  time.state = StateEffect::kBreaking;
  time.doc =
      "`processing`: windows of the wall clock, into which rows fall as they come. Another run gives other results; so "
      "it "
      "is refused where all sources are bounded, but for `--wall-clock`.";
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
  emit_every.min = 1;
  emit_every.max = static_cast<double>(kSizeMax.us);
  emit_every.doc =
      "Results before a window's end: at each multiple of this time, of event time or, with `time: processing`, of the "
      "clock, for the windows that got rows since their last result. It divides the window's size and `every`. Results "
      "have the columns `revision` (0, 1, 2, …) and `op` (`insert`, then `update`); the last one, at the window's end, "
      "always leaves.";
  OptionSpec pre_aggregate;
  pre_aggregate.name = "pre_aggregate";
  pre_aggregate.kind = OptionKind::kEnum;
  pre_aggregate.enum_values = {"auto", "on", "off"};
  pre_aggregate.default_text = "auto";
  pre_aggregate.doc =
      "Whether rows of one batch with equal key and window become one partial result before they are divided over "
      "lanes, "
      "so that a key with most of the rows does not keep one lane busy alone. `auto`: eight or more of them, where "
      "that "
      "saves seven eighths of a batch's rows; `on`: wherever two belong together, which may cost more than it saves. "
      "Results are the same. Windows that can: tumbling, hopping, cumulate and global ones with a `key`, without "
      "`emit_every` and the aggregates `first` and `last`.";
  return {window, key, aggregates, time, allowed_lateness, emit_every, pre_aggregate};
}

}  // namespace

NodeDescriptor WindowDescriptor() {
  NodeDescriptor d;
  d.type = "window";
  d.summary = "aggregates per key over windows of event time";
  d.doc =
      "Rows are put into windows by their event time; windows are aligned to 1970-01-01 00:00 UTC. A result row leaves "
      "when the watermark reaches the window's end: window_start, window_end, the key columns, the aggregates; its "
      "event "
      "time is the last microsecond of the window. Results are ordered by window end and key.\n"
      "\n"
      "Sessions and count windows follow from the rows of a key in order of event time: rows are held until the "
      "watermark "
      "has passed them, and one that is older than its own watermark leaves on `late`. A session ends when its "
      "`session` "
      "time has passed since its last row; a count window ends with its last row, and one that is never full never "
      "leaves.\n"
      "\n"
      "With `time: processing` rows fall into the windows of the wall clock as they come, and the clock closes them; "
      "nothing is late, and another run gives other results.\n"
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
      "With `emit_every` open windows give early results, at multiples of that time: over the rows whose time and "
      "whose "
      "own watermark lie before it. An early result has that moment - 1 µs as event time, so it is on time for whoever "
      "reads it; the last one has the window's. Rows for `allowed_lateness` then also wait for the next such moment.\n"
      "\n"
      "`{sliding: 1h}` gives one result for each row, in order of event time: over the rows of its key up to it, rows "
      "of "
      "one time one after the other, and no more than 1h back. window_end is the row's time + 1 µs. The end of the "
      "input "
      "ends no such window.\n"
      "\n"
      "`{global: true}` is one window over everything. Its result leaves at the end of the input, with the last moment "
      "of the year 9999 as event time and without window_start and window_end, and again, revised, when the input has "
      "grown since.\n"
      "\n"
      "Aggregates: count(*), count(x), sum, avg, min, max, var, stddev (of the sample), first, last (by event time),\n"
      "count_distinct (exact up to 1,024 values, then HyperLogLog with 1.6 % standard error); each takes\n"
      "`filter (where …)`. Nulls are skipped; without values a result is null, a count 0. Sums of float64 do not "
      "depend on the\n"
      "order of rows; integer sums are exact, and null where the result does not fit into int64.\n"
      "\n"
      "Memory grows with keys times open slices (one per `every`, two if it does not divide the size). Count windows "
      "keep "
      "`count` / `every` partial results of each key for ever; sliding windows one of each row within them, global "
      "windows "
      "one of each key for ever.";
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
