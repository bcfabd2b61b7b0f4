#pragma once

#include <string>

#include "engine/state/checkpoint_store.h"

namespace freshet::cli {

/// The text of `freshet state ls`: epoch, time, sources with their positions, tables with keys and bytes.
Result<std::string> DescribeState(CheckpointStore& store, const std::string& directory);
/// The text of `freshet state show`: the keys of a node's tables, decoded, and how large their values are.
Result<std::string> DescribeNode(CheckpointStore& store, const std::string& node_id, const std::string& key,
                                 int64_t limit);

}  // namespace freshet::cli
