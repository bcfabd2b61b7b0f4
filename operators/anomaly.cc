#include "operators/anomaly.h"

#include <cmath>
#include <memory>

#include "operators/anomaly_plan.h"
#include "operators/binding.h"
#include "operators/detector_columns.h"
#include "operators/keyed_models.h"

namespace freshet {
namespace {

/// As KeyedModels wants it.
class Model {
 public:
  explicit Model(const AnomalyPlan& plan) : model_(plan.model) {}
  AnomalyVerdict ScoreAndLearn(const AnomalyInput& row) { return model_.ScoreAndLearn(row); }
  void Encode(ByteSink& sink) const { model_.Encode(sink); }
  Status Decode(ByteSource& source) { return model_.Decode(source); }
  size_t memory_bytes() const { return model_.memory_bytes(); }

 private:
  AnomalyModel model_;
};

class Anomaly final : public KeyedModelOperator<Model, AnomalyPlan> {
 public:
  explicit Anomaly(std::shared_ptr<const AnomalyPlan> plan)
      : KeyedModelOperator(std::move(plan), "anomalies"), x_(plan_->metrics.size()), n_(plan_->metrics.size()) {}

  Status ProcessBatch(InputIndex, const Batch& in, Emitter& out) override {
    if (!in.has_times()) return Status::Internal("`anomaly` got rows without event time");
    std::vector<Column> metrics;
    for (const BoundExpr& m : plan_->metrics) metrics.push_back(m.Evaluate(in, &counters_->nulled));
    const auto evaluate = [&](const std::optional<BoundExpr>& expr) {
      return expr ? std::optional<Column>(expr->Evaluate(in, &counters_->nulled)) : std::nullopt;
    };
    const std::optional<Column> of = evaluate(plan_->of), age = evaluate(plan_->age), impact = evaluate(plan_->impact);
    FRESHET_RETURN_IF_ERROR(models_.StartBatch(in));
    DetectorColumns columns(plan_->columns, in.row_count());
    for (int32_t row = 0; row < in.row_count(); ++row) {
      for (size_t m = 0; m < metrics.size(); ++m) x_[m] = NumberAt(metrics[m], row);
      AnomalyInput input{.time = in.time(row), .x = x_.data(), .zone_us = ZoneOffset(*plan_, in.time(row))};
      if (of) {
        std::fill(n_.begin(), n_.end(), NumberAt(*of, row));
        input.n = n_.data();
      }
      if (age) input.age_s = NumberAt(*age, row);
      if (impact) input.impact = NumberAt(*impact, row);
      FRESHET_ASSIGN_OR_RETURN(Model* const model, models_.At(row));
      columns.Add(AnomalyRow(model->ScoreAndLearn(input), *plan_, x_.data(), input.time.us));
    }
    out.Emit(in.WithAppended(plan_->output, columns.Finish()));
    return Status::Ok();
  }

 private:
  std::vector<double> x_, n_;
};

constexpr const char* kKinds[] = {"auto", "count", "ratio", "latency", "level"};

bool BindMetrics(const OptionsNode& options, const Schema& input, const BindContext& bind, AnomalyPlan* plan) {
  bool good = true;
  const std::string kind = options.GetString("kind");
  for (int k = 0; k < 5; ++k)
    if (kind == kKinds[k]) plan->model.series.kind = static_cast<MetricKind>(k);
  for (const SpannedText& text : options.GetList("metric")) {
    auto metric = BindNumber(text, input, bind, "FR3505", "`metric`");
    good = good && metric.has_value();
    if (!metric) continue;
    plan->words.push_back({metric->ToString(), plan->model.series.kind == MetricKind::kRatio});
    plan->metrics.push_back(std::move(*metric));
  }
  const auto bind_number = [&](const char* name, std::optional<BoundExpr>* into) {
    const auto text = options.FindExpr(name);
    if (!text) return;
    *into = BindNumber(*text, input, bind, "FR3505", ("`" + std::string(name) + "`").c_str());
    good = good && into->has_value();
  };
  bind_number("of", &plan->of);
  bind_number("age", &plan->age);
  bind_number("impact", &plan->impact);
  if (options.Has("of") && plan->model.series.kind != MetricKind::kRatio) {
    bind.diagnostics->Error("FR3506", options.span("of"),
                            "`of` says how many a ratio is of; this metric is not a ratio",
                            "add `kind: ratio`, or remove `of`");
    good = false;
  }
  plan->model.by_age = plan->age.has_value();
  return good && !plan->metrics.empty();
}

std::optional<BoundOperator> Make(const OptionsNode& options, const BindContext& bind) {
  const Schema* input = CommonInput(bind);
  if (input == nullptr) return std::nullopt;
  auto plan = std::make_shared<AnomalyPlan>();
  bool good = BindMetrics(options, *input, bind, plan.get());
  plan->model.metrics = static_cast<int>(plan->metrics.size());
  good = ReadAnomalyModelOptions(options, bind, plan.get()) && good;
  const auto schema = DetectorSchema(options, bind, *input, plan->columns);
  BoundOperator bound;
  if (schema) {
    plan->output = std::make_shared<const Schema>(*schema);
    bound.outputs = {{"", plan->output, OutputOrder::kInputOrder, {}}};
  }
  TakeByEventTime(*input, &bound);
  if (!ReadKeyedModelOptions(options, bind, *input, plan.get(), &bound) || !good || !schema) return std::nullopt;
  if (const Status valid = AnomalyModel::Validate(plan->model); !valid.ok()) {
    bind.diagnostics->Error("FR3504", bind.node_span, valid.message());
    return std::nullopt;
  }
  std::string names;
  for (const MetricWords& word : plan->words) names += (names.empty() ? "" : ", ") + word.name;
  plan->fingerprint = "anomaly " + options.GetString("kind") + " " + AnomalyModelFingerprint(options) +
                      (plan->of ? " of " + plan->of->ToString() : "") +
                      (plan->age ? " age " + plan->age->ToString() : "") + ": " + names;
  for (const BoundExpr& m : plan->metrics) AddColumnsRead(m, *input, &bound.columns_read);
  for (const auto& expr : {plan->of, plan->age, plan->impact})
    if (expr) AddColumnsRead(*expr, *input, &bound.columns_read);
  bound.explain = {{"metric", names}, {"kind", options.GetString("kind")}};
  bound.outputs[0].method = "anomaly of " + names + " (" + options.GetString("kind") + ")";
  if (plan->model.budget) bound.explain.emplace_back("budget", options.GetString("budget"));
  for (const HardRuleOptions& rule : plan->model.rules) bound.explain.emplace_back("rule", HardRuleName(rule.kind));
  bound.instantiate = [plan] { return std::make_unique<Anomaly>(plan); };
  return bound;
}

}  // namespace

NodeDescriptor AnomalyDescriptor() {
  NodeDescriptor d;
  d.type = "anomaly";
  d.kind = NodeKind::kOperator;
  d.summary = "Watches a metric, or several together, and says when they do what they never did";
  d.doc =
      "The detector to reach for first: it needs a metric and, if known, its kind. Five kinds of evidence are gathered "
      "from the metric's own past:\n"
      "a value never seen, a shape never seen (the last 4 and 8 values), unusual for this hour of the day, a "
      "level never held, a lasting\n"
      "shift. Each is turned into a tail probability by its own past; the strongest counts. With several metrics an "
      "isolation forest over what is\n"
      "unexpected in each adds how they fit together.\n"
      "`age` compares a number that falls or grows with age (views of a video per hour) with what the same age has "
      "shown; key by what such things\n"
      "have in common, a channel say, or by the thing itself, whose own curve is then carried on.\n"
      "Adds expected, lower, upper (of the metric with the strongest evidence), score (0 to 8: about -log10 of a tail "
      "probability), p_value (how\n"
      "often a usual row scores as high, from the scores' own past), is_anomaly (p_value < max_p, k of n times, or a "
      "rule is broken), severity (low,\n"
      "medium, high, critical: p_value below 1e-2, 1e-3, 1e-4, 1e-6, moved by `impact`, at least that of a broken "
      "rule), "
      "why, direction, and\n"
      "alarm_score: the score where an alarm starts, 0 elsewhere; after one there is silence for 200 rows, and each "
      "recent one raises the bar.\n"
      "kind says on which scale steps are alike: counts and latencies by ratio, ratios and levels by difference; auto "
      "looks at the first 50\n"
      "values. A ratio with `of` (how many it is of) is drawn towards its expectation as if 20 more had shown that, so "
      "that 1 of 2 is no news.\n"
      "Says nothing for the first 400 rows of a key, or its first day and 250 rows, or 950 rows. Rows are taken by "
      "event time; late ones leave on `ID.late`.";
  d.example = "odd:\n  type: anomaly\n  inputs: [per_minute]\n  metric: requests\n  kind: count\n  key: [host]\n";
  d.inputs_max = 64;
  d.output_names = {"late"};
  d.options.push_back(
      DetectorOption("metric", OptionKind::kExprList, "The number to watch, or a list of numbers watched together."));
  d.options.back().required = true;
  d.options.push_back(DetectorOption("kind", OptionKind::kEnum, "What the metric is.", "auto"));
  d.options.back().enum_values.assign(std::begin(kKinds), std::end(kKinds));
  d.options.push_back(DetectorOption("of", OptionKind::kExpr, "kind ratio: how many the ratio is of."));
  d.options.push_back(DetectorOption("age", OptionKind::kExpr,
                                     "How old in seconds what the row is about is, such as a video: the expectation is "
                                     "what rows of that age have shown, and `season` is looked for in what is left."));
  d.options.push_back(DetectorOption("impact", OptionKind::kExpr,
                                     "The share of the whole that the row stands for, 0 to 1: below 0.01 severity is a "
                                     "step lower, from 0.25 on a step higher.",
                                     "", StateEffect::kNone));
  AddAnomalyModelOptions(&d);
  AddDetectorOptions(&d);
  d.make_operator = Make;
  return d;
}

}  // namespace freshet
