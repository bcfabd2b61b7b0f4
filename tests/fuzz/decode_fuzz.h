#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "tests/format/decode_support.h"

namespace freshet::fuzz {

inline std::vector<testing::Col> Columns() {
  return {{"a", TypeId::kInt64}, {"b", TypeId::kString},    {"c", TypeId::kFloat64},
          {"d", TypeId::kBool},  {"t", TypeId::kTimestamp}, {"e", TypeId::kString, {"x", "y"}}};
}

/// One chunk with the padding that decoders ask for.
inline DecodedBlock Decode(const SourceFormat& format, const uint8_t* data, size_t size) {
  RawChunk chunk;
  chunk.bytes = AllocateZeroedBuffer(static_cast<int64_t>(size) + 64);
  if (size > 0) std::memcpy(chunk.bytes->data(), data, size);
  chunk.size = static_cast<int64_t>(size);
  DecodedBlock block;
  format.make_decoder()->Decode(chunk, &block);
  return block;
}

}  // namespace freshet::fuzz
