#pragma once

#include <string>
#include <vector>

#include "engine/flow/graph_spec.h"
#include "engine/state/checkpoint_store.h"

namespace freshet {

/// What becomes of a node's state when a pipeline starts on a checkpoint (SEMANTICS.md §5.6).
struct StateVerdict {
  enum class Kind : uint8_t {
    kKept,      ///< goes on from it
    kMigrated,  ///< goes on; its tables are rewritten in a newer codec
    kNew,       ///< the checkpoint does not know it: starts empty
    kRefused,   ///< does not fit
    kUnused,    ///< stands in the checkpoint, not in the pipeline: stays there
  };
  Kind kind = Kind::kKept;
  std::string node_id;
  std::string reason;  ///< why it is refused
};
const char* StateVerdictName(StateVerdict::Kind kind);

/// Opens every operator against what is declared in the store, without its rows; nothing is written. One verdict a node
/// in the pipeline's order, then the unused ones by name.
Result<std::vector<StateVerdict>> CheckState(const GraphSpec& spec, CheckpointStore& store, Env* env);

/// The tables and rows that a store holds for a node, the node's helpers (sorter, merge) included.
std::vector<Manifest::Table> TablesOfNode(const Manifest& manifest, const std::string& node_id);
/// Whether eager rows have left, or wait to, that the checkpoint does not know: the run was killed behind it, and they
/// have not come again, nor has a run since had the time to commit without them (rows of a source that cannot go back
/// never come again). What changes now which rows come could keep some of them from coming: an alert that was told,
/// but whose end never would be.
Result<bool> RowsLeftAfter(CheckpointStore& store, const Manifest& manifest);
/// What people change between two runs: commits `rows` as an epoch of its own, and nothing else of the state changes.
/// What left eagerly after the newest epoch is known to come again, as it would be at the next start. The manifest
/// keeps the time of the last run's checkpoint: the state is as old as that. REQUIRES: `manifest` is the newest one.
Status CommitBetweenRuns(CheckpointStore& store, Manifest manifest, EpochRows&& rows, int64_t now_wall_us);
/// Removes a node from a store: it starts empty, the others go on. Returns how many rows went. NotFound if the store
/// does not know it. REQUIRES: nobody else uses the store.
Result<int64_t> DropNode(CheckpointStore& store, const std::string& node_id, int64_t now_wall_us);

/// InvalidArgument, with the ways out, if a node of the pipeline has another type than the one its state was kept for.
Status CheckNodeTypes(const GraphSpec& spec, CheckpointStore& store);

}  // namespace freshet
