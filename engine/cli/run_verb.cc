#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <thread>

#include "engine/base/cpu.h"
#include "engine/base/log.h"
#include "engine/base/units.h"
#include "engine/cli/alert_report.h"
#include "engine/cli/exit_codes.h"
#include "engine/cli/loading.h"
#include "engine/cli/progress.h"
#include "engine/cli/run_session.h"
#include "engine/cli/signals.h"
#include "engine/cli/state_access.h"
#include "engine/cli/summary.h"
#include "engine/cli/verbs.h"
#include "engine/serve/http_server.h"

namespace freshet::cli {
namespace {

constexpr Duration kLookEvery = Duration::Millis(20);
constexpr Duration kObserveEvery = Duration::Millis(250);
constexpr Duration kWatchEvery = Duration::Millis(250);

struct RunArguments {
  LoadRequest load;
  bool fresh = false;
  bool drain = false;
  bool json = false;
  bool quiet = false;
  bool watch = false;
  std::string http;
  std::string state;
  std::string savepoint;
  std::string until_idle;
  int64_t limit = -1;
};

using Sessions = std::vector<std::unique_ptr<RunSession>>;

/// Whether two paths lead to the same directory.
bool SamePlace(const std::string& a, const std::string& b) {
  const Result<FileInfo> at_a = Env::Posix()->Stat(a);
  const Result<FileInfo> at_b = Env::Posix()->Stat(b);
  return at_a.ok() && at_b.ok() && at_a->inode == at_b->inode;
}

/// The session that keeps its state there; null: none does.
RunSession* SessionAt(const Sessions& sessions, const std::string& state_directory) {
  for (const auto& session : sessions)
    if (SamePlace(session->state_directory(), state_directory)) return session.get();
  return nullptr;
}

/// What stands behind the links in alerts.
SilenceHooks SilenceHooksOf(const Sessions& sessions) {
  SilenceHooks hooks;
  hooks.signers = [&sessions] {
    std::vector<LinkSigner> signers;
    for (const auto& session : sessions)
      if (const std::optional<AlertLinks> links = session->alert_links())
        signers.push_back({session->state_directory(), links->secret, links->valid_for});
    return signers;
  };
  hooks.find = [&sessions](const std::string& directory, const std::string& alert_id) -> Result<LinkedAlert> {
    const RunSession* const session = SessionAt(sessions, directory);
    const std::optional<uint64_t> id = ParseAlertId(alert_id);
    if (session == nullptr || !id || *id == 0) return Status::NotFound("no alert `" + alert_id + "`");
    JsonWriter json;
    FRESHET_ASSIGN_OR_RETURN(const int64_t count, session->WriteAlerts(*id, &json));
    if (count == 0) return Status::NotFound("no alert `" + alert_id + "`, or over for too long");
    return ReadLinkedAlert(json.text());
  };
  hooks.order = [&sessions](const std::string& directory, const std::string& alert_id, const std::string& until,
                            int64_t asked_us) -> Result<AlertOrderOutcome> {
    RunSession* const session = SessionAt(sessions, directory);
    if (session == nullptr) return Status::NotFound("no alert `" + alert_id + "`");
    return session->ObeyAlertOrder({"silence", alert_id, until, "", directory, asked_us});
  };
  return hooks;
}

Result<std::unique_ptr<HttpServer>> StartServer(const RunArguments& arguments, const Sessions& sessions) {
  if (arguments.http == "off") return std::unique_ptr<HttpServer>();
  HttpServer::Options options;
  options.fall_back = arguments.http.empty();
  if (!arguments.http.empty()) {
    FRESHET_ASSIGN_OR_RETURN(options.address, ParseHttpAddress(arguments.http));
  }
  options.token = Env::Posix()->Variable("FRESHET_HTTP_TOKEN").value_or("");
  options.now_wall_us = [] { return Env::Posix()->WallMicros(); };
  options.snapshot = [&sessions] {
    std::vector<PipelineView> views;
    for (const auto& session : sessions) views.push_back(session->View());
    return views;
  };
  options.savepoint = [&sessions](const std::string& directory, const std::string& name, bool checkpoint_first) {
    if (RunSession* const session = SessionAt(sessions, directory))
      return session->MakeSavepoint(name, checkpoint_first);
    return Status::NotFound("no pipeline of this process keeps its state in " + directory);
  };
  options.alerts = [&sessions](const std::string& alert) -> Result<std::string> {
    const std::optional<uint64_t> id = alert.empty() ? 0 : ParseAlertId(alert);
    if (!id || (*id == 0 && !alert.empty())) return Status::NotFound("`" + alert + "` is no alert_id");
    JsonWriter json;
    json.BeginObject().Field("version", FRESHET_VERSION).Key("pipelines").BeginArray();
    int64_t count = 0;
    for (const auto& session : sessions) {
      const Result<int64_t> more = session->WriteAlerts(*id, &json);
      if (more.ok())
        count += *more;
      else if (more.status().code() != StatusCode::kUnavailable && more.status().code() != StatusCode::kUnsupported)
        return more.status();
    }
    if (count == 0 && !alert.empty()) return Status::NotFound("no alert `" + alert + "`, or over for too long");
    json.EndArray().EndObject();
    return json.text();
  };
  options.alert_order = [&sessions](const AlertOrder& order) {
    Result<AlertOrderOutcome> said =
        Status::NotFound("no pipeline of this process keeps its state in " + order.state_directory);
    for (const auto& session : sessions) {
      if (!order.state_directory.empty() && !SamePlace(session->state_directory(), order.state_directory)) continue;
      said = session->ObeyAlertOrder(order);
      if (said.ok() || said.status().code() != StatusCode::kNotFound) break;
    }
    return said;
  };
  options.silence = SilenceHooksOf(sessions);
  return HttpServer::Start(std::move(options));
}

/// Tells `alerts`, `state` and `top` where the engine answers.
void PublishAddress(const HttpServer* server, const Sessions& sessions) {
  if (server == nullptr) return;
  for (const auto& session : sessions) {
    if (session->over()) continue;
    const std::string path = session->state_directory() + "/http.addr";
    if (const Status status = Env::Posix()->WriteFileAtomically(path, server->address().ToString() + "\n");
        !status.ok())
      Log(LogLevel::kWarning, "cannot write the HTTP address", {{"error", status.message()}});
  }
}

/// Rows of `console` and the live line share a terminal.
bool LiveLineBesideRows(const RunArguments& arguments) {
  return !arguments.quiet && StandardOutputIsTerminal() && StandardErrorIsTerminal();
}

/// Watches signals, edited files, idleness and the end of each run.
class RunLoop {
 public:
  RunLoop(const RunArguments& arguments, Duration until_idle, Sessions& sessions, std::vector<FileWatch> watches)
      : arguments_(arguments),
        until_idle_(until_idle),
        sessions_(sessions),
        progress_(arguments.quiet),
        watches_(std::move(watches)) {}

  /// True if a second signal ended everything at once.
  bool Run() {
    for (;;) {
      RunSession* waited_for = nullptr;
      for (auto& session : sessions_) {
        if (session->over()) continue;
        if (session->Wait(waited_for == nullptr ? kLookEvery : Duration()))
          session->Finish();
        else
          waited_for = session.get();
      }
      if (waited_for == nullptr) return killed_;
      HandleSignals();
      StopIdle();
      Observe();
      ReloadWhatChanged();
      progress_.Update(sessions_);
    }
  }

 private:
  void HandleSignals() {
    const int count = SignalCount();
    if (count >= 1 && !stopping_) {
      stopping_ = true;
      Log(LogLevel::kInfo, "stopping: the last checkpoint is being taken (a second signal stops at once)");
      for (auto& session : sessions_) session->RequestStop();
    }
    if (count >= 2 && !killed_) {
      killed_ = true;
      for (auto& session : sessions_) session->StopNow();
    }
  }

  /// After a SIGHUP all, with --watch those whose files changed.
  void ReloadWhatChanged() {
    const bool asked = ReloadCount() != reloads_seen_;
    reloads_seen_ = ReloadCount();
    const int64_t now_us = Env::Posix()->SteadyMicros();
    const bool look = arguments_.watch && now_us >= next_watch_us_;
    if (look) next_watch_us_ = now_us + kWatchEvery.us;
    if ((!asked && !look) || stopping_) return;
    for (size_t i = 0; i < sessions_.size(); ++i) {
      if (sessions_[i]->over() || sessions_[i]->reloading()) continue;
      const bool changed = look && watches_[i].Changed();
      if (asked || changed) Reload(*sessions_[i], watches_[i]);
    }
  }

  void Reload(RunSession& session, FileWatch& watch) {
    progress_.Clear();
    LoadRequest load = arguments_.load;
    load.files = {session.file()};
    int exit_code = kExitOk;
    std::vector<Pipeline> loaded = LoadOrExplain(load, &exit_code);
    const std::string& name = session.name();
    if (exit_code == kExitOk && loaded.size() == 1) exit_code = CheckBesideOthers(session, loaded[0]);
    if (exit_code != kExitOk || loaded.size() != 1) {
      session.RefuseReload();
      Log(LogLevel::kError, "not reloaded: the edited file is wrong, the pipeline goes on as it was",
          {{"pipeline", name}, {"file", session.file()}});
      return;
    }
    if (loaded[0].file->files != session.pipeline().file->files) watch.Watch(loaded[0].file->files);
    if (LiveLineBesideRows(arguments_)) KeepLiveLineApart(&loaded[0].graph);
    const ReloadPlan plan = session.Reload(std::move(loaded[0]));
    for (const std::string& why : plan.refused)
      Log(LogLevel::kError, "not reloaded, the pipeline goes on as it was: " + why, {{"pipeline", name}});
    if (!plan.refused.empty()) return;
    if (plan.anything())
      Log(LogLevel::kInfo, "reloading: " + DescribeReload(plan), {{"pipeline", name}});
    else
      Log(LogLevel::kInfo, "nothing to reload: the file says what it said", {{"pipeline", name}});
  }

  /// What LoadOrExplain says of files that start together.
  int CheckBesideOthers(const RunSession& session, const Pipeline& next) const {
    std::vector<const Pipeline*> together;
    for (const auto& other : sessions_)
      if (other.get() != &session && !other->over()) together.push_back(&other->newest_pipeline());
    together.push_back(&next);
    Diagnostics problems;
    CheckRules(together, &problems);
    PrintProblems(problems);
    return problems.has_errors() ? kExitWrong : kExitOk;
  }

  void Observe() {
    const int64_t now_us = Env::Posix()->SteadyMicros();
    if (now_us < next_look_us_) return;
    next_look_us_ = now_us + kObserveEvery.us;
    for (auto& session : sessions_)
      if (!session->over()) session->Observe();
  }

  void StopIdle() {
    if (until_idle_.us == 0 || stopping_) return;
    // What counts is that the sources are asked and have nothing: not that the pipeline is slow.
    for (auto& session : sessions_)
      if (!session->over() && session->Report().quiet_us < until_idle_.us) return;
    stopping_ = true;
    for (auto& session : sessions_) session->RequestStop();
  }

  const RunArguments& arguments_;
  const Duration until_idle_;
  Sessions& sessions_;
  Progress progress_;
  std::vector<FileWatch> watches_;  ///< of the sessions, in their order
  int reloads_seen_ = 0;
  int64_t next_watch_us_ = 0;
  bool stopping_ = false;
  bool killed_ = false;
  int64_t next_look_us_ = 0;
};

void PrintSummaries(const RunArguments& arguments, const Sessions& sessions, int exit_code) {
  for (const auto& session : sessions)
    if (!arguments.quiet || session->exit_code() != kExitOk) std::fputs(SummaryText(*session).c_str(), stderr);
  if (!arguments.json) return;
  JsonWriter json;
  json.BeginObject().Field("version", FRESHET_VERSION).Field("exit_code", exit_code).Key("pipelines").BeginArray();
  for (const auto& session : sessions) WriteSummaryJson(*session, json);
  json.EndArray().EndObject();
  std::printf("%s\n", json.text().c_str());
  std::fflush(stdout);
}

int Explain(const Status& status, int exit_code) {
  std::fprintf(stderr, "freshet: %s\n", status.ToString().c_str());
  return exit_code;
}

Sessions MakeSessions(const RunArguments& arguments, std::vector<Pipeline> pipelines) {
  Sessions sessions;
  const bool several = pipelines.size() > 1;
  // All share the cores; one that asks for all of them gets them.
  int concurrency = 1;
  for (const Pipeline& pipeline : pipelines) {
    const int asked = pipeline.settings().parallelism;
    concurrency = std::max(concurrency, asked > 0 ? asked : AvailableCores());
  }
  const auto arena = std::make_shared<TbbArena>(concurrency);
  for (Pipeline& pipeline : pipelines) {
    RunSession::Options options;
    options.fresh = arguments.fresh;
    options.drain = arguments.drain;
    options.limit = arguments.limit;
    options.own_state = !arguments.state.empty();
    options.arena = arena;
    options.state_directory = pipeline.settings().checkpoint_path;
    if (!arguments.state.empty())
      options.state_directory = several ? arguments.state + "/" + pipeline.name() : arguments.state;
    if (LiveLineBesideRows(arguments)) KeepLiveLineApart(&pipeline.graph);
    sessions.push_back(std::make_unique<RunSession>(std::move(pipeline), options));
  }
  return sessions;
}

/// --savepoint: the state as it was then takes the place of what is there.
Status GoBack(const RunArguments& arguments, const std::vector<Pipeline>& pipelines) {
  if (arguments.savepoint.empty()) return Status::Ok();
  if (pipelines.size() != 1 || arguments.fresh)
    return Status::InvalidArgument("--savepoint goes with one FILE and without --fresh");
  const std::string directory = arguments.state.empty() ? pipelines[0].settings().checkpoint_path : arguments.state;
  FRESHET_ASSIGN_OR_RETURN(const std::string from, FindSavepoint(directory, arguments.savepoint));
  return ReplaceState(Env::Posix(), directory, from);
}

int Run(const RunArguments& arguments) {
  Duration until_idle;
  if (!arguments.until_idle.empty()) {
    const Result<Duration> parsed = ParseDuration(arguments.until_idle);
    if (!parsed.ok()) return Explain(parsed.status(), kExitWrong);
    until_idle = *parsed;
  }
  int exit_code = kExitOk;
  std::vector<Pipeline> pipelines = LoadOrExplain(arguments.load, &exit_code);
  if (exit_code != kExitOk) return exit_code;

  if (const Status status = GoBack(arguments, pipelines); !status.ok())
    return Explain(status, status.code() == StatusCode::kInvalidArgument ? kExitWrong : ExitCodeOf(status, true));
  WatchSignals();
  WatchReloads();
  std::vector<FileWatch> watches;  // from here on: an edit while all this starts counts
  for (const Pipeline& pipeline : pipelines) watches.emplace_back(Env::Posix(), pipeline.file->files);
  Sessions sessions = MakeSessions(arguments, std::move(pipelines));
  Result<std::unique_ptr<HttpServer>> server = StartServer(arguments, sessions);
  if (!server.ok()) {
    const bool wrong = server.status().code() == StatusCode::kInvalidArgument;
    if (!arguments.http.empty()) return Explain(server.status(), wrong ? kExitWrong : kExitEnvironment);
    Log(LogLevel::kWarning, "running without HTTP", {{"error", server.status().message()}});
    server = std::unique_ptr<HttpServer>();
  }
  for (auto& session : sessions) {
    const Status status = session->Start();
    if (!status.ok() && sessions.size() > 1) Log(LogLevel::kError, session->name() + ": " + status.ToString());
  }
  PublishAddress(server->get(), sessions);
  if (*server && !arguments.quiet) {
    bool any = false;
    for (const auto& session : sessions) any = any || !session->over();
    if (any) Log(LogLevel::kInfo, "health, metrics and status at http://" + (*server)->address().ToString());
  }
  const bool killed = RunLoop(arguments, until_idle, sessions, std::move(watches)).Run();
  if (*server) (*server)->Stop();
  for (const auto& session : sessions) {
    session->Finish();
    exit_code = WorseExitCode(exit_code, session->exit_code());
    if (*server && session->exit_code() != kExitState)
      (void)Env::Posix()->Remove(session->state_directory() + "/http.addr").ok();
  }
  if (killed) exit_code = kExitSignal + LastSignal();
  PrintSummaries(arguments, sessions, exit_code);
  return exit_code;
}

}  // namespace

Verb AddRunVerb(CLI::App& program) {
  auto a = std::make_shared<RunArguments>();
  a->load.together = true;
  CLI::App* app = program.add_subcommand("run", "Run pipelines until their input ends or a signal comes");
  app->add_option("FILE", a->load.files, "Pipeline files; each runs on its own, one failing does not end the others")
      ->required();
  app->add_option("--set", a->load.sets, "Override an option: path.to.option=value (repeatable)")->take_all();
  app->add_flag("--fresh", a->fresh, "Forget the state, replace the output, start over");
  app->add_flag("--strict", a->load.strict, "Take warnings for errors");
  app->add_flag("--wall-clock", a->load.wall_clock, "Let windows with `time: processing` read bounded sources");
  app->add_option("--state", a->state, "State directory (with several files: its parent)");
  app->add_flag("--drain", a->drain,
                "A stop (signal, --limit, --until-idle) ends the input: windows close and the state is finished");
  app->add_option("--limit", a->limit, "Stop like a signal after N records per source")->check(CLI::NonNegativeNumber);
  app->add_option("--until-idle", a->until_idle, "Stop like a signal when no record has come for this long, e.g. 30s");
  app->add_option("--savepoint", a->savepoint, "Go back to this savepoint (or kept copy) first; one FILE only");
  app->add_option("--http", a->http, "Listen at HOST:PORT, or `off` (default 127.0.0.1:9464, or a free port)");
  app->add_flag("--json", a->json, "Print the summary as one line of JSON on standard output");
  app->add_flag("--watch", a->watch, "Take over edited pipeline files (and what they include) while running");
  app->add_flag("-q,--quiet", a->quiet, "No progress and no summary, unless something fails");
  app->footer(
      "\nSIGINT and SIGTERM stop the sources, take a last checkpoint and exit with 0; the next run goes on from "
      "there.\nSIGHUP reads the pipeline files again: what is unchanged goes on, what is wrong or does not fit the "
      "state is refused\nand the old pipeline runs on.\nThe summary goes to standard error, rows of `console` to "
      "standard output.");
  return {app, [a] { return Run(*a); }};
}

}  // namespace freshet::cli
