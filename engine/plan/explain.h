#pragma once

#include <map>
#include <string>

#include "engine/plan/pipeline.h"

namespace freshet {

/// Where a node runs, by its index in the graph: nodes of one group share a cell. Made from the built graph; without it
/// the logical plan is shown.
struct PlanGroup {
  int group = 0;
  std::string note;  ///< shown behind the node: "2 lanes", "fused with clean"
};
using PlanGroups = std::map<int, PlanGroup>;

/// The plan as text, one node a paragraph in topological order: type, inputs, what it does, key, order, delivery, and
/// for sources the columns that are read. Stable: golden files hold it. Never shows a secret: it prints only what node
/// types put into `explain`.
std::string ExplainText(const Pipeline& pipeline, const PlanGroups& groups = {});
/// For Graphviz. Nodes of one group stand in one cluster.
std::string ExplainDot(const Pipeline& pipeline, const PlanGroups& groups = {});
/// For Markdown pages.
std::string ExplainMermaid(const Pipeline& pipeline, const PlanGroups& groups = {});

}  // namespace freshet
