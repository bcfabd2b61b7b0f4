#include "engine/plan/bind.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "engine/base/units.h"
#include "engine/plan/edge_order.h"

namespace freshet {
namespace {

/// Columns somebody wants of an output. `all` also covers columns that come later.
struct Wanted {
  bool all = false;
  std::set<std::string> names;
  void Add(const Wanted& other) {
    all = all || other.all;
    names.insert(other.names.begin(), other.names.end());
  }
};

/// What one pass over the nodes made: node i of the file, or nothing where it failed.
struct Bound {
  std::vector<std::optional<NodeSpec>> nodes;
  std::vector<std::vector<std::string>> time_columns;  // of sources
  std::vector<bool> bounded;                           // whether all sources that feed it end
  std::vector<std::set<size_t>> sources;               // that feed it
};

/// True if a problem was reported somewhere in the value.
bool HasBroken(const ConfigValue& value) {
  if (value.broken) return true;
  for (const ConfigValue& item : value.items) {
    if (HasBroken(item)) return true;
  }
  for (const ConfigValue::Entry& entry : value.entries) {
    if (HasBroken(entry.value)) return true;
  }
  return false;
}

/// The schema of a node's output, null if there is no such port.
SchemaRef PortSchema(const NodeSpec& node, int port) {
  if (const auto* source = std::get_if<SourceNode>(&node.kind)) {
    return port == 0 ? source->bound.schema : DeadLetterSchema();
  }
  const auto* op = std::get_if<OperatorNode>(&node.kind);
  if (op == nullptr || port < 0 || port >= static_cast<int>(op->bound.outputs.size())) return nullptr;
  return op->bound.outputs[static_cast<size_t>(port)].schema;
}

/// The number of an output, -1 if the node does not have it.
int PortOf(const NodeSpec& node, const std::string& output) {
  if (output.empty()) return std::holds_alternative<SinkNode>(node.kind) ? -1 : 0;
  if (std::holds_alternative<SourceNode>(node.kind)) return output == "dead_letter" ? 1 : -1;
  const auto* op = std::get_if<OperatorNode>(&node.kind);
  for (size_t i = 1; op != nullptr && i < op->bound.outputs.size(); ++i) {
    if (op->bound.outputs[i].name == output) return static_cast<int>(i);
  }
  return -1;
}

bool GivesAlertRows(const NodeSpec& producer, int port) {
  const auto* op = std::get_if<OperatorNode>(&producer.kind);
  return op != nullptr && op->bound.outputs[static_cast<size_t>(port)].alert_rows;
}

std::string MethodOf(const NodeSpec& producer, int port) {
  const auto* op = std::get_if<OperatorNode>(&producer.kind);
  return op != nullptr ? op->bound.outputs[static_cast<size_t>(port)].method : std::string();
}

/// `alert_id` and `state`, by which rows of an alert are told apart.
bool HasAlertIdentity(const Schema& schema) {
  const auto is_text = [&](const char* name) {
    const std::optional<int> at = schema.Find(name);
    return at && schema.field(*at).type == TypeId::kString;
  };
  return is_text("alert_id") && is_text("state");
}

class Binder {
 public:
  Binder(const PipelineFile& file, const LoadOptions& options, Diagnostics* diagnostics)
      : file_(file), options_(options), diagnostics_(diagnostics) {}

  /// `needed[i]`: the columns source i must give; null for all.
  Bound Run(const std::vector<const std::vector<std::string>*>& needed) {
    bound_.nodes.resize(file_.nodes.size());
    bound_.time_columns.resize(file_.nodes.size());
    bound_.bounded.resize(file_.nodes.size());
    bound_.sources.resize(file_.nodes.size());
    for (size_t i = 0; i < file_.nodes.size(); ++i) BindNode(i, needed.empty() ? nullptr : needed[i]);
    return std::move(bound_);
  }

 private:
  int IndexOf(const std::string& id) const {
    for (size_t i = 0; i < file_.nodes.size(); ++i) {
      if (file_.nodes[i].id.value == id) return static_cast<int>(i);
    }
    return -1;
  }

  /// Finds what the node's inputs are; false if one of them is missing or failed (reported there).
  bool Connect(const NodeEntry& entry, NodeSpec* node, BindContext* context, std::vector<SchemaRef>* keep) {
    std::set<std::string> methods;
    for (const InputRef& input : entry.inputs) {
      const int from = IndexOf(input.node);
      if (from < 0 || !bound_.nodes[static_cast<size_t>(from)]) return false;
      const NodeSpec& producer = *bound_.nodes[static_cast<size_t>(from)];
      const int port = PortOf(producer, input.output);
      if (port < 0) {
        // What the type never has was reported with the structure.
        const NodeDescriptor& type = *file_.nodes[static_cast<size_t>(from)].descriptor;
        const bool known = std::count(type.output_names.begin(), type.output_names.end(), input.output) != 0;
        if (known) {
          diagnostics_->Error("FR2109", input.text.span,
                              "`" + input.node + "` has no output `" + input.output + "` as it is configured");
        }
        return false;
      }
      node->inputs.push_back({from, port});
      keep->push_back(PortSchema(producer, port));
      context->inputs.push_back(keep->back().get());
      context->input_names.push_back(input.text.value);
      context->alert_inputs.push_back(GivesAlertRows(producer, port));
      const std::string method = MethodOf(producer, port);
      if (!method.empty() && methods.insert(method).second)
        context->input_method += (context->input_method.empty() ? "" : "; ") + method;
    }
    return entry.kind == NodeKind::kSource || !entry.inputs.empty();
  }

  void BindNode(size_t index, const std::vector<std::string>* needed) {
    const NodeEntry& entry = file_.nodes[index];
    if (entry.descriptor == nullptr) return;
    NodeSpec node;
    node.id = entry.id.value;
    node.type = entry.descriptor->type;
    BindContext context;
    std::vector<SchemaRef> keep;
    if (!Connect(entry, &node, &context, &keep)) return;
    context.pipeline_name = file_.name;
    context.node_id = node.id;
    context.directory = file_.directory;
    context.diagnostics = diagnostics_;
    context.env = options_.env;
    context.node_span = entry.id.span;
    context.needed = entry.kind == NodeKind::kSource ? needed : nullptr;
    context.terminal = options_.terminal;
    if (file_.settings.alert_links) context.alert_links = &*file_.settings.alert_links;
    Diagnostics muted;  // the options were checked with the structure
    const OptionsNode values = OptionsNode::Make(&entry.config, &entry.options, {"type", "inputs"}, &muted);
    const int errors_before = diagnostics_->error_count();
    const bool ok = Make(index, values, context, &node);
    if (ok) NoteSources(index, node);
    if (ok && entry.kind != NodeKind::kSource && entry.descriptor->inputs_max > 1)
      node.max_skew = BindMaxSkew(values, bound_.sources[index].size(), bound_.bounded[index], diagnostics_);
    if (ok) {
      PassRevisions(entry, &node);
      CheckClock(entry, node);
      PassAlertRows(context, &node);
      PassMethod(context, &node);
      bound_.nodes[index] = std::move(node);
    } else if (diagnostics_->error_count() == errors_before && muted.error_count() == 0 && !HasBroken(entry.config)) {
      diagnostics_->Error("FR2114", entry.id.span,
                          "`" + entry.id.value + "` could not be set up, and its type does not say why",
                          "this is a mistake in Freshet: please report it");
    }
  }

  /// Which sources feed a node, and whether all of them end.
  void NoteSources(size_t index, const NodeSpec& node) {
    if (node.inputs.empty()) {
      const auto* source = std::get_if<SourceNode>(&node.kind);
      bound_.bounded[index] = source != nullptr && source->bound.bounded;
      bound_.sources[index] = {index};
      return;
    }
    bound_.bounded[index] = true;
    for (const PortRef& input : node.inputs) {
      const auto from = static_cast<size_t>(input.node);
      bound_.bounded[index] = bound_.bounded[index] && bound_.bounded[from];
      bound_.sources[index].insert(bound_.sources[from].begin(), bound_.sources[from].end());
    }
  }

  /// Revised results (SEMANTICS.md §6.3): a sink only appends, so its rows must say what they replace; whoever counts
  /// or remembers rows takes a revised one for one more.
  void PassRevisions(const NodeEntry& entry, NodeSpec* node) {
    for (size_t i = 0; i < node->inputs.size(); ++i) {
      const auto* from = std::get_if<OperatorNode>(&bound_.nodes[static_cast<size_t>(node->inputs[i].node)]->kind);
      if (from == nullptr) continue;
      const OutputPort& port = from->bound.outputs[static_cast<size_t>(node->inputs[i].port)];
      if (!port.revises) continue;
      const SpannedText& name = entry.inputs[i].text;
      auto* op = std::get_if<OperatorNode>(&node->kind);
      if (op != nullptr && op->bound.stateless) {
        for (OutputPort& output : op->bound.outputs) output.revises = true;
      } else if (op != nullptr) {
        const bool by_time = op->bound.input_order == InputOrder::kByEventTime;
        diagnostics_->Warning("FR2116", name.span,
                              "`" + name.value + "` revises its results, and `" + node->id + "` " +
                                  (by_time ? "takes none that comes late: revisions go to its `late` output"
                                           : "takes each revision for one more row"),
                              "leave `allowed_lateness` and `emit_every` out where the results are made");
      } else if (!port.schema->Find("revision") || !port.schema->Find("op")) {
        diagnostics_->Error(
            "FR2115", name.span,
            "`" + name.value + "` revises its results, but its rows lack the columns `revision` and `op`",
            "keep both columns: `" + node->id + "` can only append, and a reader must know which row counts");
      }
    }
  }

  bool IsBounded(const NodeSpec& node) const {
    if (const auto* source = std::get_if<SourceNode>(&node.kind)) return source->bound.bounded;
    return std::all_of(node.inputs.begin(), node.inputs.end(),
                       [&](const PortRef& input) { return IsBounded(*bound_.nodes[static_cast<size_t>(input.node)]); });
  }

  /// A replay takes seconds for what took hours: by the wall clock its results mean nothing (SEMANTICS.md §2.6).
  void CheckClock(const NodeEntry& entry, const NodeSpec& node) {
    const auto* op = std::get_if<OperatorNode>(&node.kind);
    if (op == nullptr || !op->bound.wants_clock || options_.wall_clock || !IsBounded(node)) return;
    diagnostics_->Error("FR2117", entry.id.span,
                        "`" + node.id +
                            "` goes by the wall clock, but all it reads is bounded and comes as fast as it "
                            "can be read",
                        "use event time, or say `--wall-clock` if that is what you want");
  }

  /// Row by row an alert's rows stay what they are, as long as they keep what tells them apart.
  void PassAlertRows(const BindContext& context, NodeSpec* node) {
    auto* op = std::get_if<OperatorNode>(&node->kind);
    if (op == nullptr || op->bound.node_class != NodeClass::kRowWise) return;
    const bool all =
        std::find(context.alert_inputs.begin(), context.alert_inputs.end(), false) == context.alert_inputs.end();
    OutputPort& main = op->bound.outputs[0];
    main.alert_rows = all && HasAlertIdentity(*main.schema);
  }

  static void PassMethod(const BindContext& context, NodeSpec* node) {
    auto* op = std::get_if<OperatorNode>(&node->kind);
    if (op == nullptr || op->bound.node_class != NodeClass::kRowWise) return;
    std::string& method = op->bound.outputs[0].method;
    if (method.empty()) method = context.input_method;
  }

  bool Make(size_t index, const OptionsNode& values, const BindContext& context, NodeSpec* node) {
    const NodeDescriptor& type = *file_.nodes[index].descriptor;
    switch (type.kind) {
      case NodeKind::kSource:
        return MakeSource(index, values, context, node);
      case NodeKind::kOperator: {
        std::optional<BoundOperator> made = type.make_operator ? type.make_operator(values, context) : std::nullopt;
        if (!made) return false;
        node->kind = OperatorNode{std::move(*made)};
        return true;
      }
      case NodeKind::kSink: {
        std::optional<BoundSink> made = type.make_sink ? type.make_sink(values, context) : std::nullopt;
        if (!made || !CheckGuarantee(values, context, *made, diagnostics_)) return false;
        node->kind = SinkNode{std::move(*made)};
        return true;
      }
    }
    return false;
  }

  bool MakeSource(size_t index, const OptionsNode& values, const BindContext& context, NodeSpec* node) {
    const NodeEntry& entry = file_.nodes[index];
    const NodeDescriptor& type = *entry.descriptor;
    std::optional<BoundSource> made = type.make_source ? type.make_source(values, context) : std::nullopt;
    if (!made) return false;
    SourceNode source;
    source.bound = std::move(*made);
    const SchemaRef schema = source.bound.schema;
    if (!BindSourceOptions(values, type, *schema, &source, &bound_.time_columns[index], diagnostics_)) return false;
    if (source.bound.bounded && !source.time.evaluate && !values.Has("time")) {
      diagnostics_->Warning("FR2205", entry.id.span,
                            "`" + entry.id.value + "` has no `time`: its rows get the time at which they are read",
                            "name the column that says when a row happened: `time: {field: …}`");
    }
    node->kind = std::move(source);
    return true;
  }

  const PipelineFile& file_;
  const LoadOptions& options_;
  Diagnostics* diagnostics_;
  Bound bound_;
};

/// The columns a source must give: those wanted of its rows and those of its time, in the schema's order.
std::vector<std::string> ColumnsToRead(const Schema& schema, const Wanted& wanted,
                                       const std::vector<std::string>& of_time) {
  std::set<std::string> all = wanted.names;
  all.insert(of_time.begin(), of_time.end());
  std::vector<std::string> names;
  for (const Field& field : schema.fields()) {
    if (all.count(field.name) != 0) names.push_back(field.name);
  }
  // A batch without columns is a special case nobody needs: keep one, of fixed width if there is one.
  if (names.empty() && schema.size() > 0) {
    const std::vector<Field>& fields = schema.fields();
    const auto narrow =
        std::find_if(fields.begin(), fields.end(), [](const Field& f) { return !IsStringLike(f.type); });
    names.push_back(narrow == fields.end() ? fields[0].name : narrow->name);
  }
  return names;
}

/// What an operator wants of its one input, given what is wanted of each of its outputs.
Wanted WantedOfInput(const BoundOperator& op, const std::map<int, Wanted>& of_outputs) {
  Wanted wanted;
  wanted.names.insert(op.columns_read.begin(), op.columns_read.end());
  for (const auto& [port, of_port] : of_outputs) {
    // Side outputs (late, rejected) carry the input's columns whatever the main one does. Names that the operator made
    // itself are simply not found at the source.
    if (port != 0 || op.passes_input_columns) wanted.Add(of_port);
  }
  return wanted;
}

/// Works backwards from sinks to sources; absent: all columns (and for what is no source).
std::vector<std::optional<std::vector<std::string>>> NeededColumns(const Bound& bound) {
  const size_t count = bound.nodes.size();
  std::vector<std::map<int, Wanted>> wanted(count);  // by output
  std::vector<std::optional<std::vector<std::string>>> needed(count);
  for (size_t i = count; i-- > 0;) {
    const NodeSpec& node = *bound.nodes[i];
    if (const auto* source = std::get_if<SourceNode>(&node.kind)) {
      if (!wanted[i][0].all) needed[i] = ColumnsToRead(*source->bound.schema, wanted[i][0], bound.time_columns[i]);
      continue;
    }
    Wanted of_input;
    const auto* op = std::get_if<OperatorNode>(&node.kind);
    if (op != nullptr && node.inputs.size() == 1)
      of_input = WantedOfInput(op->bound, wanted[i]);
    else
      of_input.all = true;  // sinks; and steps with several inputs, whose schemas must go on fitting each other
    for (const PortRef& input : node.inputs) wanted[static_cast<size_t>(input.node)][input.port].Add(of_input);
  }
  return needed;
}

/// Columns named in tests must exist.
class TestChecker {
 public:
  TestChecker(const PipelineFile& file, const Bound& bound, Diagnostics* diagnostics)
      : file_(file), bound_(bound), diagnostics_(diagnostics) {}

  void Run() {
    for (const PipelineTest& test : file_.tests) {
      for (const TestFeed& feed : test.feed) CheckFeed(feed);
      for (const TestExpectation& expectation : test.expect) CheckExpectation(expectation);
    }
  }

 private:
  int IndexOf(const std::string& id) const {
    for (size_t i = 0; i < file_.nodes.size(); ++i) {
      if (file_.nodes[i].id.value == id) return static_cast<int>(i);
    }
    return -1;
  }

  void CheckFeed(const TestFeed& feed) {
    const int index = IndexOf(feed.source.value);
    if (index < 0 || file_.nodes[static_cast<size_t>(index)].kind != NodeKind::kSource) {
      std::vector<std::string> sources;
      for (const NodeEntry& node : file_.nodes) {
        if (node.kind == NodeKind::kSource) sources.push_back(node.id.value);
      }
      const std::string near = NearestName(feed.source.value, sources.data(), sources.size());
      diagnostics_->Error("FR2302", feed.source.span, "there is no source `" + feed.source.value + "` to feed",
                          near.empty() ? "" : "did you mean `" + near + "`?");
      return;
    }
    const auto& node = bound_.nodes[static_cast<size_t>(index)];
    if (!node) return;
    const SchemaRef schema = PortSchema(*node, 0);
    for (const TestStep& step : feed.steps) CheckRow(step.row, *schema, feed.source.value);
  }

  void CheckExpectation(const TestExpectation& expectation) {
    const int index = IndexOf(expectation.node);
    const SourceSpan& span = expectation.target.span;
    if (index < 0) {
      std::vector<std::string> ids;
      for (const NodeEntry& node : file_.nodes) ids.push_back(node.id.value);
      const std::string near = NearestName(expectation.node, ids.data(), ids.size());
      diagnostics_->Error("FR2302", span, "there is no node `" + expectation.node + "`",
                          near.empty() ? "" : "did you mean `" + near + "`?");
      return;
    }
    const auto& node = bound_.nodes[static_cast<size_t>(index)];
    if (!node) return;
    if (std::holds_alternative<SinkNode>(node->kind) && expectation.output.empty()) {
      if (node->inputs.size() != 1) return;  // several schemas may meet here
      const PortRef& input = node->inputs[0];
      const auto& producer = bound_.nodes[static_cast<size_t>(input.node)];
      for (const TestRow& row : expectation.rows)
        CheckRow(row, *PortSchema(*producer, input.port), expectation.target.value);
      return;
    }
    const int port = PortOf(*node, expectation.output);
    if (port < 0) {
      diagnostics_->Error("FR2302", span, "`" + expectation.node + "` has no output `" + expectation.output + "`");
      return;
    }
    for (const TestRow& row : expectation.rows) CheckRow(row, *PortSchema(*node, port), expectation.target.value);
  }

  void CheckRow(const TestRow& row, const Schema& schema, const std::string& where) {
    for (const ConfigValue::Entry& cell : row.cells) {
      if (schema.Find(cell.key.value)) continue;
      const std::string near = schema.Nearest(cell.key.value);
      diagnostics_->Error("FR2303", cell.key.span, "`" + where + "` has no column `" + cell.key.value + "`",
                          near.empty() ? "it has " + schema.ToString() : "did you mean `" + near + "`?");
    }
  }

  const PipelineFile& file_;
  const Bound& bound_;
  Diagnostics* diagnostics_;
};

/// Push-down must change what is decoded, never what anybody sees: outputs keep the columns somebody reads, with their
/// types.
bool SameWhereWanted(const Bound& full, const Bound& pushed) {
  for (size_t i = 0; i < full.nodes.size(); ++i) {
    if (!pushed.nodes[i]) return false;
    const SchemaRef before = PortSchema(*full.nodes[i], 0);
    const SchemaRef after = PortSchema(*pushed.nodes[i], 0);
    if (before == nullptr) continue;
    for (const Field& field : after->fields()) {
      const std::optional<int> at = before->Find(field.name);
      if (!at || before->field(*at).type != field.type) return false;
    }
  }
  return true;
}

}  // namespace

std::optional<Pipeline> BindPipeline(std::shared_ptr<const PipelineFile> file, const LoadOptions& options,
                                     Diagnostics* diagnostics) {
  Bound bound = Binder(*file, options, diagnostics).Run({});
  TestChecker(*file, bound, diagnostics).Run();
  if (diagnostics->has_errors()) return std::nullopt;

  Pipeline pipeline;
  pipeline.file = file;
  pipeline.graph.pipeline_name = file->name;
  for (size_t i = 0; i < bound.nodes.size(); ++i) {
    const SchemaRef schema = PortSchema(*bound.nodes[i], 0);
    pipeline.nodes.push_back({file->nodes[i].descriptor, file->nodes[i].id.span, schema, std::nullopt});
  }
  if (options.push_down) {
    const auto needed = NeededColumns(bound);
    std::vector<const std::vector<std::string>*> pointers;
    for (const auto& names : needed) pointers.push_back(names ? &*names : nullptr);
    Diagnostics muted;
    Bound pushed = Binder(*file, options, &muted).Run(pointers);
    if (!muted.has_errors() && SameWhereWanted(bound, pushed)) {
      bound = std::move(pushed);
      for (size_t i = 0; i < needed.size(); ++i) pipeline.nodes[i].needed = needed[i];
    }
  }
  for (auto& node : bound.nodes) pipeline.graph.nodes.push_back(std::move(*node));
  WarnOfArrivalOrder(pipeline, diagnostics);
  return pipeline;
}

}  // namespace freshet
