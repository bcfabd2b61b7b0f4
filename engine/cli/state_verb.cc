#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>

#include "engine/base/units.h"
#include "engine/cli/exit_codes.h"
#include "engine/cli/state_access.h"
#include "engine/cli/state_show.h"
#include "engine/cli/verbs.h"
#include "engine/flow/state_check.h"
#include "engine/state/state_file.h"

namespace freshet::cli {
namespace {

struct StateArguments {
  std::string target;
  std::string node;
  std::string key;
  std::string file;
  std::string name;
  int64_t limit = 100;
};

int Explain(const Status& status) {
  if (status.ok()) return kExitOk;
  std::fprintf(stderr, "freshet: %s\n", status.ToString().c_str());
  return status.code() == StatusCode::kInvalidArgument ? kExitWrong : ExitCodeOf(status, true);
}

Status Look(const StateArguments& a, bool node) {
  FRESHET_ASSIGN_OR_RETURN(const StateTarget target, FindState(a.target));
  FRESHET_ASSIGN_OR_RETURN(OpenedState state, OpenedState::Open(target));
  FRESHET_ASSIGN_OR_RETURN(const std::string text, node ? DescribeNode(state.store(), a.node, a.key, a.limit)
                                                        : DescribeState(state.store(), target.directory));
  std::fputs(text.c_str(), stdout);
  return Status::Ok();
}

std::string Moved(const StateFileFigures& f) {
  return FormatCount(f.row_count) + " rows and " + FormatCount(f.outbox_count) + " waiting deliveries of epoch " +
         std::to_string(f.manifest.epoch.number) + " (" + FormatSize(f.file_bytes) + ")";
}

Status Export(const StateArguments& a) {
  FRESHET_ASSIGN_OR_RETURN(const StateTarget target, FindState(a.target));
  FRESHET_ASSIGN_OR_RETURN(OpenedState state, OpenedState::Open(target));
  FRESHET_ASSIGN_OR_RETURN(const StateFileFigures figures, ExportState(state.store(), Env::Posix(), a.file));
  std::printf("exported %s to %s\n", Moved(figures).c_str(), a.file.c_str());
  return Status::Ok();
}

Status Import(const StateArguments& a) {
  std::string directory = a.target;
  if (const Result<FileInfo> info = Env::Posix()->Stat(a.target); info.ok() && !info->is_directory) {
    FRESHET_ASSIGN_OR_RETURN(directory, StateDirectoryOf(a.target));
  }
  FRESHET_RETURN_IF_ERROR(CheckMayHoldState(directory));
  FRESHET_ASSIGN_OR_RETURN(const auto store, OpenRocksDbStore(Env::Posix(), directory, false));
  Result<StateFileFigures> figures = ImportState(*store, Env::Posix(), a.file);
  if (!figures.ok()) return std::move(figures).status().WithContext(directory);
  std::printf("imported %s into %s\n", Moved(*figures).c_str(), directory.c_str());
  return Status::Ok();
}

Status Drop(const StateArguments& a) {
  FRESHET_ASSIGN_OR_RETURN(const StateTarget target, FindState(a.target));
  FRESHET_ASSIGN_OR_RETURN(const auto store, OpenRocksDbStore(Env::Posix(), target.directory, false));
  FRESHET_ASSIGN_OR_RETURN(const int64_t rows, DropNode(*store, a.node, Env::Posix()->WallMicros()));
  std::printf("dropped %s rows of %s: it starts empty\n", FormatCount(rows).c_str(), a.node.c_str());
  return Status::Ok();
}

Status Savepoint(const StateArguments& a) {
  FRESHET_ASSIGN_OR_RETURN(const StateTarget target, FindState(a.target));
  if (!a.name.empty()) FRESHET_RETURN_IF_ERROR(MakeSavepoint(target, a.name));
  for (const SavepointLine& line : ListSavepoints(target.directory))
    if (a.name.empty() || line.name == a.name)
      std::printf("%s  epoch %llu of %s%s\n", line.name.c_str(),
                  static_cast<unsigned long long>(line.manifest.epoch.number),
                  FormatTime(EventTime{line.manifest.committed_wall_us / 1000000 * 1000000}).c_str(),
                  line.kept ? ", kept by the engine" : "");
  return Status::Ok();
}

}  // namespace

Verb AddStateVerb(CLI::App& program) {
  auto a = std::make_shared<StateArguments>();
  CLI::App* app = program.add_subcommand("state", "Look into the state of a pipeline, move it, drop parts of it");
  app->require_subcommand(1);
  const auto add = [&](const char* name, const char* doc) {
    CLI::App* sub = app->add_subcommand(name, doc);
    sub->add_option("TARGET", a->target, "A pipeline file or a state directory")->required();
    return sub;
  };
  CLI::App* ls = add("ls", "Epoch, tables with keys and bytes, positions of sources");
  CLI::App* show = add("show", "The keys of a node's tables");
  show->add_option("NODE", a->node, "The node's id")->required();
  show->add_option("--key", a->key, "Only this key, as shown, with the bytes of its value");
  show->add_option("--limit", a->limit, "Keys per table (default 100)")->check(CLI::PositiveNumber);
  CLI::App* exporting = add("export", "Write everything into one file");
  exporting->add_option("FILE", a->file, "The file to write")->required();
  CLI::App* importing = add("import", "Fill an empty state from such a file");
  importing->add_option("FILE", a->file, "The file to read")->required();
  CLI::App* drop = add("drop", "Remove a node's state: it starts empty, the others go on");
  drop->add_option("NODE", a->node, "The node's id")->required();
  app->footer("\nWhile an engine runs on the state, `ls`, `show` and `export` ask it for a copy; the others refuse.");
  return {app, [a, ls, show, exporting, importing] {
            if (ls->parsed()) return Explain(Look(*a, false));
            if (show->parsed()) return Explain(Look(*a, true));
            if (exporting->parsed()) return Explain(Export(*a));
            if (importing->parsed()) return Explain(Import(*a));
            return Explain(Drop(*a));
          }};
}

Verb AddSavepointVerb(CLI::App& program) {
  auto a = std::make_shared<StateArguments>();
  CLI::App* app = program.add_subcommand("savepoint", "Keep a copy of a pipeline's state by name, or list them");
  app->add_option("TARGET", a->target, "A pipeline file or a state directory")->required();
  app->add_option("NAME", a->name, "The name to keep it by; without one the savepoints are listed");
  app->footer(
      "\nA running engine takes a checkpoint for it. `freshet run FILE --savepoint NAME` goes back to it. A copy is "
      "made "
      "of\nhard links and costs little at first; remove STATE/savepoints/NAME when it is no longer wanted.");
  return {app, [a] { return Explain(Savepoint(*a)); }};
}

}  // namespace freshet::cli
