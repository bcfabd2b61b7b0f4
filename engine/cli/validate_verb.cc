#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>

#include "engine/cli/exit_codes.h"
#include "engine/cli/loading.h"
#include "engine/cli/state_access.h"
#include "engine/cli/verbs.h"
#include "engine/flow/state_check.h"

namespace freshet::cli {

namespace {

/// One line a node: kept, migrated, new, refused, unused. The worst exit code.
int CheckAgainst(const Pipeline& pipeline, const std::string& against) {
  const auto check = [&]() -> Result<std::vector<StateVerdict>> {
    FRESHET_ASSIGN_OR_RETURN(const StateTarget target, FindState(against));
    FRESHET_ASSIGN_OR_RETURN(OpenedState state, OpenedState::Open(target));
    return CheckState(pipeline.graph, state.store(), Env::Posix());
  };
  const Result<std::vector<StateVerdict>> verdicts = check();
  if (!verdicts.ok()) {
    std::fprintf(stderr, "freshet: %s\n", verdicts.status().ToString().c_str());
    return ExitCodeOf(verdicts.status(), true);
  }
  int exit_code = kExitOk;
  for (const StateVerdict& v : *verdicts) {
    std::printf("  %-9s %s%s%s\n", StateVerdictName(v.kind), v.node_id.c_str(), v.reason.empty() ? "" : ": ",
                v.reason.c_str());
    if (v.kind == StateVerdict::Kind::kRefused) exit_code = kExitState;
  }
  return exit_code;
}

}  // namespace

Verb AddValidateVerb(CLI::App& program) {
  auto request = std::make_shared<LoadRequest>();
  auto against = std::make_shared<std::string>();
  request->require_secrets = false;
  request->together = true;
  CLI::App* app = program.add_subcommand("validate", "Check pipeline files and report every problem");
  app->add_option("FILE", request->files, "Pipeline files")->required();
  app->add_option("--set", request->sets, "Override an option: path.to.option=value (repeatable)")->take_all();
  app->add_flag("--strict", request->strict, "Take warnings for errors");
  app->add_flag("--wall-clock", request->wall_clock, "Let windows with `time: processing` read bounded sources");
  app->add_option("--against", *against, "Say what becomes of the state in this directory, node by node");
  return {app, [request, against] {
            int exit_code = kExitOk;
            for (const Pipeline& p : LoadOrExplain(*request, &exit_code)) {
              std::printf("%s: ok (%zu nodes, %zu tests)\n", p.file->path.c_str(), p.graph.nodes.size(),
                          p.tests().size());
              if (!against->empty()) exit_code = WorseExitCode(exit_code, CheckAgainst(p, *against));
            }
            return exit_code;
          }};
}

}  // namespace freshet::cli
