#include <CLI/CLI.hpp>

#include "engine/cli/exit_codes.h"
#include "engine/cli/verbs.h"

namespace freshet::cli {

Verb AddBenchVerb(CLI::App& program) {
  return {program.add_subcommand("bench", ""), [] { return int{kExitFailed}; }};
}

}  // namespace freshet::cli
