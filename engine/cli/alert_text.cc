#include "engine/cli/alert_text.h"

#include <algorithm>
#include <cstdio>

#include "engine/base/units.h"

namespace freshet::cli {
namespace {

constexpr int kOverShown = 10;

std::string NumberText(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

std::string Padded(const std::string& text, size_t width) {
  return text.size() >= width ? text : text + std::string(width - text.size(), ' ');
}

/// "firing", and whether anybody heard of it.
std::string StateOf(const JsonValue& alert) {
  const std::string& state = alert["state"].text();
  if (state == "pending" || alert["told"].boolean()) return state;
  return state == "firing" ? "held" : "unheard";
}

std::string LineOf(const JsonValue& alert) {
  std::string line = alert["alert_id"].text() + "  " + Padded(StateOf(alert), 8) + "  " +
                     Padded(alert["severity"].text(), 8) + "  " + alert["started_at"].text() + "  " +
                     alert["rule"].text();
  if (!alert["key"].text().empty()) line += "  " + alert["key"].text();
  if (!alert["label"].is_null()) line += "  [" + alert["label"].text() + "]";
  if (!alert["acknowledged_at"].is_null()) line += "  [acknowledged]";
  if (!alert["message"].text().empty()) line += "\n    " + alert["message"].text();
  return line + "\n";
}

/// "3m": whole seconds, minutes or hours, as long as a glance needs.
std::string AgeText(int64_t us) {
  const int64_t s = us / 1'000'000;
  if (s < 120) return std::to_string(s) + "s";
  if (s < 2 * 3600) return std::to_string(s / 60) + "m";
  return s < 2 * 86400 ? std::to_string(s / 3600) + "h" : std::to_string(s / 86400) + "d";
}

/// How old what is shown is, and whether anything newer can come.
std::string AsOf(const JsonValue& pipeline) {
  const std::string checkpoint = "checkpoint " + std::to_string(pipeline["checkpoint"].integer());
  const std::string age = AgeText(pipeline["checkpoint_age_us"].integer()) + " ago";
  if (pipeline["running"].boolean()) return "as of " + checkpoint + ", " + age;
  return std::string(pipeline["finished"].boolean() ? "FINISHED" : "NOT RUNNING") + ", as of its last " + checkpoint +
         ", " + age + " (" + pipeline["checkpoint_at"].text() + ")";
}

std::string PeriodText(int64_t us) {
  return us == 3'600'000'000     ? "hour"
         : us == 86'400'000'000  ? "day"
         : us == 604'800'000'000 ? "week"
                                 : FormatDuration(Duration{us});
}

}  // namespace

std::string RenderAlerts(const JsonValue& answer, bool all) {
  std::string out;
  for (const JsonValue& pipeline : answer["pipelines"].items()) {
    const std::vector<JsonValue>& alerts = pipeline["alerts"].items();
    const auto over = [](const JsonValue& a) { return a["state"].text() == "resolved"; };
    const auto over_count = std::count_if(alerts.begin(), alerts.end(), over);
    out += pipeline["name"].text() + ": " + FormatCount(static_cast<int64_t>(alerts.size()) - over_count) + " on, " +
           FormatCount(over_count) + " over; " + AsOf(pipeline) + "\n";
    for (const JsonValue& rule : pipeline["rules"].items())
      if (!rule["silenced_until"].is_null())
        out += "  " + rule["rule"].text() + " is silenced until " + rule["silenced_until"].text() + "\n";
    for (const JsonValue& b : pipeline["budgets"].items()) {
      out += "  " + b["node"].text() + ": " + FormatCount(b["told"].integer()) + " told and " +
             FormatCount(b["held_back"].integer()) + " held back for " + FormatCount(b["notices"].integer()) + " a " +
             PeriodText(b["period_us"].integer());
      if (b["notices_per_period"].number() > 0) out += "; on average " + NumberText(b["notices_per_period"].number());
      out += "\n";
    }
    int shown = 0;
    for (const JsonValue& alert : alerts)
      if (!over(alert)) out += LineOf(alert);
    for (const JsonValue& alert : alerts)
      if (over(alert) && (all || ++shown <= kOverShown)) out += LineOf(alert);
    if (!all && over_count > kOverShown)
      out += "and " + FormatCount(over_count - kOverShown) + " more that are over: --all\n";
  }
  return out.empty() ? "no pipeline\n" : out;
}

Result<std::string> RenderAlert(const JsonValue& answer, const std::string& alert_id) {
  for (const JsonValue& pipeline : answer["pipelines"].items()) {
    for (const JsonValue& alert : pipeline["alerts"].items()) {
      if (alert["alert_id"].text() != alert_id) continue;
      std::string out;
      const auto line = [&](const char* name, const std::string& value) {
        if (!value.empty()) out += Padded(name, 14) + value + "\n";
      };
      line("alert", alert_id);
      line("as of", AsOf(pipeline).substr(AsOf(pipeline).starts_with("as of ") ? 6 : 0));
      line("rule", pipeline["name"].text() + " / " + alert["rule"].text());
      line("key", alert["key"].text());
      line("state", StateOf(alert));
      const std::string& reason = alert["severity_reason"].text();
      line("severity", alert["severity"].text() + (reason.empty() ? "" : ", " + reason));
      line("started", alert["started_at"].text());
      line("ended", alert["ended_at"].text());
      if (!alert["peak"].is_null())
        line("peak", NumberText(alert["peak"].number()) + " at " + alert["peaked_at"].text());
      line("lately", alert["sparkline"].text());
      line("message", alert["message"].text());
      for (const char* name : {"figures", "why", "confidence"}) line(name, alert[name].text());
      line("next", alert["next_step"].text());
      line("owner", alert["owner"].text());
      line("acknowledged", alert["acknowledged_at"].text());
      const std::string& silenced = alert["silenced_until"].text();
      const std::string& time = alert["silenced_until_time"].text();
      line("silenced", silenced.empty()         ? ""
                       : silenced != "resolved" ? "until " + silenced
                                                : "until it is resolved" + (time.empty() ? "" : ", and until " + time));
      line("label", alert["label"].text());
      if (alert["surprise_floor"].number() > 0)
        line("surprise", "of this key must be " + NumberText(alert["surprise_floor"].number()) + " or more");
      line("threshold", "times " + NumberText(alert["threshold_factor"].number()) + " for this key, after " +
                            FormatCount(alert["useful"].integer()) + " useful and " +
                            FormatCount(alert["noise"].integer()) + " noise");
      return out;
    }
  }
  return Status::NotFound("no alert `" + alert_id + "`; `freshet alerts list --all` has all that are known");
}

}  // namespace freshet::cli
