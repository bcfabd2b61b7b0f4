#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/serve/http_server.h"
#include "engine/serve/json_writer.h"
#include "engine/state/checkpoint_store.h"
#include "operators/alert/alert_command.h"

namespace freshet::cli {

struct AlertPlace {
  std::string pipeline;
  std::string state_directory;
  bool running = false;
  bool finished = false;          ///< all input came, long ago perhaps
  Epoch epoch = {};               ///< of the checkpoint that is read
  int64_t committed_wall_us = 0;  ///< when it became durable
  int64_t now_wall_us = 0;
  std::function<bool()> given_up = {};  ///< asked now and then while the state is read: true ends it, kCancelled
};

/// One element of /api/v1/alerts' `pipelines` (engine/serve/README.md): what a checkpoint knows of alerts, or of the
/// one with `alert_id` if that is not 0. Returns how many it has. Beside the pipeline's commits; holds no more than the
/// alerts that it writes, twice over.
Result<int64_t> WritePipelineAlerts(const AlertPlace& place, CheckpointStore& store,
                                    const std::vector<Manifest::Table>& tables, uint64_t alert_id, JsonWriter* json);
/// The first alert of what WritePipelineAlerts wrote, for the page behind a link.
Result<LinkedAlert> ReadLinkedAlert(const std::string& pipeline_alerts);
/// Obeys an order in a state that no engine works on, as the engine would at its next start: durable when this returns.
/// kNotFound: no such alert or rule. kUnavailable: after a kill, alerts have left that the state does not know of; a
/// silence or a label might keep them from coming again, and so from ever being told as resolved. Else what there is to
/// say to it, often nothing.
Result<std::string> ObeyInState(CheckpointStore& store, const AlertOrder& order, int64_t now_wall_us);
/// What an order means; kInvalidArgument if it is none. `now_us`: wall clock.
Result<AlertCommand> ParseAlertOrder(const AlertOrder& order, int64_t now_us);

}  // namespace freshet::cli
