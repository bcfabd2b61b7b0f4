#pragma once

#include "engine/state/keyed_table.h"

#include <algorithm>
#include <array>
#include <deque>
#include <unordered_map>
#include <utility>

namespace freshet {

/// What an operator does when keys come and go; each may be empty.
template <class V>
struct EvictionHooks {
  /// A value was decoded and stands in the table. False: it is as good as absent, and leaves again.
  std::function<Result<bool>(uint32_t hash, const std::string& key, V& value)> on_load;
  /// A clean value is about to leave. False: it must stay.
  std::function<bool(uint32_t hash, const std::string& key, V& value)> on_evict;
  /// After a pass that evicted something.
  std::function<void()> after_pass;
};

template <class V>
class KeyedTable final : public StateTable {
 public:
  KeyedTable(std::string name, TableOptions options) : name_(std::move(name)), options_(std::move(options)) {
    Rehash(64);
  }

  const std::string& name() const override { return name_; }
  const TableOptions& options() const override { return options_; }
  int64_t size() const override { return live_count_; }
  /// Of places that are free but not given back nothing is counted: they are used again first.
  int64_t memory_bytes() const override {
    int64_t values = value_bytes_;
    if constexpr (kKnowsBytes) values += heap_bytes_ + unmeasured_count_ * AverageHeap();
    return key_bytes_ + values + static_cast<int64_t>(used_count_ * sizeof(Entry) + index_.size() * sizeof(Slot));
  }
  /// Memory of all values beside the entries, where the operator owns it.
  void set_value_bytes(int64_t bytes) { value_bytes_ = bytes; }

  /// The value, or null. `hash` = HashKey(key).
  V* Find(uint32_t hash, std::string_view key) {
    Entry* e = FindEntry(hash, key);
    return e != nullptr && !e->erased ? &e->value : nullptr;
  }
  /// The value, created empty if need be (then `*created`), and marked dirty.
  V& FindOrCreate(uint32_t hash, std::string_view key, bool* created = nullptr) {
    Entry* e = FindEntry(hash, key);
    const bool is_new = e == nullptr || e->erased;
    if (e == nullptr) e = &Insert(hash, key);
    MarkDirty(*e);
    if (e->erased) Revive(*e);
    if (created != nullptr) *created = is_new;
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
  /// A value that is known from before is going to be changed, and MarkDirty or Erase comes only then. Costs nothing
  /// while no drain is under way.
  void BeforeChange(uint32_t hash, std::string_view key) {
    if (!draining() || forgets_to_save) return;
    if (Entry* e = FindEntry(hash, key); e != nullptr && IsSealed(*e)) Write(*e);
  }
  void Erase(uint32_t hash, std::string_view key) {
    Entry* e = FindEntry(hash, key);
    if (e == nullptr || e->erased) return;
    MarkDirty(*e);
    e->erased = true;
    e->value = V();
    --live_count_;
  }
  /// f(std::string_view key, V& value) for each live entry, in no particular order. `f` must not insert or erase.
  template <class F>
  void ForEach(F&& f) {
    for (Entry& e : entries_)
      if (e.in_use && !e.erased) f(std::string_view(e.key), e.value);
  }

  int64_t BeginDrain(EntrySink sink) override {
    FinishDrain();
    ++drain_;
    // Shells first: a key that was one may be more by now.
    for (const std::string& key : shells_)
      if (const uint32_t hash = HashKey(key); FindEntry(hash, key) == nullptr) sink({KeyGroupOf(hash), key, {}, true});
    shells_.clear();
    shell_bytes_ = 0;
    if (committed_rows_ != nullptr)
      drain_status_ = committed_rows_->ForEachAside(drain_, [&](const StateEntry& e) {
        if (FindEntry(HashKey(e.key), e.key) == nullptr) sink(e);
      });
    sealed_.swap(dirty_);
    sink_ = std::move(sink);
    const auto count = static_cast<int64_t>(sealed_.size());
    if (committed_rows_ != nullptr) pending_.push_back({drain_, count});
    if (compares_drains) NoteSealed();
    return count;
  }
  bool DrainSome(size_t count_max) override {
    for (; sealed_at_ < sealed_.size() && count_max > 0; --count_max) {
      const uint32_t i = sealed_[sealed_at_++];
      Entry& e = entries_[i];
      if (!IsSealed(e)) continue;
      Write(e);
      if (!e.erased) continue;
      if (committed_rows_ == nullptr)
        Remove(i);
      else
        erased_.push_back({drain_, i});  // stays until the store has forgotten the key too
    }
    if (sealed_at_ < sealed_.size()) return false;
    sealed_.clear();
    sealed_at_ = 0;
    sink_ = nullptr;
    return true;
  }
  bool draining() const { return !sealed_.empty(); }
  /// Before something that changes many values at once.
  void FinishDrain() { (void)DrainSome(SIZE_MAX); }
  Status drain_status() const override { return drain_status_; }

  // ---- eviction ----

  void SetEvictionHooks(EvictionHooks<V> hooks) { hooks_ = std::move(hooks); }
  void AttachCommitted(std::unique_ptr<CommittedRows> committed) override { committed_rows_ = std::move(committed); }
  void LeaveInStore(int64_t key_bytes) override {
    has_evicted_ = true;
    entry_bytes_before_ = key_bytes;
  }
  bool has_evicted() const override { return has_evicted_; }
  bool eviction_held() const override { return held_; }
  /// Null: nothing is ever evicted.
  CommittedRows* committed_rows() { return committed_rows_.get(); }
  /// The key stands in memory, be it as erased: what the store says about it is old.
  bool Resident(uint32_t hash, std::string_view key) { return FindEntry(hash, key) != nullptr; }
  /// While held, nothing leaves memory, so that a pass over table and store sees each key in one of the two.
  void HoldEviction(bool held) {
    held_ = held;
    if (!held) OnCommitted(committed_);
  }

  /// Brings back what `keys` need. Call once per batch, before any of them is looked for.
  Status LoadMissing(const EncodedKeys& keys, int32_t count) {
    if (!has_evicted_) return Status::Ok();
    missing_.clear();
    for (int32_t row = 0; row < count; ++row)
      if (FindEntry(keys.hash(row), keys.key(row)) == nullptr)
        missing_.push_back({KeyGroupOf(keys.hash(row)), keys.key(row)});
    return Load();
  }
  /// The same for keys that deadlines name, in any order; some may stand there twice.
  Status LoadMissing(const std::vector<std::string_view>& keys) {
    if (!has_evicted_) return Status::Ok();
    missing_.clear();
    for (const std::string_view key : keys)
      if (const uint32_t hash = HashKey(key); FindEntry(hash, key) == nullptr)
        missing_.push_back({KeyGroupOf(hash), key});
    return Load();
  }
  Status LoadMissing(uint32_t hash, std::string_view key) {
    if (!has_evicted_ || FindEntry(hash, key) != nullptr) return Status::Ok();
    missing_.assign(1, {KeyGroupOf(hash), key});
    return Load();
  }

  /// A key in the store that is as good as absent: erased there by the next drain, unless it is in memory by then. At
  /// most some megabytes of them are kept; false if there is no room for more.
  bool NoteShell(std::string_view key) {
    if (shell_bytes_ > kShellBytesMax) return false;
    shells_.emplace_back(key);
    shell_bytes_ += static_cast<int64_t>(key.size() + sizeof(std::string));
    return true;
  }

  /// Shells that the drain took stay in the store: as good as absent there, too.
  void TakeBackDrain() override {
    std::erase_if(pending_, [&](const Pending& p) { return p.drain == drain_; });
    std::erase_if(erased_, [&](const ErasedEntry& gone) { return gone.drain == drain_; });
    for (uint32_t i = 0; i < entries_.size(); ++i) {
      Entry& e = entries_[i];
      if (!e.in_use || e.dirty || e.drain != static_cast<uint16_t>(drain_)) continue;
      e.dirty = true;
      e.drain = static_cast<uint16_t>(drain_ + 1);
      dirty_.push_back(i);
    }
  }
  void ForgetErased() override {
    if (has_evicted_ || held_) return;
    std::erase_if(dirty_, [&](uint32_t i) {
      if (!entries_[i].in_use || !entries_[i].erased) return !entries_[i].in_use;
      Remove(i);
      return true;
    });
    shells_.clear();
    shell_bytes_ = 0;
  }

  void OnCommitted(uint64_t drain) override {
    committed_ = std::max(committed_, drain);
    if (committed_rows_ != nullptr) committed_rows_->OnCommitted(committed_);
    if (held_) return;
    std::erase_if(pending_, [&](const Pending& p) { return p.drain <= committed_; });
    std::erase_if(erased_, [&](const ErasedEntry& gone) {
      if (gone.drain > committed_) return false;
      const Entry& e = entries_[gone.at];
      if (e.in_use && e.erased && IsClean(e)) Remove(gone.at);
      return true;
    });
  }

  int64_t unclean_bytes() const override {
    if (committed_rows_ == nullptr || used_count_ == 0) return 0;
    auto count = static_cast<int64_t>(dirty_.size());  // what is sealed counts as pending
    for (const Pending& p : pending_) count += p.count;
    return std::min<int64_t>(count, static_cast<int64_t>(used_count_)) * EntryBytes();
  }

  void set_bytes_back_at_once(int64_t bytes) override { bytes_back_at_once_ = bytes; }
  int32_t keys_back_at_once() const override {
    const int64_t each = std::max(EntryBytesAlone(), entry_bytes_before_);
    if (!has_evicted_ || bytes_back_at_once_ == 0 || each == 0) return std::numeric_limits<int32_t>::max();
    return static_cast<int32_t>(std::clamp<int64_t>(bytes_back_at_once_ / each, kKeysBackMin, INT32_MAX));
  }

  int64_t EvictClean(int64_t bytes) override {
    if (committed_rows_ == nullptr || held_ || bytes <= 0) return 0;
    // How many clean keys were changed how long ago, in drains; then the age from which on all go.
    std::array<int64_t, 64> by_age{};
    for (const Entry& e : entries_)
      if (e.in_use && !e.erased && IsClean(e)) ++by_age[AgeOf(e)];
    const int64_t wanted = bytes / std::max<int64_t>(EntryBytes(), 1) + 1;
    size_t age = by_age.size();
    int64_t found = 0;
    while (age > 0 && found < wanted) found += by_age[--age];
    if (found == 0) return 0;
    const int64_t before = memory_bytes();
    entry_bytes_before_ = EntryBytesAlone();
    int64_t evicted = 0;
    for (uint32_t i = 0; i < entries_.size() && evicted < wanted; ++i) {
      Entry& e = entries_[i];
      if (!e.in_use || e.erased || !IsClean(e) || AgeOf(e) < age) continue;
      if (hooks_.on_evict && !hooks_.on_evict(e.hash, e.key, e.value)) continue;
      e.value = V();
      --live_count_;
      Remove(i);
      ++evicted;
    }
    if (evicted == 0) return 0;
    has_evicted_ = true;
    size_t slots = index_.size();
    while (slots > 64 && used_count_ * 8 < slots) slots /= 2;
    if (slots < index_.size()) Rehash(slots);
    if (hooks_.after_pass) hooks_.after_pass();
    return before - memory_bytes();
  }

  Result<int64_t> PutAside(int64_t bytes) override {
    if (committed_rows_ == nullptr || !committed_rows_->can_put_aside() || held_ || bytes <= 0) return 0;
    if (draining()) return 0;  // soon: first what the last drain has taken
    const int64_t wanted = bytes / std::max<int64_t>(EntryBytes(), 1) + 1;
    const int64_t before = memory_bytes();
    entry_bytes_before_ = EntryBytesAlone();
    int64_t count = 0;
    // Those that wait for a commit have not changed for longer.
    Status status;
    for (const bool dirty : {false, true})
      for (uint32_t at = 0; status.ok() && at < entries_.size() && count < wanted;)
        status = PutPieceAside(dirty, wanted, &at, &count);
    if (count == 0 && !status.ok()) return status;
    if (count == 0) return 0;
    std::erase_if(dirty_, [&](uint32_t i) { return !entries_[i].in_use || !entries_[i].dirty; });
    has_evicted_ = true;
    if (hooks_.after_pass) hooks_.after_pass();
    FRESHET_RETURN_IF_ERROR(std::move(status));  // what went before the error is away all the same
    return before - memory_bytes();
  }
  int64_t aside_bytes() const override { return committed_rows_ == nullptr ? 0 : committed_rows_->aside_bytes(); }

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
    FRESHET_RETURN_IF_ERROR(DecodeValue(value, codec, &e.value));
    if constexpr (kKnowsBytes) Measure(e);
    if (codec != options_.codec) MarkDirty(e);
    return Status::Ok();
  }
  /// Status: DataLoss if the bytes are not such a value.
  Status DecodeValue(std::string_view bytes, uint16_t codec, V* value) const {
    ByteSource source(bytes);
    if (!value->Decode(source, codec) || !source.ok() || !source.exhausted())
      return Status::DataLoss("table `" + name_ + "`: a value in the checkpoint cannot be read");
    return Status::Ok();
  }

 private:
  static constexpr bool kKnowsBytes = requires(const V& v) { v.MemoryBytes(); };
  static constexpr int64_t kShellBytesMax = 8 << 20;
  static constexpr size_t kPieceKeys = 4096;  // put aside at once
  static constexpr int64_t kKeysBackMin = 16;
  struct Nothing {};
  struct Entry {
    std::string key;
    V value{};
    [[no_unique_address]] std::conditional_t<kKnowsBytes, int64_t, Nothing> heap{};  // as measured; -1: not yet
    uint32_t hash = 0;
    uint16_t drain = 0;  // low bits of the last drain that took the entry, or if it is dirty, that takes it
    bool dirty : 1 = false;
    bool erased : 1 = false;
    bool in_use : 1 = false;
  };
  struct Pending {
    uint64_t drain;
    int64_t count;
  };
  struct ErasedEntry {
    uint64_t drain;
    uint32_t at;
  };
  struct Slot {
    uint32_t hash = 0;
    uint32_t entry_plus_one = 0;  // 0: free
  };

  /// A drain that is not committed yet lies in (committed_, drain_]; numbers modulo 2^16, so that a clean entry may
  /// pass for one that is not, never the other way round.
  bool IsClean(const Entry& e) const {
    return !e.dirty && static_cast<uint16_t>(e.drain - static_cast<uint16_t>(committed_) - 1) >=
                           static_cast<uint16_t>(drain_ - committed_);
  }
  size_t AgeOf(const Entry& e) const {
    return std::min<size_t>(static_cast<uint16_t>(static_cast<uint16_t>(drain_) - e.drain), 63);
  }
  int64_t EntryBytes() const { return used_count_ == 0 ? 0 : memory_bytes() / static_cast<int64_t>(used_count_); }
  /// Without the index, which does not shrink when entries leave.
  int64_t EntryBytesAlone() const {
    const auto index = static_cast<int64_t>(index_.size() * sizeof(Slot));
    return used_count_ == 0 ? 0 : (memory_bytes() - index) / static_cast<int64_t>(used_count_);
  }
  static int64_t KeyHeap(const std::string& key) {
    return key.capacity() > 15 ? static_cast<int64_t>(key.capacity()) + 17 : 0;
  }
  int64_t AverageHeap() const { return measured_count_ == 0 ? 0 : heap_bytes_ / measured_count_; }
  void Measure(Entry& e) {
    if (e.heap < 0)
      --unmeasured_count_, ++measured_count_;
    else
      heap_bytes_ -= e.heap;
    e.heap = e.erased ? 0 : e.value.MemoryBytes();
    heap_bytes_ += e.heap;
  }

  /// The drain under way takes the entry, and has not written it yet.
  bool IsSealed(const Entry& e) const { return e.in_use && e.dirty && e.drain == static_cast<uint16_t>(drain_); }
  void Write(Entry& e) {
    scratch_.Clear();
    if (!e.erased) e.value.Encode(scratch_);
    if (compares_drains) CompareSealed(e);
    e.dirty = false;
    if constexpr (kKnowsBytes) Measure(e);
    sink_({KeyGroupOf(e.hash), e.key, scratch_.bytes(), e.erased});
  }
  void NoteSealed() {
    sealed_bytes_.clear();
    for (const uint32_t i : sealed_) {
      const Entry& e = entries_[i];
      if (!IsSealed(e)) continue;
      scratch_.Clear();
      if (!e.erased) e.value.Encode(scratch_);
      sealed_bytes_[e.key] = scratch_.bytes();
    }
  }
  void CompareSealed(const Entry& e) {
    if (const auto sealed = sealed_bytes_.find(e.key);
        sealed != sealed_bytes_.end() && drain_status_.ok() && sealed->second != scratch_.bytes())
      drain_status_ = Status::Internal("table `" + name_ + "`: a value was changed while a checkpoint was writing it");
  }

  /// The drain that takes a changed entry, or that took one that waits for its commit.
  uint64_t DrainOf(const Entry& e) const {
    return e.dirty ? drain_ + 1 : drain_ - static_cast<uint16_t>(static_cast<uint16_t>(drain_) - e.drain);
  }

  /// Some entries from `*at` on that belong to one drain.
  Status PutPieceAside(bool dirty, int64_t wanted, uint32_t* at, int64_t* count) {
    std::vector<StateEntry> piece;
    std::vector<uint32_t> chosen;
    std::deque<std::string> values;
    uint64_t drain = 0;
    ByteSink scratch;
    for (; *at < entries_.size() && *count + static_cast<int64_t>(chosen.size()) < wanted && chosen.size() < kPieceKeys;
         ++*at) {
      const Entry& e = entries_[*at];
      if (!e.in_use || e.erased || e.dirty != dirty || IsClean(e)) continue;
      if (!chosen.empty() && DrainOf(e) != drain) break;
      drain = DrainOf(e);
      scratch.Clear();
      e.value.Encode(scratch);
      values.emplace_back(scratch.bytes());
      piece.push_back({KeyGroupOf(e.hash), e.key, values.back(), false});
      chosen.push_back(*at);
    }
    if (chosen.empty()) return Status::Ok();
    FRESHET_RETURN_IF_ERROR(committed_rows_->PutAside(drain, piece));
    for (const uint32_t i : chosen) {
      Entry& e = entries_[i];
      if (hooks_.on_evict && !hooks_.on_evict(e.hash, e.key, e.value)) continue;
      e.value = V();
      --live_count_;
      Remove(i);
      ++*count;
    }
    return Status::Ok();
  }

  Status Load() {
    if (missing_.empty()) return Status::Ok();
    const auto order = [](const CommittedRows::Ref& a, const CommittedRows::Ref& b) {
      return a.key_group != b.key_group ? a.key_group < b.key_group : a.key < b.key;
    };
    std::sort(missing_.begin(), missing_.end(), order);
    missing_.erase(std::unique(missing_.begin(), missing_.end(),
                               [](const CommittedRows::Ref& a, const CommittedRows::Ref& b) { return a.key == b.key; }),
                   missing_.end());
    return committed_rows_->MultiGet(missing_, [&](size_t i, std::string_view bytes) -> Status {
      const std::string_view key = missing_[i].key;
      const uint32_t hash = HashKey(key);
      Entry& e = Insert(hash, key);
      FRESHET_RETURN_IF_ERROR(DecodeValue(bytes, options_.codec, &e.value));
      if (const uint64_t drain = committed_rows_->visited_drain(); drain > drain_)
        MarkDirty(e);
      else if (drain > committed_)
        e.drain = static_cast<uint16_t>(drain);
      bool kept = true;
      if (hooks_.on_load) {
        FRESHET_ASSIGN_OR_RETURN(kept, hooks_.on_load(hash, e.key, e.value));
      }
      if constexpr (kKnowsBytes) Measure(e);
      if (kept) return Status::Ok();
      e.value = V();
      --live_count_;
      Remove(IndexOf(e));
      return Status::Ok();
    });
  }

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
    e.drain = static_cast<uint16_t>(committed_);
    if constexpr (kKnowsBytes) {
      e.heap = -1;
      ++unmeasured_count_;
    }
    Place({hash, at + 1});
    ++used_count_;
    ++live_count_;
    key_bytes_ += KeyHeap(e.key);
    return e;
  }

  void Revive(Entry& e) {
    e.erased = false;
    e.value = V();
    ++live_count_;
  }

  void MarkDirty(Entry& e) {
    const auto next = static_cast<uint16_t>(drain_ + 1);
    if (e.dirty) {
      if (e.drain == next || forgets_to_save) return;
      Write(e);
    }
    e.dirty = true;
    e.drain = next;
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
    key_bytes_ -= KeyHeap(e.key);
    if constexpr (kKnowsBytes) {
      if (e.heap >= 0)
        heap_bytes_ -= e.heap, --measured_count_;
      else
        --unmeasured_count_;
    }
    e.key = std::string();
    e.dirty = false;
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
  std::vector<uint32_t> sealed_;  // of the drain under way; empty: there is none
  size_t sealed_at_ = 0;
  EntrySink sink_;
  ByteSink scratch_;
  std::unordered_map<std::string, std::string> sealed_bytes_;  // only if drains are compared
  size_t mask_ = 0;
  size_t used_count_ = 0;
  int64_t live_count_ = 0;
  int64_t key_bytes_ = 0;
  int64_t value_bytes_ = 0;
  int64_t heap_bytes_ = 0;
  int64_t measured_count_ = 0;
  int64_t unmeasured_count_ = 0;

  std::unique_ptr<CommittedRows> committed_rows_;
  EvictionHooks<V> hooks_;
  bool has_evicted_ = false;
  bool held_ = false;
  Status drain_status_;
  uint64_t drain_ = 0;
  uint64_t committed_ = 0;  // of the drains
  std::vector<Pending> pending_;
  std::vector<ErasedEntry> erased_;
  std::vector<CommittedRows::Ref> missing_;
  std::vector<std::string> shells_;
  int64_t shell_bytes_ = 0;
  int64_t bytes_back_at_once_ = 0;
  int64_t entry_bytes_before_ = 0;  ///< the average when something last left
};

template <class V>
Result<KeyedTable<V>*> StateContext::OpenKeyed(const std::string& name, TableOptions options) {
  auto table = std::make_unique<KeyedTable<V>>(name, std::move(options));
  KeyedTable<V>* raw = table.get();
  FRESHET_RETURN_IF_ERROR(Adopt(std::move(table)));
  return raw;
}

}  // namespace freshet
