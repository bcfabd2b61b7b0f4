#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "connectors/format/csv_decoder.h"
#include "connectors/format/record_splitter.h"
#include "connectors/format/source_schema.h"
#include "engine/flow/descriptor.h"

namespace freshet {

/// How the bytes of a source become rows: what `format`, `schema`, `header`, `delimiter` and `max_record_bytes` say.
/// Shared by the sources that read bytes; a plain value.
struct SourceFormat {
  std::string name;  ///< "csv" or "ndjson"
  std::shared_ptr<const SourceSchema> schema;
  std::shared_ptr<const RecordSplitter> splitter;
  std::shared_ptr<CsvHeaders> headers;  ///< null unless files begin with a header
  char delimiter = ',';
  int64_t record_bytes_max = 0;
  std::function<std::unique_ptr<Decoder>()> make_decoder;
  std::vector<std::pair<std::string, std::string>> explain;
};

/// Declarations of those options.
std::vector<OptionSpec> SourceFormatOptions();
/// Reads them. `path` (may be empty) tells the format when `format` is absent. Problems go to `bind.diagnostics`.
std::optional<SourceFormat> BindSourceFormat(const OptionsNode& options, const BindContext& bind,
                                             const std::string& path);

/// Looks at a file's header: fails if it has none of the declared columns, warns about those that it lacks.
Status CheckCsvHeader(const SourceSchema& schema, const std::vector<std::string>& names, const std::string& file);

}  // namespace freshet
