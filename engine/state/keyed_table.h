#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/status.h"
#include "engine/batch/key_codec.h"

namespace freshet {

/// How a table is declared (SEMANTICS.md §5.6). The fingerprint covers key types and the value's layout by name; a
/// restore with another fingerprint or an unknown codec is refused with the operator's name.
struct TableOptions {
  uint16_t codec = 1;
  std::string fingerprint;
  /// The operator asks for keys with LoadMissing before it looks for them, keeps no pointers to values between calls
  /// unless its hooks know of them, and does not rely on ForEach to find all: clean keys may leave memory.
  bool evictable = false;
  /// For values that a restore keeps as bytes until the operator makes of them what it works with, and that do not know
  /// (MemoryBytes) what that will take: about how much it is, by the value as it is encoded in `codec`.
  std::function<int64_t(std::string_view value)> loaded_bytes = nullptr;
};

/// One changed entry on its way to the checkpoint store. Views live until the next change of the table.
struct StateEntry {
  uint16_t key_group = 0;
  std::string_view key;
  std::string_view value;  ///< encoded; ignored when `erased`
  bool erased = false;
};

struct StateRowRef {
  uint16_t key_group = 0;
  std::string_view key;
};

/// Where keys that left memory are found again: the committed rows of one table.
class CommittedRows {
 public:
  virtual ~CommittedRows() = default;
  /// As CheckpointStore::MultiGet and ScanSome.
  using Ref = StateRowRef;
  virtual Status MultiGet(const std::vector<Ref>& sorted,
                          const std::function<Status(size_t index, std::string_view value)>& visit) = 0;
  virtual Status ScanSome(uint16_t key_group, std::string_view from, size_t count_max,
                          const std::function<Status(std::string_view key, std::string_view value)>& visit) = 0;
  /// Of the row being visited by MultiGet: the drain whose commit its value waits for; 0: it is committed.
  virtual uint64_t visited_drain() const { return 0; }

  // Rows that leave memory before their commit.
  virtual bool can_put_aside() const { return false; }
  /// All of `entries` belong to `drain`, the next one or one that is not durable yet. None is erased.
  virtual Status PutAside(uint64_t drain, const std::vector<StateEntry>& entries) {
    (void)drain;
    (void)entries;
    return Status::Unsupported("nothing can be put aside");
  }
  virtual Status ForEachAside(uint64_t drain, const std::function<void(const StateEntry&)>& visit) {
    (void)drain;
    (void)visit;
    return Status::Ok();
  }
  /// Drains up to this one are durable: what was put aside for them goes.
  virtual void OnCommitted(uint64_t drain) { (void)drain; }
  virtual int64_t aside_bytes() const { return 0; }

  /// The lane's key groups, [first, last].
  uint16_t first_key_group = 0;
  uint16_t last_key_group = 0;
};

/// The untyped side of a table: what the cell and the checkpoint see. Owned by the cell's StateContext. One thread.
class StateTable {
 public:
  virtual ~StateTable() = default;
  virtual const std::string& name() const = 0;
  virtual const TableOptions& options() const = 0;
  using EntrySink = std::function<void(const StateEntry&)>;
  /// Seals what has changed since the last call: `sink` gets each such entry as it is now, some in this call, the
  /// others in calls of DrainSome, or earlier if they are about to change. A value is encoded into a scratch buffer
  /// that is only valid during the call. Entries come in no particular order. Finishes the drain before, if need be.
  /// Returns how many are still to come; `sink` is kept until they have.
  virtual int64_t BeginDrain(EntrySink sink) = 0;
  /// Up to `count_max` sealed entries. True: there are no more, and `sink` is forgotten.
  virtual bool DrainSome(size_t count_max) {
    (void)count_max;
    return true;
  }
  /// All at once.
  void DrainDirty(const EntrySink& sink) {
    (void)BeginDrain(sink);
    (void)DrainSome(SIZE_MAX);
  }
  /// Calls `sink` for every live entry, clean or dirty, and changes nothing (state export, tests).
  virtual void ForEachEncoded(const std::function<void(const StateEntry&)>& sink) const = 0;
  /// Puts back one committed entry: clean, or dirty if it was written in an older codec, since all rows of a table have
  /// one. Returns DataLoss if the bytes do not decode.
  virtual Status RestoreEntry(uint16_t key_group, std::string_view key, std::string_view value, uint16_t codec) = 0;
  virtual int64_t size() const = 0;          ///< live keys in memory
  virtual int64_t memory_bytes() const = 0;  ///< approximate

  /// For tests, set before a drain. Comparing: what is written later is compared with what stood there at the seal;
  /// drain_status tells of a value that was changed without a word. Forgetting: a deliberate mistake, sealed entries
  /// are not written before they change.
  bool compares_drains = false;
  bool forgets_to_save = false;

  // Eviction, for tables that allow it. A drain makes entries clean only once it is committed; drains are numbered from
  // 1 by the calls of BeginDrain.
  virtual void AttachCommitted(std::unique_ptr<CommittedRows> committed) { (void)committed; }
  /// All drains up to this one are durable.
  virtual void OnCommitted(uint64_t drain) { (void)drain; }
  /// Of memory_bytes, what eviction could drop after the next commits.
  virtual int64_t unclean_bytes() const { return 0; }
  /// What keys that come back together should not take more than; 0: no matter.
  virtual void set_bytes_back_at_once(int64_t bytes) { (void)bytes; }
  /// How many keys may come back together, by what a key has taken so far.
  virtual int32_t keys_back_at_once() const { return std::numeric_limits<int32_t>::max(); }
  /// Drops clean keys worth about `bytes`, those that were changed longest ago first. Returns how many bytes it
  /// dropped.
  virtual int64_t EvictClean(int64_t bytes) {
    (void)bytes;
    return 0;
  }
  /// Drops keys worth about `bytes` that are changed or wait for a commit, after having put them aside. Returns how
  /// many bytes it dropped; an error leaves in memory what is not aside yet.
  virtual Result<int64_t> PutAside(int64_t bytes) {
    (void)bytes;
    return 0;
  }
  /// Bytes of rows put aside that wait for a commit.
  virtual int64_t aside_bytes() const { return 0; }
  /// The last drain missed something that had been put aside and cannot be read, or took what it should not have.
  virtual Status drain_status() const { return Status::Ok(); }
  /// The last drain could not be written: its entries are changed as before.
  virtual void TakeBackDrain() {}
  /// Where drains are not asked for until memory is short: forgets erased keys that stand nowhere but in memory.
  virtual void ForgetErased() {}
  /// Nothing may leave now (KeyedTable::HoldEviction).
  virtual bool eviction_held() const { return false; }
  /// Some keys may stand in the store only.
  virtual bool has_evicted() const { return false; }
  /// At a restore: this and further rows stay in the store. `key_bytes`: about what one takes in memory.
  virtual void LeaveInStore(int64_t key_bytes) { (void)key_bytes; }
};

/// Keyed state in memory: an open-addressing table from canonical key bytes to a value V, with dirty tracking.
/// V is default-constructible and movable and has
///   void Encode(ByteSink&) const;   bool Decode(ByteSource&, uint16_t codec);
/// References stay valid until the entry is erased (entries never move). One thread, the owning cell's.
/// Reading marks nothing; whoever changes a value through the pointer calls MarkDirty (FindOrCreate does it already).
/// Erase leaves a tombstone until the next checkpoint.
///
/// A checkpoint takes what has changed up to its barrier, but is written in pieces while rows go on. A sealed value
/// that is about to change is written first. So MarkDirty comes before the change, or BeforeChange does and MarkDirty
/// or Erase after it; and all that Encode reads belongs to the value.
///
/// With TableOptions::evictable, keys that equal their committed value may leave memory between calls (EvictClean, by
/// the cell). Then a batch's keys are asked for with LoadMissing first; afterwards Find and FindOrCreate know all there
/// is to know about them. As long as nothing was ever evicted LoadMissing returns at once. A V with heap memory of its
/// own tells it with `int64_t MemoryBytes() const`, or the operator does for all values with set_value_bytes.
///
/// Implemented in keyed_table_impl.h (included below): entries at stable addresses, an index of 32-bit hashes beside
/// it.
template <class V>
class KeyedTable;
class KeyGroupNumbers;  // table_numbers.h

/// Opens an operator's declared tables; on a restore they already hold the committed entries of the lane's key groups.
class StateContext {
 public:
  virtual ~StateContext() = default;
  /// REQUIRES: once per name, in Operator::Open. The table lives as long as the cell.
  template <class V>
  Result<KeyedTable<V>*> OpenKeyed(const std::string& name, TableOptions options);
  Result<KeyGroupNumbers*> OpenNumbers(const std::string& name);
  /// The bytes that SnapshotExtra wrote at the restored epoch; empty at a fresh start.
  virtual std::string_view extra() const = 0;

 protected:
  /// Takes ownership and restores committed entries into the table.
  virtual Status Adopt(std::unique_ptr<StateTable> table) = 0;
};

}  // namespace freshet

#include "engine/state/keyed_table_impl.h"
