#include "engine/cli/loading.h"

#include <unistd.h>

#include <cstdio>
#include <map>

#include "connectors/registry.h"
#include "engine/cli/exit_codes.h"
#include "operators/registry.h"

namespace freshet::cli {
namespace {

std::string Counted(int count, const char* what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

/// A file that cannot be read is the environment's fault, not the pipeline's.
Status CheckReadable(const std::string& file) {
  const Result<FileInfo> info = Env::Posix()->Stat(file);
  if (!info.ok()) {
    if (info.status().code() == StatusCode::kNotFound)
      return Status::NotFound("there is no file `" + file + "`; give the path of a pipeline file (YAML)");
    return info.status();
  }
  if (info->is_directory) return Status::NotFound("`" + file + "` is a directory; give the path of a pipeline file");
  return Status::Ok();
}

}  // namespace

const Registry& AllNodeTypes() {
  static const Registry* const registry = [] {
    auto* made = new Registry;
    RegisterConnectors(*made);
    RegisterOperators(*made);
    return made;
  }();
  return *registry;
}

bool StandardOutputIsTerminal() { return isatty(STDOUT_FILENO) == 1; }
bool StandardErrorIsTerminal() { return isatty(STDERR_FILENO) == 1; }
bool ErrorsInColor() { return StandardErrorIsTerminal() && Env::Posix()->Variable("NO_COLOR").value_or("").empty(); }

void PrintProblems(const Diagnostics& diagnostics) {
  if (diagnostics.error_count() + diagnostics.warning_count() == 0) return;
  std::string text = diagnostics.Render(ErrorsInColor());
  if (diagnostics.error_count() > 0) text += Counted(diagnostics.error_count(), "error");
  if (diagnostics.error_count() > 0 && diagnostics.warning_count() > 0) text += ", ";
  if (diagnostics.warning_count() > 0) text += Counted(diagnostics.warning_count(), "warning");
  std::fprintf(stderr, "%s\n", text.c_str());
}

void CheckRules(const std::vector<const Pipeline*>& pipelines, Diagnostics* diagnostics) {
  std::map<std::pair<std::string, std::string>, std::string> files;
  for (const Pipeline* p : pipelines)
    for (const NodeEntry& node : p->file->nodes) {
      if (node.descriptor->type != "alert") continue;
      const auto [first, fresh] = files.try_emplace({p->name(), node.id.value}, p->file->path);
      if (fresh) continue;
      diagnostics->Error("FR2120", node.id.span,
                         "the pipeline `" + p->name() + "` of " + first->second + " has a rule `" + node.id.value +
                             "`, too: their alerts would have the same ids",
                         "give one of the two pipelines another `name`");
    }
}

std::vector<Pipeline> LoadOrExplain(const LoadRequest& request, int* exit_code) {
  *exit_code = kExitOk;
  Diagnostics all;
  std::vector<Pipeline> pipelines;
  for (const std::string& file : request.files) {
    if (const Status status = CheckReadable(file); !status.ok()) {
      std::fprintf(stderr, "freshet: %s\n", status.message().c_str());
      *exit_code = WorseExitCode(*exit_code, kExitEnvironment);
      continue;
    }
    LoadOptions options;
    options.sets = request.sets;
    options.registry = &AllNodeTypes();
    options.env = Env::Posix();
    options.terminal = StandardOutputIsTerminal();
    options.require_secrets = request.require_secrets;
    options.push_down = request.push_down;
    options.wall_clock = request.wall_clock;
    Diagnostics diagnostics;
    std::optional<Pipeline> pipeline = LoadPipeline(file, options, &diagnostics);
    const bool wrong = diagnostics.has_errors() || (request.strict && diagnostics.warning_count() > 0);
    if (wrong || !pipeline) *exit_code = WorseExitCode(*exit_code, kExitWrong);
    if (pipeline) pipelines.push_back(std::move(*pipeline));
    all.Append(diagnostics);
  }
  if (request.together && *exit_code == kExitOk) {
    std::vector<const Pipeline*> together;
    for (const Pipeline& pipeline : pipelines) together.push_back(&pipeline);
    CheckRules(together, &all);
    if (all.has_errors()) *exit_code = kExitWrong;
  }
  PrintProblems(all);
  if (request.strict && !all.has_errors() && all.warning_count() > 0)
    std::fputs("--strict: warnings count as errors\n", stderr);
  if (*exit_code != kExitOk) pipelines.clear();
  return pipelines;
}

}  // namespace freshet::cli
