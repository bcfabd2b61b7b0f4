#include "engine/cli/run_session.h"

#include <algorithm>

#include "engine/base/cpu.h"
#include "engine/base/log.h"
#include "engine/cli/alert_report.h"
#include "engine/cli/commit_holder.h"
#include "engine/cli/exit_codes.h"

namespace freshet::cli {

std::string PortName(const GraphSpec& spec, const PortRef& port) {
  const NodeSpec& node = spec.nodes[static_cast<size_t>(port.node)];
  if (port.port == 0) return node.id;
  if (const auto* op = std::get_if<OperatorNode>(&node.kind))
    return node.id + "." + op->bound.outputs[static_cast<size_t>(port.port)].name;
  return node.id + ".dead_letter";
}

NodeEdges EdgesOf(const GraphSpec& spec) {
  NodeEdges edges;
  for (const NodeSpec& node : spec.nodes)
    for (const PortRef& input : node.inputs) edges.emplace_back(PortName(spec, input), node.id);
  return edges;
}

RunSession::RunSession(Pipeline pipeline, Options options)
    : pipeline_(std::move(pipeline)),
      name_(pipeline_.name()),
      options_(std::move(options)),
      edges_(EdgesOf(pipeline_.graph)) {}

Result<std::unique_ptr<TbbRuntime>> RunSession::StartRuntime(const Pipeline& pipeline, bool fresh) {
  const Settings& settings = pipeline.settings();
  TbbRuntime::Options options;
  options.job.env = Env::Posix();
  options.job.state_directory = options_.state_directory;
  options.job.checkpoint_every = settings.checkpoint_every;
  options.job.checkpoint_timeout = settings.checkpoint_timeout;
  options.job.checkpoint_keep = settings.checkpoint_keep;
  options.job.linger = settings.linger;
  options.job.memory_limit = settings.memory_limit.value_or(MemoryLimitBytes() / 2);
  options.job.lane_count = settings.parallelism > 0 ? settings.parallelism : AvailableCores();
  options.job.fresh = fresh;
  options.job.drain = options_.drain;
  options.job.before_commit = CommitHolder(Env::Posix());
  options.job.open_sources = &open_sources_;
  options.arena = options_.arena;
  options.concurrency = settings.parallelism;
  GraphSpec spec = pipeline.graph;
  if (options_.limit >= 0)
    for (NodeSpec& node : spec.nodes)
      if (auto* source = std::get_if<SourceNode>(&node.kind)) source->limit = options_.limit;
  return TbbRuntime::Start(std::move(spec), options);
}

Status RunSession::Start() {
  Env* const env = Env::Posix();
  started_us_ = env->SteadyMicros();
  {
    const std::lock_guard lock(mutex_);
    started_wall_us_ = env->WallMicros();
  }
  Result<std::unique_ptr<TbbRuntime>> started = StartRuntime(pipeline_, options_.fresh);
  const std::lock_guard lock(mutex_);
  if (!started.ok()) {
    start_status_ = started.status();
    phase_ = PipelinePhase::kFailed;
    over_ = true;
    ended_us_ = env->SteadyMicros();
    return start_status_;
  }
  runtime_ = std::move(*started);
  phase_ = PipelinePhase::kRunning;
  if (runtime_->job().already_finished())
    already_finished_wall_us_ = runtime_->job().restored_manifest().committed_wall_us;
  records_before_ =
      runtime_->job().already_finished() ? RecordsRead(runtime_->Report()) : runtime_->job().records_restored();
  return Status::Ok();
}

bool RunSession::Wait(Duration timeout) {
  if (over_) return true;
  over_ = runtime_->Wait(timeout);
  if (over_ && next_) over_ = GoOnReloaded();
  if (!over_ && options_.limit >= 0 && !stop_requested_ && LimitReached()) RequestStop();
  return over_;
}

bool RunSession::LimitReached() const {
  bool stopped = false;
  for (const auto& driver : runtime_->job().drivers()) stopped = stopped || driver->cell().stopped();
  return stopped && runtime_->job().sources_at_rest();
}

ReloadPlan RunSession::Reload(Pipeline next) {
  ReloadPlan plan;
  {
    const std::lock_guard lock(mutex_);
    if (!runtime_ || over_ || stop_requested_ || next_) {
      plan.refused.emplace_back("it is stopping, or being reloaded already");
    } else if (const Status failing = runtime_->job().last_failure(); !failing.ok()) {
      plan.refused.push_back("checkpoints fail, and without one nothing can go on from here: " + failing.ToString());
    } else {
      plan = PlanReload(pipeline_, next, runtime_->job().CheckFit(next.graph), options_.own_state);
    }
  }
  if (!plan.refused.empty()) RefuseReload();
  if (!plan.refused.empty() || !plan.anything()) return plan;
  const std::lock_guard lock(mutex_);
  next_ = std::move(next);
  phase_ = PipelinePhase::kReloading;
  runtime_->job().SetDrain(false);  // the input goes on
  runtime_->RequestStop();
  return plan;
}

bool RunSession::GoOnReloaded() {
  Pipeline next = std::move(*next_);
  next_.reset();
  JobReport report = runtime_->Finish();
  {
    const std::lock_guard lock(mutex_);
    last_report_ = report;
  }
  DropRuntime();
  for (const std::string& warning : report.warnings) Log(LogLevel::kWarning, warning, {{"pipeline", name_}});
  if (!report.status.ok() || report.finished || stop_requested_) {
    Log(LogLevel::kWarning, "not reloaded: the run ended first", {{"pipeline", name_}});
    SetOver(std::move(report));
    return true;
  }
  Result<std::unique_ptr<TbbRuntime>> started = StartRuntime(next, false);
  const bool taken = started.ok();
  if (!taken) {
    ++reload_refused_count_;
    Log(LogLevel::kError, "the edited pipeline did not start, the old one goes on",
        {{"pipeline", name_}, {"error", started.status().ToString()}});
    started = StartRuntime(pipeline_, false);
  }
  if (!started.ok()) {
    report.status = started.status();
    SetOver(std::move(report));
    return true;
  }
  const std::lock_guard lock(mutex_);
  runtime_ = std::move(*started);
  phase_ = PipelinePhase::kRunning;
  if (!taken) return false;
  ++reload_count_;
  pipeline_ = std::move(next);
  edges_ = EdgesOf(pipeline_.graph);
  Log(LogLevel::kInfo, "reloaded", {{"pipeline", name_}, {"file", pipeline_.file->path}});
  return false;
}

void RunSession::SetOver(JobReport report) {
  {
    const std::lock_guard lock(mutex_);
    ended_us_ = Env::Posix()->SteadyMicros();
    phase_ = !report.status.ok()                            ? PipelinePhase::kFailed
             : report.finished || already_finished_wall_us_ ? PipelinePhase::kFinished
                                                            : PipelinePhase::kStopped;
    final_report_ = std::move(report);
    over_ = true;
  }
  DropRuntime();
  open_sources_.clear();
}

void RunSession::DropRuntime() {
  ending_ = true;
  {
    const std::lock_guard readers(reading_);
    const std::lock_guard lock(mutex_);
    runtime_.reset();
  }
  ending_ = false;
}

void RunSession::RequestStop() {
  const std::lock_guard lock(mutex_);
  stop_requested_ = true;
  if (!runtime_ || final_report_) return;
  phase_ = PipelinePhase::kStopping;
  runtime_->RequestStop();
}

void RunSession::StopNow() {
  const std::lock_guard lock(mutex_);
  if (runtime_ && !final_report_) runtime_->StopNow();
}

void RunSession::Finish() {
  if (runtime_ && !final_report_) SetOver(runtime_->Finish());
}

Status RunSession::MakeSavepoint(const std::string& name, bool checkpoint_first) {
  constexpr int kLookCount = 1500;
  constexpr int64_t kLookEveryUs = 20000;
  const auto committed = [this] { return Report().committed; };
  const auto ended = [this] {
    const std::lock_guard lock(mutex_);
    return final_report_.has_value();
  };
  if (checkpoint_first) {
    const Epoch before = committed();
    {
      const std::lock_guard lock(mutex_);
      if (!runtime_ || final_report_) return Status::Unavailable("the pipeline is not running");
      runtime_->RequestCheckpoint();
    }
    for (int look = 0; committed() == before && !ended(); ++look) {
      if (look == kLookCount)
        return Status::Unavailable("no checkpoint came to its end: " + Report().checkpoint_last_error);
      Env::Posix()->SleepMicros(kLookEveryUs);
    }
  }
  const std::lock_guard lock(mutex_);
  if (!runtime_ || final_report_) return Status::Unavailable("the pipeline is not running");
  return runtime_->job().CopyStateTo(options_.state_directory + "/savepoints/" + name);
}

Result<int64_t> RunSession::WriteAlerts(uint64_t alert_id, JsonWriter* json) const {
  const Status nothing_runs = Status::Unavailable("nothing runs on the state of " + name_ +
                                                  " at this moment; `freshet alerts list` reads it all the same");
  if (ending_) return nothing_runs;
  const std::shared_lock reading(reading_);
  std::unique_lock lock(mutex_);
  if (!runtime_ || final_report_) return nothing_runs;
  CheckpointStore* store = nullptr;
  FRESHET_ASSIGN_OR_RETURN(const std::vector<Manifest::Table> tables, runtime_->job().ReadCommitted(&store));
  const JobReport report = runtime_->Report();
  AlertPlace place = {name_, options_.state_directory};
  place.given_up = [this] { return ending_.load(); };
  place.running = !runtime_->job().already_finished();
  place.finished = !place.running;
  place.epoch = report.committed;
  place.committed_wall_us = report.checkpoint_last_wall_us != 0 ? report.checkpoint_last_wall_us
                                                                : runtime_->job().restored_manifest().committed_wall_us;
  place.now_wall_us = Env::Posix()->WallMicros();
  lock.unlock();
  return WritePipelineAlerts(place, *store, tables, alert_id, json);
}

std::optional<AlertLinks> RunSession::alert_links() const {
  const std::lock_guard lock(mutex_);
  return pipeline_.settings().alert_links;
}

Result<AlertOrderOutcome> RunSession::ObeyAlertOrder(const AlertOrder& order) {
  constexpr int kLookCount = 1500;
  constexpr int64_t kLookEveryUs = 10000;
  FRESHET_ASSIGN_OR_RETURN(const AlertCommand command, ParseAlertOrder(order, Env::Posix()->WallMicros()));
  CommandList sent;
  {
    const std::lock_guard lock(mutex_);
    if (!runtime_ || final_report_ || runtime_->job().already_finished())
      return Status::Unavailable("the pipeline is not running: nothing was changed");
    for (const NodeSpec& node : runtime_->job().spec().nodes) {
      if (node.type != "alert" || (command.alert_id == 0 && node.id != order.alert)) continue;
      sent.push_back(std::make_shared<Command>(node.id, command.Encode()));
      runtime_->job().Submit(sent.back());
    }
  }
  if (sent.empty()) return Status::NotFound("`" + order.alert + "` is no alert of " + name_);
  const auto waits = [](const auto& c) { return c->outcome() == Command::Outcome::kWaiting; };
  for (int look = 0; std::any_of(sent.begin(), sent.end(), waits); ++look) {
    if (look == kLookCount)
      return AlertOrderOutcome{false,
                               "no checkpoint came to its end in time, so it is not certain that anything changed"};
    Env::Posix()->SleepMicros(kLookEveryUs);
  }
  std::optional<std::string> said;
  bool lost = false;
  for (const auto& c : sent) {
    lost = lost || c->outcome() == Command::Outcome::kLost;
    if (c->outcome() != Command::Outcome::kDurable) continue;
    for (const std::string& answer : c->answers()) said = said.value_or("").empty() ? answer : *said;
  }
  if (said) return AlertOrderOutcome{true, *said};
  if (lost)
    return Status::Unavailable("the run, or the input of an alert, ended before a checkpoint: nothing was changed");
  return Status::NotFound("no alert `" + order.alert + "` in " + name_ +
                          "; it is not firing, and over for longer than its rule's `remember`");
}

JobReport RunSession::Report() const {
  const std::lock_guard lock(mutex_);
  if (final_report_) return *final_report_;
  if (runtime_) return runtime_->Report();
  JobReport report = last_report_;
  report.status = start_status_;
  return report;
}

PipelineView RunSession::View() const {
  PipelineView view;
  view.report = Report();
  view.name = name();
  view.state_directory = options_.state_directory;
  view.reload_count = reload_count_;
  view.reload_refused_count = reload_refused_count_;
  const std::lock_guard lock(mutex_);
  view.edges = edges_;
  view.load = window_.Measure(view.report, edges_);
  view.started_wall_us = started_wall_us_;
  view.phase = phase_;
  return view;
}

void RunSession::Observe() {
  const JobReport report = Report();
  const std::lock_guard lock(mutex_);
  window_.Add(report);
}

int RunSession::exit_code() const {
  if (!start_status_.ok()) return ExitCodeOf(start_status_, true);
  return ExitCodeOf(Report().status, false);
}

int64_t RunSession::elapsed_us() const {
  return (ended_us_ != 0 ? ended_us_ : Env::Posix()->SteadyMicros()) - started_us_;
}

int64_t RunSession::RecordsRead(const JobReport& report) {
  int64_t records = 0;
  for (const NodeReport& node : report.nodes)
    if (node.node_class == NodeClass::kSource) records += node.counters.in;
  return records;
}

}  // namespace freshet::cli
