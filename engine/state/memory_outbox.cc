#include <map>
#include <mutex>

#include "engine/state/outbox_store.h"

namespace freshet {
namespace {

class MemoryOutbox final : public OutboxStore {
 public:
  Result<std::optional<std::string>> Get(std::string_view key) override {
    const std::lock_guard lock(mutex_);
    const auto found = rows_.find(key);
    return found == rows_.end() ? std::optional<std::string>() : std::optional<std::string>(found->second);
  }

  Status Write(const std::vector<Change>& changes, bool) override {
    const std::lock_guard lock(mutex_);
    for (const Change& change : changes) {
      if (change.value)
        rows_.insert_or_assign(change.key, *change.value);
      else
        rows_.erase(change.key);
    }
    return Status::Ok();
  }

  Result<std::vector<Row>> Scan(std::string_view from, std::string_view to, size_t limit) override {
    std::vector<Row> found;
    const std::lock_guard lock(mutex_);
    for (auto it = rows_.lower_bound(from); it != rows_.end() && it->first < to && found.size() < limit; ++it)
      found.push_back({it->first, it->second});
    return found;
  }

  Status EraseRange(std::string_view from, std::string_view to) override {
    if (from >= to) return Status::Ok();
    const std::lock_guard lock(mutex_);
    rows_.erase(rows_.lower_bound(from), rows_.lower_bound(to));
    return Status::Ok();
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::string, std::less<>> rows_;
};

}  // namespace

std::unique_ptr<OutboxStore> NewMemoryOutbox() { return std::make_unique<MemoryOutbox>(); }

}  // namespace freshet
