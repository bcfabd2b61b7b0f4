#pragma once

#include "engine/flow/descriptor.h"

namespace freshet {

/// `inhibit`: an alert that is not told while others with equal labels fire: the first input passes, the other inputs
/// hold it back.
///   State : table "labels", codec 1 (alert/inhibition.h): per value of `equal` the inhibitors that fire, alerts that
///           are held, and rows for which the watermark has not come.
///   Time  : by event time of the alerts' rows: they are put in order here, whatever order the inputs come in; at one
///           moment inhibitors go first. A held alert is told at the moment its last inhibitor ended.
///   Nulls : null labels are equal to each other.
///   Memory: O(inhibitors that fire + alerts held).
///   Order : by event time, then the labels. Rows of equal labels meet in one lane.
/// An inhibitor that is itself silenced or in maintenance gives no row and so inhibits nothing.
/// Columns: those of the first input.
NodeDescriptor InhibitDescriptor();

}  // namespace freshet
