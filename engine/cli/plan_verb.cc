#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>

#include "engine/base/cpu.h"
#include "engine/cli/exit_codes.h"
#include "engine/cli/loading.h"
#include "engine/cli/verbs.h"
#include "engine/flow/graph.h"

namespace freshet::cli {

Verb AddPlanVerb(CLI::App& program) {
  auto request = std::make_shared<LoadRequest>();
  request->require_secrets = false;
  CLI::App* app = program.add_subcommand("plan", "Show how a pipeline will run");
  app->add_option("FILE", request->files, "Pipeline file")->required();
  app->add_option("--set", request->sets, "Override an option: path.to.option=value (repeatable)")->take_all();
  return {app, [request] {
            int exit_code = kExitOk;
            for (const Pipeline& p : LoadOrExplain(*request, &exit_code)) {
              const int lanes = p.settings().parallelism > 0 ? p.settings().parallelism : AvailableCores();
              std::fputs(DescribeGraph(p.graph, PlanGraph(p.graph, lanes)).c_str(), stdout);
            }
            return exit_code;
          }};
}

}  // namespace freshet::cli
