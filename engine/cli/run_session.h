#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/flow/tbb_runtime.h"
#include "engine/plan/pipeline.h"
#include "engine/serve/pipeline_view.h"

namespace freshet::cli {

/// One pipeline being run, from its start to its summary. Start, Wait and Finish from one thread; View from any.
class RunSession {
 public:
  struct Options {
    std::string state_directory;
    bool fresh = false;
    int64_t limit = -1;  ///< records per source; -1: all
    std::shared_ptr<TbbArena> arena;
  };
  RunSession(Pipeline pipeline, Options options);

  /// Opens state, sources and sinks, and starts. A failure is also in the outcome.
  Status Start();
  bool Wait(Duration timeout);
  void RequestStop();
  void StopNow();
  /// Joins everything. Idempotent.
  void Finish();

  PipelineView View() const;
  /// Looks at how busy the nodes are; call about once a second.
  void Observe();
  const NodeEdges& edges() const { return edges_; }
  JobReport Report() const;

  const std::string& name() const { return pipeline_.name(); }
  const std::string& file() const { return pipeline_.file->path; }
  const Pipeline& pipeline() const { return pipeline_; }
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

  Pipeline pipeline_;
  const Options options_;
  NodeEdges edges_;
  LoadWindow window_;
  mutable std::mutex mutex_;  // guards runtime_ against View during Finish, phase_ and started_wall_us_
  std::unique_ptr<TbbRuntime> runtime_;
  std::optional<JobReport> final_report_;
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
