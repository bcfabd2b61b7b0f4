#include "operators/alert/alert_brief.h"

#include <cmath>
#include <cstdio>

#include "engine/base/units.h"

namespace freshet {
namespace {

std::string Number(double x, const char* format = "%.4g") {
  char text[40];
  std::snprintf(text, sizeof text, format, x);
  return text;
}

std::string CountText(double n) {
  return n >= 0 && n < 1e15 && n == std::floor(n) ? FormatCount(static_cast<int64_t>(n)) : Number(n, "%.6g");
}

std::string PText(double p) { return p < 1e-15 ? "p < 1e-15" : "p = " + Number(p, "%.2g"); }

/// "one usual row in 3,200 is as odd", to two digits.
std::string OneIn(double p) {
  if (p > 0.1) return "";
  if (p < 1e-9) return ", fewer than one usual row in 1,000,000,000 is as odd";
  const double n = 1 / p, unit = std::pow(10, std::floor(std::log10(n)) - 1);
  return ", one usual row in " + CountText(std::round(n / unit) * unit) + " is as odd";
}

void AddPart(const std::string& part, std::string* text) {
  if (!part.empty()) *text += (text->empty() ? "" : "; ") + part;
}

/// Nothing that came with a row begins a line of its own: control characters (C0, DEL, and in UTF-8 C1, NEL among them,
/// and the line and paragraph separators) become spaces.
std::string OneLine(std::string_view value) {
  std::string out;
  for (size_t i = 0; i < value.size(); ++i) {
    const auto at = [&](size_t n) { return i + n < value.size() ? static_cast<unsigned char>(value[i + n]) : 0; };
    const bool c1 = at(0) == 0xc2 && at(1) >= 0x80 && at(1) <= 0x9f;
    const bool separator = at(0) == 0xe2 && at(1) == 0x80 && (at(2) == 0xa8 || at(2) == 0xa9);
    const bool control = at(0) < 0x20 || at(0) == 0x7f || c1 || separator;
    out += control ? ' ' : value[i];
    i += c1 ? 1 : separator ? 2 : 0;
  }
  return out;
}

void AddLine(const char* name, const std::string& value, std::string* text) {
  if (!value.empty()) *text += "\n" + std::string(name) + ": " + OneLine(value);
}

std::string Upper(std::string word) {
  for (char& c : word)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return word;
}

}  // namespace

size_t AlertBrief::memory_bytes() const {
  return detected_by.capacity() + confidence.capacity() + severity_reason.capacity() + next_step.capacity() +
         figures.capacity() + why.capacity() + owner.capacity();
}

void AlertBrief::Encode(ByteSink& sink) const {
  for (const std::string* text : {&detected_by, &confidence, &severity_reason, &next_step, &figures, &why, &owner})
    sink.PutString(*text);
  sink.PutBool(sample_size.has_value());
  if (sample_size) sink.PutF64(*sample_size);
}

bool AlertBrief::Decode(ByteSource& source) {
  for (std::string* text : {&detected_by, &confidence, &severity_reason, &next_step, &figures, &why, &owner})
    *text = source.GetString();
  if (source.GetBool()) sample_size = source.GetF64();
  return source.ok();
}

std::string ConfidenceText(const ConfidenceFacts& facts) {
  std::string text;
  if (facts.p_value) text = PText(*facts.p_value) + OneIn(*facts.p_value);
  if (!facts.broken_rule.empty()) AddPart("rule " + facts.broken_rule + " is broken, whatever is usual", &text);
  if (text.empty() && facts.has_detector) {
    text = "no probability, its detector has seen too little";
    if (facts.alarm_score.value_or(0) > 0) text += "; alarm_score " + Number(*facts.alarm_score, "%.3g");
  } else if (text.empty() && !facts.condition.empty()) {
    text = "no probability, a fixed rule: " + facts.condition;
  }
  if (facts.held_us > 0) AddPart("held for " + FormatDuration(Duration{facts.held_us}), &text);
  if (facts.sample_size) AddPart("n = " + CountText(*facts.sample_size), &text);
  AddPart(facts.method, &text);
  return text;
}

std::string SeverityReasonText(const SeverityFacts& facts) {
  switch (facts.source) {
    case SeveritySource::kDefault:
      return "nobody says one: medium unless told otherwise";
    case SeveritySource::kNoneYet:
      return "its detector says none yet: medium until then";
    case SeveritySource::kWord:
      return "set for all alerts of this rule";
    case SeveritySource::kExpression:
      return "by " + facts.expression;
    case SeveritySource::kColumn:
      break;
  }
  if (!facts.p_value)
    return facts.broken_rule.empty() ? "said by the column `severity`" : "rule " + facts.broken_rule + " is broken";
  const Severity by_surprise = SeverityOf(*facts.p_value);
  const char* const word = SeverityName(by_surprise);
  const std::string surprise = "surprise (" + PText(*facts.p_value) + ")";
  const int steps = static_cast<int>(facts.severity) - static_cast<int>(by_surprise);
  if (!facts.broken_rule.empty()) {
    if (steps <= 0)
      return surprise + " is " + (word != nullptr ? word : "none") + "; rule " + facts.broken_rule + " is broken too";
    return "rule " + facts.broken_rule + " is broken; " + surprise + " alone is " +
           (word != nullptr ? word : "no reason for an alert");
  }
  if (word == nullptr || steps > 1 || steps < -1) return "said by the column `severity`";
  return surprise + " is " + word +
         (steps == 0  ? "; impact changes nothing"
          : steps > 0 ? "; impact, a quarter of the whole or more, makes it a step higher"
                      : "; impact, below 1 % of the whole, makes it a step lower");
}

std::string DeltaText(const Figures& f) {
  if (!std::isfinite(f.observed) || !std::isfinite(f.expected) || f.expected == 0) return "";
  const double ratio = f.observed / f.expected;
  if (ratio >= 3) return Number(ratio, ratio < 100 ? "%.2g" : "%.0f") + " times as much";
  const double percent = 100 * std::abs(f.observed - f.expected) / std::abs(f.expected);
  return Number(percent, percent < 10 ? "%.2g" : "%.0f") + " % " + (f.observed < f.expected ? "below" : "above");
}

std::string FiguresText(const Figures& f) {
  std::string text;
  if (std::isfinite(f.observed)) text = "observed " + Number(f.observed);
  if (!std::isfinite(f.expected)) return text;
  text += (text.empty() ? "expected " : ", expected ") + Number(f.expected);
  if (std::isfinite(f.lower) && std::isfinite(f.upper)) text += " (" + Number(f.lower) + " to " + Number(f.upper) + ")";
  const std::string delta = DeltaText(f);
  return delta.empty() ? text : text + ", " + delta;
}

std::string WholeAlertText(const AlertTextFacts& facts, const AlertBrief& brief) {
  const std::string since = FormatTime({facts.started_us});
  std::string_view headline = facts.message;
  const std::string tail = ": " + brief.why;
  if (facts.ours && !brief.why.empty() && headline.ends_with(tail)) headline.remove_suffix(tail.size());
  std::string text = (facts.firing ? Upper(facts.severity) : "RESOLVED") + ": " + OneLine(headline);
  AddLine("Figures", brief.figures, &text);
  AddLine("Since", facts.firing ? since : since + ", until " + FormatTime({facts.ended_us}), &text);
  if (!facts.firing) {
    AddLine("Lasted", FormatDuration(Duration{facts.ended_us - facts.started_us}), &text);
    AddLine("Worst point", (facts.peak ? Number(*facts.peak, "%.6g") + " at " : "") + FormatTime({facts.peaked_us}),
            &text);
  }
  AddLine("Why", brief.why, &text);
  AddLine("Confidence", brief.confidence, &text);
  AddLine("Severity", facts.severity + (brief.severity_reason.empty() ? "" : ", " + brief.severity_reason), &text);
  AddLine("Next", brief.next_step, &text);
  if (facts.runbook != brief.next_step) AddLine("Runbook", facts.runbook, &text);
  AddLine("Look", facts.link, &text);
  AddLine("Owner", brief.owner, &text);
  std::string silence;
  for (const auto& [span, url] : facts.silence_links)
    if (!url.empty()) AddPart(span + " " + url, &silence);
  AddLine("Silence",
          silence.empty() ? "freshet alerts silence " + facts.alert_id + " --for 1h, --for 24h, or --until resolved"
                          : silence,
          &text);
  AddLine("Lately", facts.sparkline, &text);
  return text;
}

}  // namespace freshet
