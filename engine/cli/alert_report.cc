#include "engine/cli/alert_report.h"

#include <algorithm>
#include <map>
#include <memory>
#include <tuple>

#include "connectors/format/json_value.h"
#include "engine/base/limits.h"
#include "engine/base/units.h"
#include "engine/flow/state_check.h"
#include "engine/options/parse_time.h"
#include "operators/alert/alert_cell.h"
#include "operators/alert/notice_budget.h"
#include "operators/outlier/severity.h"

namespace freshet::cli {
namespace {

/// Alerts that one answer holds, the latest: some megabytes.
constexpr size_t kAlertsMax = 10000;
/// Rows read between two looks at whether to go on.
constexpr size_t kSliceRows = 1024;

/// An episode as it is told, on or over.
struct AlertLine {
  std::string rule;
  std::string key;
  const char* state = "";
  bool told = false;
  int64_t ended_us = INT64_MIN;
  PastAlert alert;  ///< what both kinds have in common
  std::shared_ptr<const AlertCell> cell;
};

void WriteTime(const char* name, int64_t us, JsonWriter* json) {
  json->Key(name);
  if (us == INT64_MIN || us == 0)
    json->Null();
  else if (us == INT64_MAX)
    json->String("for ever");
  else
    json->String(FormatTime({us}));
}

void WriteBrief(const AlertBrief& brief, JsonWriter* json) {
  const auto text = [&](const char* name, const std::string& value) {
    json->Key(name);
    if (value.empty())
      json->Null();
    else
      json->String(value);
  };
  text("figures", brief.figures);
  text("why", brief.why);
  text("detected_by", brief.detected_by);
  json->Key("sample_size");
  if (brief.sample_size)
    json->Double(*brief.sample_size);
  else
    json->Null();
  text("confidence", brief.confidence);
  text("severity_reason", brief.severity_reason);
  text("next_step", brief.next_step);
  text("owner", brief.owner);
}

void WriteLine(const AlertLine& line, JsonWriter* json) {
  const PastAlert& a = line.alert;
  json->BeginObject().Field("alert_id", AlertIdText(a.id)).Field("rule", line.rule).Field("key", line.key);
  json->Field("state", line.state).Key("told").Bool(line.told);
  json->Field("severity", SeverityName(static_cast<Severity>(std::max<uint8_t>(a.severity, 1))));
  WriteTime("started_at", a.started_us, json);
  WriteTime("peaked_at", a.peaked_us, json);
  json->Key("peak");
  if (a.has_peak)
    json->Double(a.peak);
  else
    json->Null();
  WriteTime("ended_at", line.ended_us, json);
  json->Field("message", a.message);
  WriteBrief(a.brief, json);
  WriteTime("acknowledged_at", a.acknowledged_us, json);
  json->Key("label");
  if (const char* label = AlertLabelName(a.label))
    json->String(label);
  else
    json->Null();
  if (line.cell->silence_ends_with_episode)
    json->Field("silenced_until", "resolved");
  else
    WriteTime("silenced_until", line.cell->silenced_until_us, json);
  json->Key("threshold_factor").Double(line.cell->feedback.factor());
  json->Field("useful", int64_t{line.cell->feedback.useful_count()});
  json->Field("noise", int64_t{line.cell->feedback.noise_count()});
  json->Key("surprise_floor").Double(line.cell->SurpriseFloor());
  json->Field("sparkline", line.cell->recent.Sparkline());
  WriteTime("silenced_until_time", line.cell->silenced_until_us, json);
  json->EndObject();
}

/// `alert_id`: 0, or the only one. Returns how many there were.
size_t AddLines(const std::string& rule, const std::shared_ptr<const AlertCell>& shared, uint64_t alert_id,
                std::vector<AlertLine>* lines) {
  const AlertCell& cell = *shared;
  const size_t before = lines->size();
  const auto wanted = [&](uint64_t id) { return alert_id == 0 || id == alert_id; };
  const auto add = [&](const char* state, bool told, int64_t ended_us, PastAlert alert) {
    lines->push_back({rule, cell.key_text, state, told, ended_us, std::move(alert), shared});
  };
  for (const PastAlert& p : cell.past)
    if (wanted(p.id)) add("resolved", p.told, p.ended_us, p);
  if (cell.episode.phase() == Episode::Phase::kIdle || !wanted(cell.id)) return lines->size() - before;
  PastAlert now;
  now.id = cell.id;
  now.started_us = cell.episode.started_us();
  now.peaked_us = cell.episode.peaked_us();
  now.peak = cell.episode.peak();
  now.has_peak = cell.episode.has_peak();
  now.severity = cell.episode.severity();
  now.label = cell.label;
  now.acknowledged_us = cell.acknowledged_us;
  now.message = cell.message;
  now.brief = cell.brief;
  const bool firing = cell.episode.phase() == Episode::Phase::kFiring;
  add(firing ? "firing" : "pending", firing && cell.told, INT64_MIN, std::move(now));
  return lines->size() - before;
}

/// Keeps the latest kAlertsMax, latest first.
void KeepLatest(std::vector<AlertLine>* lines) {
  std::sort(lines->begin(), lines->end(), [](const AlertLine& a, const AlertLine& b) {
    return std::tuple(a.alert.started_us, a.rule, a.alert.id) > std::tuple(b.alert.started_us, b.rule, b.alert.id);
  });
  if (lines->size() > kAlertsMax) lines->resize(kAlertsMax);
}

Status Unreadable(const Manifest::Table& table) {
  return Status::DataLoss("table `" + table.name + "` of `" + table.node_id + "` cannot be read");
}

/// All rows of a table, in slices: beside commits, and given up between two.
Status VisitRows(const AlertPlace& place, CheckpointStore& store, const Manifest::Table& table,
                 const std::function<Status(std::string_view value)>& visit) {
  for (uint16_t group = 0; group < kKeyGroupCount; ++group) {
    std::string from, last;
    size_t count = kSliceRows;
    while (count == kSliceRows) {
      if (place.given_up && place.given_up()) return Status::Cancelled("the run is ending: ask again");
      count = 0;
      FRESHET_RETURN_IF_ERROR(
          store.ScanSome(table.id, group, from, kSliceRows, [&](std::string_view key, std::string_view value) {
            if (++count == kSliceRows) last = key;
            return visit(value);
          }));
      from = last + '\0';
    }
  }
  return Status::Ok();
}

/// Until when whole rules are silenced, by rule. Only alerts have this table.
Status ReadRules(CheckpointStore& store, const std::vector<Manifest::Table>& tables,
                 std::map<std::string, int64_t>* silenced) {
  for (const Manifest::Table& table : tables) {
    if (table.name != "silenced") continue;
    int64_t& until = (*silenced)[table.node_id] = INT64_MIN;
    FRESHET_RETURN_IF_ERROR(
        store.Scan(table.id, 0, kKeyGroupCount - 1, [&](uint16_t, std::string_view, std::string_view value) {
          ByteSource source(value);
          until = std::max(until, source.GetI64());
          return Status::Ok();
        }));
  }
  return Status::Ok();
}

Status WriteBudgets(const AlertPlace& place, CheckpointStore& store, const std::vector<Manifest::Table>& tables,
                    JsonWriter* json) {
  json->Key("budgets").BeginArray();
  for (const Manifest::Table& table : tables) {
    if (table.name != "budget") continue;
    FRESHET_RETURN_IF_ERROR(VisitRows(place, store, table, [&](std::string_view value) {
      BudgetCell cell;
      ByteSource source(value);
      if (!cell.Decode(source, table.codec)) return Unreadable(table);
      json->BeginObject().Field("node", table.node_id).Field("notices", cell.options.count);
      json->Field("period_us", cell.options.period_us).Field("told", cell.budget.passed_count());
      json->Field("held_back", cell.budget.held_back_count());
      json->Key("notices_per_period").Double(cell.budget.Rate(cell.options)).EndObject();
      return Status::Ok();
    }));
  }
  json->EndArray();
  return Status::Ok();
}

}  // namespace

Result<int64_t> WritePipelineAlerts(const AlertPlace& place, CheckpointStore& store,
                                    const std::vector<Manifest::Table>& tables, uint64_t alert_id, JsonWriter* json) {
  std::map<std::string, int64_t> silenced;
  FRESHET_RETURN_IF_ERROR(ReadRules(store, tables, &silenced));
  std::vector<AlertLine> lines;
  size_t count = 0;
  for (const Manifest::Table& table : tables) {
    if (table.name != "episodes" || silenced.count(table.node_id) == 0) continue;
    FRESHET_RETURN_IF_ERROR(VisitRows(place, store, table, [&](std::string_view value) {
      const auto cell = std::make_shared<AlertCell>();
      ByteSource source(value);
      if (!cell->Decode(source, table.codec)) return Unreadable(table);
      count += AddLines(table.node_id, cell, alert_id, &lines);
      if (lines.size() >= 2 * kAlertsMax) KeepLatest(&lines);
      return Status::Ok();
    }));
  }
  KeepLatest(&lines);
  const size_t left_out = count - lines.size();
  json->BeginObject().Field("name", place.pipeline).Field("state_directory", place.state_directory);
  json->Key("running").Bool(place.running).Key("finished").Bool(place.finished);
  json->Field("checkpoint", static_cast<int64_t>(place.epoch.number));
  WriteTime("checkpoint_at", place.committed_wall_us, json);
  json->Field("checkpoint_age_us", std::max<int64_t>(0, place.now_wall_us - place.committed_wall_us));
  json->Key("rules").BeginArray();
  for (const auto& [rule, until_us] : silenced) {
    json->BeginObject().Field("rule", rule);
    WriteTime("silenced_until", until_us, json);
    json->EndObject();
  }
  json->EndArray();
  FRESHET_RETURN_IF_ERROR(WriteBudgets(place, store, tables, json));
  json->Field("alerts_left_out", static_cast<int64_t>(left_out)).Key("alerts").BeginArray();
  for (const AlertLine& line : lines) WriteLine(line, json);
  json->EndArray().EndObject();
  return static_cast<int64_t>(lines.size());
}

Result<LinkedAlert> ReadLinkedAlert(const std::string& pipeline_alerts) {
  FRESHET_ASSIGN_OR_RETURN(const JsonValue pipeline, JsonValue::Parse(pipeline_alerts));
  const std::vector<JsonValue>& alerts = pipeline["alerts"].items();
  if (alerts.empty()) return Status::NotFound("no such alert");
  const JsonValue& alert = alerts[0];
  LinkedAlert linked;
  linked.pipeline = pipeline["name"].text();
  linked.rule = alert["rule"].text();
  linked.key = alert["key"].text();
  linked.state = alert["state"].text();
  linked.severity = alert["severity"].text();
  linked.started_at = alert["started_at"].text();
  linked.message = alert["message"].text();
  linked.owner = alert["owner"].text();
  linked.silenced_until = alert["silenced_until"].text();
  linked.silenced_until_time = alert["silenced_until_time"].text();
  return linked;
}

namespace {

/// Of a table of KeyGroupNumbers; INT64_MIN: none.
Result<int64_t> NumberOf(CheckpointStore& store, const Manifest& manifest, const std::string& node, const char* name,
                         uint16_t key_group) {
  for (const Manifest::Table& table : manifest.tables) {
    if (table.node_id != node || table.name != name) continue;
    FRESHET_ASSIGN_OR_RETURN(const std::optional<std::string> value, store.Get(table.id, key_group, ""));
    if (!value) break;
    ByteSource source(*value);
    return source.GetI64();
  }
  return INT64_MIN;
}

/// Cells of one alert that the command means, as it leaves them.
Status ObeyInCells(CheckpointStore& store, const Manifest& manifest, const Manifest::Table& table,
                   const AlertCommand& command, EpochRows* rows, const char** refusal) {
  struct Touched {
    uint16_t key_group;
    std::string key;
    AlertCell cell;
  };
  std::vector<Touched> touched;
  FRESHET_RETURN_IF_ERROR(
      store.Scan(table.id, 0, kKeyGroupCount - 1, [&](uint16_t group, std::string_view key, std::string_view value) {
        AlertCell cell;
        ByteSource source(value);
        if (!cell.Decode(source, table.codec)) return Unreadable(table);
        const char* const why = command.alert_id == 0 ? nullptr : command.Refusal(cell);
        const bool meant = command.alert_id == 0 ? cell.held() : command.Obey(&cell);
        if (meant && why != nullptr)
          *refusal = why;
        else if (meant)
          touched.push_back({group, std::string(key), std::move(cell)});
        return Status::Ok();
      }));
  for (Touched& t : touched) {
    FRESHET_ASSIGN_OR_RETURN(const int64_t now_us, NumberOf(store, manifest, table.node_id, "watermark", t.key_group));
    t.cell.LookAnew(now_us);
    ByteSink sink;
    t.cell.Encode(sink);
    rows->Put(table.id, t.key_group, t.key, sink.bytes());
  }
  return Status::Ok();
}

}  // namespace

Result<std::string> ObeyInState(CheckpointStore& store, const AlertOrder& order, int64_t now_wall_us) {
  FRESHET_ASSIGN_OR_RETURN(const AlertCommand command, ParseAlertOrder(order, now_wall_us));
  FRESHET_ASSIGN_OR_RETURN(const std::optional<Manifest> manifest, store.Load());
  if (!manifest) return Status::NotFound("there is no checkpoint yet");
  std::map<std::string, TableId> silenced;  // of alerts; only they have this table
  for (const Manifest::Table& table : manifest->tables)
    if (table.name == "silenced") silenced[table.node_id] = table.id;
  EpochRows rows;
  const char* refusal = nullptr;
  for (const Manifest::Table& table : manifest->tables) {
    if (table.name != "episodes" || silenced.count(table.node_id) == 0) continue;
    if (command.alert_id == 0 && table.node_id != order.alert) continue;
    if (table.codec != AlertCell::kCodec)
      return Status::Unavailable("another version of Freshet wrote this state: start the pipeline first");
    FRESHET_RETURN_IF_ERROR(ObeyInCells(store, *manifest, table, command, &rows, &refusal));
    if (command.alert_id != 0) continue;
    ByteSink sink;
    sink.PutI64(command.until_us);
    for (uint16_t g = 0; g < kKeyGroupCount; ++g) {
      if (command.until_us == INT64_MIN)
        rows.Erase(silenced[table.node_id], g, "");
      else
        rows.Put(silenced[table.node_id], g, "", sink.bytes());
    }
  }
  if (refusal != nullptr) return std::string(refusal);
  FRESHET_ASSIGN_OR_RETURN(const bool left_after, RowsLeftAfter(store, *manifest));
  // To acknowledge changes nothing that is told.
  if (left_after && (rows.empty() || command.verb != AlertCommand::Verb::kAcknowledge))
    return Status::Unavailable("alerts left after the last checkpoint of " + manifest->pipeline_name +
                               ", which the state does not know of: start the pipeline once, then say it again");
  if (rows.empty())
    return Status::NotFound("no alert `" + order.alert + "` in " + manifest->pipeline_name +
                            "; see `freshet alerts list`");
  FRESHET_RETURN_IF_ERROR(CommitBetweenRuns(store, *manifest, std::move(rows), now_wall_us));
  return std::string();
}

Result<AlertCommand> ParseAlertOrder(const AlertOrder& order, int64_t now_us) {
  AlertCommand command;
  const std::optional<uint64_t> id = ParseAlertId(order.alert);
  command.alert_id = id.value_or(0);
  if (order.action == "silence") {
    command.verb = AlertCommand::Verb::kSilence;
    command.now_us = now_us;
    command.form_asked_us = order.form_asked_us;
    if (order.until == "resolved") {
      if (!id) return Status::InvalidArgument("a rule is never resolved: give an alert_id, or say until when");
      command.until_us = AlertCommand::kUntilResolved;
    } else if (order.until != "now") {
      FRESHET_ASSIGN_OR_RETURN(const EventTime until, ParseTimeText(order.until));
      command.until_us = until.us;
    }
    return command;
  }
  if (!id) return Status::InvalidArgument("`" + order.alert + "` is no alert_id: these are 16 letters of 0-9 and a-f");
  command.now_us = now_us;
  command.verb = order.action == "ack" ? AlertCommand::Verb::kAcknowledge : AlertCommand::Verb::kLabel;
  if (order.action == "ack") return command;
  command.label = order.label == "useful"  ? AlertLabel::kUseful
                  : order.label == "noise" ? AlertLabel::kNoise
                                           : AlertLabel::kNone;
  if (command.label == AlertLabel::kNone)
    return Status::InvalidArgument("`" + order.label + "` is no label: they are `useful` and `noise`");
  return command;
}

}  // namespace freshet::cli
