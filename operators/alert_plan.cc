#include "operators/alert_plan.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/base/signed_link.h"
#include "operators/alert/alert_rows.h"

namespace freshet {
namespace {

/// Fills an `alert`'s plan and says what is wrong with its options.
class PlanMaker {
 public:
  PlanMaker(const OptionsNode& options, const Schema& input, const BindContext& bind)
      : options_(options), input_(input), bind_(bind), plan_(std::make_shared<AlertPlan>()) {}

  std::shared_ptr<AlertPlan> Make() {
    plan_->rule = bind_.node_id;
    plan_->id_scope = bind_.pipeline_name + "|" + bind_.node_id;
    plan_->input = std::make_shared<const Schema>(input_);
    const auto key = FindKey(input_, options_, "key", bind_.diagnostics);
    bool good = key.has_value();
    good = BindConditions() && good;
    good = BindThresholds() && good;
    good = BindDirection() && good;
    good = BindNoData() && good;
    good = BindSeverity() && good;
    good = BindPeak() && good;
    good = BindMaintenance() && good;
    good = BindSparkline() && good;
    good = BindTexts() && good;
    good = BindAlertBriefing(options_, input_, bind_, plan_.get()) && good;
    if (bind_.alert_links != nullptr) plan_->links = *bind_.alert_links;
    BindSurprise();
    if (!good) return nullptr;
    plan_->key = KeyCodec(input_, *key);
    plan_->rules.episode.for_us = options_.GetDuration("for").us;
    plan_->rules.episode.keep_firing_for_us = options_.GetDuration("keep_firing_for").us;
    plan_->rules.episode.cooldown_us = options_.GetDuration("cooldown").us;
    plan_->rules.remember_us = options_.GetDuration("remember").us;
    MakeSchema();
    plan_->layout = {"row: ", {plan_->input}, "; key:"};
    for (const TypeId type : plan_->key.types()) plan_->layout.after += std::string(" ") + TypeName(type);
    return plan_;
  }

 private:
  bool Error(const char* code, const char* option, const std::string& text, const std::string& help = "") {
    bind_.diagnostics->Error(code, options_.span(option), text, help);
    return false;
  }

  bool BindConditions() {
    bool good = true;
    for (const auto& [name, expr] : {std::pair("when", &plan_->when), std::pair("clear_when", &plan_->clear_when)}) {
      const std::optional<SpannedText> text = options_.FindExpr(name);
      if (!text) continue;
      const auto condition = BindCondition(*text, input_, bind_.diagnostics);
      good = condition.has_value() && good;
      if (condition) *expr = *condition;
    }
    if (!options_.Has("when") && !options_.Has("threshold"))
      return Error("FR3406", "when", "an alert needs a condition",
                   "write `when: EXPRESSION`, or `threshold: NUMBER` with `value: EXPRESSION`");
    return good;
  }

  std::optional<BoundExpr> BindNumber(const SpannedText& text, const char* code, const char* option) {
    const auto parsed = ParsedExpr::Parse(text, bind_.diagnostics);
    auto bound = parsed ? BoundExpr::Bind(*parsed, input_, bind_.diagnostics) : std::nullopt;
    if (!bound || IsNumeric(bound->type())) return bound;
    bind_.diagnostics->Error(code, text.span,
                             std::string("`") + option + "` must be a number; this expression gives " +
                                 std::string(TypeName(bound->type())));
    return std::nullopt;
  }

  /// An expression, or the input's `score`.
  std::optional<SpannedText> TextOrScore(const char* option) const {
    if (auto text = options_.FindExpr(option)) return text;
    const std::optional<int> score = input_.Find("score");
    if (!score || !IsNumeric(input_.field(*score).type)) return std::nullopt;
    return SpannedText{"score", {}, {}};
  }

  bool BindThresholds() {
    plan_->threshold = options_.FindFloat("threshold");
    plan_->clear_threshold = options_.FindFloat("clear_threshold");
    const std::optional<SpannedText> text = TextOrScore("value");
    if (text && (plan_->threshold || options_.Has("value"))) {
      const auto bound = BindNumber(*text, "FR3404", "value");
      if (!bound) return false;
      plan_->value = *bound;
    }
    if (plan_->threshold && !plan_->value)
      return Error("FR3406", "threshold", "a threshold of what? The input has no number `score`",
                   "write `value: EXPRESSION`");
    if (plan_->clear_threshold && !plan_->threshold)
      return Error("FR3408", "clear_threshold", "`clear_threshold` goes with `threshold`",
                   "with `when` write `clear_when: EXPRESSION`");
    if (!plan_->clear_threshold) return true;
    const bool down = options_.GetString("direction") == "down";
    if (down ? *plan_->clear_threshold < *plan_->threshold : *plan_->clear_threshold > *plan_->threshold)
      return Error("FR3408", "clear_threshold",
                   "an alert that fires at " + std::string(down ? "or below" : "or above") +
                       " its threshold cannot clear beyond it",
                   std::string("give a number ") + (down ? "above" : "below") + " `threshold`");
    return true;
  }

  bool BindDirection() {
    const std::string word = options_.GetString("direction");
    plan_->direction = word == "up"     ? AlertDirection::kUp
                       : word == "down" ? AlertDirection::kDown
                                        : AlertDirection::kBoth;
    if (plan_->threshold && plan_->direction == AlertDirection::kBoth && *plan_->threshold <= 0)
      return Error("FR3407", "threshold", "every value is at least this far from zero",
                   "with `direction: both` a threshold is above zero; write `direction: up` or `down`");
    if (plan_->threshold || plan_->direction == AlertDirection::kBoth) return true;
    const std::optional<int> column = input_.Find("direction");
    if (!column || input_.field(*column).type != TypeId::kString)
      return Error("FR3407", "direction", "there is nothing that has a direction",
                   "give a `threshold`, or read from a detector that says `direction`");
    plan_->direction_column = *column;
    return true;
  }

  bool BindNoData() {
    const std::string word = options_.GetString("no_data");
    EpisodeOptions& episode = plan_->rules.episode;
    episode.no_data = word == "fire" ? NoData::kFire : word == "resolve" ? NoData::kResolve : NoData::kKeep;
    const std::optional<Duration> after = options_.FindDuration("no_data_after");
    if (after) episode.no_data_after_us = after->us;
    if (episode.no_data == NoData::kKeep && after)
      return Error("FR3409", "no_data_after", "`no_data_after` says when; what is to be done then?",
                   "write `no_data: fire` or `no_data: resolve`");
    if (episode.no_data != NoData::kKeep && (!after || after->us <= 0))
      return Error("FR3409", after ? "no_data_after" : "no_data", "after how long without a row?",
                   "write `no_data_after: 10m`: more than rows of a key are apart");
    return true;
  }

  /// One of the four words, or an expression that gives one; by default the input's own column of that name.
  bool BindSeverity() {
    const std::optional<SpannedText> text = options_.FindExpr("severity");
    if (!text) {
      const std::optional<int> column = input_.Find("severity");
      if (!column || input_.field(*column).type != TypeId::kString) return true;
      Diagnostics quiet;
      const auto parsed = ParsedExpr::Parse({"severity", {}, {}}, &quiet);
      if (auto bound = parsed ? BoundExpr::Bind(*parsed, input_, &quiet) : std::nullopt) plan_->severity = *bound;
      return true;
    }
    if (const uint8_t rank = SeverityRank(text->value); rank > 0) {
      plan_->fixed_severity = static_cast<Severity>(rank);
      plan_->rules.episode.no_data_severity = rank;
      return true;
    }
    const auto parsed = ParsedExpr::Parse(*text, bind_.diagnostics);
    if (!parsed) return false;
    BoundExpr::Options words;
    words.enum_values = {"low", "medium", "high", "critical"};
    auto bound = BoundExpr::Bind(*parsed, input_, bind_.diagnostics, words);
    if (!bound) return false;
    if (bound->type() != TypeId::kString) {
      bind_.diagnostics->Error(
          "FR3403", text->span,
          "a severity is low, medium, high or critical; this expression gives " + std::string(TypeName(bound->type())));
      return false;
    }
    plan_->severity = *bound;
    return true;
  }

  bool BindPeak() {
    if (!options_.Has("peak") && plan_->value) {
      plan_->peak = plan_->value;
      return true;
    }
    const std::optional<SpannedText> text = TextOrScore("peak");
    if (!text) return true;
    const auto bound = BindNumber(*text, "FR3404", "peak");
    if (bound) plan_->peak = *bound;
    return bound.has_value();
  }

  bool BindSparkline() {
    const std::optional<SpannedText> text = options_.FindExpr("sparkline");
    if (!text) return true;
    const auto bound = BindNumber(*text, "FR3404", "sparkline");
    if (!bound) return false;
    plan_->sparkline = *bound;
    if (!input_.Find("sparkline"))
      plan_->message_row = std::make_shared<const Schema>(input_.With({{"sparkline", TypeId::kString}}));
    return true;
  }

  /// What labels act on where no threshold can move: what a detector says of a row comes before any number of the
  /// pipeline's, which may be as large as it likes.
  void BindSurprise() {
    if (plan_->threshold) return;
    const auto find = [&](const char* name) {
      const std::optional<int> column = input_.Find(name);
      return column && input_.field(*column).type == TypeId::kFloat64 ? *column : -1;
    };
    plan_->p_value_column = find("p_value");
    plan_->alarm_score_column = find("alarm_score");
    if (plan_->p_value_column >= 0 || plan_->alarm_score_column >= 0) return;
    const std::optional<int> score = input_.Find("score");
    if (score && IsNumeric(input_.field(*score).type)) {
      if (const auto bound = BindNumber({"score", {}, {}}, "FR3404", "value")) plan_->surprise = *bound;
    } else {
      plan_->surprise = plan_->value;
    }
    plan_->rules.surprise_has_own_unit = plan_->surprise ? true : false;
  }

  bool BindMaintenance() {
    bool good = true;
    for (const SpannedText& window : options_.GetList("maintenance")) {
      const auto problem = plan_->rules.maintenance.Add(window.value);
      if (!problem) continue;
      bind_.diagnostics->Error(
          "FR3410", window.span, "no maintenance window: " + *problem,
          "write `2026-11-01T02:00Z to 2026-11-01T04:00Z`, or `sat,sun 02:00-04:30 Europe/Berlin`");
      good = false;
    }
    return good;
  }

  bool BindTemplate(const char* option, const Schema& schema, std::optional<MessageTemplate>* to) {
    const auto text = options_.FindExpr(option);
    if (!text) return true;
    *to = MessageTemplate::Parse(*text, schema, bind_.diagnostics);
    return to->has_value();
  }

  bool BindTexts() {
    bool good = BindTemplate("message", plan_->message_row ? *plan_->message_row : input_, &plan_->message);
    good = BindTemplate("dedupe_key", input_, &plan_->dedupe_key) && good;
    if (options_.Has("resolved_message") || options_.Has("link")) {
      plan_->told_row = ToldRow();
      good = BindTemplate("resolved_message", *plan_->told_row, &plan_->resolved_message) && good;
      good = BindTemplate("link", *plan_->told_row, &plan_->link) && good;
    }
    for (const char* name : {"owner", "runbook"})
      if (const auto text = options_.FindString(name)) plan_->constants.emplace_back(name, *text);
    std::string json;
    for (const auto& [name, value] : options_.GetMap("labels"))
      json += (json.empty() ? "{" : ",") + JsonText(name.value) + ":" + JsonText(value.value);
    if (!json.empty()) plan_->constants.emplace_back("labels", json + "}");
    return good;
  }

  static std::string JsonText(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
      if (c == '"' || c == '\\') out += '\\';
      if (static_cast<unsigned char>(c) < 0x20)
        out += ' ';
      else
        out += c;
    }
    return out + "\"";
  }

  /// The input's columns, and behind them what an alert is told with; those of a taken name get `row_` in front.
  SchemaRef ToldRow() const {
    const std::vector<Field> own = {{"started_at", TypeId::kTimestamp}, {"ended_at", TypeId::kTimestamp},
                                    {"duration", TypeId::kString},      {"peaked_at", TypeId::kTimestamp},
                                    {"peak", TypeId::kFloat64},         {"severity", TypeId::kString},
                                    {"alert_id", TypeId::kString},      {"started_ms", TypeId::kInt64},
                                    {"ended_ms", TypeId::kInt64},       {"sparkline", TypeId::kString}};
    std::set<std::string> taken;
    for (const Field& f : own) taken.insert(f.name);
    std::vector<Field> fields;
    for (Field field : input_.fields()) {
      while (!taken.insert(field.name).second) field.name = "row_" + field.name;
      fields.push_back(std::move(field));
    }
    fields.insert(fields.end(), own.begin(), own.end());
    return std::make_shared<const Schema>(std::move(fields));
  }

  void MakeSchema() {
    std::vector<Field> fields = {{"alert_id", TypeId::kString}, {"rule", TypeId::kString}};
    const std::vector<Field> own = {{"state", TypeId::kString},         {"severity", TypeId::kString},
                                    {"started_at", TypeId::kTimestamp}, {"peaked_at", TypeId::kTimestamp},
                                    {"peak", TypeId::kFloat64},         {"ended_at", TypeId::kTimestamp},
                                    {"message", TypeId::kString}};
    std::vector<Field> last;
    if (plan_->dedupe_key) last.push_back({"dedupe_key", TypeId::kString});
    if (plan_->link) last.push_back({"link", TypeId::kString});
    if (plan_->sparkline) last.push_back({"sparkline", TypeId::kString});
    last.insert(last.end(), {{"detected_by", TypeId::kString},
                             {"sample_size", TypeId::kFloat64},
                             {"confidence", TypeId::kString},
                             {"severity_reason", TypeId::kString},
                             {"next_step", TypeId::kString},
                             {"alert_text", TypeId::kString}});
    if (plan_->links)
      for (const AlertLinkSpan& span : kAlertLinkSpans) last.push_back({span.column, TypeId::kString});
    for (const auto& [name, value] : plan_->constants)
      last.push_back({name, name == "labels" ? TypeId::kJson : TypeId::kString});
    std::set<std::string> taken = {"alert_id", "rule"};
    for (const Field& f : own) taken.insert(f.name);
    for (const Field& f : last) taken.insert(f.name);
    const auto add = [&](Field field) {
      while (!taken.insert(field.name).second) field.name = "row_" + field.name;
      fields.push_back(std::move(field));
    };
    const std::vector<int>& key = plan_->key.columns();
    for (const int k : key) add(input_.field(k));
    fields.insert(fields.end(), own.begin(), own.end());
    for (int c = 0; c < input_.size(); ++c) {
      if (std::find(key.begin(), key.end(), c) != key.end()) continue;
      add(input_.field(c));
      plan_->carried.push_back(c);
    }
    fields.insert(fields.end(), last.begin(), last.end());
    plan_->output = std::make_shared<const Schema>(std::move(fields));
  }

  const OptionsNode& options_;
  const Schema& input_;
  const BindContext& bind_;
  std::shared_ptr<AlertPlan> plan_;
};

}  // namespace

bool AlertPlan::Beyond(std::optional<double> number, double written, double factor) const {
  if (!number || std::isnan(*number)) return false;
  const bool down = direction == AlertDirection::kDown;
  const double limit = Harder(written, factor, !down);
  if (down) return *number <= limit;
  return (direction == AlertDirection::kBoth ? std::abs(*number) : *number) >= limit;
}

uint64_t AlertPlan::AlertId(std::string_view row_key, int64_t started_us) const {
  ByteSink sink;
  sink.PutString(id_scope);
  sink.PutString(row_key);
  sink.PutI64(started_us);
  return HashBytes(sink.bytes());
}

std::shared_ptr<AlertPlan> MakeAlertPlan(const OptionsNode& options, const Schema& input, const BindContext& bind) {
  return PlanMaker(options, input, bind).Make();
}

}  // namespace freshet
