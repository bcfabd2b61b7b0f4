#pragma once

#include <memory>

#include "connectors/format/source_schema.h"
#include "engine/base/limits.h"
#include "engine/flow/source.h"

namespace freshet {

/// Flags that the sources here put into RawChunk::numbers[1] for the decoders here; numbers[0] is CsvHeaders' id.
inline constexpr int64_t kChunkStartsFile = 1;  ///< the chunk begins at the file's first byte

struct NdjsonOptions {
  std::shared_ptr<const SourceSchema> schema;
  int64_t record_bytes_max = kRecordBytesMaxDefault;
  bool speculate = true;  ///< false: the DOM alone; results are the same
};

/// One JSON object per line (SEMANTICS.md §8.1). Blank lines are skipped; an error concerns its line only. Dead
/// letters: torn_json, wrong_type, invalid_utf8, line_too_long. Wants 64 readable bytes behind the chunk.
std::unique_ptr<Decoder> MakeNdjsonDecoder(NdjsonOptions options);

/// What decoders make of a record that is too long: `raw` may be its beginning only.
DeadRecord LineTooLong(int64_t record_bytes, int64_t record_bytes_max, std::string_view raw);

}  // namespace freshet
