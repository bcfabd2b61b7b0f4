#pragma once

#include <string>
#include <vector>

#include "engine/flow/graph_spec.h"
#include "engine/state/checkpoint_store.h"

namespace freshet {

/// What becomes of one node's state when a pipeline goes on from a checkpoint.
struct NodeFit {
  enum class Kind : uint8_t {
    kKept,     ///< its tables and models are read as they are
    kNew,      ///< the checkpoint does not know it: it starts empty
    kRefused,  ///< it does not fit; `reason` says why, and the ways out
    kRemoved,  ///< the checkpoint has state of a node that is no more; it stays where it is
  };
  std::string node_id;
  Kind kind = Kind::kKept;
  std::string reason;
};

/// Compares a pipeline with a checkpoint without running it: operators open their tables and models, nothing is read
/// from sources, nothing is written. Nodes without state are left out. `store` is only read (Get), which may happen
/// while a job commits to it.
std::vector<NodeFit> CheckStateFit(const GraphSpec& spec, const Manifest& manifest, Env* env, CheckpointStore* store);

}  // namespace freshet
