#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>

#include "connectors/format/json_value.h"
#include "connectors/net/http_client.h"
#include "engine/base/units.h"
#include "engine/cli/alert_report.h"
#include "engine/cli/alert_text.h"
#include "engine/cli/exit_codes.h"
#include "engine/cli/state_access.h"
#include "engine/cli/verbs.h"
#include "engine/serve/http_fetch.h"

namespace freshet::cli {
namespace {

constexpr Duration kPatience = Duration::Seconds(20);

struct AlertsArguments {
  std::string where;
  std::string alert;
  std::string label;
  std::string until;
  std::string duration;
  bool end = false;
  bool all = false;
  bool json = false;
};

/// Where alerts are: an engine that answers, or a state that nobody holds.
struct AlertsPlace {
  std::optional<HttpAddress> engine;
  StateTarget state;
};

Result<AlertsPlace> FindPlace(const std::string& where) {
  AlertsPlace place;
  const Result<FileInfo> info = Env::Posix()->Stat(where);
  if (where.empty() || !info.ok()) {
    if (where.find('/') != std::string::npos || where.ends_with(".yaml"))
      return Status::NotFound("there is no " + where);
    FRESHET_ASSIGN_OR_RETURN(place.engine,
                             where.empty() ? Result<HttpAddress>(HttpAddress()) : ParseHttpAddress(where));
    return place;
  }
  FRESHET_ASSIGN_OR_RETURN(place.state, FindState(where));
  if (place.state.idle) return place;
  const Result<std::string> address = Env::Posix()->ReadFile(place.state.directory + "/http.addr");
  if (!address.ok())
    return Status::Locked("the state in " + place.state.directory +
                          " is in use by a Freshet process that does not listen (`--http off`)");
  FRESHET_ASSIGN_OR_RETURN(place.engine, ParseHttpAddress(address->substr(0, address->find('\n'))));
  return place;
}

std::string Token() { return Env::Posix()->Variable("FRESHET_HTTP_TOKEN").value_or(""); }

/// What /api/v1/alerts answers, or would if something ran on the state.
Result<std::string> FetchAlerts(const std::string& where) {
  FRESHET_ASSIGN_OR_RETURN(const AlertsPlace place, FindPlace(where));
  if (place.engine) return HttpFetch(*place.engine, kAlertsPath, Token(), kPatience);
  FRESHET_ASSIGN_OR_RETURN(OpenedState state, OpenedState::Open(place.state));
  FRESHET_ASSIGN_OR_RETURN(const std::optional<Manifest> manifest, state.store().Load());
  if (!manifest) return Status::NotFound("there is no checkpoint in " + place.state.directory + " yet");
  JsonWriter json;
  json.BeginObject().Field("version", FRESHET_VERSION).Key("pipelines").BeginArray();
  AlertPlace shown = {manifest->pipeline_name, place.state.directory};
  shown.finished = manifest->finished;
  shown.epoch = manifest->epoch;
  shown.committed_wall_us = manifest->committed_wall_us;
  shown.now_wall_us = Env::Posix()->WallMicros();
  FRESHET_RETURN_IF_ERROR(WritePipelineAlerts(shown, state.store(), manifest->tables, 0, &json).status());
  json.EndArray().EndObject();
  return json.text();
}

Status Look(const AlertsArguments& a) {
  FRESHET_ASSIGN_OR_RETURN(const std::string body, FetchAlerts(a.where));
  if (a.json) {
    std::printf("%s%s", body.c_str(), body.ends_with('\n') ? "" : "\n");
    return Status::Ok();
  }
  FRESHET_ASSIGN_OR_RETURN(const JsonValue answer, JsonValue::Parse(body));
  FRESHET_ASSIGN_OR_RETURN(const std::string text, a.alert.empty() ? Result<std::string>(RenderAlerts(answer, a.all))
                                                                   : RenderAlert(answer, a.alert));
  std::fputs(text.c_str(), stdout);
  return Status::Ok();
}

/// `--for 2h` counts from now: events of a live stream are of now.
Result<std::string> Until(const AlertsArguments& a) {
  if (a.end) return std::string("now");
  if (!a.until.empty()) return a.until;
  if (a.duration.empty())
    return Status::InvalidArgument(
        "say until when: `--for 2h`, `--until 2026-11-24T08:00:00Z`, `--until resolved`, or `--end`");
  FRESHET_ASSIGN_OR_RETURN(const Duration duration, ParseDuration(a.duration));
  return FormatTime({Env::Posix()->WallMicros() + duration.us});
}

Status Send(const AlertOrder& order, const std::string& where) {
  FRESHET_RETURN_IF_ERROR(ParseAlertOrder(order, 0).status());
  FRESHET_ASSIGN_OR_RETURN(const AlertsPlace place, FindPlace(where));
  if (!place.engine) {
    FRESHET_ASSIGN_OR_RETURN(const auto store, OpenRocksDbStore(Env::Posix(), place.state.directory, false));
    FRESHET_ASSIGN_OR_RETURN(const std::string note, ObeyInState(*store, order, Env::Posix()->WallMicros()));
    if (note.empty())
      std::printf("done, and durable in %s; nothing runs on it, the next start goes by it\n",
                  place.state.directory.c_str());
    else
      std::printf("%s\n", note.c_str());
    return Status::Ok();
  }
  HttpRequest request;
  request.method = "POST";
  request.url = "http://" + place.engine->ToString() + kAlertsPath + "/" + order.action;
  request.headers = {{kAlertHeader, order.alert}, {kUntilHeader, order.until}, {kLabelHeader, order.label}};
  if (!place.state.directory.empty()) request.headers.emplace_back(kSavepointStateHeader, place.state.directory);
  if (!Token().empty()) request.headers.emplace_back("Authorization", "Bearer " + Token());
  request.timeout = kPatience;
  HttpClient client;
  FRESHET_ASSIGN_OR_RETURN(const HttpResponse answer, client.Send(request));
  const Result<JsonValue> body = JsonValue::Parse(answer.body);
  if (answer.status == 200) {
    const std::string note = body.ok() ? (*body)["note"].text() : "";
    if (note == AlertCommand::kTooLate)
      std::printf("%s\n", note.c_str());
    else
      std::printf("done, and durable%s%s\n", note.empty() ? "" : "; ", note.c_str());
    return Status::Ok();
  }
  const std::string why = body.ok() ? (*body)["error"].text() : "the engine answers " + std::to_string(answer.status);
  return answer.status == 404 ? Status::NotFound(why) : Status::Unavailable(why);
}

Status Order(const char* action, const AlertsArguments& a) {
  AlertOrder order;
  order.action = action;
  order.alert = a.alert;
  order.label = a.label;
  if (order.action == "silence") {
    FRESHET_ASSIGN_OR_RETURN(order.until, Until(a));
  }
  return Send(order, a.where);
}

int Explain(const Status& status) {
  if (status.ok()) return kExitOk;
  std::fprintf(stderr, "freshet alerts: %s\n", status.message().c_str());
  const bool wrong = status.code() == StatusCode::kInvalidArgument || status.code() == StatusCode::kNotFound;
  return wrong ? kExitWrong : ExitCodeOf(status, true);
}

}  // namespace

Verb AddAlertsVerb(CLI::App& program) {
  auto a = std::make_shared<AlertsArguments>();
  CLI::App* app = program.add_subcommand("alerts", "List alerts; silence, acknowledge or label them");
  app->require_subcommand(1);
  const auto add = [&](const char* name, const char* doc) {
    CLI::App* sub = app->add_subcommand(name, doc);
    return sub;
  };
  const auto where = [&](CLI::App* sub) {
    sub->add_option("WHERE", a->where,
                    "Address (127.0.0.1:9464, the default), state directory or pipeline file of what runs");
  };
  CLI::App* list = add("list", "Alerts that fire or are about to, and those over since a while");
  list->add_flag("--all", a->all, "All that are over too, not only the last ten");
  CLI::App* show = add("show", "One alert with all that is known of it");
  show->add_option("ID", a->alert, "The alert_id")->required();
  for (CLI::App* sub : {list, show}) sub->add_flag("--json", a->json, "Print what /api/v1/alerts answers");
  CLI::App* silence = add("silence", "Tell nothing of a key, or of a whole rule, for a while");
  silence->add_option("ID", a->alert, "An alert_id (its key is silenced) or the name of a rule")->required();
  silence->add_option("--for", a->duration, "How long from now, such as 2h");
  silence->add_option("--until", a->until,
                      "Until when, in event time: 2026-11-24T08:00:00Z; or `resolved`, of an alert_id");
  silence->add_flag("--end", a->end, "End the silence");
  CLI::App* ack = add("ack", "Say that somebody looks after it");
  ack->add_option("ID", a->alert, "The alert_id")->required();
  CLI::App* label = add("label", "Say whether an alert was useful: its key's threshold moves");
  label->add_option("ID", a->alert, "The alert_id")->required();
  label->add_option("LABEL", a->label, "useful or noise")->required()->check(CLI::IsMember({"useful", "noise"}));
  for (CLI::App* sub : {list, show, silence, ack, label}) where(sub);
  app->footer(
      "\nAn alert that begins while its key is silenced is told when the silence is over, if it still fires then; the "
      "end "
      "of one\nthat was told before is told all the same. `--until resolved` holds beside a time that was said; "
      "`--end` "
      "ends both.\nWhat is said goes to the engine that runs and is done once a checkpoint holds it. Where nothing "
      "runs "
      "on the state it\nis done in the state, and the next start goes by it.");
  return {app, [a, list, show, silence, ack] {
            if (list->parsed() || show->parsed()) return Explain(Look(*a));
            return Explain(Order(silence->parsed() ? "silence" : ack->parsed() ? "ack" : "label", *a));
          }};
}

}  // namespace freshet::cli
