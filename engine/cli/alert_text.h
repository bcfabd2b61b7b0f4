#pragma once

#include <string>

#include "connectors/format/json_value.h"
#include "engine/base/status.h"

namespace freshet::cli {

/// What /api/v1/alerts answers, as people read it. `all`: every alert that is over, else the last ten.
std::string RenderAlerts(const JsonValue& answer, bool all);
/// One alert by its id; kNotFound if there is none.
Result<std::string> RenderAlert(const JsonValue& answer, const std::string& alert_id);

}  // namespace freshet::cli
