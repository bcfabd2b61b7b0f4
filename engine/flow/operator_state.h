#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/flow/cell.h"
#include "engine/state/table_layout.h"

namespace freshet {

/// The tables of one operator in one cell and what was committed for it: how they are restored, written for an epoch
/// and taken out of memory. Owned by the cell, used by its thread only. `environment` and `plan` must outlive it.
class OperatorState final : public StateContext, public TableLayouts {
 public:
  OperatorState(const CellEnvironment& environment, const CellPlan& plan, std::string node_id);

  Status LoadExtra(const std::string& key);
  std::string_view extra() const override { return extra_; }
  std::optional<std::string> StoredFingerprint(const std::string& table) const override;
  void TakeStored(const std::string& table) override { taken_.insert(table); }

  /// Seals what has changed; `rows` get it now and in calls of DrainSome.
  Status BeginDrain(Epoch epoch, EpochRows* rows);
  /// True: the drain is over.
  Result<bool> DrainSome(size_t count_max);
  /// That epoch and all before it are durable.
  void OnCommitted(uint64_t epoch);
  /// The last snapshot is taken: nobody asks for a key again, so none has to wait for its commit, nor stay.
  void OnEnded();

  bool has_tables() const { return !tables_.empty(); }
  int64_t memory_bytes() const;
  int64_t key_count() const;
  /// Of memory_bytes, what only a commit can make droppable. What spills can go at any time, unless that fails.
  int64_t unclean_bytes() const;
  /// What Evict could drop now.
  int64_t droppable_bytes() const;
  int64_t aside_bytes() const;
  /// How many rows may ask for their keys before what they bring back is to be looked at.
  int32_t rows_at_once() const;
  /// Keys that no checkpoint has yet, as far as memory asks for it.
  void PutAside();
  /// Keys that are as they were committed, as far as memory asks for it. What spills is written first.
  void Evict();

 protected:
  Status Adopt(std::unique_ptr<StateTable> table) override;

 private:
  /// A table whose keys go to the spill store. No epoch drains it: what it was told to put aside is clean at once.
  bool Spills(size_t i) const;
  /// Writes what has changed in a table; then all of it may leave memory.
  void Spill(size_t i);
  void NoteSpill(Status status);

  const CellEnvironment& environment_;
  const CellPlan& plan_;
  const std::string node_id_;
  const int64_t restore_share_;
  std::string extra_;
  std::set<std::string> taken_;                       // tables of which rows of another layout are read
  uint64_t drain_ = 0;                                // calls of BeginDrain
  std::deque<std::pair<uint64_t, uint64_t>> drains_;  // (epoch, drain) not committed yet
  std::vector<std::unique_ptr<StateTable>> tables_;
  std::vector<TableId> ids_;
  std::vector<uint64_t> spills_;  // per table: calls of Spill
  Status spilled_;                // the last one
  uint64_t drained_ = 0;
};

}  // namespace freshet
