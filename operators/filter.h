#pragma once

#include "engine/flow/descriptor.h"

namespace freshet {

/// `filter`: keeps the rows for which `where` is true.
///   State : none.                    Time  : untouched.
///   Nulls : null is false.           Order : kept.
///   Memory: a selection over the input's batch; no row is copied.
/// Counters: `filtered`.
NodeDescriptor FilterDescriptor();

}  // namespace freshet
