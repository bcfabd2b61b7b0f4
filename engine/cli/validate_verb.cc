#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>

#include "engine/cli/exit_codes.h"
#include "engine/cli/loading.h"
#include "engine/cli/verbs.h"

namespace freshet::cli {

Verb AddValidateVerb(CLI::App& program) {
  auto request = std::make_shared<LoadRequest>();
  request->require_secrets = false;
  CLI::App* app = program.add_subcommand("validate", "Check pipeline files and report every problem");
  app->add_option("FILE", request->files, "Pipeline files")->required();
  app->add_option("--set", request->sets, "Override an option: path.to.option=value (repeatable)")->take_all();
  app->add_flag("--strict", request->strict, "Take warnings for errors");
  app->add_flag("--wall-clock", request->wall_clock, "Let windows with `time: processing` read bounded sources");
  return {app, [request] {
            int exit_code = kExitOk;
            for (const Pipeline& p : LoadOrExplain(*request, &exit_code))
              std::printf("%s: ok (%zu nodes, %zu tests)\n", p.file->path.c_str(), p.graph.nodes.size(),
                          p.tests().size());
            return exit_code;
          }};
}

}  // namespace freshet::cli
