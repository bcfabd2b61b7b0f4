#include "connectors/format/source_schema.h"

#include <algorithm>
#include <utility>

#include "engine/base/units.h"

namespace freshet {
namespace {

const std::string kTypeNames[] = {"string", "int64", "float64", "bool", "timestamp", "json", "list<float64>"};
const std::string kFieldKeys[] = {"type", "path", "from", "pattern", "zone"};

std::string DidYouMean(const std::string& word, const std::string* candidates, size_t count) {
  const std::string nearest = NearestName(word, candidates, count);
  return nearest.empty() ? "" : "did you mean `" + nearest + "`?";
}

bool ReadType(const ConfigValue& value, SourceField* field, Diagnostics* diagnostics) {
  const std::optional<TypeId> type = value.is_scalar() ? ParseTypeName(value.text()) : std::nullopt;
  if (type) {
    field->type = *type;
    return true;
  }
  std::string suggestion = value.is_scalar() ? DidYouMean(value.text(), kTypeNames, std::size(kTypeNames)) : "";
  if (suggestion.empty()) suggestion = "types are string, int64, float64, bool, timestamp, json and list<float64>";
  diagnostics->Error(
      "FR2401", value.span(),
      value.is_scalar() ? "`" + value.text() + "` is not a column type" : "column `" + field->name + "` needs a type",
      std::move(suggestion));
  return false;
}

std::vector<std::string> ReadPath(const ConfigValue& value) {
  std::vector<std::string> path;
  if (value.is_sequence()) {
    for (const ConfigValue& item : value.items) path.push_back(item.is_scalar() ? item.text() : "");
  } else {
    const std::string& text = value.text();
    for (size_t at = 0; at <= text.size();) {
      const size_t dot = std::min(text.find('.', at), text.size());
      path.push_back(text.substr(at, dot - at));
      at = dot + 1;
    }
  }
  return path;
}

bool ReadDetails(const ConfigValue& details, SourceField* field, Diagnostics* diagnostics) {
  bool ok = true;
  for (const ConfigValue::Entry& entry : details.entries) {
    const std::string& key = entry.key.value;
    if (std::find(std::begin(kFieldKeys), std::end(kFieldKeys), key) == std::end(kFieldKeys)) {
      std::string suggestion = DidYouMean(key, kFieldKeys, std::size(kFieldKeys));
      if (suggestion.empty()) suggestion = "a column has type, path, from, pattern and zone";
      diagnostics->Error("FR2402", entry.key.span, "a column has no option `" + key + "`", std::move(suggestion));
      ok = false;
    }
  }
  const ConfigValue* type = details.Find("type");
  if (type == nullptr) {
    diagnostics->Error("FR2401", details.span(), "column `" + field->name + "` needs a type",
                       "write {type: string, …}");
    return false;
  }
  if (!ReadType(*type, field, diagnostics)) return false;
  const ConfigValue* path = details.Find("path");
  const ConfigValue* from = details.Find("from");
  if (path != nullptr) field->path = ReadPath(*path);
  if (from != nullptr) field->path = {from->text()};
  if (std::find(field->path.begin(), field->path.end(), "") != field->path.end()) {
    diagnostics->Error("FR2403", (path != nullptr ? path : from)->span(),
                       "the path of column `" + field->name + "` has an empty part",
                       "write keys with dots between them: snippet.title");
    return false;
  }
  const ConfigValue* pattern = details.Find("pattern");
  const ConfigValue* zone = details.Find("zone");
  const ConfigValue* of_time = pattern != nullptr ? pattern : zone;
  if (of_time == nullptr) return ok;
  if (field->type != TypeId::kTimestamp) {
    diagnostics->Error("FR2404", of_time->span(), "pattern and zone belong to timestamp columns",
                       "make the type timestamp");
    return false;
  }
  Result<TimestampParser> parser =
      TimestampParser::Make(pattern != nullptr ? pattern->text() : "", zone != nullptr ? zone->text() : "");
  if (!parser.ok()) {
    diagnostics->Error("FR2405", of_time->span(), parser.status().message());
    return false;
  }
  field->time = std::move(parser).value();
  return ok;
}

}  // namespace

std::optional<SourceSchema> ParseSourceSchema(const ConfigValue* value, SourceSpan node_span,
                                              const std::vector<std::string>* needed, Diagnostics* diagnostics) {
  if (value == nullptr || !value->is_map() || value->entries.empty()) {
    diagnostics->Error("FR2400", value != nullptr && value->span().known() ? value->span() : node_span,
                       "this source needs a `schema`", "write schema: {video_id: string, views: int64, at: timestamp}");
    return std::nullopt;
  }
  SourceSchema schema;
  std::vector<Field> columns;
  bool ok = true;
  for (const ConfigValue::Entry& entry : value->entries) {
    SourceField field;
    field.name = entry.key.value;
    field.path = {field.name};
    const bool good = entry.value.is_map() ? ReadDetails(entry.value, &field, diagnostics)
                                           : ReadType(entry.value, &field, diagnostics);
    ok = ok && good;
    if (needed == nullptr || std::find(needed->begin(), needed->end(), field.name) != needed->end()) {
      field.column = static_cast<int>(columns.size());
      columns.push_back({field.name, field.type});
    }
    schema.fields.push_back(std::move(field));
  }
  if (!ok) return std::nullopt;
  schema.columns = std::make_shared<const Schema>(std::move(columns));
  return schema;
}

}  // namespace freshet
