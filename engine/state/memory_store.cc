#include <map>
#include <mutex>

#include "engine/state/checkpoint_store.h"
#include "engine/state/row_format.h"

namespace freshet {
namespace {

/// Rows framed as they would stand on disk, so that both stores go through the same format.
class MemoryStore final : public CheckpointStore {
 public:
  Result<std::optional<Manifest>> Load() override {
    const auto found = rows_.find(ManifestRowKey());
    if (found == rows_.end()) return std::optional<Manifest>();
    FRESHET_ASSIGN_OR_RETURN(const std::string_view bytes, UnframeValue(found->first, found->second));
    FRESHET_ASSIGN_OR_RETURN(Manifest manifest, Manifest::Decode(bytes));
    return std::optional<Manifest>(std::move(manifest));
  }

  Status Commit(const Manifest& manifest, EpochRows&& rows) override {
    if (manifest.epoch <= committed_)
      return Status::Internal("epoch " + std::to_string(manifest.epoch.number) + " after epoch " +
                              std::to_string(committed_.number));
    const std::lock_guard lock(mutex_);
    for (const EpochRows::ErasedGroups& range : rows.erased_groups())
      rows_.erase(rows_.lower_bound(range.begin()), rows_.lower_bound(range.end()));
    rows.Put(kEngineTable, kStoreKeyGroup, "manifest", manifest.Encode());
    for (const EpochRows::Row& row : rows.Sorted()) {
      if (row.erased()) {
        rows_.erase(std::string(row.key()));
      } else {
        rows_.insert_or_assign(std::string(row.key()), std::string(row.framed_value()));
      }
    }
    committed_ = manifest.epoch;
    rows = EpochRows();
    return Status::Ok();
  }

  Status Scan(TableId table, uint16_t first_key_group, uint16_t last_key_group,
              const std::function<Status(uint16_t, std::string_view, std::string_view)>& visit) override {
    const auto end = rows_.lower_bound(RowKeyAfter(table, last_key_group));
    for (auto it = rows_.lower_bound(EncodeRowKey(table, first_key_group, {})); it != end; ++it) {
      const std::string_view key = it->first;
      FRESHET_ASSIGN_OR_RETURN(const std::string_view value, UnframeValue(key, it->second));
      FRESHET_RETURN_IF_ERROR(visit(KeyGroupOfRowKey(key), key.substr(kRowKeyPrefixBytes), value));
    }
    return Status::Ok();
  }

  Result<std::optional<std::string>> Get(TableId table, uint16_t key_group, std::string_view key) override {
    const std::lock_guard lock(mutex_);
    const auto found = rows_.find(EncodeRowKey(table, key_group, key));
    if (found == rows_.end()) return std::optional<std::string>();
    FRESHET_ASSIGN_OR_RETURN(const std::string_view value, UnframeValue(found->first, found->second));
    return std::optional<std::string>(value);
  }

  Status DropTables(const Manifest& manifest, const std::vector<TableId>& tables, EpochRows&& rows) override {
    for (const TableId table : tables)
      rows_.erase(rows_.lower_bound(EncodeRowKey(table, 0, {})), rows_.lower_bound(RowKeyAfter(table, kStoreKeyGroup)));
    return Commit(manifest, std::move(rows));
  }

  OutboxStore* outbox() override { return outbox_.get(); }

  Status ScanSome(TableId table, uint16_t key_group, std::string_view from, size_t count_max,
                  const std::function<Status(std::string_view, std::string_view)>& visit) override {
    const std::lock_guard lock(mutex_);
    const auto end = rows_.lower_bound(RowKeyAfter(table, key_group));
    for (auto it = rows_.lower_bound(EncodeRowKey(table, key_group, from)); it != end && count_max > 0;
         ++it, --count_max) {
      FRESHET_ASSIGN_OR_RETURN(const std::string_view value, UnframeValue(it->first, it->second));
      FRESHET_RETURN_IF_ERROR(visit(std::string_view(it->first).substr(kRowKeyPrefixBytes), value));
    }
    return Status::Ok();
  }

 private:
  const std::unique_ptr<OutboxStore> outbox_ = NewMemoryOutbox();
  std::mutex mutex_;
  std::map<std::string, std::string, std::less<>> rows_;
  Epoch committed_;
};

}  // namespace

Status CheckpointStore::MultiGet(TableId table, const std::vector<RowRef>& rows,
                                 const std::function<Status(size_t, std::string_view)>& visit) {
  for (size_t i = 0; i < rows.size(); ++i) {
    FRESHET_ASSIGN_OR_RETURN(const std::optional<std::string> value, Get(table, rows[i].key_group, rows[i].key));
    if (value) FRESHET_RETURN_IF_ERROR(visit(i, *value));
  }
  return Status::Ok();
}

Status CheckpointStore::ScanSome(TableId table, uint16_t key_group, std::string_view from, size_t count_max,
                                 const std::function<Status(std::string_view, std::string_view)>& visit) {
  Status visited;
  const Status scanned = Scan(table, key_group, key_group, [&](uint16_t, std::string_view key, std::string_view value) {
    if (key < from) return Status::Ok();
    if (count_max-- == 0 || !visited.ok()) return Status::Cancelled("enough");
    visited = visit(key, value);
    return Status::Ok();
  });
  FRESHET_RETURN_IF_ERROR(std::move(visited));
  return scanned.code() == StatusCode::kCancelled ? Status::Ok() : scanned;
}

std::unique_ptr<CheckpointStore> NewMemoryStore() { return std::make_unique<MemoryStore>(); }

}  // namespace freshet
