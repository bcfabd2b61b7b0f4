#include "engine/plan/pipeline_file.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "engine/base/units.h"
#include "engine/plan/expand.h"

namespace freshet {
namespace {

const std::string kTopKeys[] = {"name", "description", "settings", "sources", "operators", "sinks", "tests", "include"};

struct Section {
  const char* key;
  NodeKind kind;
  const char* noun;
};
constexpr Section kSections[] = {{"sources", NodeKind::kSource, "source"},
                                 {"operators", NodeKind::kOperator, "operator"},
                                 {"sinks", NodeKind::kSink, "sink"}};

/// An option that asks for a step of its own behind its node: what is told of an alert is counted over all its lanes.
struct StepBehind {
  const char* type;
  const char* option;  ///< of the step, too
  const char* step;
  const char* heeder;  ///< nodes of this type heed by their inputs behind the first what is there, told or not
};
constexpr StepBehind kStepsBehind[] = {{"alert", "budget", "notify", "inhibit"}};

const char* NounOf(NodeKind kind) { return kSections[static_cast<size_t>(kind)].noun; }

std::string DidYouMean(const std::string& word, const std::vector<std::string>& candidates) {
  const std::string near = NearestName(word, candidates.data(), candidates.size());
  return near.empty() ? "" : "did you mean `" + near + "`?";
}

std::string Join(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

bool IsId(std::string_view id) {
  for (size_t i = 0; i < id.size(); ++i) {
    const char c = id[i];
    const bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
    const bool other = (c >= '0' && c <= '9') || c == '-';
    if (!letter && !(other && i > 0)) return false;
  }
  return !id.empty() && id.size() <= 64;
}

/// A stem such as `breakouts` of `pipelines/breakouts.yaml`; what cannot be part of a directory's name becomes `_`.
std::string StemOf(const std::string& path) {
  std::string stem = std::filesystem::path(path).stem().string();
  for (char& c : stem) {
    if (!IsId(std::string("a") + c)) c = '_';
  }
  return stem.empty() ? "pipeline" : stem;
}

class FileReader {
 public:
  FileReader(const LoadOptions& options, Diagnostics* diagnostics)
      : options_(options), diagnostics_(diagnostics), file_(std::make_shared<PipelineFile>()) {}

  std::shared_ptr<PipelineFile> Read(const ConfigValue& root, const std::string& path) {
    file_->path = path;
    file_->directory = DirectoryOf(path);
    ReadTop(root);
    for (const Section& section : kSections) ReadSection(root, section);
    if (const ConfigValue* tests = root.Find("tests")) file_->tests = ReadTests(*tests, diagnostics_);
    CheckInputs();
    CheckUse(root);
    AddStepsBehind();
    SortNodes();
    return file_;
  }

 private:
  void ReadTop(const ConfigValue& root) {
    for (const ConfigValue::Entry& entry : root.entries) {
      const std::vector<std::string> known(std::begin(kTopKeys), std::end(kTopKeys));
      if (std::find(known.begin(), known.end(), entry.key.value) != known.end()) continue;
      const std::string near = DidYouMean(entry.key.value, known);
      diagnostics_->Error("FR2101", entry.key.span, "a pipeline has no section `" + entry.key.value + "`",
                          near.empty() ? "a pipeline has " + Join(known) : near);
    }
    file_->name = ReadText(root, "name");
    if (file_->name.empty()) {
      file_->name = StemOf(file_->path);
    } else if (!IsId(file_->name)) {
      diagnostics_->Error("FR2102", root.Find("name")->span(), "`" + file_->name + "` cannot be the name of a pipeline",
                          "use letters, digits, `_` and `-`, beginning with a letter: it names the state's directory");
    }
    file_->description = ReadText(root, "description");
    const OptionsNode settings = OptionsNode::Make(root.Find("settings"), &SettingsOptions(), {}, diagnostics_);
    file_->settings = ReadSettings(settings, file_->directory, file_->name, options_.env, diagnostics_);
  }

  std::string ReadText(const ConfigValue& root, const char* key) {
    const ConfigValue* const value = root.Find(key);
    if (value == nullptr || value->is_null() || value->broken) return {};
    if (value->is_scalar()) return value->text();
    diagnostics_->Error("FR2002", value->span(), std::string("`") + key + "` wants text");
    return {};
  }

  void ReadSection(const ConfigValue& root, const Section& section) {
    const ConfigValue* const nodes = root.Find(section.key);
    if (nodes == nullptr || nodes->is_null() || nodes->broken) return;
    if (!nodes->is_map()) {
      diagnostics_->Error("FR2002", nodes->span(), std::string("`") + section.key + "` wants a map of `id: {type: …}`");
      return;
    }
    for (const ConfigValue::Entry& entry : nodes->entries) ReadNode(entry, section.kind);
  }

  void ReadNode(const ConfigValue::Entry& entry, NodeKind kind) {
    const std::string& id = entry.key.value;
    if (!IsId(id)) {
      diagnostics_->Error("FR2102", entry.key.span, "`" + id + "` cannot be the id of a node",
                          "use letters, digits, `_` and `-`, beginning with a letter");
      return;
    }
    if (const NodeEntry* other = FindNode(id)) {
      diagnostics_->Error(
          "FR2104", entry.key.span, "the id `" + id + "` is taken",
          std::string("a ") + NounOf(other->kind) + " has it on line " + std::to_string(other->id.span.line));
      return;
    }
    if (entry.value.broken) return;
    NodeEntry node;
    node.kind = kind;
    node.id = entry.key;
    node.config = entry.value;
    if (!node.config.is_map()) {
      diagnostics_->Error("FR2006", entry.key.span, "`type` is missing",
                          "write `type:` and the options below `" + id + "`");
      node.config = ConfigValue();
      node.config.kind = ConfigValue::Kind::kMap;
      node.config.broken = true;
    }
    node.config.scalar = entry.key;
    if (!node.config.broken) {
      ReadType(&node);
      MakePathsAbsolute(&node);
      ReadInputs(&node);
      if (node.descriptor != nullptr) CheckOptions(node);
    }
    file_->nodes.push_back(std::move(node));
  }

  const NodeEntry* FindNode(const std::string& id) const {
    for (const NodeEntry& node : file_->nodes) {
      if (node.id.value == id) return &node;
    }
    return nullptr;
  }

  void ReadType(NodeEntry* node) {
    const ConfigValue* const type = node->config.Find("type");
    std::vector<std::string> known;
    for (const NodeDescriptor& d : options_.registry->descriptors()) {
      if (d.kind == node->kind) known.push_back(d.type);
    }
    if (type == nullptr || !type->is_scalar() || type->text().empty()) {
      if (type != nullptr && type->broken) return;
      diagnostics_->Error("FR2006", node->id.span, "`type` is missing",
                          std::string("a ") + NounOf(node->kind) + " is one of " + Join(known));
      return;
    }
    node->descriptor = options_.registry->Find(node->kind, type->text());
    if (node->descriptor != nullptr) {
      node->options = AllOptions(*node->descriptor);
      return;
    }
    std::string suggestion = DidYouMean(type->text(), known);
    for (const Section& section : kSections) {
      if (suggestion.empty() && options_.registry->Find(section.kind, type->text()) != nullptr) {
        suggestion = "`" + type->text() + "` is a " + section.noun + ": put it under `" + section.key + ":`";
      }
    }
    if (suggestion.empty()) suggestion = "there are " + Join(known);
    diagnostics_->Error("FR2103", type->span(),
                        std::string("there is no ") + NounOf(node->kind) + " of type `" + type->text() + "`",
                        suggestion);
  }

  /// Paths that are not relative to the pipeline file (they came from a variable or an included file) are made
  /// absolute, so that connectors need one rule only.
  void MakePathsAbsolute(NodeEntry* node) {
    for (ConfigValue::Entry& entry : node->config.entries) {
      for (const OptionSpec& spec : node->options) {
        if (spec.name != entry.key.value) continue;
        if (spec.kind == OptionKind::kPath) MakeAbsolute(&entry.value);
        if (spec.kind != OptionKind::kPathList) continue;
        MakeAbsolute(&entry.value);
        for (ConfigValue& item : entry.value.items) MakeAbsolute(&item);
      }
    }
  }

  void MakeAbsolute(ConfigValue* value) {
    const SourceSpan& span = value->span();
    if (!value->is_scalar() || value->text().empty() || value->text() == "-" || span.text == nullptr) return;
    const bool command_line = span.text->name.rfind("--", 0) == 0;
    if (command_line || (span.text->name == file_->path && !value->from_environment)) return;
    const std::string directory = value->from_environment ? "." : DirectoryOfSpan(span);
    std::error_code ignored;
    const std::string cwd = std::filesystem::current_path(ignored).string();
    value->scalar.value = ResolvePath(cwd, ResolvePath(directory, value->text()));
  }

  void ReadInputs(NodeEntry* node) {
    const ConfigValue::Entry* const entry = node->config.FindEntry("inputs");
    if (node->kind == NodeKind::kSource) {
      if (entry != nullptr) diagnostics_->Error("FR2105", entry->key.span, "a source has no inputs", "remove `inputs`");
      return;
    }
    if (entry != nullptr && entry->value.broken) return;
    if (entry == nullptr || entry->value.is_null() || (entry->value.is_sequence() && entry->value.items.empty())) {
      const SourceSpan& span = entry != nullptr ? entry->key.span : node->id.span;
      diagnostics_->Error("FR2106", span, "`" + node->id.value + "` has no inputs",
                          "name a source or an operator: `inputs: [id]`");
      return;
    }
    std::vector<ConfigValue> items =
        entry->value.is_sequence() ? entry->value.items : std::vector<ConfigValue>{entry->value};
    for (const ConfigValue& item : items) {
      if (!item.is_scalar()) {
        diagnostics_->Error("FR2002", item.span().known() ? item.span() : entry->key.span,
                            "an input is an id, or `id.output`");
        continue;
      }
      InputRef input;
      input.text = item.scalar;
      const size_t dot = item.text().find('.');
      input.node = item.text().substr(0, dot);
      if (dot != std::string::npos) input.output = item.text().substr(dot + 1);
      node->inputs.push_back(std::move(input));
    }
    const int max = node->descriptor == nullptr ? 1 << 20 : node->descriptor->inputs_max;
    if (static_cast<int>(node->inputs.size()) > max) {
      diagnostics_->Error(
          "FR2107", node->inputs[static_cast<size_t>(max)].text.span,
          "`" + node->descriptor->type + "` takes " + std::to_string(max) + (max == 1 ? " input" : " inputs"));
    }
  }

  void CheckOptions(const NodeEntry& node) {
    std::vector<std::string> ignored = {"type"};
    if (node.kind != NodeKind::kSource || node.config.Find("inputs") != nullptr) ignored.push_back("inputs");
    (void)OptionsNode::Make(&node.config, &node.options, ignored, diagnostics_);
  }

  /// Outputs a node may have beside the main one, as far as its type says.
  static std::vector<std::string> OutputsOf(const NodeEntry& node) {
    if (node.kind == NodeKind::kSource) return {"dead_letter"};
    return node.descriptor == nullptr ? std::vector<std::string>{} : node.descriptor->output_names;
  }

  void CheckInputs() {
    std::vector<std::string> ids;
    for (const NodeEntry& node : file_->nodes) {
      if (node.kind != NodeKind::kSink) ids.push_back(node.id.value);
    }
    for (NodeEntry& node : file_->nodes) {
      for (size_t i = 0; i < node.inputs.size(); ++i) CheckInput(node, i, ids);
    }
  }

  void CheckInput(const NodeEntry& node, size_t index, const std::vector<std::string>& ids) {
    const InputRef& input = node.inputs[index];
    const NodeEntry* const from = FindNode(input.node);
    const SourceSpan span = input.text.span;
    for (size_t i = 0; i < index; ++i) {
      if (node.inputs[i].text.value != input.text.value) continue;
      diagnostics_->Error("FR2107", span, "`" + input.text.value + "` is an input twice",
                          "its rows would be counted twice");
      return;
    }
    if (from == nullptr) {
      const std::string near = DidYouMean(input.node, ids);
      diagnostics_->Error("FR2108", span, "there is no node `" + input.node + "`",
                          near.empty() && !ids.empty() ? "there are " + Join(ids) : near);
    } else if (from->kind == NodeKind::kSink) {
      diagnostics_->Error("FR2108", span, "`" + input.node + "` is a sink: it has no output",
                          DidYouMean(input.node, ids));
    } else if (!input.output.empty() && from->descriptor != nullptr) {
      const std::vector<std::string> outputs = OutputsOf(*from);
      if (std::find(outputs.begin(), outputs.end(), input.output) != outputs.end()) return;
      const std::string near = DidYouMean(input.output, outputs);
      std::string suggestion = !near.empty()     ? near
                               : outputs.empty() ? "it has the main output only"
                                                 : "it has " + Join(outputs);
      diagnostics_->Error("FR2109", span, "`" + input.node + "` has no output `" + input.output + "`", suggestion);
    }
  }

  void CheckUse(const ConfigValue& root) {
    const SourceSpan& whole = root.span();
    const auto count = [&](NodeKind kind) {
      return std::count_if(file_->nodes.begin(), file_->nodes.end(),
                           [&](const NodeEntry& n) { return n.kind == kind; });
    };
    if (count(NodeKind::kSource) == 0)
      diagnostics_->Error("FR2110", whole, "the pipeline has no sources", "add a `sources:` section");
    if (count(NodeKind::kSink) == 0) {
      const ConfigValue* const sinks = root.Find("sinks");
      if (sinks != nullptr && !sinks->is_null()) return;  // there are some, all wrong
      diagnostics_->Warning("FR2111", whole, "the pipeline has no sinks, so nothing leaves it",
                            "add a `sinks:` section");
      return;
    }
    for (const NodeEntry& node : file_->nodes) {
      if (node.kind == NodeKind::kSink) continue;
      const auto reads_it = [&](const NodeEntry& other) {
        return std::any_of(other.inputs.begin(), other.inputs.end(),
                           [&](const InputRef& input) { return input.node == node.id.value && input.output.empty(); });
      };
      if (std::none_of(file_->nodes.begin(), file_->nodes.end(), reads_it)) {
        diagnostics_->Warning("FR2112", node.id.span, "nothing reads the rows of `" + node.id.value + "`",
                              "name it in the `inputs` of an operator or a sink, or remove it");
      }
    }
  }

  /// The step is called ID.OPTION. Whoever reads the main output of ID, tests too, reads what the step lets pass; but a
  /// heeder reads ID.
  void AddStepsBehind() {
    std::vector<NodeEntry> steps;
    std::vector<const char*> heeders;
    for (const NodeEntry& node : file_->nodes)
      for (const StepBehind& behind : kStepsBehind) {
        const ConfigValue::Entry* const option = node.config.FindEntry(behind.option);
        if (node.descriptor == nullptr || node.descriptor->type != behind.type || option == nullptr) continue;
        NodeEntry& step = steps.emplace_back();
        heeders.push_back(behind.heeder);
        step.id = {node.id.value + "." + behind.option, option->key.span, {}};
        step.descriptor = options_.registry->Find(step.kind, behind.step);
        step.config.kind = ConfigValue::Kind::kMap;
        step.config.scalar = step.id;
        step.config.entries = {*option};
        step.options = AllOptions(*step.descriptor);
        step.inputs = {{node.id, node.id.value, ""}};
      }
    for (size_t s = 0; s < steps.size(); ++s) {
      NodeEntry& step = steps[s];
      const std::string& of = step.inputs[0].node;
      const auto lead = [&](std::string* node, const std::string& output) {
        if (*node == of && output.empty()) *node = step.id.value;
      };
      for (NodeEntry& reader : file_->nodes) {
        const bool heeds = reader.descriptor != nullptr && reader.descriptor->type == heeders[s];
        for (size_t i = 0; i < reader.inputs.size(); ++i)
          if (!heeds || i == 0) lead(&reader.inputs[i].node, reader.inputs[i].output);
      }
      for (PipelineTest& test : file_->tests)
        for (TestExpectation& expectation : test.expect) lead(&expectation.node, expectation.output);
      file_->nodes.push_back(std::move(step));
    }
  }

  /// File order with every node after its inputs; what is left over lies on a cycle or behind one.
  void SortNodes() {
    std::vector<NodeEntry> sorted;
    std::vector<NodeEntry> rest = std::move(file_->nodes);
    const auto placed = [&](const std::string& id) {
      return std::any_of(sorted.begin(), sorted.end(), [&](const NodeEntry& n) { return n.id.value == id; });
    };
    const auto waits = [&](const std::string& id) {
      return std::any_of(rest.begin(), rest.end(), [&](const NodeEntry& n) { return n.id.value == id; });
    };
    for (bool moved = true; moved;) {
      moved = false;
      for (auto node = rest.begin(); node != rest.end(); ++node) {
        const bool ready = std::all_of(node->inputs.begin(), node->inputs.end(),
                                       [&](const InputRef& input) { return placed(input.node) || !waits(input.node); });
        if (!ready) continue;
        sorted.push_back(std::move(*node));
        rest.erase(node);
        moved = true;
        break;
      }
    }
    if (!rest.empty()) ReportCycles(rest);
    file_->nodes = std::move(sorted);
  }

  /// Walks backwards along inputs until a node comes again: that is a cycle. One report for each.
  void ReportCycles(const std::vector<NodeEntry>& rest) {
    std::map<std::string, const NodeEntry*> by_id;
    for (const NodeEntry& node : rest) by_id[node.id.value] = &node;
    std::map<std::string, bool> seen;
    for (const NodeEntry& start : rest) {
      std::vector<std::string> path;
      const NodeEntry* at = &start;
      while (at != nullptr && !seen[at->id.value]) {
        seen[at->id.value] = true;
        path.push_back(at->id.value);
        const NodeEntry* next = nullptr;
        for (const InputRef& input : at->inputs) {
          if (next == nullptr && by_id.count(input.node) != 0) next = by_id[input.node];
        }
        at = next;
      }
      if (at == nullptr) continue;
      const auto first = std::find(path.begin(), path.end(), at->id.value);
      if (first == path.end()) continue;  // leads into a cycle that was reported
      std::string text = at->id.value;
      for (auto id = std::make_reverse_iterator(path.end()); id != std::make_reverse_iterator(first); ++id)
        text += " -> " + *id;
      diagnostics_->Error("FR2113", at->id.span, "these nodes feed each other in a circle: " + text,
                          "rows flow one way: remove one of these inputs");
    }
  }

  const LoadOptions& options_;
  Diagnostics* diagnostics_;
  std::shared_ptr<PipelineFile> file_;
};

}  // namespace

std::shared_ptr<PipelineFile> ReadPipelineFile(const ConfigValue& root, const std::string& path,
                                               const LoadOptions& options, Diagnostics* diagnostics) {
  return FileReader(options, diagnostics).Read(root, path);
}

}  // namespace freshet
