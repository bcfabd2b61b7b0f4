#pragma once

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
};

/// One element of /api/v1/alerts' `pipelines` (engine/serve/README.md): what a checkpoint knows of alerts.
Status WritePipelineAlerts(const AlertPlace& place, CheckpointStore& store, const std::vector<Manifest::Table>& tables,
                           JsonWriter* json);
/// What an order means; kInvalidArgument if it is none. `now_us`: wall clock.
Result<AlertCommand> ParseAlertOrder(const AlertOrder& order, int64_t now_us);

}  // namespace freshet::cli
