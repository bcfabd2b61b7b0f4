#include "operators/isolation_forest.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <variant>

#include "operators/binding.h"
#include "operators/detector_columns.h"
#include "operators/isolation_forest/category_rarity.h"
#include "operators/isolation_forest/half_space_trees.h"
#include "operators/isolation_forest/online_forest.h"
#include "operators/isolation_forest/random_cut_forest.h"
#include "operators/isolation_forest/rolling_forest.h"
#include "operators/keyed_models.h"
#include "operators/outlier/tail_calibrator.h"

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
constexpr DetectorColumnsOptions kColumns{};

struct ForestPlan : KeyedModelPlan {
  std::vector<BoundExpr> features;
  std::vector<BoundExpr> categories;  // features after the others
  std::vector<std::string> names;     // of both
  std::variant<RollingForestOptions, OnlineForestOptions, HalfSpaceTreesOptions, RandomCutForestOptions> model;
  double max_p = 1e-3;
  SchemaRef output;
};

template <class Options>
struct ForestFor;
template <>
struct ForestFor<RollingForestOptions> {
  using type = RollingForest;
};
template <>
struct ForestFor<OnlineForestOptions> {
  using type = OnlineForest;
};
template <>
struct ForestFor<HalfSpaceTreesOptions> {
  using type = HalfSpaceTrees;
};
template <>
struct ForestFor<RandomCutForestOptions> {
  using type = RandomCutForest;
};
template <class Options>
using ForestOf = typename ForestFor<Options>::type;

/// The online forest's few splits stay while the data moves away from them, so that its scores wander.
TailCalibratorOptions CalibratorOptions(const ForestPlan& plan) {
  return std::holds_alternative<OnlineForestOptions>(plan.model) ? ForWanderingScores() : TailCalibratorOptions{};
}

/// A forest and the calibration of its scores.
class Model {
 public:
  explicit Model(const ForestPlan& plan) : categories_(plan.categories.size()), calibrator_(CalibratorOptions(plan)) {
    std::visit([&](const auto& options) { forest_.emplace<ForestOf<std::decay_t<decltype(options)>>>(options); },
               plan.model);
  }

  /// The category's number, for the row that is scored next.
  double Rarity(size_t category, std::string_view value) { return categories_[category].BitsAndLearn(value); }

  DetectorColumns::Row ScoreAndLearn(const double* x, const ForestPlan& plan, std::vector<double>& parts) {
    DetectorColumns::Row row;
    Visit([&](auto& forest) {
      const bool ready = forest.ready();
      row.score = ready ? forest.Score(x) : NAN;
      row.p_value = calibrator_.PValueAndLearn(row.score);
      row.is_anomaly = row.p_value && *row.p_value < plan.max_p;
      if (row.p_value && *row.p_value < 1e-2) {
        forest.Contributions(x, parts.data());
        row.why = Why(parts, plan, x);
      }
      forest.Learn(x);
    });
    return row;
  }

  void Encode(ByteSink& sink) const {
    sink.PutU8(kCodec);
    Visit([&](const auto& forest) { forest.Encode(sink); });
    calibrator_.Encode(sink);
    for (const CategoryRarity& category : categories_) category.Encode(sink);
  }
  Status Decode(ByteSource& source) {
    if (source.GetU8() != kCodec) return Status::DataLoss("the forest in the checkpoint has an unknown form");
    Status status;
    Visit([&](auto& forest) { status = forest.Decode(source); });
    FRESHET_RETURN_IF_ERROR(std::move(status));
    FRESHET_RETURN_IF_ERROR(calibrator_.Decode(source));
    for (CategoryRarity& category : categories_) {
      if (!category.Decode(source)) return Status::DataLoss("the categories in the checkpoint are damaged");
    }
    return Status::Ok();
  }

 private:
  template <class F>
  void Visit(F&& f) {
    std::visit([&](auto& forest) { Call(f, forest); }, forest_);
  }
  template <class F>
  void Visit(F&& f) const {
    std::visit([&](const auto& forest) { Call(f, forest); }, forest_);
  }
  template <class F, class Forest>
  static void Call(F& f, Forest& forest) {
    if constexpr (!std::is_same_v<std::remove_const_t<Forest>, std::monostate>) f(forest);
  }

  /// "views = 812 (71%), likes = 3 (29%)": the features that make the score high, with their share of that.
  /// A category: "country 1 in 800 (52%)".
  static std::string Why(const std::vector<double>& parts, const ForestPlan& plan, const double* x) {
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
      if (f < plan.features.size())
        std::snprintf(text, sizeof text, " = %.4g (%.0f%%)", x[f], 100 * parts[f] / total);
      else
        std::snprintf(text, sizeof text, " 1 in %.0f (%.0f%%)", std::exp2(x[f]), 100 * parts[f] / total);
      out += (i == 0 ? "" : ", ") + plan.names[f] + text;
    }
    return out;
  }

  std::variant<std::monostate, RollingForest, OnlineForest, HalfSpaceTrees, RandomCutForest> forest_;
  std::vector<CategoryRarity> categories_;
  TailCalibrator calibrator_;
};

class IsolationForest final : public KeyedModelOperator<Model, ForestPlan> {
 public:
  explicit IsolationForest(std::shared_ptr<const ForestPlan> plan)
      : KeyedModelOperator(std::move(plan), "forests"), x_(plan_->names.size()), parts_(plan_->names.size()) {}

  Status ProcessBatch(InputIndex, const Batch& in, Emitter& out) override {
    std::vector<Column> features;
    for (const BoundExpr& f : plan_->features) features.push_back(f.Evaluate(in, &counters_->nulled));
    std::vector<Column> categories;
    for (const BoundExpr& c : plan_->categories) categories.push_back(c.Evaluate(in, &counters_->nulled));
    FRESHET_RETURN_IF_ERROR(models_.StartBatch(in));
    DetectorColumns columns(kColumns, in.row_count());
    for (int32_t row = 0; row < in.row_count(); ++row) {
      for (size_t f = 0; f < features.size(); ++f) x_[f] = NumberAt(features[f], row);
      FRESHET_ASSIGN_OR_RETURN(Model* const model, models_.At(row));
      for (size_t c = 0; c < categories.size(); ++c) {
        x_[features.size() + c] = categories[c].IsNull(row) ? NAN : model->Rarity(c, categories[c].StringAt(row));
      }
      columns.Add(model->ScoreAndLearn(x_.data(), *plan_, parts_));
    }
    out.Emit(in.WithAppended(plan_->output, columns.Finish()));
    return Status::Ok();
  }

 private:
  std::vector<double> x_;
  std::vector<double> parts_;
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

bool BindCategories(const OptionsNode& options, const Schema& input, const BindContext& bind, ForestPlan* plan) {
  bool good = true;
  for (const SpannedText& text : options.GetList("categories")) {
    const auto parsed = ParsedExpr::Parse(text, bind.diagnostics);
    auto bound = parsed ? BoundExpr::Bind(*parsed, input, bind.diagnostics) : std::nullopt;
    if (bound && bound->type() != TypeId::kString) {
      bind.diagnostics->Error(
          "FR3507", text.span,
          "a category must be a string; this expression gives " + std::string(TypeName(bound->type())),
          "put a number under `features`");
      bound.reset();
    }
    good = good && bound.has_value();
    if (!bound) continue;
    plan->names.push_back(bound->ToString());
    plan->categories.push_back(std::move(*bound));
  }
  return good;
}

/// Fills model and fingerprint; names the option that does not fit.
Status ReadModel(const std::string& variant, const OptionsNode& options, ForestPlan* plan) {
  std::string window_and_leaf;
  const auto read = [&](auto o, bool has_leaf) {
    o.features = static_cast<int>(plan->names.size());
    o.trees = static_cast<int>(options.FindInt("trees").value_or(o.trees));
    o.window = static_cast<int>(options.FindInt("window").value_or(o.window));
    o.seed = static_cast<uint64_t>(options.GetInt("seed"));
    if constexpr (requires { o.leaf_size; }) {
      if (variant == "half_space_trees") o.leaf_size = std::max(1, o.window / 10);
      o.leaf_size = static_cast<int>(options.FindInt("leaf_size").value_or(o.leaf_size));
      window_and_leaf = std::to_string(o.window) + " leaf " + std::to_string(o.leaf_size);
    } else {
      window_and_leaf = std::to_string(o.window);
    }
    plan->fingerprint = variant + " trees " + std::to_string(o.trees) + " window " + window_and_leaf + " seed " +
                        std::to_string(o.seed) + ":";
    plan->model = o;
    if (!has_leaf && options.FindInt("leaf_size"))
      return Status::InvalidArgument("robust_random_cut_forest grows its trees to single rows: it has no leaf_size");
    return ForestOf<decltype(o)>::Validate(o);
  };
  if (variant == "online") return read(OnlineForestOptions(), true);
  if (variant == "half_space_trees") return read(HalfSpaceTreesOptions(), true);
  if (variant == "robust_random_cut_forest") return read(RandomCutForestOptions(), false);
  return read(RollingForestOptions(), true);
}

std::optional<BoundOperator> Make(const OptionsNode& options, const BindContext& bind) {
  const Schema* input = CommonInput(bind);
  if (input == nullptr) return std::nullopt;
  auto plan = std::make_shared<ForestPlan>();
  bool good = BindFeatures(options, *input, bind, plan.get());
  good = BindCategories(options, *input, bind, plan.get()) && good;
  const auto schema = DetectorSchema(options, bind, *input, kColumns);
  BoundOperator bound;
  if (schema) {
    plan->output = std::make_shared<const Schema>(*schema);
    bound.outputs = {{"", plan->output, OutputOrder::kInputOrder, {}}};
  }
  if (!ReadKeyedModelOptions(options, bind, *input, plan.get(), &bound) || !good || !schema) return std::nullopt;
  plan->max_p = options.GetFloat("max_p");
  const std::string variant = options.GetString("variant");
  const Status valid = ReadModel(variant, options, plan.get());
  if (!valid.ok()) {
    bind.diagnostics->Error("FR3504", bind.node_span, valid.message());
    return std::nullopt;
  }
  for (const std::string& name : plan->names) plan->fingerprint += " " + name;
  if (!plan->categories.empty()) plan->fingerprint += " categories " + std::to_string(plan->categories.size());
  for (const BoundExpr& f : plan->features) AddColumnsRead(f, *input, &bound.columns_read);
  for (const BoundExpr& c : plan->categories) AddColumnsRead(c, *input, &bound.columns_read);
  std::string names;
  for (const std::string& name : plan->names) names += (names.empty() ? "" : ", ") + name;
  bound.outputs[0].method = "isolation_forest of " + names + " (" + variant + ")";
  bound.explain = {{"features", names}, {"variant", variant}};
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
      "variant online: Leveni et al., ICML 2024, 32 trees. half_space_trees: Tan et al., IJCAI 2011. "
      "robust_random_cut_forest: Guha et al., ICML 2016,\n"
      "slow, and for features on scales that compare. The last two are there for who knows them by name. A null "
      "feature is missing. A full model takes some 0.3-0.6 "
      "MB; with `key` one per key.";
  d.example =
      "odd:\n  type: isolation_forest\n  inputs: [motion]\n  features:\n    - log1p(view_velocity)\n    - "
      "engagement_rate\n";
  d.inputs_max = 64;
  d.output_names = {"late"};
  d.options.push_back(
      DetectorOption("features", OptionKind::kExprList, "Numbers that describe a row, one expression a line."));
  d.options.back().required = true;
  d.options.push_back(DetectorOption("categories", OptionKind::kExprList,
                                     "Strings that describe a row; each becomes a feature: how rare it has been among "
                                     "the last 4,000 rows or so, in bits."));
  d.options.push_back(DetectorOption("variant", OptionKind::kEnum, "Which algorithm.", "rolling"));
  d.options.back().enum_values = {"rolling", "online", "half_space_trees", "robust_random_cut_forest"};
  const auto number = [&](const char* name, const char* doc, const char* fallback, double min, double max) {
    d.options.push_back(DetectorOption(name, OptionKind::kInt, doc, fallback));
    d.options.back().min = min;
    d.options.back().max = max;
  };
  number("trees",
         "Number of trees; default 64 (rolling), 32 (online), 25 (half_space_trees), 40 (robust_random_cut_forest).",
         "", 1, 1024);
  number("leaf_size",
         "Rows in a small sample (rolling), at which a leaf may split (online), up to which a node is not looked into "
         "(half_space_trees); default 32, a tenth of the window for half_space_trees.",
         "", 1, 65535);
  number("window", "Rows remembered; default 2048, 250 for half_space_trees, 256 for robust_random_cut_forest.", "", 2,
         65535);
  number("seed", "Seed of the random choices: the same seed gives the same scores.", "1", 0, 9e15);
  AddDetectorOptions(&d);
  d.make_operator = Make;
  return d;
}

}  // namespace freshet
