#pragma once

#include "engine/flow/descriptor.h"

namespace freshet {

/// `derive`: adds columns computed from the input's columns and from earlier derived ones.
///   State : with `delta`, `rate` or `lag`: table "derive", per key and call the last values and the time of the last
///   one,
///           codec 1. Otherwise none.
///   Time  : untouched. With keyed calls rows are taken by event time, and late ones leave on `late` (SEMANTICS.md
///   §2.5). Nulls : a null argument gives null. `delta` and `rate` compare with the last row of the key that was not
///   null;
///           `lag` counts all rows.
///   Order : kept; with keyed calls that of event time.
///   Memory: O(keys) with keyed calls, else none.
/// `rate` is per second; it is null where no time has passed, and where the value fell (a counter that was reset): both
/// are counted as nulled, and the new value is the base of the next row.
NodeDescriptor DeriveDescriptor();

}  // namespace freshet
