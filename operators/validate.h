#pragma once

#include "engine/flow/descriptor.h"

namespace freshet {

/// `validate`: rows that keep all rules go on; the others leave on `rejected` with the names of the rules they broke.
///   State : none.                                    Time  : untouched.
///   Nulls : a rule that is null is broken, unlike in `filter` (SEMANTICS.md §8.3).
///   Order : kept on both outputs.                    Memory: rejected rows are copied, the others are a selection.
/// Counters: `rejected`.
NodeDescriptor ValidateDescriptor();

}  // namespace freshet
