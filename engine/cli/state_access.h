#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/state/checkpoint_store.h"

namespace freshet::cli {

/// What `freshet state` and `freshet savepoint` work on: TARGET is a pipeline file or a state directory.
struct StateTarget {
  std::string directory;
  /// No Freshet process holds it now.
  bool idle = false;
};
/// Creates and removes nothing where there is no state; kNotFound then.
Result<StateTarget> FindState(const std::string& target);
/// kAlreadyExists for a directory that holds something, but no state.
Status CheckMayHoldState(const std::string& directory);
/// Where a pipeline file keeps its state, whether there is any or not.
Result<std::string> StateDirectoryOf(const std::string& pipeline_file);

/// A state opened for looking. While an engine works on it, that engine is asked (STATE/http.addr) for a copy, which is
/// gone with this object.
class OpenedState {
 public:
  static Result<OpenedState> Open(const StateTarget& target);
  OpenedState(OpenedState&&) = default;
  OpenedState& operator=(OpenedState&&) = delete;
  ~OpenedState();
  CheckpointStore& store() { return *store_; }

 private:
  OpenedState() = default;
  static Result<OpenedState> OpenOnce(const StateTarget& target);
  std::unique_ptr<CheckpointStore> store_;
  std::string copy_;
};

/// Makes STATE/savepoints/NAME: through the engine that works on it (with a checkpoint taken for it), else directly.
Status MakeSavepoint(const StateTarget& target, const std::string& name);
/// Where a savepoint or kept copy of this name is. NotFound lists what there is.
Result<std::string> FindSavepoint(const std::string& state_directory, const std::string& name);

struct SavepointLine {
  std::string name;
  bool kept = false;  ///< made by the engine every 10 minutes
  Manifest manifest;
};
std::vector<SavepointLine> ListSavepoints(const std::string& state_directory);

}  // namespace freshet::cli
