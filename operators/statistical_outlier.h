#pragma once

#include "engine/flow/descriptor.h"

namespace freshet {

/// `statistical_outlier`: compares one number per row with what its key has shown before.
///   State : unkeyed: the model as bytes. Keyed: table "outliers", one model per key, codec 1: u8 1, the method's
///           model, the transform if there is one, the calibrator if there is one.
///   Time  : untouched. Methods that follow time, and `transform: diff`, take rows by event time, and late ones leave
///           on `late`; the others in the order of their arrival. One by one in any case.
///   Nulls : a null or NaN metric has null score and is not learned; so has what the method cannot read.
///   Memory: per key 150 bytes, what the method's header says, and with `calibrate` up to 8 KB (8 bytes a remembered
///           score). A million keys: poisson, negbin, beta_binomial or ewma_zscore with `calibrate: false`.
///   Order : one output row per input row, kept.
///   Source: the methods' headers in operators/outlier/; outlier_methods.cc lists them.
NodeDescriptor StatisticalOutlierDescriptor();

}  // namespace freshet
