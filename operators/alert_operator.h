#pragma once

#include <memory>

#include "engine/flow/operator.h"
#include "operators/alert_plan.h"

namespace freshet {

/// `alert` at work (alert.h): state, deadlines, commands, rows.
std::unique_ptr<Operator> NewAlertOperator(std::shared_ptr<const AlertPlan> plan);

}  // namespace freshet
