#pragma once

#include <memory>
#include <vector>

#include "engine/flow/combiner.h"

namespace freshet {

/// The lane of each row.
void FindLanes(const EncodedKeys& keys, int32_t row_count, int lane_count, std::vector<uint8_t>* lane_of);

/// One part per lane, those with rows with the rows' positions in the batch. REQUIRES: dense rows.
std::vector<Batch> DivideRows(const Batch& batch, const std::vector<uint8_t>& lane_of, int lane_count);

/// The same with groups of rows as one, but for those with a row that is late by its own watermark.
std::vector<Batch> DivideCombined(const Batch& batch, const std::shared_ptr<const CombinedRows>& combined,
                                  const std::vector<uint8_t>& lane_of, int lane_count);

}  // namespace freshet
