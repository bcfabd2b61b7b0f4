#include "engine/plan/pipeline.h"

#include "engine/plan/bind.h"
#include "engine/plan/expand.h"
#include "engine/plan/pipeline_file.h"

namespace freshet {
namespace {

/// A byte-order mark is no part of the text; columns count without it.
std::string WithoutMark(std::string bytes) {
  if (bytes.rfind("\xEF\xBB\xBF", 0) == 0) bytes.erase(0, 3);
  return bytes;
}

}  // namespace

int Pipeline::Find(const std::string& id) const {
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    if (graph.nodes[i].id == id) return static_cast<int>(i);
  }
  return -1;
}

std::optional<Pipeline> LoadPipeline(const std::string& path, const LoadOptions& options, Diagnostics* diagnostics) {
  Env* const env = options.env != nullptr ? options.env : Env::Posix();
  auto text = std::make_shared<SourceText>();
  text->name = path;
  Result<std::string> bytes = env->ReadFile(path);
  if (!bytes.ok()) {
    diagnostics->Error("FR1001", {text, 0, 0, 1, {}}, "the pipeline file cannot be read: " + bytes.status().message());
    return std::nullopt;
  }
  text->bytes = WithoutMark(std::move(*bytes));
  return LoadPipeline(std::shared_ptr<const SourceText>(text), options, diagnostics);
}

std::optional<Pipeline> LoadPipeline(std::shared_ptr<const SourceText> text, const LoadOptions& given,
                                     Diagnostics* diagnostics) {
  LoadOptions options = given;
  if (options.env == nullptr) options.env = Env::Posix();
  std::vector<std::string> files;
  std::optional<ConfigValue> root = ReadTree(text, options.env, diagnostics, &files);
  if (!root) return std::nullopt;
  for (const std::string& set : options.sets) ApplySet(set, &*root, diagnostics);
  for (ConfigValue::Entry& entry : root->entries) {
    if (entry.key.value != "tests") ResolveSecrets(&entry.value, options.env, options.require_secrets, diagnostics);
  }
  const std::shared_ptr<PipelineFile> file = ReadPipelineFile(*root, text->name, options, diagnostics);
  if (file) file->files = std::move(files);
  return BindPipeline(file, options, diagnostics);
}

}  // namespace freshet
