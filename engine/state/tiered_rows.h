#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/state/checkpoint_store.h"
#include "engine/state/spill_store.h"

namespace freshet {

/// The rows of one lane's table below memory (SEMANTICS.md §5.3), newest first: what was put aside before a checkpoint
/// had it, by the drain that takes it or has taken it, then what is committed. Rows put aside go once their drain is
/// durable. One thread.
class TieredRows final : public CommittedRows {
 public:
  /// Either may be null, not both. Without `store` nothing can be put aside: `spill` is then all there is below memory,
  /// and rows of `table` are read from it.
  TieredRows(CheckpointStore* store, SpillStore* spill, TableId table) : store_(store), spill_(spill), table_(table) {}
  ~TieredRows() override;

  Status MultiGet(const std::vector<Ref>& sorted,
                  const std::function<Status(size_t index, std::string_view value)>& visit) override;
  Status ScanSome(uint16_t key_group, std::string_view from, size_t count_max,
                  const std::function<Status(std::string_view key, std::string_view value)>& visit) override;
  uint64_t visited_drain() const override { return visited_drain_; }

  bool can_put_aside() const override { return store_ != nullptr && spill_ != nullptr; }
  Status PutAside(uint64_t drain, const std::vector<StateEntry>& entries) override;
  Status ForEachAside(uint64_t drain, const std::function<void(const StateEntry&)>& visit) override;
  void OnCommitted(uint64_t drain) override;
  int64_t aside_bytes() const override;

  /// Deliberate mistakes, for tests: some keys are not found; what was put aside is not asked.
  bool forgets_keys = false;
  bool forgets_aside = false;

 private:
  struct Generation {
    uint64_t drain = 0;
    TableId table = 0;  ///< of the spill store
    int64_t bytes = 0;  ///< written
  };
  Status MultiGetBelow(const std::vector<Ref>& sorted,
                       const std::function<Status(size_t index, std::string_view value)>& visit);
  Status ScanBelow(uint16_t key_group, std::string_view from, size_t count_max,
                   const std::function<Status(std::string_view key, std::string_view value)>& visit);

  CheckpointStore* const store_;
  SpillStore* const spill_;
  const TableId table_;
  std::vector<Generation> aside_;  ///< by drain, ascending
  uint64_t visited_drain_ = 0;
};

}  // namespace freshet
