#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/flow/graph_spec.h"
#include "engine/plan/common_options.h"
#include "engine/plan/pipeline_tests.h"

namespace freshet {

/// From where an input comes, as written: `id` or `id.output`.
struct InputRef {
  SpannedText text;
  std::string node;
  std::string output;  ///< "" is the main one
};

/// One node as it stands in the file, its type known.
struct NodeEntry {
  NodeKind kind = NodeKind::kOperator;
  SpannedText id;
  const NodeDescriptor* descriptor = nullptr;  ///< null: unknown type, already reported
  ConfigValue config;                          ///< a map; its span is that of the id
  std::vector<InputRef> inputs;
  std::vector<OptionSpec> options;  ///< AllOptions of the type
};

/// A pipeline file after its structure was checked: nodes in topological order (sources first, then by file order),
/// every input names an earlier node or was reported.
struct PipelineFile {
  std::string name;  ///< `name`, else the file's stem
  std::string description;
  std::string path;                ///< as given
  std::vector<std::string> files;  ///< all that were read: itself and what it includes
  std::string directory;
  Settings settings;
  std::vector<NodeEntry> nodes;
  std::vector<PipelineTest> tests;
};

/// What planning found out about a node beside its NodeSpec; same index as GraphSpec::nodes.
struct NodePlan {
  const NodeDescriptor* descriptor = nullptr;
  SourceSpan span;
  SchemaRef full_schema;                           ///< main output before push-down; null for sinks
  std::optional<std::vector<std::string>> needed;  ///< sources: the columns somebody reads; absent: all
};

/// A pipeline that may run. Keeps the file's tree alive.
struct Pipeline {
  std::shared_ptr<const PipelineFile> file;
  GraphSpec graph;
  std::vector<NodePlan> nodes;

  const std::string& name() const { return file->name; }
  const Settings& settings() const { return file->settings; }
  const std::vector<PipelineTest>& tests() const { return file->tests; }
  /// Index of a node, or -1.
  int Find(const std::string& id) const;
};

struct LoadOptions {
  std::vector<std::string> sets;       ///< `--set`: "sources.edits.path=edits.ndjson"
  const Registry* registry = nullptr;  ///< must outlive the pipeline
  Env* env = nullptr;                  ///< null: Env::Posix()
  bool terminal = false;
  bool require_secrets = true;  ///< false: a secret that cannot be had is no error (`validate`, `plan`)
  bool wall_clock = false;      ///< operators with timers of the wall clock may read bounded sources
  bool push_down = true;        ///< false: sources give all their columns (for tests of the planner)
};

/// Reads, checks and binds a pipeline. Reports all problems at once and returns nullopt if there is an error; warnings
/// alone do not hinder. Nothing is opened or started, except that connectors may look at paths.
std::optional<Pipeline> LoadPipeline(const std::string& path, const LoadOptions& options, Diagnostics* diagnostics);
std::optional<Pipeline> LoadPipeline(std::shared_ptr<const SourceText> text, const LoadOptions& options,
                                     Diagnostics* diagnostics);

}  // namespace freshet
