#pragma once

#include <cstdint>
#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace freshet {

/// A key in memory that has something to do, and its value in the table.
template <class V>
struct DueKeyOf {
  V* value;
  const std::string* key;  ///< as the table stores it
};

/// Such keys by the moment. An entry that is overtaken stays until its moment, or until keys leave memory: then their
/// values are about to go.
template <class V>
using DueKeysOf = std::map<int64_t, std::vector<DueKeyOf<V>>>;

/// Forgets those of which is_over(moment, const V&) is true.
template <class V, class F>
void ForgetDueKeys(DueKeysOf<V>* due, F&& is_over) {
  for (auto it = due->begin(); it != due->end();) {
    std::erase_if(it->second, [&](const DueKeyOf<V>& entry) { return is_over(it->first, *entry.value); });
    it->second.shrink_to_fit();
    it = it->second.empty() ? due->erase(it) : std::next(it);
  }
}

}  // namespace freshet
