#include "operators/alert/alert_rows.h"

#include <utility>

#include "operators/outlier/severity.h"

namespace freshet {

uint8_t SeverityRank(std::string_view word) {
  for (const Severity s : {Severity::kLow, Severity::kMedium, Severity::kHigh, Severity::kCritical})
    if (word == SeverityName(s)) return static_cast<uint8_t>(s);
  return 0;
}

std::optional<AlertColumns> AlertColumns::Find(const Schema& schema, std::string* missing) {
  AlertColumns c;
  struct Wanted {
    const char* name;
    TypeId type;
    int* at;
  };
  for (const Wanted& w :
       {Wanted{"alert_id", TypeId::kString, &c.alert_id}, Wanted{"state", TypeId::kString, &c.state},
        Wanted{"severity", TypeId::kString, &c.severity}, Wanted{"started_at", TypeId::kTimestamp, &c.started_at},
        Wanted{"peaked_at", TypeId::kTimestamp, &c.peaked_at}, Wanted{"peak", TypeId::kFloat64, &c.peak},
        Wanted{"ended_at", TypeId::kTimestamp, &c.ended_at}, Wanted{"message", TypeId::kString, &c.message}}) {
    const std::optional<int> at = schema.Find(w.name);
    if (!at || schema.field(*at).type != w.type) {
      *missing = w.name;
      return std::nullopt;
    }
    *w.at = *at;
  }
  return c;
}

bool AlertColumns::IsFiring(const Batch& batch, int32_t row) const {
  return batch.column(state).IsValid(row) && batch.column(state).StringAt(row) == "firing";
}

NoticeMember AlertColumns::MemberOf(const Batch& batch, int32_t row) const {
  const auto text = [&](int c) {
    return batch.column(c).IsValid(row) ? std::string(batch.column(c).StringAt(row)) : std::string();
  };
  const auto time = [&](int c) { return batch.column(c).IsValid(row) ? batch.column(c).int64s()[row] : 0; };
  NoticeMember m;
  m.id = text(alert_id);
  m.fired_us = batch.time(row).us;
  m.started_us = time(started_at);
  m.peaked_us = time(peaked_at);
  if (batch.column(peak).IsValid(row)) m.peak = batch.column(peak).float64s()[row];
  m.severity = SeverityRank(text(severity));
  m.message = text(message);
  return m;
}

}  // namespace freshet
