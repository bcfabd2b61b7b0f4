#pragma once

#include "engine/flow/descriptor.h"

namespace freshet {

/// `false_discovery`: among many p-values of one moment, which to believe? Benjamini and Hochberg's step-up procedure
/// ("Controlling the false discovery rate", 1995) over the rows of equal event time, such as the results of one window
/// for all keys. Adds q_value, the smallest rate at which the row would be among the discoveries, and is_discovery.
///
/// State  the rows of the open moment (model bytes)
/// Time   by event time; late rows leave on `late`
/// Nulls  a null or NaN p-value is no test: null, false
/// Memory the rows of one moment
/// Order  (event time, ordinal), each moment when the watermark has passed it. One lane sees the gathered stream, so
///        that the answer does not depend on lanes, and within a moment only the set of p-values matters
NodeDescriptor FalseDiscoveryDescriptor();

}  // namespace freshet
