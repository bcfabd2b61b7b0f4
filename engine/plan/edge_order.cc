#include "engine/plan/edge_order.h"

#include <algorithm>

namespace freshet {
namespace {

bool IsBounded(const GraphSpec& graph, const NodeSpec& node) {
  if (const auto* source = std::get_if<SourceNode>(&node.kind)) return source->bound.bounded;
  return std::all_of(node.inputs.begin(), node.inputs.end(), [&](const PortRef& input) {
    return IsBounded(graph, graph.nodes[static_cast<size_t>(input.node)]);
  });
}

/// Whether rows reach the step in an order that arrival decides.
bool TakesByArrival(const GraphSpec& graph, const NodeSpec& node) {
  if (node.inputs.size() > 1 && !IsBounded(graph, node)) return true;
  return std::any_of(node.inputs.begin(), node.inputs.end(),
                     [&](const PortRef& input) { return OrderOf(graph, input) == EdgeOrder::kArrival; });
}

}  // namespace

EdgeOrder OrderOf(const GraphSpec& graph, const PortRef& ref) {
  const NodeSpec& node = graph.nodes[static_cast<size_t>(ref.node)];
  const auto* op = std::get_if<OperatorNode>(&node.kind);
  if (op == nullptr) {
    const auto* source = std::get_if<SourceNode>(&node.kind);
    return source != nullptr && source->bound.interleaves ? EdgeOrder::kArrival : EdgeOrder::kSource;
  }
  if (op->bound.outputs[static_cast<size_t>(ref.port)].order == OutputOrder::kByTime) return EdgeOrder::kByTime;
  if (op->bound.input_order == InputOrder::kByEventTime) return EdgeOrder::kInput;
  return TakesByArrival(graph, node) ? EdgeOrder::kArrival : EdgeOrder::kInput;
}

const char* ToText(EdgeOrder order) {
  switch (order) {
    case EdgeOrder::kSource:
      return "source order";
    case EdgeOrder::kInput:
      return "input order";
    case EdgeOrder::kByTime:
      return "by time";
    case EdgeOrder::kArrival:
      return "as it arrives";
  }
  return "";
}

void WarnOfArrivalOrder(const Pipeline& pipeline, Diagnostics* diagnostics) {
  for (size_t i = 0; i < pipeline.graph.nodes.size(); ++i) {
    const NodeSpec& node = pipeline.graph.nodes[i];
    const auto* op = std::get_if<OperatorNode>(&node.kind);
    if (op == nullptr || op->bound.stateless || op->bound.node_class != NodeClass::kRowWise ||
        op->bound.input_order == InputOrder::kByEventTime || !TakesByArrival(pipeline.graph, node))
      continue;
    diagnostics->Warning(
        "FR2119", pipeline.nodes[i].span,
        "`" + node.id +
            "` learns from rows in the order they come, and live inputs side by side come in another order each "
            "time",
        "put a `window` before it, or read one source, if a replay must give the same");
  }
}

}  // namespace freshet
