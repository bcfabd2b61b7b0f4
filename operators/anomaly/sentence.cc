#include "operators/anomaly/sentence.h"

#include <cmath>
#include <cstdio>

namespace freshet {
namespace {

std::string Number(double x, bool percent) {
  char text[40];
  std::snprintf(text, sizeof text, percent ? "%.2g" : "%.4g", percent ? 100 * x : x);
  if (percent && std::abs(100 * x) >= 99.5) std::snprintf(text, sizeof text, "%.0f", 100 * x);
  return text;
}

std::string Value(double x, const MetricWords& words) { return Number(x, words.percent) + (words.percent ? " %" : ""); }

std::string Band(const SeriesVerdict& lead, bool percent) {
  if (std::isnan(lead.lower) || std::isnan(lead.upper)) return "";
  return " (" + Number(lead.lower, percent) + (lead.lower < 0 ? " to " : "–") + Number(lead.upper, percent) + ")";
}

std::string RuleText(const AnomalyVerdict& verdict, const std::vector<MetricWords>& words) {
  const HardRuleOptions& rule = *verdict.rule;
  const MetricWords& of = words[static_cast<size_t>(rule.metric)];
  std::string text = "rule " + std::string(HardRuleName(rule.kind)) + ": " + Value(verdict.rule_verdict.value, of);
  if (rule.kind == HardRuleKind::kErrorRate)
    return text + " over " + SpanText(rule.over_us) + ", above " + Value(rule.at, of);
  const double change = verdict.rule_verdict.value / verdict.rule_verdict.expected - 1;
  return text + " over " + SpanText(rule.over_us) + ", " + Number(std::abs(change), true) + " % " +
         (change < 0 ? "below" : "above") + " " + Value(verdict.rule_verdict.expected, of);
}

}  // namespace

std::string SpanText(int64_t us) {
  const double seconds = static_cast<double>(us) / 1e6;
  char text[32];
  if (seconds < 120)
    std::snprintf(text, sizeof text, "%.3g s", seconds);
  else if (seconds < 7200)
    std::snprintf(text, sizeof text, "%.0f min", seconds / 60);
  else if (seconds < 2 * 86400)
    std::snprintf(text, sizeof text, "%.3g h", seconds / 3600);
  else
    std::snprintf(text, sizeof text, "%.3g d", seconds / 86400);
  return text;
}

std::string AnomalySentence(const AnomalyVerdict& verdict, const std::vector<MetricWords>& words, const double* x,
                            int64_t time_us, const std::string& detail) {
  std::string text;
  if (verdict.metric < 0 && verdict.rule == nullptr) {
    text = "the metrics do not fit together as they use to";
  } else {
    const auto m = static_cast<size_t>(verdict.metric < 0 ? verdict.rule->metric : verdict.metric);
    text = words[m].name + " " + Value(x[m], words[m]);
    if (verdict.metric >= 0 && !std::isnan(verdict.lead.expected))
      text += " against " + Value(verdict.lead.expected, words[m]) + " expected" + Band(verdict.lead, words[m].percent);
  }
  const int64_t span_us = verdict.since_us ? time_us - *verdict.since_us : 0;
  if (span_us >= 60'000'000) text += " for " + SpanText(span_us);
  if (!detail.empty()) text += "; " + detail;
  if (verdict.rule != nullptr)
    text += "; " + RuleText(verdict, words);
  else if (detail.empty() && verdict.metric >= 0 && verdict.lead.evidence >= 0)
    text += std::string(": ") + EvidenceName(verdict.lead.evidence);
  return text;
}

}  // namespace freshet
