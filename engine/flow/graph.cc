#include "engine/flow/graph.h"

#include <algorithm>

namespace freshet {
namespace {

/// Where the rows of a port come out: a cell's chain element.
struct Outlet {
  int cell = -1;
  int element = 0;
  PortIndex port = 0;
};

class Planner {
 public:
  Planner(const GraphSpec& spec, int lane_count) : spec_(spec) { plan_.lane_count = lane_count; }

  GraphPlan Plan() {
    outlets_.resize(spec_.nodes.size());
    bounded_.resize(spec_.nodes.size());
    consumers_.resize(spec_.nodes.size());
    for (const NodeSpec& node : spec_.nodes)
      for (const PortRef& input : node.inputs)
        if (input.port == 0) ++consumers_[static_cast<size_t>(input.node)];
    for (size_t n = 0; n < spec_.nodes.size(); ++n) Place(static_cast<int>(n));
    return std::move(plan_);
  }

 private:
  const NodeSpec& node(int n) const { return spec_.nodes[static_cast<size_t>(n)]; }
  CellPlan& cell(int c) { return plan_.cells[static_cast<size_t>(c)]; }

  int AddCell(CellKind kind, int n) {
    CellPlan cell;
    cell.id = static_cast<int>(plan_.cells.size());
    cell.kind = kind;
    cell.nodes = {n};
    cell.counts_out = kind == CellKind::kSource || kind == CellKind::kChain;
    plan_.cells.push_back(std::move(cell));
    return plan_.cells.back().id;
  }

  int AddEdge(int from, int to, InputIndex input) {
    plan_.edges.push_back({from, to, input});
    return static_cast<int>(plan_.edges.size()) - 1;
  }

  void Link(const Outlet& from, int to, InputIndex input, bool marks = false) {
    LinkPlan link;
    link.element = from.element;
    link.port = from.port;
    link.edges = {AddEdge(from.cell, to, input)};
    link.marks = marks;
    cell(from.cell).links.push_back(std::move(link));
  }

  Outlet OutletOf(const PortRef& ref) const {
    for (const auto& [port, outlet] : outlets_[static_cast<size_t>(ref.node)])
      if (port == ref.port) return outlet;
    return {};
  }
  void SetOutlet(int n, PortIndex port, Outlet outlet) { outlets_[static_cast<size_t>(n)].emplace_back(port, outlet); }
  bool IsUsed(int n, PortIndex port) const {
    for (const NodeSpec& other : spec_.nodes)
      for (const PortRef& input : other.inputs)
        if (input == PortRef{n, port}) return true;
    return false;
  }

  void Place(int n) {
    const NodeSpec& spec = node(n);
    if (const auto* source = std::get_if<SourceNode>(&spec.kind)) {
      bounded_[static_cast<size_t>(n)] = source->bound.bounded;
      const int c = AddCell(CellKind::kSource, n);
      SetOutlet(n, 1, {c, 0, 1});
      if (!source->bound.by_time) {
        SetOutlet(n, 0, {c, 0, 0});
        return;
      }
      const int merge = AddCell(CellKind::kMerge, n);
      cell(c).counts_out = false;
      cell(merge).counts_in = false;
      cell(merge).counts_out = true;
      cell(merge).input_count = 1;
      Link({c, 0, 0}, merge, 0);
      SetOutlet(n, 0, {merge, 0, 0});
      return;
    }
    bool bounded = true;
    for (const PortRef& input : spec.inputs) bounded = bounded && bounded_[static_cast<size_t>(input.node)];
    bounded_[static_cast<size_t>(n)] = bounded;
    if (const auto* op = std::get_if<OperatorNode>(&spec.kind))
      PlaceOperator(n, spec, op->bound, bounded);
    else
      PlaceSink(n, spec, bounded);
  }

  /// The single outlet a node reads from; several bounded inputs go through a merge first.
  std::vector<Outlet> Inputs(int n, const NodeSpec& spec, bool mergeable, bool* merged) {
    std::vector<Outlet> inputs;
    for (const PortRef& input : spec.inputs) inputs.push_back(OutletOf(input));
    *merged = inputs.size() > 1 && mergeable;
    if (!*merged) return inputs;
    const int merge = AddCell(CellKind::kMerge, n);
    cell(merge).input_count = static_cast<int>(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) Link(inputs[i], merge, static_cast<InputIndex>(i));
    std::vector<Outlet> outputs;
    // One output port per input, so that inputs of different schemas stay apart; one link each keeps their common
    // order.
    outputs.push_back({merge, 0, 0});
    return outputs;
  }

  bool CanFuse(const NodeSpec& spec, const BoundOperator& op) const {
    if (!op.stateless || spec.inputs.size() != 1 || consumers_[static_cast<size_t>(spec.inputs[0].node)] != 1 ||
        spec.inputs[0].port != 0)
      return false;
    const Outlet from = OutletOf(spec.inputs[0]);
    const CellPlan& producer = plan_.cells[static_cast<size_t>(from.cell)];
    return (producer.kind == CellKind::kSource || producer.kind == CellKind::kChain) && producer.lane_count == 1 &&
           from.element + 1 == static_cast<int>(producer.nodes.size());
  }

  void PlaceOperator(int n, const NodeSpec& spec, const BoundOperator& op, bool bounded) {
    const auto ports = static_cast<PortIndex>(op.outputs.size());
    if (CanFuse(spec, op)) {
      const int c = OutletOf(spec.inputs[0]).cell;
      cell(c).nodes.push_back(n);
      const int element = static_cast<int>(cell(c).nodes.size()) - 1;
      for (PortIndex p = 0; p < ports; ++p) SetOutlet(n, p, {c, element, p});
      return;
    }
    bool counted = false;
    const bool apart = !op.input_keys.empty();
    std::vector<Outlet> inputs = Inputs(n, spec, bounded && !apart, &counted);
    if (op.input_order == InputOrder::kByEventTime) {
      const int sorter = AddCell(CellKind::kSorter, n);
      cell(sorter).counts_in = !counted;
      cell(sorter).input_count = static_cast<int>(inputs.size());
      for (size_t i = 0; i < inputs.size(); ++i) Link(inputs[i], sorter, static_cast<InputIndex>(i));
      inputs = {{sorter, 0, 0}};
      for (PortIndex p = 1; p < ports && !op.takes_late; ++p)
        if (op.outputs[static_cast<size_t>(p)].name == "late") SetOutlet(n, p, {sorter, 0, 1});
      counted = true;
    }
    const int lanes = op.key ? plan_.lane_count : 1;
    if (lanes > 1 && inputs.size() > 1 && !apart) {
      // Lanes are put in order again by the number of the exchanged batch: several live inputs get a common one here.
      const int arrival = AddCell(CellKind::kArrival, n);
      cell(arrival).counts_in = false;
      cell(arrival).input_count = static_cast<int>(inputs.size());
      for (size_t i = 0; i < inputs.size(); ++i) Link(inputs[i], arrival, static_cast<InputIndex>(i));
      inputs = {{arrival, 0, 0}};
    }
    std::vector<int> lane_cells;
    for (int lane = 0; lane < lanes; ++lane) {
      const int c = AddCell(CellKind::kChain, n);
      cell(c).lane = lane;
      cell(c).lane_count = lanes;
      cell(c).input_count = static_cast<int>(inputs.size());
      cell(c).counts_in = !counted;
      cell(c).wants_clock = op.wants_clock;
      lane_cells.push_back(c);
    }
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (lanes == 1) {
        Link(inputs[i], lane_cells[0], static_cast<InputIndex>(i));
        continue;
      }
      LinkPlan link;
      link.element = inputs[i].element;
      link.port = inputs[i].port;
      link.exchanged = true;
      link.exchange_key = apart ? op.input_keys[i] : *op.key;
      link.combines = op.make_combiner && !apart;
      for (int c : lane_cells) link.edges.push_back(AddEdge(inputs[i].cell, c, static_cast<InputIndex>(i)));
      cell(inputs[i].cell).links.push_back(std::move(link));
    }
    for (PortIndex p = 0; p < ports; ++p) {
      if (OutletOf({n, p}).cell >= 0) continue;
      const OutputPort& port = op.outputs[static_cast<size_t>(p)];
      if (lanes == 1) {
        if (port.order == OutputOrder::kByTime) cell(lane_cells[0]).stamps_ordinals = true;
        SetOutlet(n, p, {lane_cells[0], 0, p});
        continue;
      }
      if (!IsUsed(n, p)) continue;
      const int gather = AddCell(CellKind::kGather, n);
      cell(gather).input_count = lanes;
      cell(gather).gathered_port = p;
      cell(gather).stamps_ordinals = port.order == OutputOrder::kByTime;
      cell(gather).lanes_may_differ = inputs.size() > 1 && !bounded;  // only a live input is ever idle
      for (int lane = 0; lane < lanes; ++lane)
        Link({lane_cells[static_cast<size_t>(lane)], 0, p}, gather, lane, port.order == OutputOrder::kInputOrder);
      SetOutlet(n, p, {gather, 0, 0});
    }
  }

  void PlaceSink(int n, const NodeSpec& spec, bool bounded) {
    bool counted = false;
    const std::vector<Outlet> inputs = Inputs(n, spec, bounded, &counted);
    const int c = AddCell(CellKind::kSink, n);
    cell(c).counts_in = !counted;
    cell(c).input_count = static_cast<int>(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) Link(inputs[i], c, static_cast<InputIndex>(i));
  }

  const GraphSpec& spec_;
  GraphPlan plan_;
  std::vector<std::vector<std::pair<PortIndex, Outlet>>> outlets_;
  std::vector<bool> bounded_;
  std::vector<int> consumers_;  ///< of the main output
};

const char* KindName(CellKind kind) {
  switch (kind) {
    case CellKind::kSource:
      return "source";
    case CellKind::kChain:
      return "step";
    case CellKind::kSorter:
      return "sort by event time";
    case CellKind::kMerge:
      return "merge inputs";
    case CellKind::kArrival:
      return "number arrivals";
    case CellKind::kGather:
      return "gather";
    case CellKind::kSink:
      return "sink";
  }
  return "";
}

}  // namespace

GraphPlan PlanGraph(const GraphSpec& spec, int lane_count) {
  return Planner(spec, std::clamp(lane_count, 1, int{kKeyGroupCount})).Plan();
}

std::string DescribeGraph(const GraphSpec& spec, const GraphPlan& plan) {
  std::string out;
  for (const CellPlan& cell : plan.cells) {
    if (cell.lane > 0) continue;
    out += "  ";
    out += KindName(cell.kind);
    for (size_t i = 0; i < cell.nodes.size(); ++i) {
      out += i == 0 ? " " : " + ";
      out += spec.nodes[static_cast<size_t>(cell.nodes[i])].id;
    }
    if (cell.lane_count > 1) out += " (" + std::to_string(cell.lane_count) + " lanes, 128 key groups)";
    if (cell.kind == CellKind::kGather) {
      const auto& op = std::get<OperatorNode>(spec.nodes[static_cast<size_t>(cell.nodes[0])].kind).bound;
      const OutputPort& port = op.outputs[static_cast<size_t>(cell.gathered_port)];
      if (!port.name.empty()) out += "." + port.name;
      out += port.order == OutputOrder::kByTime ? " (by event time and key)" : " (in input order)";
    }
    std::string targets;
    for (const LinkPlan& link : cell.links) {
      const CellPlan& to = plan.cells[static_cast<size_t>(plan.edges[static_cast<size_t>(link.edges[0])].to)];
      const std::string name = std::string(KindName(to.kind)) + " " + spec.nodes[static_cast<size_t>(to.nodes[0])].id;
      targets += targets.empty() ? " -> " : ", ";
      targets += name;
      if (link.exchanged) targets += link.combines ? " by key, pre-aggregated" : " by key";
    }
    out += targets + "\n";
  }
  return out;
}

}  // namespace freshet
