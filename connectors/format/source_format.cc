#include "connectors/format/source_format.h"

#include <algorithm>

#include "connectors/format/ndjson_decoder.h"
#include "engine/base/log.h"
#include "engine/base/units.h"

namespace freshet {
namespace {

constexpr int64_t kRecordBytesMaxLargest = 256 << 20;  // offsets within a chunk are 32 bits wide

bool EndsWith(const std::string& text, std::string_view end) { return std::string_view(text).ends_with(end); }

std::string FormatOfPath(std::string path) {
  for (const char* packed : {".gz", ".zst", ".zstd"})
    if (EndsWith(path, packed)) path.resize(path.size() - std::string_view(packed).size());
  if (EndsWith(path, ".csv") || EndsWith(path, ".tsv")) return "csv";
  if (EndsWith(path, ".ndjson") || EndsWith(path, ".jsonl") || EndsWith(path, ".json")) return "ndjson";
  return "";
}

std::optional<char> ReadDelimiter(const std::string& text) {
  if (text == "tab" || text == "\\t") return '\t';
  if (text.size() != 1 || text[0] == '"' || text[0] == '\n' || text[0] == '\r') return std::nullopt;
  return text[0];
}

std::string ListOf(const std::vector<std::string>& names) {
  std::string list;
  for (size_t i = 0; i < names.size() && i < 12; ++i) list += (i > 0 ? ", " : "") + names[i];
  return names.size() > 12 ? list + ", …" : list;
}

}  // namespace

std::vector<OptionSpec> SourceFormatOptions() {
  OptionSpec format;
  format.name = "format";
  format.kind = OptionKind::kEnum;
  format.enum_values = {"csv", "ndjson"};
  format.doc = "`csv` (RFC 4180) or `ndjson` (one JSON object per line); by default what the file's name says.";
  OptionSpec schema;
  schema.name = "schema";
  schema.kind = OptionKind::kSchema;
  schema.required = true;
  schema.state = StateEffect::kCompatible;
  schema.doc =
      "The columns: `name: type`, or `name: {type, path, from, pattern, zone}`. `path: snippet.title` reaches into "
      "nested\n"
      "objects, `from` names the csv column, `pattern` and `zone` say how a timestamp is written.";
  OptionSpec header;
  header.name = "header";
  header.kind = OptionKind::kBool;
  header.default_text = "true";
  header.doc = "csv: the first record names the columns; if false they come in the schema's order.";
  OptionSpec delimiter;
  delimiter.name = "delimiter";
  delimiter.kind = OptionKind::kString;
  delimiter.default_text = ",";
  delimiter.doc = "csv: the character between fields; `tab` for tabs.";
  OptionSpec validation;
  validation.name = "validation";
  validation.kind = OptionKind::kEnum;
  validation.enum_values = {"declared"};
  validation.default_text = "declared";
  validation.doc = "`declared` checks structure, UTF-8 and every column of the schema, whether it is read or not.";
  OptionSpec record;
  record.name = "max_record_bytes";
  record.kind = OptionKind::kSize;
  record.default_text = "1MiB";
  record.min = 16;
  record.max = static_cast<double>(kRecordBytesMaxLargest);
  record.doc = "Longer records are dead-lettered (`line_too_long`) without being held in memory whole.";
  return {format, schema, header, delimiter, validation, record};
}

std::optional<SourceFormat> BindSourceFormat(const OptionsNode& options, const BindContext& bind,
                                             const std::string& path) {
  SourceFormat format;
  std::optional<SourceSchema> schema =
      ParseSourceSchema(options.Raw("schema"), bind.node_span, bind.needed, bind.diagnostics);
  format.name = options.FindString("format").value_or(FormatOfPath(path));
  if (format.name.empty())
    bind.diagnostics->Error("FR2410", options.span("format"), "the path does not say which format this is",
                            "add `format: csv` or `format: ndjson`");
  const std::optional<char> delimiter = ReadDelimiter(options.GetString("delimiter"));
  if (!delimiter)
    bind.diagnostics->Error("FR2411", options.span("delimiter"), "a delimiter is one character (not a quote) or `tab`");
  if (!schema || !delimiter || format.name.empty()) return std::nullopt;
  format.schema = std::make_shared<const SourceSchema>(std::move(*schema));
  format.delimiter = *delimiter;
  format.record_bytes_max = options.GetInt("max_record_bytes");
  const bool csv = format.name == "csv";
  if (csv) {
    for (const SourceField& field : format.schema->fields)
      if (field.path.size() > 1)
        bind.diagnostics->Warning("FR2412", options.span("schema"),
                                  "column `" + field.name + "` has a nested path, but csv has no nesting",
                                  "use `from:` for a name that holds a dot");
    if (options.GetBool("header")) format.headers = std::make_shared<CsvHeaders>();
    format.splitter = MakeCsvSplitter(format.delimiter, format.record_bytes_max);
    format.make_decoder = [f = CsvOptions{format.schema, format.headers, format.delimiter, format.record_bytes_max}] {
      return MakeCsvDecoder(f);
    };
  } else {
    format.splitter = MakeLineSplitter();
    format.make_decoder = [f = NdjsonOptions{format.schema, format.record_bytes_max}] { return MakeNdjsonDecoder(f); };
  }
  format.explain = {{"format", format.name},
                    {"columns read", std::to_string(format.schema->columns->size()) + " of " +
                                         std::to_string(format.schema->fields.size())}};
  return format;
}

Status CheckCsvHeader(const SourceSchema& schema, const std::vector<std::string>& names, const std::string& file) {
  std::vector<std::string> absent;
  for (const SourceField& field : schema.fields)
    if (std::find(names.begin(), names.end(), field.path.front()) == names.end()) absent.push_back(field.path.front());
  if (absent.size() == schema.fields.size())
    return Status::InvalidArgument(file + " has none of the columns of the schema; its first record reads: " +
                                   ListOf(names) + ". Check `header`, `delimiter` and the names");
  for (const std::string& name : absent) {
    const std::string nearest = NearestName(name, names.data(), names.size());
    Log(LogLevel::kWarning, "a column of the schema is not in the file's header; it is null",
        {{"column", name}, {"file", file}, {"nearest", nearest.empty() ? "none" : nearest}});
  }
  return Status::Ok();
}

}  // namespace freshet
