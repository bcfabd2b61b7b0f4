#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/state/table_layout.h"
#include "operators/alert/alert_cell.h"
#include "operators/alert/message_template.h"
#include "operators/alert_briefing.h"
#include "operators/binding.h"
#include "operators/outlier/severity.h"

namespace freshet {

/// Which way a value, or an anomaly, must go to count.
enum class AlertDirection : uint8_t { kBoth, kUp, kDown };

/// The constant plan of one `alert`, from its options. Immutable once made.
struct AlertPlan {
  std::string rule;
  std::string id_scope;  ///< pipeline and node, for ids
  AlertRules rules;
  BoundExpr when;        ///< may be absent if there is a threshold
  BoundExpr clear_when;  ///< may be absent
  BoundExpr value;       ///< what the thresholds are held against; may be absent
  std::optional<double> threshold;
  std::optional<double> clear_threshold;
  AlertDirection direction = AlertDirection::kBoth;
  int direction_column = -1;  ///< a detector's word for it, where no threshold gives a direction
  BoundExpr severity;         ///< may be absent
  Severity fixed_severity = Severity::kMedium;
  BoundExpr peak;                                    ///< may be absent
  int p_value_column = -1, alarm_score_column = -1;  ///< what labels act on where there is no threshold
  BoundExpr surprise;                                ///< where there are no such columns: `score`, else `value`
  BoundExpr sparkline;                               ///< may be absent
  std::optional<MessageTemplate> message;
  std::optional<MessageTemplate> resolved_message;  ///< over `told_row`
  std::optional<MessageTemplate> link;              ///< over `told_row`
  std::optional<MessageTemplate> dedupe_key;
  AlertBriefing briefing;
  std::optional<AlertLinks> links;                             ///< columns by which an alert is silenced
  std::vector<std::pair<std::string, std::string>> constants;  ///< owner, runbook, labels as JSON: columns at the end
  KeyCodec key;
  std::vector<int> carried;  ///< input columns that follow the contract's
  SchemaRef input;
  SchemaRef message_row;  ///< the input's columns and the sparkline; null: without one
  SchemaRef told_row;     ///< the input's columns, then what is known when an alert is told; null: nobody asks for them
  SchemaRef output;
  RowLayout layout;  ///< of "episodes"

  /// `value` is beyond a threshold made harder by `factor`; null and NaN never are.
  bool Beyond(std::optional<double> value, double threshold, double factor) const;
  /// Whether labels have something to move.
  bool learns() const { return threshold || surprise || p_value_column >= 0 || alarm_score_column >= 0; }
  uint64_t AlertId(std::string_view key, int64_t started_us) const;
};

/// Everything that is wrong goes to `bind.diagnostics`, with its place; null then.
std::shared_ptr<AlertPlan> MakeAlertPlan(const OptionsNode& options, const Schema& input, const BindContext& bind);

}  // namespace freshet
