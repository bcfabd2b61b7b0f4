#pragma once

#include <memory>
#include <string>

#include "connectors/generate/media_model.h"
#include "engine/flow/descriptor.h"

namespace freshet {

struct GenerateOptions {
  MediaOptions media;
  int64_t events = 0;            ///< in all; 0: endless
  double events_per_second = 0;  ///< of the steady clock; 0: as fast as they are taken
  std::string truth_path;        ///< empty: not written
};

/// All columns of preset `media`, in order.
SchemaRef MediaSchema();

/// Hands out ranges of event ids; the decoder makes the rows. One partition, its position is the next id.
/// Writes the truth file when it opens and whenever a new world begins; nothing that detects ever reads it.
std::unique_ptr<Source> MakeGenerateSource(std::shared_ptr<MediaModel> model, GenerateOptions options);
/// Makes the columns of `schema` (a subset of MediaSchema()) for the ids in RawChunk::numbers (first id, count).
std::unique_ptr<Decoder> MakeGenerateDecoder(std::shared_ptr<MediaModel> model, SchemaRef schema);

/// Reads `unlimited`, `500`, `10000/s`, `600/min` or `100/h` as events per second (0: unlimited).
Result<double> ParseEventRate(const std::string& text);

/// Source `generate`.
NodeDescriptor GenerateDescriptor();

}  // namespace freshet
