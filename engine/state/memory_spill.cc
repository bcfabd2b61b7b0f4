#include <atomic>
#include <map>
#include <mutex>

#include "engine/state/row_format.h"
#include "engine/state/spill_store.h"

namespace freshet {
namespace {

class MemorySpill final : public SpillStore {
 public:
  Status Write(EpochRows&& rows) override {
    const std::lock_guard lock(mutex_);
    for (const EpochRows::ErasedGroups& range : rows.erased_groups())
      rows_.erase(rows_.lower_bound(range.begin()), rows_.lower_bound(range.end()));
    for (const EpochRows::Row& row : rows.Sorted()) {
      if (row.erased())
        rows_.erase(std::string(row.key()));
      else
        rows_.insert_or_assign(std::string(row.key()), std::string(row.value()));
    }
    written_bytes_.fetch_add(rows.byte_size(), std::memory_order_relaxed);
    rows = EpochRows();
    return Status::Ok();
  }

  Status MultiGet(TableId table, const std::vector<StateRowRef>& rows,
                  const std::function<Status(size_t, std::string_view)>& visit) override {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < rows.size(); ++i)
      if (const auto found = rows_.find(EncodeRowKey(table, rows[i].key_group, rows[i].key)); found != rows_.end())
        FRESHET_RETURN_IF_ERROR(visit(i, found->second));
    return Status::Ok();
  }

  Status ScanSome(TableId table, uint16_t key_group, std::string_view from, size_t count_max,
                  const std::function<Status(std::string_view, std::string_view)>& visit) override {
    const std::lock_guard lock(mutex_);
    const auto end = rows_.lower_bound(RowKeyAfter(table, key_group));
    for (auto it = rows_.lower_bound(EncodeRowKey(table, key_group, from)); it != end && count_max > 0;
         ++it, --count_max)
      FRESHET_RETURN_IF_ERROR(visit(std::string_view(it->first).substr(kRowKeyPrefixBytes), it->second));
    return Status::Ok();
  }

  int64_t written_bytes() const override { return written_bytes_.load(std::memory_order_relaxed); }

 private:
  std::mutex mutex_;
  std::map<std::string, std::string, std::less<>> rows_;
  std::atomic<int64_t> written_bytes_{0};
};

}  // namespace

std::unique_ptr<SpillStore> NewMemorySpill() { return std::make_unique<MemorySpill>(); }

}  // namespace freshet
