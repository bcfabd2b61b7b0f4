#include "operators/anomaly.h"

#include <cmath>
#include <cstdio>
#include <memory>

#include "operators/anomaly/anomaly_model.h"
#include "operators/binding.h"
#include "operators/detector_columns.h"
#include "operators/keyed_models.h"

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
constexpr DetectorColumnsOptions kColumns{true, true, true};

struct AnomalyPlan {
  std::vector<BoundExpr> metrics;
  std::vector<std::string> names;
  std::optional<BoundExpr> of;
  AnomalyOptions model;
  std::optional<KeyCodec> key;
  SchemaRef output;
  std::string fingerprint;
};

/// "error_rate 0.12 against 0.02 expected (0.01 to 0.03): a value never seen".
std::string Why(const AnomalyVerdict& verdict, const AnomalyPlan& plan, const std::vector<double>& x) {
  if (verdict.metric < 0) return "the metrics do not fit together as they use to";
  const auto m = static_cast<size_t>(verdict.metric);
  char text[160];
  if (std::isnan(verdict.lead.expected))
    std::snprintf(text, sizeof text, " %.4g: ", x[m]);
  else
    std::snprintf(text, sizeof text, " %.4g against %.4g expected (%.4g to %.4g): ", x[m], verdict.lead.expected,
                  verdict.lead.lower, verdict.lead.upper);
  return plan.names[m] + text + EvidenceName(verdict.lead.evidence);
}

/// As KeyedModels wants it.
class Model {
 public:
  explicit Model(const AnomalyPlan& plan) : model_(plan.model) {}
  DetectorColumns::Row ScoreAndLearn(EventTime time, const std::vector<double>& x, const double* n,
                                     const AnomalyPlan& plan) {
    const AnomalyVerdict verdict = model_.ScoreAndLearn(time, x.data(), n);
    DetectorColumns::Row row;
    row.score = verdict.score;
    row.p_value = verdict.p_value;
    row.is_anomaly = verdict.is_anomaly;
    row.expected = verdict.lead.expected;
    row.lower = verdict.lead.lower;
    row.upper = verdict.lead.upper;
    row.alarm_score = verdict.alarm_score;
    const double value = x[static_cast<size_t>(std::max(0, verdict.metric))];
    if (verdict.p_value) row.direction = value > row.expected ? 1 : value < row.expected ? -1 : 0;
    if (verdict.p_value && (*verdict.p_value < 1e-2 || verdict.alarm_score > 0)) row.why = Why(verdict, plan, x);
    return row;
  }
  void Encode(ByteSink& sink) const { model_.Encode(sink); }
  Status Decode(ByteSource& source) { return model_.Decode(source); }

 private:
  AnomalyModel model_;
};

class Anomaly final : public Operator {
 public:
  explicit Anomaly(std::shared_ptr<const AnomalyPlan> plan)
      : plan_(std::move(plan)), models_(plan_.get()), x_(plan_->metrics.size()), n_(plan_->metrics.size()) {}

  Status Open(OpenContext& ctx) override {
    counters_ = &ctx.counters();
    return models_.Open(ctx, "anomalies", kCodec);
  }

  Status ProcessBatch(InputIndex, const Batch& in, Emitter& out) override {
    if (!in.has_times()) return Status::Internal("`anomaly` got rows without event time");
    std::vector<Column> metrics;
    for (const BoundExpr& m : plan_->metrics) metrics.push_back(m.Evaluate(in, &counters_->nulled));
    std::optional<Column> of;
    if (plan_->of) of = plan_->of->Evaluate(in, &counters_->nulled);
    FRESHET_RETURN_IF_ERROR(models_.StartBatch(in));
    DetectorColumns columns(kColumns, in.row_count());
    for (int32_t row = 0; row < in.row_count(); ++row) {
      for (size_t m = 0; m < metrics.size(); ++m) x_[m] = NumberAt(metrics[m], row);
      if (of) std::fill(n_.begin(), n_.end(), NumberAt(*of, row));
      FRESHET_ASSIGN_OR_RETURN(Model* const model, models_.At(row));
      columns.Add(model->ScoreAndLearn(in.time(row), x_, of ? n_.data() : nullptr, *plan_));
    }
    out.Emit(in.WithAppended(plan_->output, columns.Finish()));
    return Status::Ok();
  }

  Status SnapshotExtra(ByteSink& sink) override { return models_.SnapshotExtra(sink); }

 private:
  const std::shared_ptr<const AnomalyPlan> plan_;
  KeyedModels<Model, AnomalyPlan> models_;
  std::vector<double> x_, n_;
  NodeCounters* counters_ = nullptr;
};

constexpr const char* kKinds[] = {"auto", "count", "ratio", "latency", "level"};

bool BindMetrics(const OptionsNode& options, const Schema& input, const BindContext& bind, AnomalyPlan* plan) {
  bool good = true;
  for (const SpannedText& text : options.GetList("metric")) {
    auto metric = BindNumber(text, input, bind, "FR3505", "`metric`");
    good = good && metric.has_value();
    if (!metric) continue;
    plan->names.push_back(metric->ToString());
    plan->metrics.push_back(std::move(*metric));
  }
  if (const auto of = options.FindExpr("of")) {
    plan->of = BindNumber(*of, input, bind, "FR3505", "`of`");
    good = good && plan->of.has_value();
    if (plan->model.series.kind != MetricKind::kRatio) {
      bind.diagnostics->Error("FR3506", of->span, "`of` says how many a ratio is of; this metric is not a ratio",
                              "add `kind: ratio`, or remove `of`");
      good = false;
    }
  }
  return good && !plan->metrics.empty();
}

void ReadModel(const OptionsNode& options, AnomalyPlan* plan) {
  AnomalyOptions& model = plan->model;
  const std::string kind = options.GetString("kind");
  for (int k = 0; k < 5; ++k)
    if (kind == kKinds[k]) model.series.kind = static_cast<MetricKind>(k);
  model.series.by_hour = options.GetString("season") != "none";
  model.series.history = static_cast<int>(options.GetInt("history"));
  model.gate.alarm_at = options.GetFloat("alarm_at");
  model.max_p = options.GetFloat("max_p");
  const OptionsNode persist = options.GetObject("persist");
  model.persist_k = static_cast<int>(persist.GetInt("k"));
  model.persist_n = static_cast<int>(persist.GetInt("n"));
}

std::optional<BoundOperator> Make(const OptionsNode& options, const BindContext& bind) {
  const Schema* input = CommonInput(bind);
  if (input == nullptr) return std::nullopt;
  auto plan = std::make_shared<AnomalyPlan>();
  ReadModel(options, plan.get());
  const bool good = BindMetrics(options, *input, bind, plan.get());
  const auto key = FindKey(*input, options, "key", bind.diagnostics);
  const auto schema = DetectorSchema(options, bind, *input, kColumns);
  if (!good || !key || !schema) return std::nullopt;
  plan->output = std::make_shared<const Schema>(*schema);
  plan->model.metrics = static_cast<int>(plan->metrics.size());
  if (const Status valid = AnomalyModel::Validate(plan->model); !valid.ok()) {
    bind.diagnostics->Error("FR3504", bind.node_span, valid.message());
    return std::nullopt;
  }
  std::string names;
  for (const std::string& name : plan->names) names += (names.empty() ? "" : ", ") + name;
  plan->fingerprint = "anomaly " + options.GetString("kind") + " history " +
                      std::to_string(plan->model.series.history) + (plan->model.series.by_hour ? " by hour" : "") +
                      (plan->of ? " of " + plan->of->ToString() : "") + ": " + names;
  BoundOperator bound;
  if (!key->empty()) {
    plan->key = KeyCodec(*input, *key);
    bound.key = *key;
  }
  bound.outputs = {{"", plan->output, OutputOrder::kInputOrder, {}},
                   {"late", LateSchema(*input), OutputOrder::kInputOrder, {}}};
  bound.input_order = InputOrder::kByEventTime;
  for (const BoundExpr& m : plan->metrics) AddColumnsRead(m, *input, &bound.columns_read);
  if (plan->of) AddColumnsRead(*plan->of, *input, &bound.columns_read);
  for (const int c : *key) AddName(input->field(c).name, &bound.columns_read);
  bound.explain = {{"metric", names}, {"kind", options.GetString("kind")}};
  bound.instantiate = [plan] { return std::make_unique<Anomaly>(plan); };
  return bound;
}

OptionSpec PersistOption() {
  OptionSpec persist;
  persist.name = "persist";
  persist.kind = OptionKind::kObject;
  persist.doc = "{k: 3, n: 5}: an anomaly when at least k of the last n rows are unusual, this one among them.";
  for (const char* name : {"k", "n"}) {
    persist.fields.push_back(DetectorOption(name, OptionKind::kInt,
                                            *name == 'k' ? "Rows that must be unusual." : "Rows looked at, at most 64.",
                                            "1", StateEffect::kNone));
    persist.fields.back().min = 1;
    persist.fields.back().max = 64;
  }
  return persist;
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
      "a value never seen, a shape never seen (the last 4 and 8 values), unusual for this hour of the day (UTC), a "
      "level never held, a lasting\n"
      "shift. Each is turned into a tail probability by its own past; the strongest counts. With several metrics an "
      "isolation forest over what is\n"
      "unexpected in each adds how they fit together.\n"
      "Adds expected, lower, upper (of the metric with the strongest evidence), score (0 to 8: about -log10 of a tail "
      "probability), p_value (how\n"
      "often a usual row scores as high, from the scores' own past), is_anomaly (p_value < max_p, k of n times), "
      "severity, why, direction, and\n"
      "alarm_score: the score where an alarm starts, 0 elsewhere; after one there is silence for 200 rows, and each "
      "recent one raises the bar.\n"
      "kind says on which scale steps are alike: counts and latencies by ratio, ratios and levels by difference; auto "
      "looks at the first 50\n"
      "values. A ratio with `of` (how many it is of) is drawn towards its expectation as if 20 more had shown that, so "
      "that 1 of 2 is no news.\n"
      "Says nothing for the first 400 rows of a key, or its first day and 250 rows, or 950 rows. Rows are taken by event time; late ones leave on `ID.late`.";
  d.example = "odd:\n  type: anomaly\n  inputs: [per_minute]\n  metric: requests\n  kind: count\n  key: [host]\n";
  d.inputs_max = 64;
  d.output_names = {"late"};
  d.options.push_back(
      DetectorOption("metric", OptionKind::kExprList, "The number to watch, or a list of numbers watched together."));
  d.options.back().required = true;
  d.options.push_back(DetectorOption("kind", OptionKind::kEnum, "What the metric is.", "auto"));
  d.options.back().enum_values.assign(std::begin(kKinds), std::end(kKinds));
  d.options.push_back(DetectorOption("of", OptionKind::kExpr, "kind ratio: how many the ratio is of."));
  d.options.push_back(DetectorOption("season", OptionKind::kEnum, "What repeats.", "hour_of_day"));
  d.options.back().enum_values = {"hour_of_day", "none"};
  d.options.push_back(DetectorOption("history", OptionKind::kInt, "Values remembered by each part.", "4000"));
  d.options.back().min = 200;
  d.options.back().max = 65535;
  d.options.push_back(
      DetectorOption("alarm_at", OptionKind::kFloat, "The score at which an alarm starts.", "2.5", StateEffect::kNone));
  d.options.back().min = 0.1;
  d.options.back().max = 8;
  d.options.push_back(PersistOption());
  AddDetectorOptions(&d);
  d.make_operator = Make;
  return d;
}

}  // namespace freshet
