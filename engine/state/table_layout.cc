#include "engine/state/table_layout.h"

#include <memory>

namespace freshet {

std::optional<StoredColumns> StoredColumns::Match(Schema stored, SchemaRef now) {
  StoredColumns match;
  match.from_.assign(static_cast<size_t>(now->size()), -1);
  const auto moved_to = [&](const std::string& name) -> std::optional<int> {
    const std::string moved = "row_" + name;
    return stored.Find(moved) ? std::nullopt : now->Find(moved);
  };
  for (int c = 0; c < stored.size(); ++c) {
    const Field& field = stored.field(c);
    auto to = moved_to(field.name);
    if (!to) to = now->Find(field.name);
    if (!to) continue;
    if (now->field(*to).type != field.type) return std::nullopt;
    match.from_[static_cast<size_t>(*to)] = c;
  }
  match.stored_ = std::make_shared<const Schema>(std::move(stored));
  match.now_ = std::move(now);
  return match;
}

bool StoredColumns::Decode(ByteSource& source, Batch* batch) const {
  Batch stored;
  if (!DecodeBatch(source, stored_, &stored)) return false;
  *batch = Batch();
  if (stored.empty()) return true;
  std::vector<Column> columns;
  for (int c = 0; c < now_->size(); ++c) {
    const int from = from_[static_cast<size_t>(c)];
    columns.push_back(from >= 0 ? stored.column(from) : NullColumn(now_->field(c).type, stored.row_count()));
  }
  *batch = stored.WithColumns(now_, std::move(columns));
  return true;
}

std::optional<std::string> StoredColumns::Rewrite(std::string_view bytes) const {
  ByteSource source(bytes);
  Batch batch;
  if (!Decode(source, &batch)) return std::nullopt;
  ByteSink sink;
  EncodeBatch(batch, sink);
  return sink.Take();
}

std::optional<std::vector<Schema>> ParseSchemas(std::string_view text) {
  std::vector<Schema> schemas;
  std::vector<Field> fields;
  size_t from = 0;
  for (size_t at = 0; at <= text.size(); ++at) {
    const bool last = at == text.size();
    if (!last && text.substr(at, 2) != ", " && text.substr(at, 2) != "; ") continue;
    const std::string_view piece = text.substr(from, at - from);
    const size_t colon = piece.rfind(": ");
    const auto type = colon == std::string_view::npos ? std::nullopt : ParseTypeName(piece.substr(colon + 2));
    if (!type && last) return std::nullopt;
    if (!type) continue;  // within a name
    fields.push_back({std::string(piece.substr(0, colon)), *type});
    from = at + 2;
    if (!last && text[at] == ',') continue;
    schemas.emplace_back(std::move(fields));
    fields.clear();
  }
  return schemas;
}

std::string RowLayout::Fingerprint() const {
  std::string columns;
  for (const SchemaRef& schema : rows) columns += (columns.empty() ? "" : "; ") + schema->ToString();
  return before + columns + after;
}

std::vector<StoredColumns> TakeStoredRows(StateContext& state, const std::string& table, const RowLayout& now) {
  auto* const layouts = dynamic_cast<TableLayouts*>(&state);
  const auto fingerprint = layouts == nullptr ? std::nullopt : layouts->StoredFingerprint(table);
  if (!fingerprint || *fingerprint == now.Fingerprint()) return {};
  std::string_view columns = *fingerprint;
  if (columns.size() < now.before.size() + now.after.size() || !columns.starts_with(now.before) ||
      !columns.ends_with(now.after))
    return {};
  columns = columns.substr(now.before.size(), columns.size() - now.before.size() - now.after.size());
  const auto stored = ParseSchemas(columns);
  if (!stored || stored->size() != now.rows.size()) return {};
  std::vector<StoredColumns> matches;
  for (size_t i = 0; i < stored->size(); ++i) {
    auto match = StoredColumns::Match((*stored)[i], now.rows[i]);
    if (!match) return {};
    matches.push_back(std::move(*match));
  }
  layouts->TakeStored(table);
  return matches;
}

}  // namespace freshet
