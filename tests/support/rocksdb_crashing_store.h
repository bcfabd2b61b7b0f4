#pragma once

#include <memory>
#include <string>

#include "engine/base/limits.h"
#include "engine/base/rng.h"
#include "engine/state/checkpoint_store.h"

namespace freshet::testing {

/// The real RocksDB store on a file system that can lose its power: a crash cuts what was written to a file and not
/// synced, or leaves zeros or garbage in its place or in part of it, undoes files and names whose directory was not
/// synced, and opens the store again on what is left. One thread, but for RocksDB's own.
class CrashingRocksDbStore {
 public:
  /// In a folder of its own below the temporary one, removed at the end.
  CrashingRocksDbStore();
  ~CrashingRocksDbStore();
  CrashingRocksDbStore(const CrashingRocksDbStore&) = delete;
  CrashingRocksDbStore& operator=(const CrashingRocksDbStore&) = delete;

  /// The first time opens an empty store, later crashes and opens what is left. The pointer lives until the next call.
  Result<CheckpointStore*> NextLife(Rng* rng);
  /// Epochs of more rows than this are ingested as sorted files, from the next life on.
  void IngestAbove(int64_t row_count) { batch_key_count_max_ = row_count; }
  /// In this life the power fails at the n-th write, sync, link, rename or deletion of some commit (from 0; counted
  /// within commits only, over all of them): Commit returns kCancelled and nothing reaches the disk any more.
  void CrashAtCall(int64_t n);
  /// In this life that call fails with a full disk, and the ones after it succeed.
  void FailAtCall(int64_t n);
  /// From that call on the disk is full for `count` calls of commits and of what they do to put the store in order.
  void FillAtCall(int64_t n, int64_t count);

 private:
  class FileSystem;
  class Store;
  std::string directory_;
  std::shared_ptr<FileSystem> files_;
  std::unique_ptr<Store> store_;
  int64_t batch_key_count_max_ = kWriteBatchKeyCountMax;
};

}  // namespace freshet::testing
