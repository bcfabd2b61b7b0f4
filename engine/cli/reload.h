#pragma once

#include <string>
#include <vector>

#include "engine/base/env.h"
#include "engine/flow/state_fit.h"
#include "engine/plan/pipeline.h"

namespace freshet::cli {

/// What taking over an edited pipeline file comes to, node by node, before anything is stopped.
struct ReloadPlan {
  std::vector<std::string> kept;       ///< as before; their state goes on
  std::vector<std::string> restarted;  ///< other options; they go on from their state
  std::vector<std::string> added;
  std::vector<std::string> removed;
  std::vector<std::string> refused;  ///< sentences: why this edit cannot be taken over while it runs
  bool settings_changed = false;
  bool anything() const { return settings_changed || !restarted.empty() || !added.empty() || !removed.empty(); }
};

/// `fits`: what becomes of the state (Job::CheckFit). `own_state`: the state directory was given on the command line,
/// so that `settings.checkpoint.path` does not matter.
ReloadPlan PlanReload(const Pipeline& now, const Pipeline& next, const std::vector<NodeFit>& fits, bool own_state);

/// "kept in, w; restarted big; added out2; removed old": for the log.
std::string DescribeReload(const ReloadPlan& plan);

/// The files of a pipeline, looked at from time to time. One thread.
class FileWatch {
 public:
  FileWatch(Env* env, std::vector<std::string> paths) : env_(env) { Watch(std::move(paths)); }
  /// From now on these, as they are now.
  void Watch(std::vector<std::string> paths);
  /// True once after one of them changed and then stayed the same from one look to the next, so that a file that is
  /// being written is not read half. An editor may replace the file or write into it. The first path is the pipeline.
  bool Changed();

 private:
  struct Print {
    uint64_t inode = 0;
    int64_t size = -1;
    int64_t modified_us = 0;
    bool operator==(const Print&) const = default;
  };
  std::vector<Print> Look() const;

  Env* env_;
  std::vector<std::string> paths_;
  std::vector<Print> known_;
  std::vector<Print> last_;
};

}  // namespace freshet::cli
