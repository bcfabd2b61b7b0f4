#include "operators/statistical_outlier.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <variant>

#include "operators/binding.h"
#include "operators/detector_columns.h"
#include "operators/keyed_models.h"
#include "operators/outlier/ewma_zscore.h"
#include "operators/outlier/rolling_mad.h"
#include "operators/outlier/tail_calibrator.h"

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
constexpr DetectorColumnsOptions kColumns{true, true};
/// Scores remembered per key to calibrate p-values: enough for p = 1e-3 by rank, 8 KB a key.
constexpr int kCalibrationHistory = 1000;

struct OutlierPlan {
  BoundExpr metric;
  std::string metric_name;
  std::variant<EwmaZScoreOptions, RollingMadOptions> model;
  std::optional<double> threshold;
  double max_p = 1e-3;
  std::optional<KeyCodec> key;
  SchemaRef output;
  std::string fingerprint;
};

TailCalibratorOptions CalibratorOptions() {
  TailCalibratorOptions options;
  options.history = kCalibrationHistory;
  return options;
}

class Model {
 public:
  explicit Model(const OutlierPlan& plan) : calibrator_(CalibratorOptions()) {
    if (const auto* ewma = std::get_if<EwmaZScoreOptions>(&plan.model))
      detector_.emplace<EwmaZScore>(*ewma);
    else
      detector_.emplace<RollingMad>(std::get<RollingMadOptions>(plan.model));
  }

  DetectorColumns::Row ScoreAndLearn(double x, const OutlierPlan& plan) {
    OutlierVerdict verdict;
    Visit([&](auto& detector) { verdict = detector.ScoreAndLearn(x); });
    DetectorColumns::Row row;
    row.score = verdict.score;
    row.expected = verdict.expected;
    row.lower = verdict.lower;
    row.upper = verdict.upper;
    if (!verdict.warm()) return row;
    // The method's own tail until the scores' own past is long enough to speak for itself.
    const std::optional<double> calibrated = calibrator_.PValueAndLearn(std::abs(verdict.score));
    row.p_value = calibrated.value_or(verdict.p_value);
    row.is_anomaly = plan.threshold ? std::abs(verdict.score) > *plan.threshold : *row.p_value < plan.max_p;
    row.direction = x > verdict.expected ? 1 : x < verdict.expected ? -1 : 0;
    if (row.is_anomaly || *row.p_value < 1e-2) {
      char text[128];
      std::snprintf(text, sizeof text, " %.4g against %.4g expected (%.4g to %.4g)", x, verdict.expected, verdict.lower,
                    verdict.upper);
      row.why = plan.metric_name + text;
    }
    return row;
  }

  void Encode(ByteSink& sink) const {
    sink.PutU8(kCodec);
    if (const auto* ewma = std::get_if<EwmaZScore>(&detector_))
      ewma->Encode(sink);
    else
      std::get<RollingMad>(detector_).Encode(sink);
    calibrator_.Encode(sink);
  }
  Status Decode(ByteSource& source) {
    if (source.GetU8() != kCodec) return Status::DataLoss("the model in the checkpoint has an unknown form");
    Status status;
    Visit([&](auto& detector) { status = detector.Decode(source); });
    FRESHET_RETURN_IF_ERROR(std::move(status));
    return calibrator_.Decode(source);
  }

 private:
  template <class F>
  void Visit(F&& f) {
    if (auto* ewma = std::get_if<EwmaZScore>(&detector_))
      f(*ewma);
    else
      f(std::get<RollingMad>(detector_));
  }
  std::variant<std::monostate, EwmaZScore, RollingMad> detector_;
  TailCalibrator calibrator_;
};

class StatisticalOutlier final : public Operator {
 public:
  explicit StatisticalOutlier(std::shared_ptr<const OutlierPlan> plan) : plan_(std::move(plan)), models_(plan_.get()) {}

  Status Open(OpenContext& ctx) override {
    counters_ = &ctx.counters();
    return models_.Open(ctx, "outliers", kCodec);
  }

  Status ProcessBatch(InputIndex, const Batch& in, Emitter& out) override {
    const Column metric = plan_->metric.Evaluate(in, &counters_->nulled);
    FRESHET_RETURN_IF_ERROR(models_.StartBatch(in));
    DetectorColumns columns(kColumns, in.row_count());
    for (int32_t row = 0; row < in.row_count(); ++row) {
      FRESHET_ASSIGN_OR_RETURN(Model* const model, models_.At(row));
      columns.Add(model->ScoreAndLearn(NumberAt(metric, row), *plan_));
    }
    out.Emit(in.WithAppended(plan_->output, columns.Finish()));
    return Status::Ok();
  }

  Status SnapshotExtra(ByteSink& sink) override { return models_.SnapshotExtra(sink); }

 private:
  const std::shared_ptr<const OutlierPlan> plan_;
  KeyedModels<Model, OutlierPlan> models_;
  NodeCounters* counters_ = nullptr;
};

std::optional<BoundOperator> Make(const OptionsNode& options, const BindContext& bind) {
  const Schema* input = CommonInput(bind);
  if (input == nullptr) return std::nullopt;
  auto plan = std::make_shared<OutlierPlan>();
  const auto text = options.FindExpr("metric");
  const auto metric = text ? BindNumber(*text, *input, bind, "FR3505", "`metric`") : std::nullopt;
  const auto key = FindKey(*input, options, "key", bind.diagnostics);
  const auto schema = DetectorSchema(options, bind, *input, kColumns);
  if (!metric || !key || !schema) return std::nullopt;
  plan->metric = *metric;
  plan->metric_name = metric->ToString();
  plan->output = std::make_shared<const Schema>(*schema);
  plan->max_p = options.GetFloat("max_p");
  plan->threshold = options.FindFloat("threshold");
  const bool mad = options.GetString("method") == "mad";
  Status valid;
  if (mad) {
    RollingMadOptions o;
    o.window = static_cast<int>(options.GetInt("window"));
    if (plan->threshold) o.threshold = *plan->threshold;
    o.warmup = std::min(o.warmup, o.window);
    valid = RollingMad::Validate(o);
    plan->model = o;
    plan->fingerprint = "mad window " + std::to_string(o.window);
  } else {
    EwmaZScoreOptions o;
    o.alpha = options.GetFloat("alpha");
    if (plan->threshold) o.threshold = *plan->threshold;
    valid = EwmaZScore::Validate(o);
    plan->model = o;
    char text[48];
    std::snprintf(text, sizeof text, "ewma_zscore alpha %.6g", o.alpha);
    plan->fingerprint = text;
  }
  if (!valid.ok()) {
    bind.diagnostics->Error("FR3504", bind.node_span, valid.message());
    return std::nullopt;
  }
  plan->fingerprint += ": " + plan->metric_name;
  BoundOperator bound;
  if (!key->empty()) {
    plan->key = KeyCodec(*input, *key);
    bound.key = *key;
  }
  bound.outputs = {{"", plan->output, OutputOrder::kInputOrder, {}}};
  AddColumnsRead(plan->metric, *input, &bound.columns_read);
  for (const int c : *key) AddName(input->field(c).name, &bound.columns_read);
  bound.explain = {{"metric", plan->metric_name}, {"method", mad ? "mad" : "ewma_zscore"}};
  bound.instantiate = [plan] { return std::make_unique<StatisticalOutlier>(plan); };
  return bound;
}

}  // namespace

NodeDescriptor StatisticalOutlierDescriptor() {
  NodeDescriptor d;
  d.type = "statistical_outlier";
  d.kind = NodeKind::kOperator;
  d.summary = "Says how far a number is from what its key has shown before";
  d.doc =
      "Adds expected, lower, upper, score (signed, in standard deviations or robust ones), p_value, is_anomaly, "
      "severity, why and direction (up, down).\n"
      "Each value is scored with the model from before it, then learned; a value beyond the band enters as the band's "
      "edge, so that a spike does not\n"
      "widen its own band. p_value is the method's own tail (Student's t) at first, and calibrated on the key's own "
      "scores once there are 200.\n"
      "is_anomaly is p_value < max_p, or |score| > threshold where `threshold` is set.\n"
      "ewma_zscore: exponentially weighted mean and variance, warm after 3 / alpha values. mad: median and median "
      "absolute deviation of the last\n"
      "`window` values, warm after 20; prefer it for heavy tails. Transform counts first, as in `metric: "
      "log1p(views)`.";
  d.example =
      "slow:\n  type: statistical_outlier\n  inputs: [per_minute]\n  metric: log1p(latency_ms)\n  method: mad\n  key: "
      "[host]\n";
  d.inputs_max = 64;
  d.options.push_back(DetectorOption("metric", OptionKind::kExpr, "The number to watch."));
  d.options.back().required = true;
  d.options.push_back(DetectorOption("method", OptionKind::kEnum, "How the expectation is made.", "ewma_zscore"));
  d.options.back().enum_values = {"ewma_zscore", "mad"};
  d.options.push_back(
      DetectorOption("threshold", OptionKind::kFloat,
                     "Anomaly when |score| is above this, instead of by max_p; also the band's half width."));
  d.options.back().min = 1e-6;
  d.options.push_back(DetectorOption("alpha", OptionKind::kFloat, "ewma_zscore: weight of the newest value.", "0.05"));
  d.options.back().min = 1e-6;
  d.options.back().max = 0.5;
  d.options.push_back(DetectorOption("window", OptionKind::kInt, "mad: values remembered.", "101"));
  d.options.back().min = 5;
  d.options.back().max = 65535;
  AddDetectorOptions(&d);
  d.make_operator = Make;
  return d;
}

}  // namespace freshet
