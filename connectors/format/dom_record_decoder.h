#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "connectors/format/json_field_tree.h"
#include "connectors/format/row_columns.h"
#include "connectors/format/source_schema.h"

namespace freshet {

enum class RecordOutcome : uint8_t { kRow, kBlank, kDead };

/// The reference decoder of one JSON record: simdjson's DOM, which picks its instruction set at run time. A record is
/// valid iff this class accepts it; SpeculativeDecoder must agree with it byte for byte.
///
/// The first of two equal keys wins. An absent or null value is null. int64 takes integers and integral doubles,
/// float64 any number, timestamp text or an epoch, json any value as its raw text, list<float64> an array of numbers.
/// One thread.
class DomRecordDecoder {
 public:
  /// Keeps pointers to both.
  DomRecordDecoder(const SourceSchema* schema, const JsonFieldTree* tree);
  ~DomRecordDecoder();
  /// Decodes [line, line + size), behind which 64 bytes must be readable. On kRow the row is set but not committed; on
  /// kDead `*reason` says why.
  RecordOutcome Decode(const char* line, int64_t size, RowColumns* rows, std::string* reason);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// True if the bytes are UTF-8; the instruction set is picked at run time.
bool IsUtf8(const char* bytes, int64_t size);
/// True if `text` is one JSON value; for csv cells of type json. Slow.
bool IsJson(std::string_view text);

}  // namespace freshet
