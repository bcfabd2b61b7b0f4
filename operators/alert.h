#pragma once

#include "engine/flow/descriptor.h"

namespace freshet {

/// `alert`: turns a condition per key into episodes: one row when an episode starts firing, one when it resolves.
///   State : table "episodes", codec 7 (1 to 6 are read): per key the episode's phase, start, peak and deadlines, the
///           row that started it, whether people were told, what they said to it, and alerts that are over, for
///           `remember`. Rows of other columns are read by name (kept_rows.h).
///           "silenced": until when the whole rule is. "watermark": the last one, while an alert is held back.
///   Time  : by event time; late rows leave on `late`. `for`, `keep_firing_for`, `no_data_after`, maintenance and
///           silences are deadlines in event time. The end of the input lets all of them pass (how far time had come
///           before it depends on how inputs interleave); what still fires then stays so, without a row. Silences
///           stay for an input that grows.
///   Nulls : a null condition counts as false, a null `value` as within its thresholds.
///   Memory: O(keys with an episode, in cooldown, remembered or labelled); with `no_data: fire` O(keys), each with its
///           last row; with `sparkline` O(keys seen in the last `remember`), each with 24 numbers.
///   Order : by event time of the change, then key. A change made by a deadline has the deadline's time.
/// Keys are independent of each other and run in lanes; see notify.h for what concerns several of them.
/// Commands (alert/alert_command.h) take effect at a barrier, as command.h says.
/// Columns, a contract (SEMANTICS.md §6.1): alert_id, rule, key columns, state, severity, started_at, peaked_at, peak,
/// ended_at, message, then the other columns of the row that started it (with `row_` before a name that is taken; a key
/// column too, if it has the name of one of the alert's own), then dedupe_key, link, sparkline, owner, runbook and
/// labels where given.
NodeDescriptor AlertDescriptor();

}  // namespace freshet
