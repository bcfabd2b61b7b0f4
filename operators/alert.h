#pragma once

#include "engine/flow/descriptor.h"

namespace freshet {

/// `alert`: turns a condition per key into episodes: one row when an episode starts firing, one when it resolves.
///   State : table "episodes", codec 1: per key the episode's phase, start, peak, deadline and the row that started it.
///   Time  : by event time; late rows leave on `late`. `for` and `keep_firing_for` are deadlines in event time. The
///           end of the input lets all of them pass (how far time had come before it depends on how inputs interleave);
///           what still fires then stays so, without a row.
///   Nulls : a null condition counts as false.
///   Memory: O(keys with an episode or in cooldown).
///   Order : by event time of the change, then key. A change made by a deadline has the deadline's time.
/// Columns, a contract (SEMANTICS.md §6.1): alert_id, rule, key columns, state, severity, started_at, peaked_at, peak,
/// ended_at, message, then the other columns of the row that started it (with `row_` before a name that is taken; a key
/// column too, if it has the name of one of the alert's own).
NodeDescriptor AlertDescriptor();

}  // namespace freshet
