#pragma once

#include "engine/flow/descriptor.h"

namespace freshet {

/// `contribution`: watches a total made of segments (rows of one event time, one per segment) as `anomaly` watches a
/// metric, and where it is odd says which segments explain it (operators/anomaly/segment_book.h).
///
/// State  table "contributions", codec 1: per key the model, the book of segments, and the open moment's counts
/// Time   by event time; late rows leave on `late`
/// Nulls  a row whose metric (or `of`) is null or not finite is left out; a null dimension is the value "(none)"
/// Memory a model (see `anomaly`) and at most 10,000 segments per key, of some 450 bytes each by hour, 70 without
/// Order  one row per key and event time, by (event time, key), once the watermark has passed it
NodeDescriptor ContributionDescriptor();

}  // namespace freshet
