#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "engine/cli/reload.h"
#include "engine/flow/tbb_runtime.h"
#include "engine/plan/pipeline.h"
#include "engine/serve/http_server.h"
#include "engine/serve/json_writer.h"
#include "engine/serve/pipeline_view.h"

namespace freshet::cli {

/// One pipeline being run, from its start to its summary. Start, Wait and Finish from one thread; View from any.
class RunSession {
 public:
  struct Options {
    std::string state_directory;
    bool own_state = false;  ///< given on the command line
    bool fresh = false;
    bool drain = false;
    int64_t limit = -1;  ///< records per source; -1: all
    std::shared_ptr<TbbArena> arena;
  };
  RunSession(Pipeline pipeline, Options options);

  /// Opens state, sources and sinks, and starts. A failure is also in the outcome.
  Status Start();
  bool Wait(Duration timeout);
  /// Takes an edited file over: says at once when that cannot be (`refused` is not empty; all goes on as it was), or
  /// that nothing changed. Else the run stops at a barrier, with a checkpoint, and Wait starts the new graph from it;
  /// if that fails, the old one again. Sources that stay open are handed on.
  ReloadPlan Reload(Pipeline next);
  /// Counts a file that could not even be read.
  void RefuseReload() { ++reload_refused_count_; }
  bool reloading() const { return next_.has_value(); }
  void RequestStop();
  void StopNow();
  /// Joins everything. Idempotent.
  void Finish();

  /// Makes STATE/savepoints/NAME from the newest checkpoint, or from one taken for it. Any thread but the session's
  /// own.
  Status MakeSavepoint(const std::string& name, bool checkpoint_first);

  /// The session's part of /api/v1/alerts, from the newest checkpoint. Any thread; keeps nobody from anything but the
  /// end of the run, which it then gives way to. `alert_id`: 0, or the only one. Returns how many there are.
  /// kUnavailable: nothing runs, nothing is written; the state can be read directly then.
  Result<int64_t> WriteAlerts(uint64_t alert_id, JsonWriter* json) const;
  /// Silences, acknowledges or labels an alert: waits for the checkpoint that makes it durable. kNotFound: no alert of
  /// this pipeline is meant; kUnavailable: it was not accepted. Any thread but the session's own.
  Result<AlertOrderOutcome> ObeyAlertOrder(const AlertOrder& order);

  /// What the running pipeline says of links in alerts. Any thread.
  std::optional<AlertLinks> alert_links() const;

  PipelineView View() const;
  /// Looks at how busy the nodes are; call about once a second.
  void Observe();
  const NodeEdges& edges() const { return edges_; }
  JobReport Report() const;

  const std::string& name() const { return name_; }
  const std::string& file() const { return pipeline_.file->path; }
  const Pipeline& pipeline() const { return pipeline_; }
  /// The one that it is being reloaded with, or else its own.
  const Pipeline& newest_pipeline() const { return next_ ? *next_ : pipeline_; }
  const std::string& state_directory() const { return options_.state_directory; }
  /// The state said that there is nothing left to do; then when that was.
  std::optional<int64_t> already_finished_wall_us() const { return already_finished_wall_us_; }
  bool over() const { return over_; }
  int exit_code() const;
  /// Microseconds from Start to the end (or now).
  int64_t elapsed_us() const;
  /// Records that the sources had read when this run began (restored counters).
  int64_t records_before() const { return records_before_; }
  static int64_t RecordsRead(const JobReport& report);

 private:
  /// Every source has given what `limit` allows, or has ended.
  bool LimitReached() const;
  Result<std::unique_ptr<TbbRuntime>> StartRuntime(const Pipeline& pipeline, bool fresh);
  /// The old graph has stopped for a reload. True if the run is over all the same.
  bool GoOnReloaded();
  void SetOver(JobReport report);
  /// The state is free for whoever opens it next when this returns.
  void DropRuntime();

  Pipeline pipeline_;
  const std::string name_;
  const Options options_;
  NodeEdges edges_;
  LoadWindow window_;
  OpenSources open_sources_;  ///< between two graphs
  std::optional<Pipeline> next_;
  std::atomic<int64_t> reload_count_{0};
  std::atomic<int64_t> reload_refused_count_{0};
  /// Held shared while the state is read beside the run, exclusively to end the run; before mutex_.
  mutable std::shared_mutex reading_;
  std::atomic<bool> ending_{false};  ///< readers give way
  mutable std::mutex mutex_;         // guards runtime_ against View during Finish, edges_, phase_ and started_wall_us_
  std::unique_ptr<TbbRuntime> runtime_;
  std::optional<JobReport> final_report_;
  JobReport last_report_;  ///< shown while there is no runtime
  PipelinePhase phase_ = PipelinePhase::kStarting;
  Status start_status_;
  std::optional<int64_t> already_finished_wall_us_;
  bool over_ = false;
  bool stop_requested_ = false;
  int64_t started_us_ = 0;
  int64_t started_wall_us_ = 0;
  int64_t ended_us_ = 0;
  int64_t records_before_ = 0;
};

/// "reads.dead_letter" for a port as `inputs:` names it.
std::string PortName(const GraphSpec& spec, const PortRef& port);
/// Which node feeds which, by the names of `inputs:`.
NodeEdges EdgesOf(const GraphSpec& spec);

}  // namespace freshet::cli
