#pragma once

#include "engine/flow/descriptor.h"

namespace freshet {

/// `statistical_outlier`: compares one number per row with what its key has shown before.
///   State : unkeyed: the model as bytes. Keyed: table "outliers", one model per key, codec 1.
///   Time  : untouched; rows are taken in the order of their arrival, one by one.
///   Nulls : a null or NaN metric has null score and is not learned.
///   Memory: per key 48 bytes (ewma_zscore) or 16 a value of `window` (mad), and 8 a remembered score.
///   Order : one output row per input row, kept.
///   Source: operators/outlier/ewma_zscore.h, rolling_mad.h, tail_calibrator.h.
NodeDescriptor StatisticalOutlierDescriptor();

}  // namespace freshet
