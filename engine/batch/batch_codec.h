#pragma once

#include "engine/base/bytes.h"
#include "engine/batch/batch.h"

namespace freshet {

/// Writes the rows of a dense batch with their times, watermarks and ordinals (FORMAT.md, "rows"). The schema is not
/// written: the reader must have the same one (state fingerprints see to that).
void EncodeBatch(const Batch& batch, ByteSink& sink);
/// False if the bytes are not such rows.
bool DecodeBatch(ByteSource& source, const SchemaRef& schema, Batch* batch);

}  // namespace freshet
