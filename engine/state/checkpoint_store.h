#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/env.h"
#include "engine/base/status.h"
#include "engine/base/time.h"

namespace freshet {

/// Table number inside one state directory. 0 is the engine's own (manifest, positions, counters, sinks); operator tables
/// get numbers from 1 up, for ever, recorded in the manifest.
using TableId = uint16_t;
inline constexpr TableId kEngineTable = 0;

/// The changes of one epoch: rows (table, key group, key) -> value or tombstone. Bytes live in one arena; cells append their
/// dirty entries to a part of their own (one thread), parts are merged by the coordinator. Movable.
class EpochRows {
 public:
  void Put(TableId table, uint16_t key_group, std::string_view key, std::string_view value);
  void Erase(TableId table, uint16_t key_group, std::string_view key);
  /// Moves all rows of `other` to this.
  void Merge(EpochRows&& other);
  size_t count() const { return rows_.size(); }
  int64_t byte_size() const;
  struct Row {
    std::string key;    ///< encoded: table_id(2, big-endian) | key_group(2, big-endian) | user key
    std::string value;
    bool erased = false;
  };
  /// Sorts by encoded key. REQUIRES: no key stands twice.
  std::vector<Row>& Sorted();

 private:
  std::vector<Row> rows_;
};

/// What the newest committed epoch says about itself: the manifest, a row of the engine's table (FORMAT.md).
struct Manifest {
  Epoch epoch;
  std::string program_version;
  std::string pipeline_name;
  int64_t committed_wall_us = 0;
  bool finished = false;              ///< all inputs ended and everything was written
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
/// Commit and Scan may be called from different threads, not concurrently with each other.
class CheckpointStore {
 public:
  virtual ~CheckpointStore() = default;
  /// The newest committed epoch; nullopt when the store is empty.
  virtual Result<std::optional<Manifest>> Load() = 0;
  /// Makes all rows and the manifest visible at once, durably. After an error the store still holds the epoch before.
  /// kUnavailable: the store asks to skip this epoch (L0 is full, SEMANTICS.md §5.2): merge the rows into the next one.
  virtual Status Commit(const Manifest& manifest, EpochRows&& rows) = 0;
  /// Every committed row of a table with key_group in [first, last], in key order. `visit` returns non-OK to stop.
  virtual Status Scan(TableId table, uint16_t first_key_group, uint16_t last_key_group,
                      const std::function<Status(uint16_t key_group, std::string_view key, std::string_view value)>& visit) = 0;
  virtual Result<std::optional<std::string>> Get(TableId table, uint16_t key_group, std::string_view key) = 0;
  virtual int64_t disk_bytes() const { return 0; }
};

/// RocksDB in `directory`/db; the directory is created, and locked against other processes (kLocked, with a sentence that
/// says what to do). A broken database gives kDataLoss with what to do. `fresh` removes what was there first.
/// `env` is for the files beside the database; faults inside it are injected by tests through RocksDB's own FileSystem.
Result<std::unique_ptr<CheckpointStore>> OpenRocksDbStore(Env* env, const std::string& directory, bool fresh);
/// For tests and `--no-state`-like uses: keeps all in memory; `snapshot` semantics equal those of RocksDB.
std::unique_ptr<CheckpointStore> NewMemoryStore();

}  // namespace freshet
