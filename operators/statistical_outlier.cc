#include "operators/statistical_outlier.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>

#include "operators/binding.h"
#include "operators/detector_columns.h"
#include "operators/keyed_models.h"
#include "operators/outlier/tail_calibrator.h"
#include "operators/outlier/value_transform.h"
#include "operators/outlier_methods.h"

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
constexpr DetectorColumnsOptions kColumns{true, true};
/// Scores remembered per key to calibrate p-values: 14 KB a key, with the peaks.
constexpr int kCalibrationHistory = 1000;
/// Numbers beyond this are taken for infinite: their squares would be.
constexpr double kNumberMax = 1e150;
/// Beyond this moment there is no calendar.
constexpr int64_t kCalendarMaxUs = 900'000'000'000'000'000;

struct OutlierPlan : KeyedModelPlan {
  BoundExpr metric;
  std::string metric_name;
  std::optional<BoundExpr> of;
  OutlierModelFactory make_model;
  bool by_event_time = false;
  const date::time_zone* zone = nullptr;
  std::optional<ValueTransformOptions> transform;
  bool calibrate = true;
  std::optional<double> threshold;
  double max_p = 1e-3;
  SchemaRef output;
};

TailCalibratorOptions CalibratorOptions() {
  TailCalibratorOptions options;
  options.history = kCalibrationHistory;
  return options;
}

/// One key's: the method's model, with a transform in front of it and a calibration behind it.
class Model {
 public:
  explicit Model(const OutlierPlan& plan) : model_(plan.make_model()) {
    if (plan.transform) transform_ = std::make_unique<ValueTransform>(*plan.transform);
    if (plan.calibrate) calibrator_ = std::make_unique<TailCalibrator>(CalibratorOptions());
  }

  DetectorColumns::Row ScoreAndLearn(const OutlierInput& in, const OutlierPlan& plan) {
    OutlierInput scaled = in;
    if (std::abs(in.x) > kNumberMax) scaled.x = std::copysign(std::numeric_limits<double>::infinity(), in.x);
    if (transform_) scaled.x = transform_->Forward(scaled.x);
    const OutlierVerdict verdict = model_->ScoreAndLearn(scaled);
    DetectorColumns::Row row = Tell(in, verdict, plan);
    if (transform_ && std::abs(in.x) <= kNumberMax) transform_->Learn(in.x);
    return row;
  }

  size_t memory_bytes() const {
    return sizeof *this + model_->memory_bytes() + (transform_ ? sizeof *transform_ : 0) +
           (calibrator_ ? calibrator_->memory_bytes() : 0);
  }

  void Encode(ByteSink& sink) const {
    sink.PutU8(kCodec);
    model_->Encode(sink);
    if (transform_) transform_->Encode(sink);
    if (calibrator_) calibrator_->Encode(sink);
  }
  Status Decode(ByteSource& source) {
    if (source.GetU8() != kCodec) return Status::DataLoss("the model in the checkpoint has an unknown form");
    FRESHET_RETURN_IF_ERROR(model_->Decode(source));
    if (transform_) FRESHET_RETURN_IF_ERROR(transform_->Decode(source));
    return calibrator_ ? calibrator_->Decode(source) : Status::Ok();
  }

 private:
  DetectorColumns::Row Tell(const OutlierInput& in, const OutlierVerdict& verdict, const OutlierPlan& plan) {
    DetectorColumns::Row row;
    row.score = verdict.score;
    row.expected = Back(verdict.expected);
    row.lower = Back(verdict.lower);
    row.upper = Back(verdict.upper);
    if (!verdict.warm()) return row;
    // The method's own tail until the scores' own past is long enough to speak for itself.
    if (calibrator_) row.p_value = calibrator_->PValueAndLearn(std::abs(verdict.score));
    if (!row.p_value && !std::isnan(verdict.p_value)) row.p_value = verdict.p_value;
    if (!row.p_value) return row;
    row.is_anomaly = plan.threshold ? std::abs(verdict.score) > *plan.threshold : *row.p_value < plan.max_p;
    row.direction = in.x > row.expected ? 1 : in.x < row.expected ? -1 : 0;
    if (row.is_anomaly || *row.p_value < 1e-2) row.why = Why(in, row, plan);
    return row;
  }

  double Back(double y) const { return transform_ && !std::isnan(y) ? transform_->Back(y) : y; }

  static std::string Why(const OutlierInput& in, const DetectorColumns::Row& row, const OutlierPlan& plan) {
    char of[32] = "";
    if (!std::isnan(in.of)) std::snprintf(of, sizeof of, " of %.6g", in.of);
    char text[160];
    std::snprintf(text, sizeof text, " %.4g%s against %.4g expected (%.4g to %.4g)", in.x, of, row.expected, row.lower,
                  row.upper);
    return plan.metric_name + text;
  }

  std::unique_ptr<OutlierModel> model_;
  std::unique_ptr<ValueTransform> transform_;
  std::unique_ptr<TailCalibrator> calibrator_;
};

class StatisticalOutlier final : public KeyedModelOperator<Model, OutlierPlan> {
 public:
  explicit StatisticalOutlier(std::shared_ptr<const OutlierPlan> plan)
      : KeyedModelOperator(std::move(plan), "outliers") {}

  Status ProcessBatch(InputIndex, const Batch& in, Emitter& out) override {
    if (plan_->by_event_time && !in.has_times()) return Status::Internal("`statistical_outlier` got rows without time");
    const Column metric = plan_->metric.Evaluate(in, &counters_->nulled);
    std::optional<Column> of;
    if (plan_->of) of = plan_->of->Evaluate(in, &counters_->nulled);
    FRESHET_RETURN_IF_ERROR(models_.StartBatch(in));
    DetectorColumns columns(kColumns, in.row_count());
    for (int32_t row = 0; row < in.row_count(); ++row) {
      OutlierInput input(NumberAt(metric, row));
      if (plan_->by_event_time) input.time = in.time(row);
      if (plan_->zone != nullptr && std::abs(input.time.us) < kCalendarMaxUs)
        input.zone_us = TimeZoneOffsetAt(plan_->zone, input.time.us);
      if (of) input.of = NumberAt(*of, row);
      FRESHET_ASSIGN_OR_RETURN(Model* const model, models_.At(row));
      columns.Add(model->ScoreAndLearn(input, *plan_));
    }
    out.Emit(in.WithAppended(plan_->output, columns.Finish()));
    return Status::Ok();
  }
};

/// Reads `transform` and `kind` into the plan.
bool ReadTransform(const OptionsNode& options, const BindContext& bind, OutlierPlan* plan) {
  ValueTransformOptions transform;
  const std::string name = options.GetString("transform"), kind = options.GetString("kind");
  for (size_t i = 0; i < std::size(kTransformNames); ++i)
    if (name == kTransformNames[i]) transform.transform = static_cast<Transform>(i);
  for (size_t i = 0; i < std::size(kMetricKindNames); ++i)
    if (kind == kMetricKindNames[i]) transform.kind = static_cast<MetricKind>(i);
  if (options.Has("kind") && transform.transform != Transform::kAuto) {
    bind.diagnostics->Error("FR3541", options.span("kind"),
                            "`kind` says what `transform: auto` is to do; it has no effect here",
                            "add `transform: auto`");
    return false;
  }
  if (transform.transform != Transform::kNone) plan->transform = transform;
  return true;
}

std::optional<BoundOperator> Make(const OptionsNode& options, const BindContext& bind) {
  const Schema* input = CommonInput(bind);
  if (input == nullptr) return std::nullopt;
  auto plan = std::make_shared<OutlierPlan>();
  const auto text = options.FindExpr("metric");
  const auto metric = text ? BindNumber(*text, *input, bind, "FR3505", "`metric`") : std::nullopt;
  const auto of_text = options.FindExpr("of");
  if (of_text) plan->of = BindNumber(*of_text, *input, bind, "FR3505", "`of`");
  const auto schema = DetectorSchema(options, bind, *input, kColumns);
  const auto chosen = ChooseOutlierMethod(options, bind);
  BoundOperator bound;
  if (schema) {
    plan->output = std::make_shared<const Schema>(*schema);
    bound.outputs = {{"", plan->output, OutputOrder::kInputOrder, {}}};
  }
  const bool keys = ReadKeyedModelOptions(options, bind, *input, plan.get(), &bound);
  if (!ReadTransform(options, bind, plan.get()) || !metric || (of_text && !plan->of) || !keys || !schema || !chosen)
    return std::nullopt;
  const OutlierMethod& method = *chosen->method;
  plan->metric = *metric;
  plan->metric_name = metric->ToString();
  plan->max_p = options.GetFloat("max_p");
  plan->threshold = options.FindFloat("threshold");
  plan->make_model = chosen->bound.make;
  plan->zone = chosen->bound.zone;
  plan->calibrate = options.Has("calibrate") ? options.GetBool("calibrate") : method.calibrated;
  plan->by_event_time = method.by_event_time || (plan->transform && plan->transform->transform == Transform::kDiff);
  plan->fingerprint = chosen->bound.fingerprint;
  if (plan->transform) plan->fingerprint += " on " + options.GetString("transform") + " " + options.GetString("kind");
  if (!plan->calibrate) plan->fingerprint += " uncalibrated";
  if (plan->of) plan->fingerprint += " of " + plan->of->ToString();
  plan->fingerprint += ": " + plan->metric_name;
  if (plan->by_event_time) TakeByEventTime(*input, &bound);
  AddColumnsRead(plan->metric, *input, &bound.columns_read);
  if (plan->of) AddColumnsRead(*plan->of, *input, &bound.columns_read);
  bound.explain = {{"metric", plan->metric_name}, {"method", method.name}};
  bound.outputs[0].method = "statistical_outlier of " + plan->metric_name + " (" + method.name + ")";
  if (plan->of) bound.explain.emplace_back("of", plan->of->ToString());
  if (plan->transform) bound.explain.emplace_back("transform", options.GetString("transform"));
  bound.instantiate = [plan] { return std::make_unique<StatisticalOutlier>(plan); };
  return bound;
}

std::string Doc() {
  std::string doc =
      "Adds expected, lower, upper, score (signed, in standard deviations or robust ones), p_value, is_anomaly, "
      "severity, why and direction (up, down).\n"
      "Each value is scored with the model from before it, then learned; a value beyond the band enters as the band's "
      "edge, so that a spike does not\n"
      "widen its own band, until enough of them running show that the level has changed. p_value is the method's own "
      "tail at first; with `calibrate`\n"
      "it comes from the key's own scores once there are 200. is_anomaly is p_value < max_p, or |score| > threshold "
      "where `threshold` is set.\n"
      "transform brings the metric to a scale where equal steps mean equally much; expected, lower and upper are in "
      "the "
      "metric's own unit again.\n"
      "auto: by `kind`: counts by Anscombe's root, latencies by logarithm, ratios and levels as they are; kind auto "
      "looks at the first 50 values.\n"
      "Memory per key: some 250 bytes, 16 for each value of `window`, and with `calibrate` 8 KB.\n"
      "Methods, and what for:\n";
  for (const OutlierMethod& m : OutlierMethods()) doc += "  " + std::string(m.name) + ": " + m.summary + "\n";
  return doc;
}

}  // namespace

NodeDescriptor StatisticalOutlierDescriptor() {
  NodeDescriptor d;
  d.type = "statistical_outlier";
  d.kind = NodeKind::kOperator;
  d.summary = "Says how far a number is from what its key has shown before";
  d.doc = Doc();
  d.example =
      "slow:\n  type: statistical_outlier\n  inputs: [per_minute]\n  metric: latency_ms\n  method: mad\n  transform: "
      "log1p\n  key: [host]\n";
  d.inputs_max = 64;
  d.output_names = {"late"};
  d.options.push_back(DetectorOption("metric", OptionKind::kExpr, "The number to watch."));
  d.options.back().required = true;
  d.options.push_back(DetectorOption("method", OptionKind::kEnum, "How the expectation is made.", "ewma_zscore"));
  for (const OutlierMethod& m : OutlierMethods()) d.options.back().enum_values.push_back(m.name);
  d.options.push_back(DetectorOption("of", OptionKind::kExpr,
                                     "beta_binomial: how many each ratio is of. poisson, negbin: the exposure in which "
                                     "a count was made, such as hours."));
  for (OptionSpec& spec : OutlierMethodOptions()) d.options.push_back(std::move(spec));
  d.options.push_back(
      DetectorOption("transform", OptionKind::kEnum, "On which scale the method looks at the metric.", "none"));
  d.options.back().enum_values.assign(std::begin(kTransformNames), std::end(kTransformNames));
  d.options.push_back(DetectorOption("kind", OptionKind::kEnum, "transform auto: what the metric is.", "auto"));
  d.options.back().enum_values.assign(std::begin(kMetricKindNames), std::end(kMetricKindNames));
  d.options.push_back(DetectorOption(
      "calibrate", OptionKind::kBool,
      "Take p_value from the key's own scores, 8 KB a key. Default true; for counts and ratios, whose tail is exact, "
      "false."));
  AddDetectorOptions(&d);
  d.make_operator = Make;
  return d;
}

}  // namespace freshet
