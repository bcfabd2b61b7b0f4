#pragma once

#include "engine/flow/descriptor.h"

namespace freshet {

/// `anomaly`: the composed detector to reach for first. Several kinds of evidence about one metric or several, each
/// calibrated by its own past, combined, calibrated, made to persist (operators/anomaly/).
///
/// State  one model per key (at most 0.5 MB a metric at the default `history`; a young one is small), durable; without
///        `key` one for the stream
/// Time   rows in event-time order; the hour is the row's, by the clock of `zone`
/// Nulls  a null or NaN metric is missing: nulls out, nothing learned; an infinity scores highest and is not learned
/// Order  as they are taken: (event time, ordinal)
/// Output the input's columns and those of all detectors, with expected, lower, upper, direction and alarm_score; with
///        `rules` also rule, with `budget` alarm_rate
NodeDescriptor AnomalyDescriptor();

}  // namespace freshet
