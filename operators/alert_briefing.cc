#include "operators/alert_briefing.h"

#include <cmath>

#include "engine/base/units.h"
#include "operators/alert_plan.h"
#include "operators/detector_columns.h"

namespace freshet {
namespace {

int FindNumber(const Schema& schema, const char* name) {
  const std::optional<int> at = schema.Find(name);
  return at && IsNumeric(schema.field(*at).type) ? *at : -1;
}
int FindText(const Schema& schema, const char* name) {
  const std::optional<int> at = schema.Find(name);
  return at && schema.field(*at).type == TypeId::kString ? *at : -1;
}

double NumberOf(const Batch& in, int32_t row, int column) {
  return column < 0 ? NAN : NumberAt(in.column(column), row);
}

std::string TextOf(const Batch& in, int32_t row, int column) {
  return column < 0 || in.column(column).IsNull(row) ? std::string() : std::string(in.column(column).StringAt(row));
}

/// Of one row only: an expression over a whole batch would be too much for what seldom starts.
double Evaluate(const BoundExpr& expr, const Batch& in, int32_t row) {
  return expr ? NumberAt(expr.Evaluate(in.Slice(row, 1)), 0) : NAN;
}

std::optional<double> Known(double x) { return std::isnan(x) ? std::nullopt : std::optional(x); }

Figures FiguresOf(const AlertBriefing& b, const Batch& in, int32_t row) {
  return {Evaluate(b.observed, in, row), NumberOf(in, row, b.expected), NumberOf(in, row, b.lower),
          NumberOf(in, row, b.upper)};
}

std::string ConditionText(const AlertPlan& plan) {
  std::string text = plan.when ? plan.when.ToString() : "";
  if (!plan.threshold || !plan.value) return text;
  const bool both = plan.direction == AlertDirection::kBoth;
  char number[48];
  std::snprintf(number, sizeof number, plan.direction == AlertDirection::kDown ? " <= %.6g" : " >= %.6g",
                *plan.threshold);
  const std::string value = plan.value.ToString();
  return text + (text.empty() ? "" : ", and ") + (both ? "|" + value + "|" : value) + number;
}

/// An option, or a column of the input that has this name.
bool BindOption(const OptionsNode& options, const Schema& input, const BindContext& bind, const char* option,
                BoundExpr* to) {
  const auto text = options.FindExpr(option);
  if (!text) return true;
  const auto bound = BindNumber(*text, input, bind, "FR3404", ("`" + std::string(option) + "`").c_str());
  if (bound) *to = *bound;
  return bound.has_value();
}

BoundExpr ColumnExpr(const Schema& input, int column) {
  Diagnostics quiet;
  const auto parsed = ParsedExpr::Parse({input.field(column).name, {}, {}}, &quiet);
  auto bound = parsed ? BoundExpr::Bind(*parsed, input, &quiet) : std::nullopt;
  return bound ? *bound : BoundExpr();
}

}  // namespace

void AlertBriefing::AddColumnsRead(const Schema& input, std::vector<std::string>* names) const {
  for (const int c : {p_value, alarm_score, rule, why, expected, lower, upper})
    if (c >= 0) AddName(input.field(c).name, names);
  for (const BoundExpr* expr : {&samples, &observed})
    if (*expr) freshet::AddColumnsRead(*expr, input, names);
  if (!next) return;
  for (const int c : next->columns())
    if (c < input.size()) AddName(input.field(c).name, names);
}

bool BindAlertBriefing(const OptionsNode& options, const Schema& input, const BindContext& bind, AlertPlan* plan) {
  AlertBriefing& b = plan->briefing;
  b.p_value = FindNumber(input, "p_value");
  b.alarm_score = FindNumber(input, "alarm_score");
  b.rule = FindText(input, "rule");
  b.why = FindText(input, "why");
  b.expected = FindNumber(input, "expected");
  b.lower = FindNumber(input, "lower");
  b.upper = FindNumber(input, "upper");
  b.method = bind.input_method;
  b.condition = ConditionText(*plan);
  b.owner = options.FindString("owner").value_or("");
  b.runbook = options.FindString("runbook").value_or("");
  b.severity_source = !options.Has("severity") ? (plan->severity ? SeveritySource::kColumn : SeveritySource::kDefault)
                      : plan->severity         ? SeveritySource::kExpression
                                               : SeveritySource::kWord;
  bool good = BindOption(options, input, bind, "samples", &b.samples);
  good = BindOption(options, input, bind, "observed", &b.observed) && good;
  if (const int of = FindNumber(input, "of"); !b.samples && of >= 0) b.samples = ColumnExpr(input, of);
  const int total = FindNumber(input, "total");
  if (!b.observed && b.expected < 0 && plan->threshold) b.observed = plan->value;
  if (!b.observed && b.expected >= 0 && total < 0 && plan->sparkline && plan->sparkline.ToString() != "score")
    b.observed = plan->sparkline;
  if (b.observed) {
    b.observed_name = b.observed.ToString();
  } else if (total >= 0 && b.expected >= 0) {
    b.observed = ColumnExpr(input, total);
    b.observed_name = bind.input_names.empty() ? "total" : bind.input_names[0];
  }
  if (const auto next = options.FindExpr("next")) {
    b.next = MessageTemplate::Parse(*next, input, bind.diagnostics);
    good = b.next.has_value() && good;
  }
  return good;
}

AlertBrief BriefOf(const AlertPlan& plan, const Batch& in, int32_t row) {
  const AlertBriefing& b = plan.briefing;
  AlertBrief brief;
  brief.detected_by = b.method.empty() ? "a fixed rule" : b.method;
  brief.why = TextOf(in, row, b.why);
  brief.figures = FiguresText(FiguresOf(b, in, row));
  brief.next_step = b.next ? b.next->Render(in, row) : b.runbook;
  brief.owner = b.owner;
  return brief;
}

void SayHowSure(const AlertPlan& plan, const Batch& in, int32_t row, AlertBrief* brief) {
  const AlertBriefing& b = plan.briefing;
  brief->sample_size = Known(Evaluate(b.samples, in, row));
  brief->confidence = ConfidenceText({Known(NumberOf(in, row, b.p_value)), TextOf(in, row, b.rule), b.p_value >= 0,
                                      Known(NumberOf(in, row, b.alarm_score)), b.condition, brief->sample_size,
                                      b.method, plan.rules.episode.for_us});
}

AlertBrief BriefOfSilence(const AlertPlan& plan, const Batch& last) {
  const AlertBriefing& b = plan.briefing;
  AlertBrief brief;
  brief.detected_by = "no data";
  brief.confidence = "certain as far as the watermark knows: no row for " +
                     FormatDuration(Duration{plan.rules.episode.no_data_after_us});
  brief.severity_reason =
      SeverityReasonText({b.severity_source == SeveritySource::kWord ? SeveritySource::kWord : SeveritySource::kDefault,
                          {},
                          Severity::kNone,
                          std::nullopt,
                          {}});
  brief.next_step = b.next && last.row_count() == 1 ? b.next->Render(last, 0) : b.runbook;
  brief.owner = b.owner;
  return brief;
}

std::string SeverityReasonOf(const AlertPlan& plan, const Batch& in, int32_t row, uint8_t rank) {
  const AlertBriefing& b = plan.briefing;
  SeverityFacts facts;
  facts.source = b.severity_source;
  facts.severity = static_cast<Severity>(rank);
  if (plan.severity) {
    const Column said = plan.severity.Evaluate(in.Slice(row, 1));
    if (said.IsNull(0))
      facts.source = facts.source == SeveritySource::kColumn ? SeveritySource::kNoneYet : SeveritySource::kDefault;
    if (facts.source == SeveritySource::kExpression) facts.expression = plan.severity.ToString();
  }
  facts.p_value = Known(NumberOf(in, row, b.p_value));
  facts.broken_rule = TextOf(in, row, b.rule);
  return SeverityReasonText(facts);
}

std::string HeadlineOf(const AlertPlan& plan, const Batch& in, int32_t row, const std::string& key_text) {
  const AlertBriefing& b = plan.briefing;
  const Figures figures = FiguresOf(b, in, row);
  const std::string delta = DeltaText(figures), why = TextOf(in, row, b.why);
  const std::string of_key = key_text.empty() ? "" : " for " + key_text;
  if (!delta.empty())
    return b.observed_name + " is " + delta + (delta.ends_with("much") ? " as normal" : " normal") + of_key +
           (why.empty() ? "" : ": " + why);
  if (!why.empty()) return why + of_key;
  if (plan.threshold && b.observed) {
    char number[32];
    std::snprintf(number, sizeof number, "%.6g", figures.observed);
    return b.observed_name + " is " + number + of_key + ": " + b.condition;
  }
  return b.condition + of_key;
}

}  // namespace freshet
