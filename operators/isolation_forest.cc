#include "operators/isolation_forest.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <variant>

#include "operators/binding.h"
#include "operators/detector_columns.h"
#include "operators/isolation_forest/online_forest.h"
#include "operators/isolation_forest/rolling_forest.h"
#include "operators/keyed_models.h"
#include "operators/outlier/tail_calibrator.h"

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
constexpr DetectorColumnsOptions kColumns{};

struct ForestPlan {
  std::vector<BoundExpr> features;
  std::vector<std::string> names;
  std::variant<RollingForestOptions, OnlineForestOptions> model;
  double max_p = 1e-3;
  std::optional<KeyCodec> key;
  SchemaRef output;
  std::string fingerprint;
};

/// A forest and the calibration of its scores.
class Model {
 public:
  explicit Model(const ForestPlan& plan) : calibrator_(TailCalibratorOptions{}) {
    if (const auto* rolling = std::get_if<RollingForestOptions>(&plan.model))
      forest_.emplace<RollingForest>(*rolling);
    else
      forest_.emplace<OnlineForest>(std::get<OnlineForestOptions>(plan.model));
  }

  DetectorColumns::Row ScoreAndLearn(const double* x, const ForestPlan& plan, std::vector<double>& parts) {
    DetectorColumns::Row row;
    Visit([&](auto& forest) {
      const bool ready = forest.ready();
      row.score = ready ? forest.Score(x) : NAN;
      row.p_value = calibrator_.PValueAndLearn(row.score);
      row.is_anomaly = row.p_value && *row.p_value < plan.max_p;
      if (row.p_value && *row.p_value < 1e-2) {
        forest.Contributions(x, parts.data());
        row.why = Why(parts, plan.names, x);
      }
      forest.Learn(x);
    });
    return row;
  }

  void Encode(ByteSink& sink) const {
    sink.PutU8(kCodec);
    Visit([&](const auto& forest) { forest.Encode(sink); });
    calibrator_.Encode(sink);
  }
  Status Decode(ByteSource& source) {
    if (source.GetU8() != kCodec) return Status::DataLoss("the forest in the checkpoint has an unknown form");
    Status status;
    Visit([&](auto& forest) { status = forest.Decode(source); });
    FRESHET_RETURN_IF_ERROR(std::move(status));
    return calibrator_.Decode(source);
  }

 private:
  template <class F>
  void Visit(F&& f) {
    if (auto* rolling = std::get_if<RollingForest>(&forest_))
      f(*rolling);
    else
      f(std::get<OnlineForest>(forest_));
  }
  template <class F>
  void Visit(F&& f) const {
    if (const auto* rolling = std::get_if<RollingForest>(&forest_))
      f(*rolling);
    else
      f(std::get<OnlineForest>(forest_));
  }

  /// "views = 812 (71%), likes = 3 (29%)": the features that make the score high, with their share of that.
  static std::string Why(const std::vector<double>& parts, const std::vector<std::string>& names, const double* x) {
    double total = 0;
    for (const double p : parts) total += std::max(0.0, p);
    if (!(total > 0)) return {};
    std::vector<size_t> order(parts.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return parts[a] > parts[b]; });
    std::string out;
    for (size_t i = 0; i < std::min<size_t>(3, order.size()); ++i) {
      const size_t f = order[i];
      if (parts[f] < 0.05 * total) break;
      char text[96];
      std::snprintf(text, sizeof text, " = %.4g (%.0f%%)", x[f], 100 * parts[f] / total);
      out += (i == 0 ? "" : ", ") + names[f] + text;
    }
    return out;
  }

  std::variant<std::monostate, RollingForest, OnlineForest> forest_;
  TailCalibrator calibrator_;
};

class IsolationForest final : public Operator {
 public:
  explicit IsolationForest(std::shared_ptr<const ForestPlan> plan)
      : plan_(std::move(plan)), models_(plan_.get()), x_(plan_->features.size()), parts_(plan_->features.size()) {}

  Status Open(OpenContext& ctx) override {
    counters_ = &ctx.counters();
    return models_.Open(ctx, "forests", kCodec);
  }

  Status ProcessBatch(InputIndex, const Batch& in, Emitter& out) override {
    std::vector<Column> features;
    for (const BoundExpr& f : plan_->features) features.push_back(f.Evaluate(in, &counters_->nulled));
    FRESHET_RETURN_IF_ERROR(models_.StartBatch(in));
    DetectorColumns columns(kColumns, in.row_count());
    for (int32_t row = 0; row < in.row_count(); ++row) {
      for (size_t f = 0; f < features.size(); ++f) x_[f] = NumberAt(features[f], row);
      FRESHET_ASSIGN_OR_RETURN(Model* const model, models_.At(row));
      columns.Add(model->ScoreAndLearn(x_.data(), *plan_, parts_));
    }
    out.Emit(in.WithAppended(plan_->output, columns.Finish()));
    return Status::Ok();
  }

  Status SnapshotExtra(ByteSink& sink) override { return models_.SnapshotExtra(sink); }

 private:
  const std::shared_ptr<const ForestPlan> plan_;
  KeyedModels<Model, ForestPlan> models_;
  std::vector<double> x_;
  std::vector<double> parts_;
  NodeCounters* counters_ = nullptr;
};

bool BindFeatures(const OptionsNode& options, const Schema& input, const BindContext& bind, ForestPlan* plan) {
  bool good = true;
  for (const SpannedText& text : options.GetList("features")) {
    auto bound = BindNumber(text, input, bind, "FR3502", "a feature");
    good = good && bound.has_value();
    if (!bound) continue;
    plan->names.push_back(bound->ToString());
    plan->features.push_back(std::move(*bound));
  }
  if (good && plan->features.empty()) {
    bind.diagnostics->Error("FR3503", options.span("features"), "a forest needs at least one feature");
    return false;
  }
  return good;
}

std::optional<BoundOperator> Make(const OptionsNode& options, const BindContext& bind) {
  const Schema* input = CommonInput(bind);
  if (input == nullptr) return std::nullopt;
  auto plan = std::make_shared<ForestPlan>();
  bool good = BindFeatures(options, *input, bind, plan.get());
  const auto key = FindKey(*input, options, "key", bind.diagnostics);
  const auto schema = DetectorSchema(options, bind, *input, kColumns);
  if (!good || !key || !schema) return std::nullopt;
  plan->output = std::make_shared<const Schema>(*schema);
  plan->max_p = options.GetFloat("max_p");
  const bool online = options.GetString("variant") == "online";
  const auto features = static_cast<int>(plan->features.size());
  const auto window = static_cast<int>(options.GetInt("window"));
  const auto leaf = static_cast<int>(options.GetInt("leaf_size"));
  const auto trees = static_cast<int>(options.FindInt("trees").value_or(online ? 32 : 64));
  const auto seed = static_cast<uint64_t>(options.GetInt("seed"));
  Status valid;
  if (online) {
    OnlineForestOptions o;
    o.features = features;
    o.trees = trees;
    o.window = window;
    o.leaf_size = leaf;
    o.seed = seed;
    valid = OnlineForest::Validate(o);
    plan->model = o;
  } else {
    RollingForestOptions o;
    o.features = features;
    o.trees = trees;
    o.window = window;
    o.leaf_size = leaf;
    o.seed = seed;
    valid = RollingForest::Validate(o);
    plan->model = o;
  }
  if (!valid.ok()) {
    bind.diagnostics->Error("FR3504", bind.node_span, valid.message());
    return std::nullopt;
  }
  plan->fingerprint = std::string(online ? "online" : "rolling") + " trees " + std::to_string(trees) + " window " +
                      std::to_string(window) + " leaf " + std::to_string(leaf) + " seed " + std::to_string(seed) + ":";
  for (const std::string& name : plan->names) plan->fingerprint += " " + name;
  BoundOperator bound;
  if (!key->empty()) {
    plan->key = KeyCodec(*input, *key);
    bound.key = *key;
  }
  bound.outputs = {{"", plan->output, OutputOrder::kInputOrder, {}}};
  for (const BoundExpr& f : plan->features) AddColumnsRead(f, *input, &bound.columns_read);
  for (const int c : *key) AddName(input->field(c).name, &bound.columns_read);
  std::string names;
  for (const std::string& name : plan->names) names += (names.empty() ? "" : ", ") + name;
  bound.explain = {{"features", names}, {"variant", online ? "online" : "rolling"}};
  bound.instantiate = [plan] { return std::make_unique<IsolationForest>(plan); };
  return bound;
}

}  // namespace

NodeDescriptor IsolationForestDescriptor() {
  NodeDescriptor d;
  d.type = "isolation_forest";
  d.kind = NodeKind::kOperator;
  d.summary = "Online isolation forest: scores each row by how easily it is set apart from the rows before it";
  d.doc =
      "Adds score (in (0, 1), higher is stranger; no natural cut), p_value (how often a usual row scores as high: "
      "calibrated on the scores' own past,\n"
      "null for the first 200 scores), is_anomaly (p_value < max_p), severity (low < 1e-2, medium < 1e-3, high < 1e-4, "
      "critical < 1e-6) and why (the\n"
      "features that make the score high, with their share). Each row is scored, then learned, one by one.\n"
      "variant rolling (default): 64 trees over the last `window` rows, half on small and half on larger samples, one "
      "rebuilt every 8 rows.\n"
      "variant online: Leveni et al., ICML 2024, 32 trees. A null feature is missing. A full model takes some 0.3-0.6 "
      "MB; with `key` one per key.";
  d.example =
      "odd:\n  type: isolation_forest\n  inputs: [motion]\n  features:\n    - log1p(view_velocity)\n    - "
      "engagement_rate\n";
  d.inputs_max = 64;
  d.options.push_back(
      DetectorOption("features", OptionKind::kExprList, "Numbers that describe a row, one expression a line."));
  d.options.back().required = true;
  d.options.push_back(DetectorOption("variant", OptionKind::kEnum, "Which algorithm.", "rolling"));
  d.options.back().enum_values = {"rolling", "online"};
  const auto number = [&](const char* name, const char* doc, const char* fallback, double min, double max) {
    d.options.push_back(DetectorOption(name, OptionKind::kInt, doc, fallback));
    d.options.back().min = min;
    d.options.back().max = max;
  };
  number("trees", "Number of trees; default 64 (rolling) or 32 (online).", "", 1, 1024);
  number("leaf_size", "Rows in a small sample (rolling) or at which a leaf may split (online).", "32", 1, 65535);
  number("window", "Rows remembered.", "2048", 2, 65535);
  number("seed", "Seed of the random choices: the same seed gives the same scores.", "1", 0, 9e15);
  AddDetectorOptions(&d);
  d.make_operator = Make;
  return d;
}

}  // namespace freshet
