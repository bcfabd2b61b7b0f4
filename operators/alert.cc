#include "operators/alert.h"

#include "engine/base/units.h"
#include "engine/batch/column_builder.h"
#include "operators/alert_operator.h"
#include "operators/alert_plan.h"

namespace freshet {
namespace {

void AddColumns(const std::optional<MessageTemplate>& text, const Schema& input, std::vector<std::string>* names) {
  if (!text) return;
  for (const int c : text->columns())
    if (c < input.size()) AddName(input.field(c).name, names);
}

std::string NumberText(double value) {
  ColumnBuilder column(TypeId::kFloat64, 1);
  column.AppendFloat64(value);
  return ValueText(column.Finish(), 0);
}

std::vector<std::pair<std::string, std::string>> Explain(const AlertPlan& plan, const OptionsNode& options) {
  std::vector<std::pair<std::string, std::string>> lines;
  if (plan.when) lines.emplace_back("when", plan.when.ToString());
  if (plan.threshold) {
    const char* way = plan.direction == AlertDirection::kUp     ? " >= "
                      : plan.direction == AlertDirection::kDown ? " <= "
                                                                : " beyond ";
    lines.emplace_back("fires", plan.value.ToString() + way + NumberText(*plan.threshold));
  }
  if (plan.clear_when) lines.emplace_back("clear_when", plan.clear_when.ToString());
  if (plan.clear_threshold) lines.emplace_back("clears", "short of " + NumberText(*plan.clear_threshold));
  for (const char* name : {"for", "no_data_after"})
    if (const auto d = options.FindDuration(name); d && d->us > 0) lines.emplace_back(name, FormatDuration(*d));
  if (plan.sparkline) lines.emplace_back("sparkline", plan.sparkline.ToString() + ", the last 24 of each key");
  if (const auto link = options.FindExpr("link")) lines.emplace_back("link", link->value);
  lines.emplace_back("silence links",
                     plan.links ? "under " + plan.links->url + ", each for " + FormatDuration(plan.links->valid_for)
                                : "none: settings.alert_links gives no url and secret");
  for (const SpannedText& window : options.GetList("maintenance")) lines.emplace_back("maintenance", window.value);
  return lines;
}

std::optional<BoundOperator> Make(const OptionsNode& options, const BindContext& bind) {
  const Schema* input = CommonInput(bind);
  if (input == nullptr) return std::nullopt;
  const std::shared_ptr<const AlertPlan> plan = MakeAlertPlan(options, *input, bind);
  if (!plan) return std::nullopt;
  BoundOperator bound;
  std::vector<int> key_columns;
  for (size_t i = 0; i < plan->key.columns().size(); ++i) key_columns.push_back(static_cast<int>(2 + i));
  bound.outputs = {{"", plan->output, OutputOrder::kByTime, key_columns},
                   {"late", LateSchema(*input), OutputOrder::kInputOrder, {}}};
  bound.outputs[0].alert_rows = true;
  bound.node_class = NodeClass::kStateful;
  bound.input_order = InputOrder::kByEventTime;
  if (!plan->key.columns().empty()) bound.key = plan->key.columns();
  bound.passes_input_columns = true;
  for (const BoundExpr* expr :
       {&plan->when, &plan->clear_when, &plan->value, &plan->severity, &plan->peak, &plan->surprise, &plan->sparkline})
    if (*expr) AddColumnsRead(*expr, *input, &bound.columns_read);
  if (plan->direction_column >= 0) AddName("direction", &bound.columns_read);
  for (const int c : {plan->p_value_column, plan->alarm_score_column})
    if (c >= 0) AddName(input->field(c).name, &bound.columns_read);
  for (const int c : plan->key.columns()) AddName(input->field(c).name, &bound.columns_read);
  plan->briefing.AddColumnsRead(*input, &bound.columns_read);
  for (const auto* text : {&plan->message, &plan->resolved_message, &plan->dedupe_key, &plan->link})
    AddColumns(*text, *input, &bound.columns_read);
  bound.explain = Explain(*plan, options);
  bound.instantiate = [plan] { return NewAlertOperator(plan); };
  return bound;
}

std::vector<OptionSpec> Options() {
  std::vector<OptionSpec> specs;
  const auto option = [&](const char* name, OptionKind kind, const char* doc, const char* fallback = "") {
    OptionSpec spec;
    spec.name = name;
    spec.kind = kind;
    spec.doc = doc;
    spec.default_text = fallback;
    if (kind == OptionKind::kDuration) spec.min = 0;
    specs.push_back(std::move(spec));
  };
  option("when", OptionKind::kExpr, "The condition, a bool expression; null counts as false. With `threshold`: both.");
  option("value", OptionKind::kExpr,
         "The number that `threshold` is held against; default: the input's `score`. Without a threshold, what labels "
         "act on where rows have no `p_value`, `alarm_score` or `score`.");
  option("threshold", OptionKind::kFloat,
         "Fires where `value` is at least this (at most, with `direction: down`; `both`: this far from zero). Labels "
         "move it, by a factor of 4 at most.");
  option("clear_threshold", OptionKind::kFloat,
         "Once on, an episode is over only where `value` is short of this. Moves with `threshold`.");
  option("clear_when", OptionKind::kExpr, "Once on, an episode is over only where this is true.");
  option("direction", OptionKind::kEnum,
         "Which way counts: of `value` past its threshold, else of the detector's `direction`.", "both");
  specs.back().enum_values = {"up", "down", "both"};
  option("key", OptionKind::kNameList,
         "One episode at a time for each value of these columns; without it one for the whole stream.");
  specs.back().state = StateEffect::kBreaking;
  option(
      "severity", OptionKind::kExpr,
      "low, medium, high or critical, or an expression that gives one; default: the input's `severity`, else medium.");
  specs.back().enum_values = {"low", "medium", "high", "critical"};
  option("for", OptionKind::kDuration, "How long the condition must hold before the alert fires (event time).", "0s");
  option("keep_firing_for", OptionKind::kDuration,
         "How long the condition must be false before the alert resolves (event time).", "0s");
  option("cooldown", OptionKind::kDuration,
         "After an episode ended, how long no other starts for that key (event time).", "0s");
  option(
      "no_data", OptionKind::kEnum,
      "What the silence of a key does: `fire` an alert of its own, `resolve` the one that is on, or `keep` all as it "
      "is. The end of a bounded input is silence.",
      "keep");
  specs.back().enum_values = {"fire", "resolve", "keep"};
  option("no_data_after", OptionKind::kDuration, "How long without a row of a key is silence (event time).");
  option("maintenance", OptionKind::kExprList,
         "Windows in which nothing is told: `2026-11-01T02:00Z to 2026-11-01T04:00Z`, or each week `mon-fri "
         "22:00-06:00 Europe/Berlin`, `daily 02:00-02:30`. What still fires afterwards is told then.");
  option(
      "budget", OptionKind::kString,
      "How many of its alerts are told, of all keys together: `N/hour`, `N/day` or `N/week`. They go to what matters "
      "most, and critical ones are always told: the step `ID.budget`, a `notify` without groups, stands behind it. "
      "What it inhibits is inhibited all the same.");
  option("peak", OptionKind::kExpr,
         "A number whose largest magnitude in the episode is its peak; default: `value`, else the input's `score`.");
  option(
      "message", OptionKind::kExpr,
      "Headline for people with columns of the starting row in braces: \"{video_id}: {score:.2f}\"; default: how far "
      "`observed` is from `expected` and the detector's `why`, else the condition.");
  option("resolved_message", OptionKind::kExpr,
         "The text when it resolves; default: as it fired. Beside the columns: {duration}, {started_at}, {ended_at}, "
         "{peak}, {peaked_at}, {severity}.");
  option("link", OptionKind::kExpr,
         "Where to look, a url with columns of the starting row in braces, percent-encoded: the column `link`. Also "
         "{alert_id}, {started_ms}, {ended_ms} (while it fires: when it was told) and those of `resolved_message`.");
  option("sparkline", OptionKind::kExpr,
         "A number whose last 24 values of the key are drawn in the column `sparkline`, and in texts as {sparkline}: "
         "▁▂▁▃▇. The values of every key are kept, for `remember`.");
  option("dedupe_key", OptionKind::kExpr,
         "Text like `message`, for receivers that fold alerts by a key of theirs: the column `dedupe_key`.");
  option(
      "observed", OptionKind::kExpr,
      "The number that `expected` is compared with in texts; default: the input's `total`, else that of `sparkline`; "
      "where nothing is expected, the `value` that a threshold is held against.");
  option("samples", OptionKind::kExpr,
         "How many the judged number rests on: the column `sample_size`; default: the input's `of`.");
  option("next", OptionKind::kExpr, "What to do next, like `message`: the column `next_step`; default: the `runbook`.");
  option("owner", OptionKind::kString, "Who looks after it: the column `owner`.");
  option("runbook", OptionKind::kString, "What to do, or where that is written: the column `runbook`.");
  option("labels", OptionKind::kStringMap, "More that receivers may want to know, as JSON in the column `labels`.");
  option("remember", OptionKind::kDuration,
         "How long an alert that is over is known to `freshet alerts` (event time; the last 8 of a key).", "7d");
  return specs;
}

}  // namespace

NodeDescriptor AlertDescriptor() {
  NodeDescriptor d;
  d.type = "alert";
  d.kind = NodeKind::kOperator;
  d.summary = "Turns a condition into episodes: one row when it starts firing, one when it resolves";
  d.doc =
      "Watches `when`, or `value` against `threshold`, for each `key`. An episode starts at the first row for which it "
      "is true, fires once it has\n"
      "held for `for`, and resolves at the first row for which it is false (or null), or once it has been false for "
      "`keep_firing_for`. With\n"
      "`clear_when` or `clear_threshold` an episode that is on goes on until that says it is over. Both moments give a "
      "row with the same alert_id,\n"
      "which is equal on every replay. Severity and peak are the worst seen so far in the episode.\n"
      "During `maintenance`, and while the alert is silenced (`freshet alerts silence`), nothing is told; what still "
      "fires afterwards is told then.\n"
      "`freshet alerts label ID noise|useful` moves the threshold of that key, by a factor of 4 at most. A `when` "
      "without threshold stays as it is,\n"
      "but once noise outweighs, a row must also be that many times as surprising as the weakest alert that was "
      "labelled: by the larger of\n"
      "-log10(p_value) and alarm_score (7.5 is always enough), else by the magnitude of `score` or `value` (always "
      "enough are four times the\n"
      "least that met the condition, the most that did, and the third largest of the last nine).\n"
      "Rows are taken by event time; late ones leave on `ID.late`. Input columns follow the alert's own; where a name "
      "is taken it gets `row_`. At the\n"
      "end of a bounded input all these times count as passed.";
  d.example =
      "surges:\n  type: alert\n  inputs: [odd]\n  when: is_anomaly\n  key: [video_id]\n  for: 10m\n  cooldown: 1h\n  "
      "message: \"{video_id}: {views} views\"\n";
  d.inputs_max = 64;
  d.output_names = {"late"};
  d.options = Options();
  d.make_operator = Make;
  return d;
}

}  // namespace freshet
