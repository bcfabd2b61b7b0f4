#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/env.h"
#include "engine/base/status.h"
#include "engine/state/checkpoint_store.h"

namespace freshet {

/// Where keys go that have to leave memory and that no checkpoint holds (SEMANTICS.md §5.3): beside the checkpoints,
/// with no log, empty at every start, gone at the end, and no recovery ever reads it. The newest value written for a
/// key counts. Thread-safe.
class SpillStore {
 public:
  /// Numbers from here on are given out by TakeTable.
  static constexpr TableId kOwnTables = 0x8000;
  virtual ~SpillStore() = default;
  /// Erased groups first, then rows. What was written is visible at once; after an error some of it may be: write it
  /// all again. `rows` is given back empty after OK.
  virtual Status Write(EpochRows&& rows) = 0;
  /// As CheckpointStore::MultiGet and ScanSome.
  virtual Status MultiGet(TableId table, const std::vector<StateRowRef>& rows,
                          const std::function<Status(size_t index, std::string_view value)>& visit) = 0;
  virtual Status ScanSome(TableId table, uint16_t key_group, std::string_view from, size_t count_max,
                          const std::function<Status(std::string_view key, std::string_view value)>& visit) = 0;
  /// A table number of one's own, until it is given back with all its rows. If these cannot be erased (a full disk),
  /// that is tried again when the next number is taken, and this one is not given out before.
  Result<TableId> TakeTable();
  void GiveBackTable(TableId table);
  /// Bytes written so far.
  virtual int64_t written_bytes() const = 0;

 private:
  Status Empty(TableId table);

  std::mutex tables_mutex_;
  uint32_t next_table_ = kOwnTables;
  std::vector<TableId> free_tables_;
  std::vector<TableId> full_tables_;  ///< given back, not emptied yet
};

/// RocksDB in `directory`, made at the first write and removed with the store. Empty: a directory of its own below
/// TMPDIR (else /tmp), which only this user can read; those of processes that were killed are removed on the way.
std::unique_ptr<SpillStore> NewRocksDbSpill(Env* env, std::string directory);

/// For simulations: all in memory.
std::unique_ptr<SpillStore> NewMemorySpill();

}  // namespace freshet
