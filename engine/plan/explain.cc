#include "engine/plan/explain.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "engine/base/units.h"
#include "engine/plan/common_options.h"
#include "engine/plan/edge_order.h"

namespace freshet {
namespace {

using Lines = std::vector<std::pair<std::string, std::string>>;

std::string Join(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

const char* NounOf(const NodeSpec& node) {
  if (std::holds_alternative<SourceNode>(node.kind)) return "source";
  return std::holds_alternative<SinkNode>(node.kind) ? "sink" : "operator";
}

std::string OutputName(const GraphSpec& graph, const PortRef& ref) {
  const NodeSpec& node = graph.nodes[static_cast<size_t>(ref.node)];
  if (ref.port == 0) return node.id;
  if (std::holds_alternative<SourceNode>(node.kind)) return node.id + ".dead_letter";
  return node.id + "." + std::get<OperatorNode>(node.kind).bound.outputs[static_cast<size_t>(ref.port)].name;
}

void AddSource(const SourceNode& source, const NodePlan& plan, Lines* lines) {
  for (const auto& line : source.bound.explain) {
    if (line.first != "columns read") lines->push_back(line);  // named below
  }
  lines->emplace_back("input", source.bound.bounded ? "bounded" : "live");
  const TimeSpec& time = source.time;
  if (!time.evaluate) {
    lines->emplace_back("time", "on arrival");
  } else {
    std::string text = time.text + ", lateness " + FormatDuration(time.lateness);
    if (!source.bound.bounded) text += ", idle after " + FormatDuration(time.idle);
    if (time.max_future) text += ", at most " + FormatDuration(*time.max_future) + " ahead of the clock";
    if (time.max_jump) text += ", jumps of at most " + FormatDuration(*time.max_jump);
    if (time.not_before) text += ", from " + FormatTime(*time.not_before);
    if (time.not_after) text += ", to " + FormatTime(*time.not_after);
    lines->emplace_back("time", std::move(text));
  }
  const int all = plan.full_schema->size();
  if (plan.needed && static_cast<int>(plan.needed->size()) < all) {
    lines->emplace_back("columns", Join(*plan.needed) + " (" + std::to_string(plan.needed->size()) + " of " +
                                       std::to_string(all) + ")");
  } else {
    lines->emplace_back("columns", "all " + std::to_string(all));
  }
  const char* const on_error[] = {"dead_letter", "skip", "fail"};
  if (source.on_error != OnError::kDeadLetter)
    lines->emplace_back("on_error", on_error[static_cast<size_t>(source.on_error)]);
  const char* const on_overflow[] = {"block", "drop_oldest", "drop_newest"};
  if (source.on_overflow != OnOverflow::kBlock)
    lines->emplace_back("on_overflow",
                        std::string(on_overflow[static_cast<size_t>(source.on_overflow)]) + ", whole chunks, counted");
}

void AddOperator(const GraphSpec& graph, const NodeSpec& node, Lines* lines) {
  const BoundOperator& op = std::get<OperatorNode>(node.kind).bound;
  lines->insert(lines->end(), op.explain.begin(), op.explain.end());
  if (op.key) {
    const NodeSpec& from = graph.nodes[static_cast<size_t>(node.inputs[0].node)];
    SchemaRef schema;
    if (const auto* source = std::get_if<SourceNode>(&from.kind))
      schema = source->bound.schema;
    else
      schema = std::get<OperatorNode>(from.kind).bound.outputs[static_cast<size_t>(node.inputs[0].port)].schema;
    std::vector<std::string> names;
    for (const int column : *op.key) names.push_back(schema->field(column).name);
    const bool told = std::any_of(lines->begin(), lines->end(), [](const auto& line) { return line.first == "key"; });
    if (!told) lines->emplace_back("key", Join(names));
  }
  if (op.stateless)
    lines->emplace_back("state", "none");
  else
    lines->emplace_back("state", op.key ? "by key, in lanes" : "one lane");
  if (op.input_order == InputOrder::kByEventTime) lines->emplace_back("rows in", "by event time, late ones aside");
  if (op.outputs[0].order == OutputOrder::kByTime) lines->emplace_back("rows out", "by time");
}

/// When alerts leave by a sink that has no outbox.
const char* AlertsLeave(const BoundSink& sink) {
  return sink.delivery == Delivery::kExactlyOnce ? "with the checkpoint that holds them" : "at once";
}

void AddSink(const GraphSpec& graph, const NodeSpec& node, Lines* lines) {
  const SinkNode& sink = std::get<SinkNode>(node.kind);
  lines->insert(lines->end(), sink.bound.explain.begin(), sink.bound.explain.end());
  const bool alerts = std::any_of(node.inputs.begin(), node.inputs.end(), [&](const PortRef& input) {
    const auto* op = std::get_if<OperatorNode>(&graph.nodes[static_cast<size_t>(input.node)].kind);
    return op != nullptr && op->bound.outputs[static_cast<size_t>(input.port)].alert_rows;
  });
  if (alerts && !sink.bound.make_network_sink) lines->emplace_back("alerts leave", AlertsLeave(sink.bound));
  const std::string& note = sink.bound.delivery_note;
  lines->emplace_back("delivery", std::string(DeliveryName(sink.bound.delivery)) + (note.empty() ? "" : " " + note));
}

Lines Describe(const Pipeline& pipeline, size_t index) {
  const NodeSpec& node = pipeline.graph.nodes[index];
  Lines lines;
  if (const auto* source = std::get_if<SourceNode>(&node.kind))
    AddSource(*source, pipeline.nodes[index], &lines);
  else if (std::holds_alternative<SinkNode>(node.kind))
    AddSink(pipeline.graph, node, &lines);
  else
    AddOperator(pipeline.graph, node, &lines);
  if (node.max_skew) lines.emplace_back("max_skew", FormatDuration(*node.max_skew) + " between inputs");
  return lines;
}

std::string InputsOf(const GraphSpec& graph, const NodeSpec& node) {
  std::string out;
  for (const PortRef& input : node.inputs) {
    out += (out.empty() ? "" : ", ") + OutputName(graph, input) + " (" + ToText(OrderOf(graph, input)) + ")";
  }
  return out;
}

/// Escapes for a label in double quotes.
std::string Escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"')
      out += "'";
    else if (c == '\\')
      out += "\\\\";
    else if (c == '\n')
      out += ' ';
    else
      out += c;
  }
  return out;
}

std::string NodeKey(size_t index) { return "n" + std::to_string(index); }

/// Nodes by group; those without one stand alone under -1.
std::map<int, std::vector<size_t>> ByGroup(const Pipeline& pipeline, const PlanGroups& groups) {
  std::map<int, std::vector<size_t>> members;
  for (size_t i = 0; i < pipeline.graph.nodes.size(); ++i) {
    const auto found = groups.find(static_cast<int>(i));
    members[found == groups.end() ? -1 : found->second.group].push_back(i);
  }
  return members;
}

std::string NoteOf(const PlanGroups& groups, size_t index) {
  const auto found = groups.find(static_cast<int>(index));
  return found == groups.end() ? std::string() : found->second.note;
}

}  // namespace

std::string ExplainText(const Pipeline& pipeline, const PlanGroups& groups) {
  const GraphSpec& graph = pipeline.graph;
  std::string out = "pipeline " + pipeline.name() + "\n";
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const NodeSpec& node = graph.nodes[i];
    out += "\n" + node.id + ": " + NounOf(node) + " " + node.type;
    if (const std::string note = NoteOf(groups, i); !note.empty()) out += "  [" + note + "]";
    out += "\n";
    if (!node.inputs.empty()) out += "  from: " + InputsOf(graph, node) + "\n";
    for (const auto& [name, value] : Describe(pipeline, i)) {
      out += "  ";
      out += name;
      out += ": ";
      out += value;
      out += "\n";
    }
  }
  return out;
}

std::string ExplainDot(const Pipeline& pipeline, const PlanGroups& groups) {
  const GraphSpec& graph = pipeline.graph;
  std::string out =
      "digraph \"" + Escape(pipeline.name()) + "\" {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n";
  for (const auto& [group, members] : ByGroup(pipeline, groups)) {
    const bool cluster = group >= 0 && members.size() > 1;
    if (cluster) out += "  subgraph cluster_" + std::to_string(group) + " {\n";
    for (const size_t i : members) {
      const NodeSpec& node = graph.nodes[i];
      const char* const shape = node.inputs.empty()                           ? ", shape=cds"
                                : std::holds_alternative<SinkNode>(node.kind) ? ", shape=house"
                                                                              : "";
      const std::string note = NoteOf(groups, i);
      out += std::string(cluster ? "    " : "  ") + NodeKey(i) + " [label=\"" + Escape(node.id) + "\\n" +
             Escape(node.type) + (note.empty() ? "" : "\\n" + Escape(note)) + "\"" + shape + "];\n";
    }
    if (cluster) out += "  }\n";
  }
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    for (const PortRef& input : graph.nodes[i].inputs) {
      const std::string from = OutputName(graph, input);
      const size_t dot = from.find('.');
      out += "  " + NodeKey(static_cast<size_t>(input.node)) + " -> " + NodeKey(i);
      if (dot != std::string::npos) out += " [label=\"" + Escape(from.substr(dot + 1)) + "\"]";
      out += ";\n";
    }
  }
  return out + "}\n";
}

std::string ExplainMermaid(const Pipeline& pipeline, const PlanGroups& groups) {
  const GraphSpec& graph = pipeline.graph;
  std::string out = "flowchart LR\n";
  for (const auto& [group, members] : ByGroup(pipeline, groups)) {
    const bool cluster = group >= 0 && members.size() > 1;
    if (cluster) out += "  subgraph g" + std::to_string(group) + "[ ]\n";
    for (const size_t i : members) {
      const NodeSpec& node = graph.nodes[i];
      const std::string note = NoteOf(groups, i);
      const std::string label =
          "\"" + Escape(node.id) + "<br/>" + Escape(node.type) + (note.empty() ? "" : "<br/>" + Escape(note)) + "\"";
      const bool sink = std::holds_alternative<SinkNode>(node.kind);
      const std::string shape = node.inputs.empty() ? "([" + label + "])"
                                : sink              ? "[/" + label + "/]"
                                                    : "[" + label + "]";
      out += std::string(cluster ? "    " : "  ") + NodeKey(i) + shape + "\n";
    }
    if (cluster) out += "  end\n";
  }
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    for (const PortRef& input : graph.nodes[i].inputs) {
      const std::string from = OutputName(graph, input);
      const size_t dot = from.find('.');
      const std::string arrow = dot == std::string::npos ? " --> " : " -- " + from.substr(dot + 1) + " --> ";
      out += "  " + NodeKey(static_cast<size_t>(input.node)) + arrow + NodeKey(i) + "\n";
    }
  }
  return out;
}

}  // namespace freshet
