#pragma once

#include "engine/flow/descriptor.h"

namespace freshet {

/// `join`: rows of two inputs with equal keys whose event times are near each other.
///   State : table "rows", per key the rows of both sides that may still meet one, codec 1.
///   Time  : two rows meet if their event times differ by at most `within`, or lie in the same tumbling window. A
///   result
///           has the larger event time and the smaller row watermark, and leaves when time has passed it. With
///           `how: left` a left row that met nothing leaves when nothing can come any more, at that time. A row older
///           than its own watermark is late: it leaves on `late`.
///   Nulls : a null in the key equals nothing.
///   Order : by (event time, key bytes), then as the later row comes in its input; it depends on the rows alone, not on
///           the inputs' timing.
///   Memory: O(rows within reach), and those of an input that is ahead until the other has caught up. Keys leave it
///           under `settings.memory_limit`; some 100 bytes stay of one that has something to do.
/// Counters: `absorbed`, `late`, `held` (late rows on their way out).
NodeDescriptor JoinDescriptor();

}  // namespace freshet
