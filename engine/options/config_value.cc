#include "engine/options/config_value.h"

namespace freshet {

const ConfigValue::Entry* ConfigValue::FindEntry(std::string_view key) const {
  for (const Entry& entry : entries) {
    if (entry.key.value == key) return &entry;
  }
  return nullptr;
}

const ConfigValue* ConfigValue::Find(std::string_view key) const {
  const Entry* entry = FindEntry(key);
  return entry == nullptr ? nullptr : &entry->value;
}

}  // namespace freshet
