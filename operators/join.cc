#include "operators/join.h"

#include <algorithm>
#include <utility>

#include "engine/base/units.h"
#include "operators/binding.h"
#include "operators/join/join_operator.h"

namespace freshet {
namespace {

constexpr Duration kReachMax = Duration::Seconds(int64_t{100} * 366 * 86400);

std::optional<JoinReach> ReadReach(const OptionsNode& options, Diagnostics* diagnostics) {
  const auto within = options.FindDuration("within");
  const bool has_window = options.Has("window");
  if (has_window == options.Has("within")) {
    diagnostics->Error("FR3263", has_window ? options.span("window") : options.span(),
                       "a join needs either `within` or `window`",
                       "write `within: 10m` for event times at most that far apart, or `window: {tumbling: 10s}`");
    return std::nullopt;
  }
  if (!has_window) return within ? std::optional(JoinReach::Within(*within)) : std::nullopt;
  const auto size = options.GetObject("window").FindDuration("tumbling");
  return size ? std::optional(JoinReach::Tumbling(*size)) : std::nullopt;
}

using Keys = std::array<std::vector<int>, 2>;

std::optional<Keys> ReadKeys(const BindContext& bind, const OptionsNode& options) {
  const char* right_option = options.Has("right_key") ? "right_key" : "key";
  auto left = FindKey(*bind.inputs[0], options, "key", bind.diagnostics);
  auto right = FindKey(*bind.inputs[1], options, right_option, bind.diagnostics);
  if (!left || !right) return std::nullopt;
  if (left->empty() || left->size() != right->size()) {
    bind.diagnostics->Error("FR3262", options.span(right_option),
                            left->empty() ? "a join needs a key" : "`key` and `right_key` have different lengths",
                            "name the columns to compare, one of `right_key` for each of `key`");
    return std::nullopt;
  }
  for (size_t i = 0; i < left->size(); ++i) {
    const Field& a = bind.inputs[0]->field((*left)[i]);
    const Field& b = bind.inputs[1]->field((*right)[i]);
    if (a.type == b.type) continue;
    bind.diagnostics->Error("FR3262", options.span(right_option),
                            "`" + a.name + "` is " + TypeName(a.type) + " on the left and `" + b.name + "` is " +
                                TypeName(b.type) + " on the right",
                            "make the types equal with `select` first");
    return std::nullopt;
  }
  return Keys{std::move(*left), std::move(*right)};
}

/// Left's columns, then right's without its key. FR3264 when a name comes twice.
bool LayOut(const BindContext& bind, const OptionsNode& options, const Keys& keys, JoinPlan* plan) {
  Schema schema = *bind.inputs[0];
  for (int c = 0; c < schema.size(); ++c) plan->places[0].push_back(c);
  const std::string prefix = options.GetString("right_prefix");
  std::string twice;
  for (int c = 0; c < bind.inputs[1]->size(); ++c) {
    if (std::count(keys[1].begin(), keys[1].end(), c) > 0) {
      plan->places[1].push_back(-1);
      continue;
    }
    Field field = bind.inputs[1]->field(c);
    field.name = prefix + field.name;
    plan->places[1].push_back(schema.size());
    if (schema.Find(field.name))
      twice += (twice.empty() ? "`" : ", `") + field.name + "`";
    else
      schema = schema.With({field});
  }
  if (!twice.empty()) {
    bind.diagnostics->Error("FR3264", prefix.empty() ? bind.node_span : options.span("right_prefix"),
                            "both inputs have " + twice,
                            "set `right_prefix: …`, or rename or drop columns with `select` before the join");
    return false;
  }
  plan->output = std::make_shared<const Schema>(schema);
  plan->late = LateSchema(schema.With({{FreeName(schema, "late_input"), TypeId::kString}}));
  return true;
}

std::optional<BoundOperator> MakeJoin(const OptionsNode& options, const BindContext& bind) {
  if (bind.inputs.size() != 2) {
    bind.diagnostics->Error("FR3261", bind.node_span, "a join has two inputs, left and right",
                            "write `inputs: [left, right]`; several sources of one kind can be put together before");
    return std::nullopt;
  }
  auto plan = std::make_shared<JoinPlan>();
  const auto reach = ReadReach(options, bind.diagnostics);
  const auto keys = ReadKeys(bind, options);
  if (!keys || !LayOut(bind, options, *keys, plan.get()) || !reach) return std::nullopt;
  plan->left_outer = options.GetString("how") == "left";
  plan->reach = *reach;
  std::string key_names;
  for (size_t i = 0; i < (*keys)[0].size(); ++i) {
    const std::string& a = bind.inputs[0]->field((*keys)[0][i]).name;
    const std::string& b = bind.inputs[1]->field((*keys)[1][i]).name;
    key_names += (key_names.empty() ? "" : ", ") + (a == b ? a : a + " = " + b);
  }
  for (size_t s = 0; s < 2; ++s) {
    plan->inputs[s] = std::make_shared<const Schema>(*bind.inputs[s]);
    plan->input_names[s] = bind.input_names[s];
    plan->keys[s] = KeyCodec(*bind.inputs[s], (*keys)[s]);
  }
  plan->fingerprint =
      reach->ToString() + "; on " + key_names + "; " + plan->inputs[0]->ToString() + "; " + plan->inputs[1]->ToString();
  BoundOperator bound;
  bound.outputs = {{"", plan->output, OutputOrder::kByTime, (*keys)[0]},
                   {"late", plan->late, OutputOrder::kByTime, (*keys)[0]}};
  bound.node_class = NodeClass::kStateful;
  bound.key = (*keys)[0];
  bound.input_keys = {(*keys)[0], (*keys)[1]};
  bound.passes_input_columns = false;
  bound.explain = {{"join", plan->left_outer ? "left rows, with or without a match" : "matches only"},
                   {"left, right", bind.input_names[0] + ", " + bind.input_names[1]},
                   {"key", key_names},
                   {"event times", reach->ToString()}};
  bound.instantiate = [plan = std::shared_ptr<const JoinPlan>(plan)] { return std::make_unique<JoinOperator>(plan); };
  return bound;
}

OptionSpec Names(const char* name, const char* doc) {
  OptionSpec o;
  o.name = name;
  o.kind = OptionKind::kNameList;
  o.state = StateEffect::kBreaking;
  o.doc = doc;
  return o;
}

OptionSpec DurationOption(const char* name, const char* doc, double min) {
  OptionSpec o;
  o.name = name;
  o.kind = OptionKind::kDuration;
  o.state = StateEffect::kBreaking;
  o.min = min;
  o.max = static_cast<double>(kReachMax.us);
  o.doc = doc;
  return o;
}

std::vector<OptionSpec> Options() {
  OptionSpec key = Names("key", "Columns to compare; rows meet if all are equal and none is null.");
  key.required = true;
  OptionSpec window;
  window.name = "window";
  window.kind = OptionKind::kObject;
  window.state = StateEffect::kBreaking;
  window.doc = "Instead of `within`: rows meet in the same window, `{tumbling: 10s}`.";
  window.fields = {DurationOption("tumbling", "Size of the windows, aligned to 1970-01-01 00:00 UTC.", 1)};
  OptionSpec kind;
  kind.name = "how";
  kind.kind = OptionKind::kEnum;
  kind.enum_values = {"inner", "left"};
  kind.default_text = "inner";
  kind.state = StateEffect::kCompatible;
  kind.doc =
      "`inner`: matches only. `left`: a left row without a match leaves too, with nulls for the right side, once "
      "nothing can match it any more.";
  OptionSpec prefix;
  prefix.name = "right_prefix";
  prefix.kind = OptionKind::kString;
  prefix.state = StateEffect::kNone;
  prefix.doc = "Put before the names of the right input's columns.";
  return {key,
          Names("right_key", "The right input's columns for `key`, if their names differ."),
          DurationOption("within", "Rows meet if their event times are at most so far apart.", 0),
          window,
          kind,
          prefix};
}

}  // namespace

NodeDescriptor JoinDescriptor() {
  NodeDescriptor d;
  d.type = "join";
  d.summary = "rows of two inputs with equal keys and event times near each other";
  d.doc =
      "Takes two inputs, left and right. Two rows meet if their keys are equal and their event times are at most "
      "`within` "
      "apart, or in the same tumbling `window`. A result has left's columns, then right's without its key "
      "(`right_prefix` "
      "keeps names apart), the larger event time and the smaller row watermark. It leaves when the watermark has "
      "passed "
      "its event time; results are ordered by event time and key, whatever the timing of the inputs.\n"
      "\n"
      "With `how: left`, left rows that met nothing leave as well: when the watermark has passed all that "
      "could "
      "match, with that time as event time and nulls on the right. A null in a key equals nothing.\n"
      "\n"
      "A row that is older than its own watermark (the largest time before it in its file or partition, minus the "
      "source's `lateness`) is late and leaves on `late`: the columns of a result, null for the other side, then "
      "`late_input`, `late_reason`, `late_window_end`, `lateness_ms`.\n"
      "\n"
      "Memory: rows are kept as long as something may meet them; an input that is ahead of the other waits for it. "
      "Under `settings.memory_limit` keys that nothing asks for stand on disk.";
  d.example =
      "new_sellers:\n  type: join\n  inputs: [auctions, persons]\n  key: [seller]\n  right_key: [id]\n  window: "
      "{tumbling: 10s}\n  right_prefix: person_";
  d.options = Options();
  d.inputs_max = 2;
  d.output_names = {"late"};
  d.make_operator = MakeJoin;
  return d;
}

}  // namespace freshet
