#pragma once

#include "engine/flow/descriptor.h"

namespace freshet {

/// `isolation_forest`: scores each row against the rows before it, then learns it.
///   State : unkeyed: the model as bytes (some 100 KB). Keyed: table "forests", one model per key, codec 1.
///   Time  : untouched; rows are taken in the order of their arrival, one by one, so results do not depend on batches.
///   Nulls : a null or NaN feature is missing; a row that misses all has null score and is not learned.
///   Memory: bounded by window, trees and features; see operators/isolation_forest/MODEL.md.
///   Order : one output row per input row, kept.
///   Source: isolation forest (Liu, Ting, Zhou 2008) over a rolling window, or Leveni et al. 2024 (`variant: online`),
///           Tan et al. 2011 (`half_space_trees`), Guha et al. 2016 (`robust_random_cut_forest`).
NodeDescriptor IsolationForestDescriptor();

}  // namespace freshet
