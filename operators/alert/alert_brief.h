#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/bytes.h"
#include "operators/outlier/severity.h"

namespace freshet {

/// What an alert says beside its headline, found out from the row that started its episode (confidence, sample size and
/// the severity's reason: from the row with the worst). Kept with the episode. A plain value; empty texts: nothing is
/// known.
struct AlertBrief {
  std::string detected_by;            ///< "anomaly of views (count)"
  std::string confidence;             ///< how sure it is, of how many, by which method: a sentence
  std::optional<double> sample_size;  ///< how many the judged number rests on
  std::string severity_reason;
  std::string next_step;
  std::string figures;  ///< "observed 41, expected 59 (51 to 68), 31 % below"
  std::string why;      ///< the detector's own sentence, contributors included
  std::string owner;

  size_t memory_bytes() const;
  void Encode(ByteSink& sink) const;
  bool Decode(ByteSource& source);
};

/// What there is to say of how sure an alert is.
struct ConfidenceFacts {
  std::optional<double> p_value;
  std::string broken_rule;            ///< a detector's rule that holds whatever is usual; empty: none
  bool has_detector = false;          ///< one that says a p-value once it knows enough
  std::optional<double> alarm_score;  ///< what it says until then; 0: nothing
  std::string condition;              ///< what the alert asks of a row
  std::optional<double> sample_size;
  std::string method;
  int64_t held_us = 0;  ///< how long the condition had to hold
};
/// "p = 0.00031, one usual row in 3,200 is as odd; n = 3,240; anomaly of views (count)".
std::string ConfidenceText(const ConfidenceFacts& facts);

/// Where a severity comes from.
enum class SeveritySource : uint8_t {
  kDefault,     ///< nobody says one
  kNoneYet,     ///< the detector knows too little
  kWord,        ///< `severity: high`
  kExpression,  ///< `severity: EXPRESSION`
  kColumn,      ///< the detector's: surprise and impact, or a rule (DETECTORS: the model of `anomaly`)
};
struct SeverityFacts {
  SeveritySource source = SeveritySource::kDefault;
  std::string expression;
  Severity severity = Severity::kNone;
  std::optional<double> p_value;
  std::string broken_rule;
};
/// "surprise (p = 0.00031) is medium; impact, a quarter of the whole or more, makes it a step higher".
std::string SeverityReasonText(const SeverityFacts& facts);

/// What was seen, and what should have been; NaN: not known.
struct Figures {
  double observed, expected, lower, upper;
};
/// "31 % below", "5.2 times as much"; empty where there is nothing to compare with.
std::string DeltaText(const Figures& figures);
std::string FiguresText(const Figures& figures);

/// What the whole text of an alert is made of. Lines without content are left out.
struct AlertTextFacts {
  std::string alert_id;
  std::string message;
  bool ours = false;  ///< nobody wrote the message: it ends with the detector's sentence, which has a line of its own
  std::string severity;
  bool firing = true;
  int64_t started_us = 0, ended_us = 0, peaked_us = 0;
  std::optional<double> peak;
  std::string link, sparkline, runbook;
  std::vector<std::pair<std::string, std::string>> silence_links;  ///< ("1h", URL)
};
/// All ten points of an alert for people, a line each, whatever its row says (control characters become spaces);
/// operators/README.md says which line has which.
std::string WholeAlertText(const AlertTextFacts& facts, const AlertBrief& brief);

}  // namespace freshet
