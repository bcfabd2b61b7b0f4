#include <CLI/CLI.hpp>

#include "engine/cli/exit_codes.h"
#include "engine/cli/verbs.h"

namespace freshet::cli {

Verb AddHelpVerb(CLI::App& program) {
  return {program.add_subcommand("help", ""), [] { return int{kExitFailed}; }};
}

}  // namespace freshet::cli
