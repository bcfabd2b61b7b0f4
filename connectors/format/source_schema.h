#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "connectors/format/timestamp_parser.h"
#include "engine/batch/schema.h"
#include "engine/options/config_value.h"
#include "engine/options/diagnostics.h"

namespace freshet {

/// One column of a source's `schema` option.
struct SourceField {
  std::string name;
  TypeId type = TypeId::kInt64;
  std::vector<std::string> path;  ///< ndjson: keys from the outside in; csv: one element, the header's name
  TimestampParser time;           ///< of timestamp columns
  int column = -1;                ///< index among the columns that are read; -1: checked but not kept (push-down)
};

/// All declared columns, and which of them are read. Every declared column is checked whether it is read or not, so
/// that dead letters do not depend on who reads what (`validation: declared`).
struct SourceSchema {
  std::vector<SourceField> fields;
  SchemaRef columns;  ///< of the columns read, in declared order
};

/// Reads the `schema` option:
///   video_id: string
///   snippet_title: {type: string, path: snippet.title}    # or path: [a.b, c] when a key holds a dot
///   at: {type: timestamp, pattern: "%d.%m.%Y", zone: Europe/Berlin}
///   views: {type: int64, from: view_count}                # csv: the name in the header; `path` says the same
/// `needed`, if given, names the columns somebody reads. Problems go to `diagnostics`; then nullopt.
std::optional<SourceSchema> ParseSourceSchema(const ConfigValue* value, SourceSpan node_span,
                                              const std::vector<std::string>* needed, Diagnostics* diagnostics);

}  // namespace freshet
