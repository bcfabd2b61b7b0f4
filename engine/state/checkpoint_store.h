#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/env.h"
#include "engine/base/status.h"
#include "engine/base/time.h"
#include "engine/state/keyed_table.h"
#include "engine/state/outbox_store.h"

namespace freshet {

/// Table number inside one state directory. 0 is the engine's own (manifest, positions, counters, sinks); operator
/// tables get numbers from 1 up, for ever, recorded in the manifest.
using TableId = uint16_t;
inline constexpr TableId kEngineTable = 0;

/// The changes of one epoch: rows (table, key group, key) -> value or tombstone. Bytes live in one arena, already
/// framed as they will stand in the store; cells append their dirty entries to a part of their own (one thread), parts
/// are merged by the coordinator. Movable, not copyable.
class EpochRows {
 public:
  EpochRows() = default;
  EpochRows(EpochRows&& other) noexcept { Swap(other); }
  EpochRows& operator=(EpochRows&& other) noexcept {
    EpochRows(std::move(other)).Swap(*this);
    return *this;
  }

  void Put(TableId table, uint16_t key_group, std::string_view key, std::string_view value);
  void Erase(TableId table, uint16_t key_group, std::string_view key);
  /// Erases every row of a table with key_group in [first, last]: those of earlier epochs and those added so far. Rows
  /// added later stand.
  void EraseGroups(TableId table, uint16_t first, uint16_t last);
  /// Moves all rows of `other` to this; they count as added later. So the rows of a skipped epoch are carried on by
  /// `skipped.Merge(std::move(newer))`.
  void Merge(EpochRows&& other);
  /// Forgets the bytes of rows that newer ones have replaced, if they are worth the copying: rows that are carried on
  /// over many skipped epochs stay as large as the keys that changed.
  void Compact();
  /// Room for so many more rows, so that adding them moves none.
  void Reserve(size_t count);
  bool empty() const { return rows_.empty() && erased_groups_.empty(); }
  size_t count() const { return rows_.size(); }
  /// Bytes of keys and framed values.
  int64_t byte_size() const { return byte_size_; }
  /// Bytes in memory, those of replaced rows too.
  int64_t allocated_bytes() const { return allocated_bytes_ + static_cast<int64_t>(rows_.size() * sizeof(Row)); }

  /// Views into the arena.
  class Row {
   public:
    /// Encoded: table_id(2, big-endian) | key_group(2, big-endian) | user key.
    std::string_view key() const { return {data_, key_size_}; }
    /// checksum(4) | value, see FORMAT.md; empty when erased.
    std::string_view framed_value() const {
      return erased() ? std::string_view() : std::string_view(data_ + key_size_, framed_size_);
    }
    std::string_view value() const { return erased() ? std::string_view() : framed_value().substr(kFrameBytes); }
    bool erased() const { return framed_size_ == 0; }
    bool operator<(const Row& other) const {
      return prefix_ != other.prefix_ ? prefix_ < other.prefix_ : key() < other.key();
    }

   private:
    friend class EpochRows;
    uint64_t prefix_ = 0;  // the first eight bytes of the key, so that most comparisons touch no other memory
    const char* data_ = nullptr;
    uint32_t key_size_ = 0;
    uint32_t framed_size_ = 0;
  };
  /// Sorts by encoded key; of rows with the same key the one added last stays. Views live until the next change.
  const std::vector<Row>& Sorted();

  /// What EraseGroups was told. A store applies these first, then the rows.
  struct ErasedGroups {
    TableId table = 0;
    uint16_t first = 0;
    uint16_t last = 0;
    std::string begin() const;
    std::string end() const;
  };
  const std::vector<ErasedGroups>& erased_groups() const { return erased_groups_; }

  static constexpr size_t kFrameBytes = 4;

 private:
  void Add(TableId table, uint16_t key_group, std::string_view key, const std::string_view* value);
  char* Allocate(size_t bytes);
  void Swap(EpochRows& other) noexcept;
  void DropRowsIn(const ErasedGroups& range);

  std::vector<Row> rows_;
  std::vector<ErasedGroups> erased_groups_;
  std::vector<std::unique_ptr<char[]>> chunks_;
  char* free_ = nullptr;
  size_t free_bytes_ = 0;
  size_t next_chunk_bytes_ = 4096;
  int64_t byte_size_ = 0;
  int64_t allocated_bytes_ = 0;
  bool sorted_ = true;
};

/// What the newest committed epoch says about itself: the manifest, a row of the engine's table (FORMAT.md).
struct Manifest {
  Epoch epoch;
  std::string program_version;
  std::string pipeline_name;
  int64_t committed_wall_us = 0;
  bool finished = false;  ///< all inputs ended and everything was written
  struct Table {
    std::string node_id;
    std::string name;
    TableId id = 0;
    uint16_t codec = 0;
    std::string fingerprint;
  };
  std::vector<Table> tables;
  std::string Encode() const;
  static Result<Manifest> Decode(std::string_view bytes);
};

/// Durable keyed state of one pipeline: the newest committed epoch, readable, and an atomic way to the next one.
/// Commit and Scan may be called from different threads, not concurrently with each other. Get, MultiGet and ScanSome
/// may run beside a Commit and beside each other.
class CheckpointStore {
 public:
  virtual ~CheckpointStore() = default;
  /// The newest committed epoch; nullopt when the store is empty.
  virtual Result<std::optional<Manifest>> Load() = 0;
  /// Makes all rows and the manifest visible at once, durably. After an error the store still holds the epoch before.
  /// kUnavailable: the store asks to skip this epoch (L0 is full, SEMANTICS.md §5.2): merge the next one's rows into
  /// these. After any error `rows` still holds all its rows; after OK it is empty. REQUIRES: a higher epoch than the
  /// last one.
  virtual Status Commit(const Manifest& manifest, EpochRows&& rows) = 0;
  /// Every committed row of a table with key_group in [first, last], in key order. `visit` returns non-OK to stop.
  virtual Status Scan(
      TableId table, uint16_t first_key_group, uint16_t last_key_group,
      const std::function<Status(uint16_t key_group, std::string_view key, std::string_view value)>& visit) = 0;
  virtual Result<std::optional<std::string>> Get(TableId table, uint16_t key_group, std::string_view key) = 0;
  /// What waits to leave by network; null if this store has no place for it.
  virtual OutboxStore* outbox() { return nullptr; }
  using RowRef = StateRowRef;
  /// Those of `rows` that are committed: `visit` gets the index in `rows` and the value. A row that is not there costs
  /// about a probe of a filter. REQUIRES: `rows` ascend by (key group, key), none twice.
  virtual Status MultiGet(TableId table, const std::vector<RowRef>& rows,
                          const std::function<Status(size_t index, std::string_view value)>& visit);
  /// Committed rows of one key group from `from` on, in key order, at most `count_max`.
  virtual Status ScanSome(TableId table, uint16_t key_group, std::string_view from, size_t count_max,
                          const std::function<Status(std::string_view key, std::string_view value)>& visit);
  /// Bytes on disk, now. Thread-safe.
  virtual int64_t disk_bytes() const { return 0; }
  /// Empties tables and commits `rows` and the manifest with that, all or nothing.
  virtual Status DropTables(const Manifest& manifest, const std::vector<TableId>& tables, EpochRows&& rows) {
    (void)tables;
    (void)rows;
    return Status::Unsupported("this store cannot drop tables of " + manifest.pipeline_name);
  }
  /// Makes `directory` (which must not exist) a state directory with the newest committed epoch; hard links, so that it
  /// costs little. It appears whole or not at all. Thread-safe.
  virtual Status CopyTo(const std::string& directory) {
    return Status::Unsupported("this store cannot be copied to " + directory);
  }
};

/// RocksDB in `directory`/db; the directory is created, and locked against other processes (kLocked, with a sentence
/// that says what to do). A broken database gives kDataLoss with what to do. `fresh` removes what was there first.
/// `env` is for the files beside the database; faults inside it are injected by tests through RocksDB's own FileSystem.
Result<std::unique_ptr<CheckpointStore>> OpenRocksDbStore(Env* env, const std::string& directory, bool fresh);
/// The same for looking only: takes no lock and writes nothing. NotFound if there is no state.
Result<std::unique_ptr<CheckpointStore>> OpenRocksDbStoreReadOnly(Env* env, const std::string& directory);
/// Puts the state of another directory (a savepoint) in place of the one in `directory`, which must not be in use.
/// After a crash on the way one of the two is there.
Status ReplaceState(Env* env, const std::string& directory, const std::string& from);
/// For tests and `--no-state`-like uses: keeps all in memory; `snapshot` semantics equal those of RocksDB.
std::unique_ptr<CheckpointStore> NewMemoryStore();

}  // namespace freshet
