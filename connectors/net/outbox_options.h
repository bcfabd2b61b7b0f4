#pragma once

#include <vector>

#include "engine/flow/descriptor.h"

namespace freshet {

/// The options that every network sink has: when rows leave, how many a request carries, and what happens when the
/// receiver does not take them.
std::vector<OptionSpec> OutboxOptionSpecs();

/// Reads them into `bound->outbox`, and says in `bound->explain` which input's rows leave when. False after a mistake,
/// which has been reported: FR3122, eager rows without an identity; FR3123, inputs that cannot be told apart.
bool BindOutboxOptions(const OptionsNode& options, const BindContext& bind, BoundSink* bound);

}  // namespace freshet
