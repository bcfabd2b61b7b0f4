#include "operators/change_point.h"

#include <cstdio>
#include <memory>

#include "operators/binding.h"
#include "operators/change_point/adwin.h"
#include "operators/change_point/cusum.h"
#include "operators/change_point/page_hinkley.h"
#include "operators/detector_columns.h"
#include "operators/keyed_models.h"

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
constexpr double kDefaultSlack = 0.5;

struct ChangePlan : KeyedModelPlan {
  BoundExpr metric;
  std::string metric_name;
  std::function<std::unique_ptr<ChangeDetector>()> make;
  int direction = 0;  ///< 1 up only, -1 down only
  SchemaRef output;
};

/// As KeyedModels wants it.
class Model {
 public:
  explicit Model(const ChangePlan& plan) : detector_(plan.make()) {}
  std::optional<Change> Add(EventTime time, double x) { return detector_->Add(time, x); }
  size_t memory_bytes() const { return sizeof *this + detector_->memory_bytes(); }
  void Encode(ByteSink& sink) const {
    sink.PutU8(kCodec);
    detector_->Encode(sink);
  }
  Status Decode(ByteSource& source) {
    if (source.GetU8() != kCodec) return Status::DataLoss("the model in the checkpoint has an unknown form");
    return detector_->Decode(source);
  }

 private:
  std::unique_ptr<ChangeDetector> detector_;
};

/// The columns that are added, one Add a row.
class ChangeColumns {
 public:
  static std::vector<Field> Fields() {
    return {{"change", TypeId::kBool},      {"changed_at", TypeId::kTimestamp}, {"change_size", TypeId::kFloat64},
            {"direction", TypeId::kString}, {"level_before", TypeId::kFloat64}, {"level_after", TypeId::kFloat64},
            {"why", TypeId::kString}};
  }
  explicit ChangeColumns(int32_t rows) {
    for (const Field& field : Fields()) builders_.emplace_back(field.type, rows);
  }
  void Add(const std::optional<Change>& change, const std::string& metric) {
    builders_[0].AppendBool(change.has_value());
    if (!change) {
      for (size_t c = 1; c < builders_.size(); ++c) builders_[c].AppendNull();
      return;
    }
    builders_[1].AppendInt64(change->began.us);
    builders_[2].AppendFloat64(change->size());
    builders_[3].AppendString(change->size() > 0 ? "up" : "down");
    builders_[4].AppendFloat64(change->before);
    builders_[5].AppendFloat64(change->after);
    char text[96];
    std::snprintf(text, sizeof text, " went from %.4g to %.4g", change->before, change->after);
    builders_[6].AppendString(metric + text);
  }
  std::vector<Column> Finish() {
    std::vector<Column> columns;
    for (ColumnBuilder& b : builders_) columns.push_back(b.Finish());
    return columns;
  }

 private:
  std::vector<ColumnBuilder> builders_;
};

class ChangePoint final : public KeyedModelOperator<Model, ChangePlan> {
 public:
  explicit ChangePoint(std::shared_ptr<const ChangePlan> plan) : KeyedModelOperator(std::move(plan), "changes") {}

  Status ProcessBatch(InputIndex, const Batch& in, Emitter& out) override {
    if (!in.has_times()) return Status::Internal("`change_point` got rows without event time");
    const Column metric = plan_->metric.Evaluate(in, &counters_->nulled);
    FRESHET_RETURN_IF_ERROR(models_.StartBatch(in));
    ChangeColumns columns(in.row_count());
    for (int32_t row = 0; row < in.row_count(); ++row) {
      FRESHET_ASSIGN_OR_RETURN(Model* const model, models_.At(row));
      std::optional<Change> change = model->Add(in.time(row), NumberAt(metric, row));
      if (change && plan_->direction * change->size() < 0) change.reset();
      columns.Add(change, plan_->metric_name);
    }
    out.Emit(in.WithAppended(plan_->output, columns.Finish()));
    return Status::Ok();
  }
};

/// Options that the method does not read are errors (FR3551), and what it lacks (FR3552).
bool CheckOptions(const OptionsNode& options, const BindContext& bind, const std::string& method) {
  bool good = true;
  const auto unused = [&](const char* option, const std::string& what, const char* hint) {
    if (!options.Has(option)) return;
    bind.diagnostics->Error("FR3551", options.span(option), "`" + std::string(option) + "` has no effect " + what,
                            hint);
    good = false;
  };
  if (method == "adwin") {
    for (const char* option : {"slack", "threshold", "false_alarm_every"})
      unused(option, "with `method: adwin`", "`delta` says how sure a change must be");
    return good;
  }
  unused("delta", "with `method: " + method + "`", "it is an option of adwin");
  if (method == "cusum") unused("standardize", "with `method: cusum`, which always does", "remove it");
  if (options.Has("threshold")) unused("false_alarm_every", "where `threshold` is set", "remove one of them");
  if (options.GetBool("standardize") || method == "cusum") return good;
  if (!options.Has("threshold") || !options.Has("slack")) {
    bind.diagnostics->Error("FR3552", options.span("standardize"),
                            "without `standardize` both `threshold` and `slack` are needed, in the metric's unit",
                            "such as `threshold: 50` with `slack: 0.005` for the error of a model");
    good = false;
  }
  return good;
}

bool ReadMethod(const OptionsNode& options, const BindContext& bind, ChangePlan* plan) {
  const std::string method = options.GetString("method");
  if (!CheckOptions(options, bind, method)) return false;
  const double slack = options.FindFloat("slack").value_or(kDefaultSlack);
  const double rows = static_cast<double>(options.GetInt("false_alarm_every"));
  const auto threshold = [&] { return options.FindFloat("threshold").value_or(CusumThreshold(slack, rows)); };
  Status valid;
  char text[96] = "adwin";
  if (method == "adwin") {
    AdwinOptions o{.standardize = options.GetBool("standardize")};
    o.delta = options.FindFloat("delta").value_or(o.delta);
    valid = Adwin::Validate(o);
    plan->make = [o] { return std::make_unique<Adwin>(o); };
  } else if (method == "cusum") {
    if (!(slack > 0)) valid = Status::InvalidArgument("slack must be above 0");
    CusumOptions o{slack, valid.ok() ? threshold() : 1, !options.Has("threshold")};
    std::snprintf(text, sizeof text, "cusum slack %.6g threshold %.6g", o.slack, o.threshold);
    plan->make = [o] { return std::make_unique<Cusum>(o); };
  } else {
    PageHinkleyOptions o{.standardize = options.GetBool("standardize"), .slack = slack};
    if (o.standardize && !(slack > 0)) valid = Status::InvalidArgument("slack must be above 0");
    if (valid.ok()) o.threshold = threshold();
    o.adapt = o.standardize && !options.Has("threshold");
    std::snprintf(text, sizeof text, "page_hinkley slack %.6g threshold %.6g", o.slack, o.threshold);
    plan->make = [o] { return std::make_unique<PageHinkley>(o); };
  }
  plan->fingerprint = text + std::string(options.GetBool("standardize") ? ": " : " raw: ") + plan->metric_name;
  if (valid.ok()) return true;
  bind.diagnostics->Error("FR3504", bind.node_span, valid.message());
  return false;
}

std::optional<BoundOperator> Make(const OptionsNode& options, const BindContext& bind) {
  const Schema* input = CommonInput(bind);
  if (input == nullptr) return std::nullopt;
  auto plan = std::make_shared<ChangePlan>();
  const auto text = options.FindExpr("metric");
  const auto metric = text ? BindNumber(*text, *input, bind, "FR3505", "`metric`") : std::nullopt;
  const auto schema = WithAddedColumns(options, bind, *input, ChangeColumns::Fields());
  if (metric) plan->metric_name = metric->ToString();
  BoundOperator bound;
  if (schema) {
    plan->output = std::make_shared<const Schema>(*schema);
    bound.outputs = {{"", plan->output, OutputOrder::kInputOrder, {}}};
  }
  TakeByEventTime(*input, &bound);
  const bool keys = ReadKeyedModelOptions(options, bind, *input, plan.get(), &bound);
  if (!ReadMethod(options, bind, plan.get()) || !metric || !keys || !schema) return std::nullopt;
  plan->metric = *metric;
  const std::string direction = options.GetString("direction");
  plan->direction = direction == "up" ? 1 : direction == "down" ? -1 : 0;
  AddColumnsRead(plan->metric, *input, &bound.columns_read);
  bound.outputs[0].method = "change_point of " + plan->metric_name + " (" + options.GetString("method") + ")";
  bound.explain = {{"metric", plan->metric_name}, {"method", options.GetString("method")}};
  bound.instantiate = [plan] { return std::make_unique<ChangePoint>(plan); };
  return bound;
}

}  // namespace

NodeDescriptor ChangePointDescriptor() {
  NodeDescriptor d;
  d.type = "change_point";
  d.kind = NodeKind::kOperator;
  d.summary = "Says when the level of a number has shifted for good: when it began, from what to what";
  d.doc =
      "All rows pass, with change (true on the row that makes a change certain), and on such rows changed_at (the time "
      "of the first row behind it),\n"
      "change_size, direction (up, down), level_before, level_after and why. A spike is no change; a slow drift "
      "becomes "
      "one when it has gone far enough.\n"
      "After a change, and at first, the new level is learnt from 30 rows (adwin: 50), which say nothing. Rows are "
      "taken "
      "by event time; late ones leave on `ID.late`.\n"
      "The metric may be what a model gets wrong, such as `abs(actual - expected)`; where a metric follows hours or "
      "days, watch the score of\n"
      "statistical_outlier with method seasonal or holt_winters instead: rows that depend on each other look like "
      "changes.\n"
      "Methods, and what for:\n"
      "  cusum: the smallest lasting shifts soonest; steady noise\n"
      "  page_hinkley: as cusum, against the mean of all rows; also in the metric's own unit\n"
      "  adwin: no shape of noise assumed, few false alarms; for errors of models, and for drift";
  d.example =
      "regime:\n  type: change_point\n  inputs: [per_minute]\n  metric: latency_ms\n  false_alarm_every: 100000\n  "
      "key: "
      "[host]\n";
  d.inputs_max = 64;
  d.output_names = {"late"};
  d.options.push_back(DetectorOption("metric", OptionKind::kExpr, "The number to watch."));
  d.options.back().required = true;
  d.options.push_back(DetectorOption("method", OptionKind::kEnum, "How a change is told from noise.", "cusum"));
  d.options.back().enum_values = {"cusum", "page_hinkley", "adwin"};
  const auto number = [&](const char* name, const char* doc, double min, double max) {
    d.options.push_back(DetectorOption(name, OptionKind::kFloat, doc));
    d.options.back().min = min;
    d.options.back().max = max;
  };
  d.options.push_back(
      DetectorOption("false_alarm_every", OptionKind::kInt,
                     "cusum, page_hinkley: on noise without a change, one is told in about so many rows of a key. "
                     "Sets the threshold.",
                     "10000"));
  d.options.back().min = 10;
  d.options.back().max = 1e15;
  number("slack",
         "cusum, page_hinkley: half of the shift to be found soonest, in standard deviations. Default 0.5. Without "
         "`standardize`, in the metric's unit.",
         0, 1e150);
  number("threshold",
         "cusum, page_hinkley: how far the sum may go, in standard deviations (without `standardize`, in the metric's "
         "unit), instead of by false_alarm_every.",
         1e-150, 1e150);
  number("delta", "adwin: chance that a cut which is no change is taken for one. Default 0.002.", 1e-12, 0.999);
  d.options.push_back(DetectorOption(
      "standardize", OptionKind::kBool,
      "page_hinkley, adwin: look at the metric in its own standard deviations. Without it adwin wants values within a "
      "range of 1, such as errors that are 0 or 1.",
      "true"));
  d.options.push_back(DetectorOption("direction", OptionKind::kEnum,
                                     "Changes to tell; others are learnt without a word.", "both", StateEffect::kNone));
  d.options.back().enum_values = {"both", "up", "down"};
  d.options.push_back(
      DetectorOption("key", OptionKind::kNameList,
                     "One detector for each value of these columns; without it one for the whole stream."));
  d.options.push_back(StateTtlOption());
  d.options.push_back(DetectorOption("as", OptionKind::kString, "Prefix of the added columns, as in PREFIX_change.", "",
                                     StateEffect::kNone));
  d.make_operator = Make;
  return d;
}

}  // namespace freshet
