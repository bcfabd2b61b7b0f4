#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/state/checkpoint_store.h"
#include "engine/state/spill_store.h"

namespace freshet {

/// What CheckpointStore and SpillStore have in common, passed on to another one. `base` must outlive this, and its
/// threads are this one's.
template <class Store>
class ForwardingReads : public Store {
 public:
  explicit ForwardingReads(Store* base) : base_(base) {}
  Status MultiGet(TableId table, const std::vector<StateRowRef>& rows,
                  const std::function<Status(size_t, std::string_view)>& visit) override {
    return base_->MultiGet(table, rows, visit);
  }
  Status ScanSome(TableId table, uint16_t key_group, std::string_view from, size_t count_max,
                  const std::function<Status(std::string_view, std::string_view)>& visit) override {
    return base_->ScanSome(table, key_group, from, count_max, visit);
  }

 protected:
  Store* base() const { return base_; }

 private:
  Store* const base_;
};

/// Another store, but for what a derived class does in its own way (such as failing).
class ForwardingSpill : public ForwardingReads<SpillStore> {
 public:
  using ForwardingReads::ForwardingReads;
  Status Write(EpochRows&& rows) override { return base()->Write(std::move(rows)); }
  int64_t written_bytes() const override { return base()->written_bytes(); }
};

/// The same for checkpoints.
class ForwardingStore : public ForwardingReads<CheckpointStore> {
 public:
  using ForwardingReads::ForwardingReads;
  Result<std::optional<Manifest>> Load() override { return base()->Load(); }
  Status Commit(const Manifest& manifest, EpochRows&& rows) override {
    return base()->Commit(manifest, std::move(rows));
  }
  Status Scan(TableId table, uint16_t first_key_group, uint16_t last_key_group,
              const std::function<Status(uint16_t, std::string_view, std::string_view)>& visit) override {
    return base()->Scan(table, first_key_group, last_key_group, visit);
  }
  Result<std::optional<std::string>> Get(TableId table, uint16_t key_group, std::string_view key) override {
    return base()->Get(table, key_group, key);
  }
  OutboxStore* outbox() override { return base()->outbox(); }
  int64_t disk_bytes() const override { return base()->disk_bytes(); }
  Status DropTables(const Manifest& manifest, const std::vector<TableId>& tables, EpochRows&& rows) override {
    return base()->DropTables(manifest, tables, std::move(rows));
  }
  Status CopyTo(const std::string& directory) override { return base()->CopyTo(directory); }
};

}  // namespace freshet
