#include <map>

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

 private:
  const std::unique_ptr<OutboxStore> outbox_ = NewMemoryOutbox();
  std::map<std::string, std::string, std::less<>> rows_;
  Epoch committed_;
};

}  // namespace

std::unique_ptr<CheckpointStore> NewMemoryStore() { return std::make_unique<MemoryStore>(); }

}  // namespace freshet
