#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/format/ndjson_decoder.h"
#include "connectors/format/source_schema.h"
#include "engine/flow/source.h"

namespace freshet {

/// The headers of the files that a source has opened. The source reads a file's header once and marks each chunk with
/// its id (RawChunk::numbers[0], from 1); decoders, which see chunks alone and on any thread, look it up. Thread-safe.
class CsvHeaders {
 public:
  /// Equal headers get one id.
  int64_t Add(std::vector<std::string> names);
  /// Empty for an unknown id.
  std::vector<std::string> Get(int64_t id) const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::vector<std::string>> headers_;
};

struct CsvOptions {
  std::shared_ptr<const SourceSchema> schema;
  std::shared_ptr<const CsvHeaders> headers;  ///< null: files have no header, columns come in the schema's order
  char delimiter = ',';
  int64_t record_bytes_max = kRecordBytesMaxDefault;
};

/// CSV by RFC 4180: quoted fields with line feeds and doubled quotes, CRLF or LF, a byte-order mark. An empty field is
/// null,
/// `""` an empty string (null in columns of other types). Columns that a file does not have are null. Dead letters:
/// missing and extra (fields), wrong_type, torn_csv, invalid_utf8, line_too_long.
std::unique_ptr<Decoder> MakeCsvDecoder(CsvOptions options);

/// The names of a header record, unquoted, with blanks around them and a byte-order mark removed.
std::vector<std::string> ParseCsvHeader(std::string_view record, char delimiter);

}  // namespace freshet
