#include "engine/cli/state_show.h"

#include <cstdio>

#include "engine/base/bytes.h"
#include "engine/base/units.h"
#include "engine/batch/key_codec.h"
#include "engine/flow/state_check.h"

namespace freshet::cli {
namespace {

constexpr size_t kPositionBytesShown = 16;

std::string Hex(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    text += kDigits[static_cast<uint8_t>(c) >> 4];
    text += kDigits[static_cast<uint8_t>(c) & 15];
  }
  return text;
}

/// Key types as tables declare them in their fingerprint: "key string int64; …" or "key: string int64; …".
std::optional<std::vector<TypeId>> KeyTypes(const std::string& fingerprint) {
  size_t at = fingerprint.rfind("key");
  if (at == std::string::npos) return std::nullopt;
  std::string words = fingerprint.substr(at + 3, fingerprint.find(';', at) - at - 3);
  std::vector<TypeId> types;
  for (size_t from = 0; from < words.size();) {
    const size_t end = std::min(words.find(' ', from), words.size());
    const std::string word = words.substr(from, end - from);
    from = end + 1;
    if (word.empty() || word == ":") continue;
    const std::optional<TypeId> type = ParseTypeName(word);
    if (!type) return std::nullopt;
    types.push_back(*type);
  }
  return types;
}

std::string ValueText(const Column& column, TypeId type) {
  if (column.IsNull(0)) return "null";
  char number[40];
  switch (type) {
    case TypeId::kInt64:
      return std::to_string(column.int64s()[0]);
    case TypeId::kTimestamp:
      return FormatTime(EventTime{column.int64s()[0]});
    case TypeId::kFloat64:
      std::snprintf(number, sizeof number, "%.17g", column.float64s()[0]);
      return number;
    case TypeId::kString:
    case TypeId::kJson:
      return std::string(column.StringAt(0));
    default:
      return "";
  }
}

/// "(k1, 42)" as "k1, 42"; hexadecimal where the types are not known.
std::string KeyText(const Manifest::Table& table, std::string_view key) {
  const std::optional<std::vector<TypeId>> types = KeyTypes(table.fingerprint);
  if (!types) return "0x" + Hex(key);
  std::vector<Field> fields;
  std::vector<int> columns;
  std::vector<ColumnBuilder> builders;
  for (const TypeId type : *types) {
    if (type == TypeId::kBool) return "0x" + Hex(key);
    columns.push_back(static_cast<int>(fields.size()));
    fields.push_back({"k" + std::to_string(fields.size()), type});
    builders.emplace_back(type);
  }
  if (!KeyCodec(Schema(fields), columns).Decode(key, builders)) return "0x" + Hex(key);
  std::string text;
  for (size_t i = 0; i < builders.size(); ++i)
    text += (i > 0 ? ", " : "") + ValueText(builders[i].Finish(), (*types)[i]);
  return text.empty() ? "(all rows)" : text;
}

std::string Line(const std::string& left, const std::string& right) {
  std::string text = "  " + left;
  text.resize(std::max<size_t>(text.size() + 2, 40), ' ');
  return text + right + "\n";
}

/// A position is the connector's own; shown in short.
std::string PositionText(std::string_view position) {
  return std::to_string(position.size()) + " bytes " + Hex(position.substr(0, kPositionBytesShown)) +
         (position.size() > kPositionBytesShown ? "…" : "");
}

std::string DescribeSource(const std::string& node, std::string_view bytes) {
  ByteSource source(bytes);
  std::string text;
  const uint64_t count = source.GetVarint();
  for (uint64_t i = 0; i < count && source.ok(); ++i) {
    const std::string name(source.GetString());
    const std::string position(source.GetString());
    const bool ended = source.GetBool();
    const auto records = static_cast<int64_t>(source.GetU64());
    (void)source.GetI64();
    text += Line(node + " " + name, FormatCount(records) + " records, " + (ended ? "ended" : "open") + ", position " +
                                        PositionText(position));
  }
  return source.ok() ? text : Line(node, "cannot be read");
}

}  // namespace

Result<std::string> DescribeState(CheckpointStore& store, const std::string& directory) {
  FRESHET_ASSIGN_OR_RETURN(const std::optional<Manifest> manifest, store.Load());
  if (!manifest) return Status::NotFound("there is no checkpoint in " + directory + " yet");
  std::string text = manifest->pipeline_name + ": epoch " + std::to_string(manifest->epoch.number) + " of " +
                     FormatTime(EventTime{manifest->committed_wall_us / 1000000 * 1000000}) + ", by Freshet " +
                     manifest->program_version + (manifest->finished ? ", finished" : "") + ", " +
                     FormatSize(store.disk_bytes()) + " in " + directory + "\n";
  std::string sources;
  FRESHET_RETURN_IF_ERROR(store.Scan(kEngineTable, 0, 0, [&](uint16_t, std::string_view key, std::string_view value) {
    if (key.starts_with("source/")) sources += DescribeSource(std::string(key.substr(7)), value);
    if (key.starts_with("extra/"))
      text += Line("model " + std::string(key.substr(6)), FormatSize(static_cast<int64_t>(value.size())));
    return Status::Ok();
  }));
  for (const Manifest::Table& table : manifest->tables) {
    if (table.node_id.empty()) continue;
    int64_t keys = 0;
    int64_t bytes = 0;
    FRESHET_RETURN_IF_ERROR(
        store.Scan(table.id, 0, kKeyGroupCount - 1, [&](uint16_t, std::string_view key, std::string_view value) {
          ++keys;
          bytes += static_cast<int64_t>(key.size() + value.size());
          return Status::Ok();
        }));
    text += Line("table " + table.node_id + "/" + table.name, FormatCount(keys) + " keys, " + FormatSize(bytes) +
                                                                  ", codec " + std::to_string(table.codec) + ", " +
                                                                  table.fingerprint);
  }
  return text + sources;
}

Result<std::string> DescribeNode(CheckpointStore& store, const std::string& node_id, const std::string& key,
                                 int64_t limit) {
  FRESHET_ASSIGN_OR_RETURN(const std::optional<Manifest> manifest, store.Load());
  if (!manifest) return Status::NotFound("there is no checkpoint yet");
  const std::vector<Manifest::Table> tables = TablesOfNode(*manifest, node_id);
  if (tables.empty()) {
    std::string names;
    for (const Manifest::Table& table : manifest->tables)
      if (!table.node_id.empty()) names += (names.empty() ? "" : ", ") + table.node_id;
    return Status::NotFound("the state has no tables of `" + node_id + "`; there are tables of " + names);
  }
  std::string text;
  for (const Manifest::Table& table : tables) {
    text += table.node_id + "/" + table.name + "\n";
    int64_t shown = 0;
    int64_t more = 0;
    FRESHET_RETURN_IF_ERROR(store.Scan(
        table.id, 0, kKeyGroupCount - 1, [&](uint16_t group, std::string_view bytes, std::string_view value) {
          const std::string name = KeyText(table, bytes);
          if (!key.empty() && name != key) return Status::Ok();
          if (shown++ < limit)
            text += Line(name, std::to_string(value.size()) + " bytes, key group " + std::to_string(group) +
                                   (key.empty() ? "" : ", " + Hex(value)));
          else
            ++more;
          return Status::Ok();
        }));
    if (more > 0) text += "  and " + FormatCount(more) + " more (--limit)\n";
  }
  return text;
}

}  // namespace freshet::cli
