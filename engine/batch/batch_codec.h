#pragma once

#include <vector>

#include "engine/base/bytes.h"
#include "engine/batch/batch.h"
#include "engine/batch/column_builder.h"

namespace freshet {

/// Writes the rows of a dense batch with their times, watermarks and ordinals (FORMAT.md, "rows"). The schema is not
/// written: the reader must have the same one; state fingerprints tell it (engine/state/table_layout.h).
void EncodeBatch(const Batch& batch, ByteSink& sink);
/// False if the bytes are not such rows.
bool DecodeBatch(ByteSource& source, const SchemaRef& schema, Batch* batch);

/// The values of one physical row, column by column, without its times: for state that keeps single rows.
void EncodeRow(const Batch& batch, int32_t row, ByteSink& sink);
/// Appends them to `builders`, one per column; a null builder skips its value. False if the bytes are not such a row.
bool DecodeRow(ByteSource& source, const Schema& schema, const std::vector<ColumnBuilder*>& builders);

}  // namespace freshet
