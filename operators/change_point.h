#pragma once

#include "engine/flow/descriptor.h"

namespace freshet {

/// `change_point`: says where the level of a number has shifted for good.
///   State : unkeyed: the detector as bytes. Keyed: table "changes", one detector per key, codec 1: u8 1, the detector.
///   Time  : rows are taken by event time and keep theirs; late ones leave on `late`. A change is told by the row that
///           makes it certain, with the time at which it began.
///   Nulls : a null, NaN or infinite metric tells nothing and is not learned.
///   Memory: per key 250 bytes (cusum, page_hinkley), 3 to 5 KB (adwin).
///   Order : one output row per input row, kept.
///   Source: operators/change_point/cusum.h, page_hinkley.h, adwin.h.
NodeDescriptor ChangePointDescriptor();

}  // namespace freshet
