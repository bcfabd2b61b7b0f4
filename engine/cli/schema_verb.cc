#include <CLI/CLI.hpp>

#include <cstdio>

#include "engine/cli/exit_codes.h"
#include "engine/cli/loading.h"
#include "engine/cli/verbs.h"
#include "engine/plan/reference.h"

namespace freshet::cli {

Verb AddSchemaVerb(CLI::App& program) {
  CLI::App* app = program.add_subcommand("schema", "Print the JSON Schema of pipeline files, for editors");
  return {app, [] {
            std::printf("%s\n", PipelineJsonSchema(AllNodeTypes()).c_str());
            return int{kExitOk};
          }};
}

}  // namespace freshet::cli
