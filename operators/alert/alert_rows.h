#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/batch/batch.h"
#include "engine/options/diagnostics.h"
#include "operators/alert/notice_group.h"

namespace freshet {

/// Where the contract's columns stand in rows of an `alert` (SEMANTICS.md §6.1).
struct AlertColumns {
  int alert_id = -1, state = -1, severity = -1, started_at = -1, peaked_at = -1, peak = -1, ended_at = -1, message = -1;

  /// Nothing if one is missing or of another type; then `*missing` names it.
  static std::optional<AlertColumns> Find(const Schema& schema, std::string* missing);
  bool IsFiring(const Batch& batch, int32_t row) const;
  /// Without `row_bytes`.
  NoticeMember MemberOf(const Batch& batch, int32_t row) const;
};

/// 1 low … 4 critical; 0 for any other word.
uint8_t SeverityRank(std::string_view word);

}  // namespace freshet
