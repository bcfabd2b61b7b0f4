#include "operators/anomaly_plan.h"

#include <algorithm>
#include <cmath>

#include "engine/options/config_value.h"
#include "engine/options/parse_time.h"

namespace freshet {
namespace {

constexpr int64_t kCalendarMaxUs = 900'000'000'000'000'000;
constexpr int64_t kMinuteUs = 60'000'000;
/// Samples that a drop must have where nobody says how many: of trials, or of rows.
constexpr double kDropTrials = 200;
constexpr double kDropRows = 3;

struct RuleDefaults {
  HardRuleKind kind;
  double at;
  int64_t over_us;
  const char* over;
  const char* doc;
};
constexpr RuleDefaults kRules[] = {
    {HardRuleKind::kPerformanceDrop, 0.15, 30 * kMinuteUs, "30m",
     "Broken when the mean is worse than expected by the share `at`: higher for `kind: latency`, lower for others."},
    {HardRuleKind::kEngagementDrop, 0.20, 60 * kMinuteUs, "1h",
     "Broken when the mean is below what is expected by the share `at`."},
    {HardRuleKind::kErrorRate, 0.05, 5 * kMinuteUs, "5m", "Broken when the mean is above `at`, whatever is expected."},
};

/// A time somewhere in a sentence.
std::optional<EventTime> TimeIn(std::string_view text) {
  for (size_t from = 0; from < text.size();) {
    size_t to = text.find(' ', from);
    if (to == std::string_view::npos) to = text.size();
    std::string_view word = text.substr(from, to - from);
    while (!word.empty() && (word.back() == ',' || word.back() == ':' || word.back() == '.' || word.back() == ';'))
      word.remove_suffix(1);
    if (word.size() >= 10)
      if (const auto time = ParseTimeText(word); time.ok()) return *time;
    from = to + 1;
  }
  return std::nullopt;
}

int FindMetric(const std::string& name, const AnomalyPlan& plan) {
  for (size_t m = 0; m < plan.words.size(); ++m)
    if (plan.words[m].name == name) return static_cast<int>(m);
  return -1;
}

bool ReadBreak(const ConfigValue& item, const BindContext& bind, AnomalyPlan* plan) {
  const auto fail = [&](const std::string& what) {
    bind.diagnostics->Error(
        "FR3523", item.span(), what,
        "write {at: 2026-08-27, why: \"views defined anew\"}, or \"views defined anew on 2026-08-27\"");
    return false;
  };
  std::optional<EventTime> at;
  SeriesBreak series_break;
  std::string why;
  if (item.is_scalar()) {
    at = TimeIn(item.text());
    why = item.text();
  } else if (item.is_map() && item.entries.size() == 1 && item.entries[0].key.value != "at") {
    // `- 2026-08-27: views defined anew` is a map to YAML.
    at = TimeIn(item.entries[0].key.value);
    if (item.entries[0].value.is_scalar()) why = item.entries[0].value.text();
  } else if (item.is_map()) {
    for (const ConfigValue::Entry& entry : item.entries) {
      if (!entry.value.is_scalar()) return fail("`" + entry.key.value + "` of a series break is one value");
      if (entry.key.value == "at") {
        at = TimeIn(entry.value.text());
      } else if (entry.key.value == "why") {
        why = entry.value.text();
      } else if (entry.key.value == "metric") {
        series_break.metric = FindMetric(entry.value.text(), *plan);
        if (series_break.metric < 0)
          return fail("a series break names `" + entry.value.text() + "`, which is no metric here");
      } else {
        return fail("a series break has `at`, `why` and `metric`, but no `" + entry.key.value + "`");
      }
    }
  }
  if (!at) return fail("a series break says when it was");
  series_break.at_us = at->us;
  plan->model.breaks.push_back(series_break);
  plan->break_whys.push_back(why);
  return true;
}

bool ReadBreaks(const OptionsNode& options, const BindContext& bind, AnomalyPlan* plan) {
  const ConfigValue* raw = options.Raw("series_breaks");
  if (raw == nullptr || raw->is_null()) return true;
  bool good = true;
  if (raw->is_sequence()) {
    for (const ConfigValue& item : raw->items) good = ReadBreak(item, bind, plan) && good;
  } else {
    good = ReadBreak(*raw, bind, plan);
  }
  return good;
}

bool ReadRules(const OptionsNode& options, const BindContext& bind, AnomalyPlan* plan) {
  const OptionsNode rules = options.GetObject("rules");
  bool good = true;
  for (const RuleDefaults& d : kRules) {
    if (!rules.Has(HardRuleName(d.kind))) continue;
    const OptionsNode said = rules.GetObject(HardRuleName(d.kind));
    HardRuleOptions rule;
    rule.kind = d.kind;
    rule.at = said.FindFloat("at").value_or(d.at);
    rule.over_us = said.FindDuration("over").value_or(Duration::Micros(d.over_us)).us;
    const bool counted = plan->of.has_value() || d.kind == HardRuleKind::kErrorRate;
    rule.samples = said.FindFloat("samples").value_or(counted ? kDropTrials : kDropRows);
    rule.rises = plan->model.series.kind == MetricKind::kLatency;
    if (const auto metric = said.FindString("metric")) {
      rule.metric = FindMetric(*metric, *plan);
      if (rule.metric < 0) {
        bind.diagnostics->Error("FR3522", said.span("metric"), "`" + *metric + "` is no metric of this detector");
        good = false;
      }
    }
    for (const Severity s : {Severity::kLow, Severity::kMedium, Severity::kHigh, Severity::kCritical})
      if (said.GetString("severity") == SeverityName(s)) rule.severity = s;
    plan->model.rules.push_back(rule);
  }
  return good;
}

OptionSpec Setting(const char* name, OptionKind kind, const char* doc, const char* fallback = "") {
  return DetectorOption(name, kind, doc, fallback, StateEffect::kNone);
}

OptionSpec RulesOption() {
  OptionSpec rules =
      Setting("rules", OptionKind::kObject,
              "Bounds that hold whatever is usual: performance_drop, engagement_drop, error_rate. A row at "
              "which one is broken is an anomaly, of high severity at least, and the column `rule` names "
              "it. error_rate holds from the first row on, drops once the metric is warm. `{error_rate: {}}` is "
              "more than 5 % over 5 minutes with 200 requests or more (of `of`, else rows).");
  for (const RuleDefaults& d : kRules) {
    OptionSpec rule = Setting(HardRuleName(d.kind), OptionKind::kObject, d.doc);
    rule.fields.push_back(Setting("at", OptionKind::kFloat,
                                  d.kind == HardRuleKind::kErrorRate         ? "The bound; by default 0.05."
                                  : d.kind == HardRuleKind::kPerformanceDrop ? "The share; by default 0.15."
                                                                             : "The share; by default 0.20."));
    rule.fields.back().min = 0;
    rule.fields.push_back(
        Setting("over", OptionKind::kDuration, "The mean of the rows of so long, by samples.", d.over));
    rule.fields.back().min = 1000;
    rule.fields.push_back(
        Setting("samples", OptionKind::kFloat,
                "Nothing is said below so many: of `of`, or of rows where there is none. By default 200; "
                "3 for drops without `of`. A drop must also be three standard errors of the mean."));
    rule.fields.back().min = 0;
    rule.fields.push_back(Setting("metric", OptionKind::kString, "Which of several metrics; by default the first."));
    rule.fields.push_back(Setting("severity", OptionKind::kEnum, "At least this severity.", "high"));
    rule.fields.back().enum_values = {"low", "medium", "high", "critical"};
    rules.fields.push_back(std::move(rule));
  }
  return rules;
}

OptionSpec PersistOption() {
  OptionSpec persist =
      Setting("persist", OptionKind::kObject,
              "{k: 3, n: 5}: an anomaly when at least k of the last n rows are unusual, this one among them.");
  for (const char* name : {"k", "n"}) {
    persist.fields.push_back(Setting(name, OptionKind::kInt,
                                     *name == 'k' ? "Rows that must be unusual." : "Rows looked at, at most 64.", "1"));
    persist.fields.back().min = 1;
    persist.fields.back().max = 64;
  }
  return persist;
}

}  // namespace

void AddAnomalyModelOptions(NodeDescriptor* d) {
  d->options.push_back(DetectorOption("season", OptionKind::kEnum,
                                      "What repeats. hour_of_week takes over from hour_of_day as weeks pass, in full "
                                      "after three.",
                                      "hour_of_day"));
  d->options.back().enum_values = {"hour_of_day", "hour_of_week", "none"};
  d->options.push_back(DetectorOption("zone", OptionKind::kString,
                                      "By whose clock hours are told, such as Europe/Berlin, with its summer time."));
  d->options.back().default_text = "UTC";
  d->options.push_back(DetectorOption("history", OptionKind::kInt, "Values remembered by each part.", "4000"));
  d->options.back().min = 200;
  d->options.back().max = 65535;
  d->options.push_back(Setting("alarm_at", OptionKind::kFloat, "The score at which an alarm starts.", "2.5"));
  d->options.back().min = 0.1;
  d->options.back().max = 8;
  d->options.push_back(
      Setting("budget", OptionKind::kString,
              "`3/week` (or hour, day): the score at which an alarm starts is chosen from the own history, "
              "so that there are about so many on average; alarm_at holds in the first such period. The "
              "column `alarm_rate` says how many there were per period, over the last 8."));
  d->options.push_back(PersistOption());
  d->options.push_back(RulesOption());
  d->options.push_back(
      Setting("series_breaks", OptionKind::kAny,
              "When a metric became another, as a list of {at: 2026-08-27, why: \"views defined anew\", "
              "metric: views} (without `metric` all of them), or of sentences with a date: what was "
              "learned before is forgotten instead of alarmed about."));
}

bool ReadAnomalyModelOptions(const OptionsNode& options, const BindContext& bind, AnomalyPlan* plan) {
  AnomalyOptions& model = plan->model;
  model.series.by_hour = options.GetString("season") != "none";
  model.series.by_week = options.GetString("season") == "hour_of_week";
  model.series.history = static_cast<int>(options.GetInt("history"));
  model.gate.alarm_at = options.GetFloat("alarm_at");
  model.max_p = options.GetFloat("max_p");
  const OptionsNode persist = options.GetObject("persist");
  model.persist_k = static_cast<int>(persist.GetInt("k"));
  model.persist_n = static_cast<int>(persist.GetInt("n"));
  bool good = ReadRules(options, bind, plan);
  good = ReadBreaks(options, bind, plan) && good;
  if (const auto budget = options.FindString("budget")) {
    model.budget = ParseAlarmBudget(*budget);
    if (!model.budget) {
      bind.diagnostics->Error("FR3521", options.span("budget"), "`" + *budget + "` is no number of alarms per time",
                              "such as 3/week, 1/day or 0.5/hour");
      good = false;
    } else {
      model.budget->alarm_at = model.gate.alarm_at;
    }
  }
  const std::string zone = options.GetString("zone");
  if (zone != "UTC" && (plan->zone = FindTimeZone(zone)) == nullptr) {
    bind.diagnostics->Error("FR3524", options.span("zone"), "there is no time zone `" + zone + "`",
                            "names are those of the IANA database, such as Europe/Berlin");
    good = false;
  }
  plan->columns = {true, true, true, !model.rules.empty(), model.budget.has_value()};
  return good;
}

std::string AnomalyModelFingerprint(const OptionsNode& options) {
  const std::string season = options.GetString("season"), zone = options.GetString("zone");
  return "history " + std::to_string(options.GetInt("history")) +
         (season == "hour_of_day"    ? " by hour"
          : season == "hour_of_week" ? " by hour of the week"
                                     : "") +
         (zone == "UTC" || season == "none" ? "" : " of " + zone);
}

int64_t ZoneOffset(const AnomalyPlan& plan, EventTime time) {
  if (plan.zone == nullptr || time.us < -kCalendarMaxUs || time.us > kCalendarMaxUs) return 0;
  return TimeZoneOffsetAt(plan.zone, time.us);
}

DetectorColumns::Row AnomalyRow(const AnomalyVerdict& verdict, const AnomalyPlan& plan, const double* x,
                                int64_t time_us, const std::string& detail) {
  DetectorColumns::Row row;
  row.score = verdict.score;
  row.p_value = verdict.p_value;
  row.is_anomaly = verdict.is_anomaly;
  row.severity = verdict.severity;
  row.expected = verdict.lead.expected;
  row.lower = verdict.lead.lower;
  row.upper = verdict.lead.upper;
  row.alarm_score = verdict.alarm_score;
  row.alarm_rate = verdict.alarm_rate.value_or(NAN);
  if (verdict.rule != nullptr) row.rule = HardRuleName(verdict.rule->kind);
  const double value = x[std::max(0, verdict.metric)];
  if (verdict.p_value) row.direction = value > row.expected ? 1 : value < row.expected ? -1 : 0;
  const bool odd = verdict.alarm_score > 0 || (verdict.p_value && *verdict.p_value < 1e-2);
  if (odd || verdict.rule != nullptr)
    row.why = AnomalySentence(verdict, plan.words, x, time_us, detail);
  else if (verdict.began_anew >= 0)
    row.why = "begins anew: " + plan.break_whys[static_cast<size_t>(verdict.began_anew)];
  return row;
}

}  // namespace freshet
