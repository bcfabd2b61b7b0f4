#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/state/keyed_table.h"

namespace freshet {

/// When keys of a table are to be looked at, one moment a key, in the order of (moment, key). It stays in memory when
/// the keys' values leave, so that they are brought back in time; after a restart it is made anew (ForEachStored). One
/// thread.
class KeyDeadlines {
 public:
  using Deadline = std::pair<int64_t, std::string>;

  /// The key's moment from here on; nullopt: none.
  void Set(const std::string& key, std::optional<int64_t> at_us) {
    if (const auto old = at_.find(key); old != at_.end()) {
      order_.erase({old->second, key});
      at_.erase(old);
    }
    if (!at_us) return;
    order_.emplace(*at_us, key);
    at_[key] = *at_us;
  }
  /// Some key has one before `end_us`.
  bool AnyBefore(int64_t end_us) const { return !order_.empty() && order_.begin()->first < end_us; }
  /// The first one. REQUIRES: there is one.
  const Deadline& first() const { return *order_.begin(); }

  /// The first key's value is in memory afterwards; if it was not, up to `count_max` keys with deadlines before
  /// `end_us` are read together. REQUIRES: there is one.
  template <class V>
  Status Bring(KeyedTable<V>* table, int64_t end_us, int32_t count_max) const {
    if (!table->has_evicted() || table->Resident(HashKey(first().second), first().second)) return Status::Ok();
    std::vector<std::string_view> keys;
    const auto at_once = static_cast<size_t>(std::min(count_max, table->keys_back_at_once()));
    for (auto at = order_.begin(); at != order_.end() && at->first < end_us && keys.size() < at_once; ++at)
      keys.push_back(at->second);
    return table->LoadMissing(keys);
  }

 private:
  std::set<Deadline> order_;
  std::map<std::string, int64_t> at_;
};

}  // namespace freshet
