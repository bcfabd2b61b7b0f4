#pragma once

#include "engine/flow/descriptor.h"

namespace freshet {

/// `window`: aggregates per key over tumbling, hopping or cumulate windows of event time or of the wall clock,
/// sessions, or counts of rows.
///   State : table "panes", per key the partial aggregates of its open slices, codec 3; "sessions" and "counts", per
///           key those of its open windows and steps, codec 2; "trailing", per key those of its rows, codec 2. Keys may
///           leave memory.
///   Time  : a row counts in each window that holds its event time and was not over by the row's own watermark (plus
///           `allowed_lateness`); a row that is late for all of them leaves on `late` (SEMANTICS.md §2.1). A result
///           leaves when the merged watermark reaches the window's end, and has event time and row watermark
///           `window_end` - 1 µs. Rows within `allowed_lateness` give a revised result: one per row watermark, which it
///           carries.
///   Nulls : aggregates skip them; rows with a null key are one group; a window without values gives null, and count 0.
///   Order : by (moment, window_end, window_start, key bytes); a moment is the result's row watermark.
///   Memory: O(keys x open slices). Keys without open windows are forgotten once their allowed lateness has
///           passed; those that the end of the input closed, once time has. count_distinct: at most 16 KiB a cell.
///   Source: stream slicing (Traub et al., EDBT 2019). Sums, averages and variances do not depend on order or grouping:
///           see ReproducibleSum.
/// Counters: `absorbed`, `late`, `late_panes`, `panes_*`; `nulled` for results and arguments lost to overflow.
NodeDescriptor WindowDescriptor();

}  // namespace freshet
