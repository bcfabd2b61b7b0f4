#pragma once

#include "engine/flow/descriptor.h"

namespace freshet {

/// `scorecard`: compares alerts with a file of what was planted (`generate: truth`), at the end of a run: precision,
/// recall per kind of plant, delay, and what chance alone would have found. Nothing upstream of it sees the truth.
NodeDescriptor ScorecardDescriptor();

}  // namespace freshet
