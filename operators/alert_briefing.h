#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/expr/expr.h"
#include "engine/flow/descriptor.h"
#include "operators/alert/alert_brief.h"
#include "operators/alert/message_template.h"

namespace freshet {

struct AlertPlan;

/// Where an alert finds what it says beside its headline: columns that detectors add, and options. Part of AlertPlan.
struct AlertBriefing {
  int p_value = -1, alarm_score = -1, rule = -1, why = -1, expected = -1, lower = -1,
      upper = -1;             ///< columns; -1: absent
  BoundExpr samples;          ///< may be absent
  BoundExpr observed;         ///< may be absent
  std::string observed_name;  ///< what people call it
  std::optional<MessageTemplate> next;
  std::string method;
  std::string condition;  ///< what is asked of a row, in words
  std::string owner, runbook;
  SeveritySource severity_source = SeveritySource::kDefault;

  /// Columns of the input that are read.
  void AddColumnsRead(const Schema& input, std::vector<std::string>* names) const;
};

/// REQUIRES: conditions, thresholds, severity and sparkline of the plan are bound. Problems are reported; false then.
bool BindAlertBriefing(const OptionsNode& options, const Schema& input, const BindContext& bind, AlertPlan* plan);

/// Of an episode that starts with this row, without how sure it is and why of this severity.
AlertBrief BriefOf(const AlertPlan& plan, const Batch& in, int32_t row);
/// How sure a row is: confidence and sample size.
void SayHowSure(const AlertPlan& plan, const Batch& in, int32_t row, AlertBrief* brief);
/// Of one that silence started; `last` is the key's last row, one row, or empty.
AlertBrief BriefOfSilence(const AlertPlan& plan, const Batch& last);
/// Why a row has this severity.
std::string SeverityReasonOf(const AlertPlan& plan, const Batch& in, int32_t row, uint8_t rank);
/// The message where nobody wrote one: "views is 31 % below normal for channel=a: views 41 against 59 expected …".
std::string HeadlineOf(const AlertPlan& plan, const Batch& in, int32_t row, const std::string& key_text);

}  // namespace freshet
