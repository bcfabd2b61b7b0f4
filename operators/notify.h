#pragma once

#include "engine/flow/descriptor.h"

namespace freshet {

/// `notify`: which alerts leave, and which leave together: grouping and a budget over the rows of an `alert`.
///   State : tables "groups" (codec 1: alert/notice_group.h, by the values of `group_by`), "budget" (codec 1:
///           alert/notice_budget.h, one row), "held_back" (ids of alerts that the budget did not let leave).
///   Time  : by event time; a notice has the time at which its wait was over. The end of the input lets waits pass.
///   Nulls : null values of `group_by` form a group.
///   Memory: O(alerts that fire, groups of the last `group_interval`).
///   Order : by event time, then as the alerts came. What concerns several keys needs one place: one lane sees all
///   rows;
///           they are few, the alert before it has as many lanes as there are.
/// Columns: those of the input; with `group_by` also `alerts`, how many a notice tells of.
/// A notice has the alert_id and the other columns of the first alert in it, the worst severity and peak, the earliest
/// start, and a message made of theirs.
NodeDescriptor NotifyDescriptor();

}  // namespace freshet
