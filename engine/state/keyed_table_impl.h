#pragma once

#include "engine/state/keyed_table.h"

#include <deque>
#include <utility>

namespace freshet {

template <class V>
class KeyedTable final : public StateTable {
 public:
  KeyedTable(std::string name, TableOptions options) : name_(std::move(name)), options_(std::move(options)) {
    Rehash(64);
  }

  const std::string& name() const override { return name_; }
  const TableOptions& options() const override { return options_; }
  int64_t size() const override { return live_count_; }
  int64_t memory_bytes() const override {
    return key_bytes_ + static_cast<int64_t>(entries_.size() * sizeof(Entry) + index_.size() * sizeof(Slot));
  }

  /// The value, or null. `hash` = HashKey(key).
  V* Find(uint32_t hash, std::string_view key) {
    Entry* e = FindEntry(hash, key);
    return e != nullptr && !e->erased ? &e->value : nullptr;
  }
  /// The value, created empty if need be (then `*created`), and marked dirty.
  V& FindOrCreate(uint32_t hash, std::string_view key, bool* created = nullptr) {
    Entry* e = FindEntry(hash, key);
    const bool is_new = e == nullptr || e->erased;
    if (e == nullptr)
      e = &Insert(hash, key);
    else if (e->erased)
      Revive(*e);
    if (created != nullptr) *created = is_new;
    MarkDirty(*e);
    return e->value;
  }
  /// The table's own copy of a live key, or null. Valid until the key is erased.
  const std::string* StoredKey(uint32_t hash, std::string_view key) {
    Entry* e = FindEntry(hash, key);
    return e != nullptr && !e->erased ? &e->key : nullptr;
  }
  /// Hints for a batch of look-ups: first the index slots of all rows, some rows ahead the entries, then what these
  /// point to. Peek gives the value in the hash's own slot without comparing keys: for prefetching only.
  void PrefetchSlot(uint32_t hash) const { __builtin_prefetch(&index_[hash & mask_]); }
  void PrefetchEntry(uint32_t hash) const {
    const Slot& slot = index_[hash & mask_];
    if (slot.entry_plus_one == 0) return;
    const char* entry = reinterpret_cast<const char*>(&entries_[slot.entry_plus_one - 1]);
    __builtin_prefetch(entry);
    __builtin_prefetch(entry + sizeof(Entry) - 1);
  }
  const V* Peek(uint32_t hash) const {
    const Slot& slot = index_[hash & mask_];
    return slot.entry_plus_one == 0 ? nullptr : &entries_[slot.entry_plus_one - 1].value;
  }
  void MarkDirty(uint32_t hash, std::string_view key) {
    if (Entry* e = FindEntry(hash, key)) MarkDirty(*e);
  }
  void Erase(uint32_t hash, std::string_view key) {
    Entry* e = FindEntry(hash, key);
    if (e == nullptr || e->erased) return;
    e->erased = true;
    e->value = V();
    --live_count_;
    MarkDirty(*e);
  }
  /// f(std::string_view key, V& value) for each live entry, in no particular order. `f` must not insert or erase.
  template <class F>
  void ForEach(F&& f) {
    for (Entry& e : entries_)
      if (e.in_use && !e.erased) f(std::string_view(e.key), e.value);
  }

  void DrainDirty(const std::function<void(const StateEntry&)>& sink) override {
    ByteSink scratch;
    for (const uint32_t i : dirty_) {
      Entry& e = entries_[i];
      if (!e.in_use || !e.dirty) continue;
      e.dirty = false;
      scratch.Clear();
      if (!e.erased) e.value.Encode(scratch);
      sink({KeyGroupOf(e.hash), e.key, scratch.bytes(), e.erased});
      if (e.erased) Remove(i);
    }
    dirty_.clear();
  }

  void ForEachEncoded(const std::function<void(const StateEntry&)>& sink) const override {
    ByteSink scratch;
    for (const Entry& e : entries_) {
      if (!e.in_use || e.erased) continue;
      scratch.Clear();
      e.value.Encode(scratch);
      sink({KeyGroupOf(e.hash), e.key, scratch.bytes(), false});
    }
  }

  Status RestoreEntry(uint16_t, std::string_view key, std::string_view value, uint16_t codec) override {
    const uint32_t hash = HashKey(key);
    if (FindEntry(hash, key) != nullptr)
      return Status::DataLoss("table `" + name_ + "`: a key stands twice in the checkpoint");
    Entry& e = Insert(hash, key);
    ByteSource source(value);
    if (!e.value.Decode(source, codec) || !source.ok() || !source.exhausted())
      return Status::DataLoss("table `" + name_ + "`: a value in the checkpoint cannot be read");
    if (codec != options_.codec) MarkDirty(e);
    return Status::Ok();
  }

 private:
  struct Entry {
    std::string key;
    V value{};
    uint32_t hash = 0;
    bool dirty = false;
    bool erased = false;
    bool in_use = false;
  };
  struct Slot {
    uint32_t hash = 0;
    uint32_t entry_plus_one = 0;  // 0: free
  };

  Entry* FindEntry(uint32_t hash, std::string_view key) {
    for (size_t i = hash & mask_;; i = (i + 1) & mask_) {
      const Slot& slot = index_[i];
      if (slot.entry_plus_one == 0) return nullptr;
      if (slot.hash != hash) continue;
      Entry& e = entries_[slot.entry_plus_one - 1];
      if (e.key == key) return &e;
    }
  }

  Entry& Insert(uint32_t hash, std::string_view key) {
    if ((used_count_ + 1) * 2 > index_.size()) Rehash(index_.size() * 2);
    uint32_t at = 0;
    if (!free_.empty()) {
      at = free_.back();
      free_.pop_back();
    } else {
      at = static_cast<uint32_t>(entries_.size());
      entries_.emplace_back();
    }
    Entry& e = entries_[at];
    e.key.assign(key);
    e.hash = hash;
    e.in_use = true;
    e.erased = false;
    e.dirty = false;
    Place({hash, at + 1});
    ++used_count_;
    ++live_count_;
    key_bytes_ += static_cast<int64_t>(key.size());
    return e;
  }

  void Revive(Entry& e) {
    e.erased = false;
    e.value = V();
    ++live_count_;
  }

  void MarkDirty(Entry& e) {
    if (e.dirty) return;
    e.dirty = true;
    dirty_.push_back(IndexOf(e));
  }

  uint32_t IndexOf(const Entry& e) {
    for (size_t i = e.hash & mask_;; i = (i + 1) & mask_) {
      const Slot& slot = index_[i];
      if (slot.hash == e.hash && &entries_[slot.entry_plus_one - 1] == &e) return slot.entry_plus_one - 1;
    }
  }

  /// Frees an erased entry: backward-shift deletion keeps probe chains unbroken without tombstone slots.
  void Remove(uint32_t at) {
    Entry& e = entries_[at];
    size_t hole = e.hash & mask_;
    while (index_[hole].entry_plus_one != at + 1) hole = (hole + 1) & mask_;
    for (size_t next = (hole + 1) & mask_; index_[next].entry_plus_one != 0; next = (next + 1) & mask_) {
      const size_t home = index_[next].hash & mask_;
      if (((next - home) & mask_) < ((next - hole) & mask_)) continue;
      index_[hole] = index_[next];
      hole = next;
    }
    index_[hole] = {};
    key_bytes_ -= static_cast<int64_t>(e.key.size());
    e.key.clear();
    e.in_use = false;
    e.erased = false;
    free_.push_back(at);
    --used_count_;
  }

  void Place(Slot slot) {
    size_t i = slot.hash & mask_;
    while (index_[i].entry_plus_one != 0) i = (i + 1) & mask_;
    index_[i] = slot;
  }

  void Rehash(size_t slots) {
    const std::vector<Slot> old = std::exchange(index_, std::vector<Slot>(slots));
    mask_ = slots - 1;
    for (const Slot& slot : old)
      if (slot.entry_plus_one != 0) Place(slot);
  }

  std::string name_;
  TableOptions options_;
  std::deque<Entry> entries_;  // stable addresses, freed places reused
  std::vector<Slot> index_;
  std::vector<uint32_t> free_;
  std::vector<uint32_t> dirty_;
  size_t mask_ = 0;
  size_t used_count_ = 0;
  int64_t live_count_ = 0;
  int64_t key_bytes_ = 0;
};

template <class V>
Result<KeyedTable<V>*> StateContext::OpenKeyed(const std::string& name, TableOptions options) {
  auto table = std::make_unique<KeyedTable<V>>(name, std::move(options));
  KeyedTable<V>* raw = table.get();
  FRESHET_RETURN_IF_ERROR(Adopt(std::move(table)));
  return raw;
}

}  // namespace freshet
