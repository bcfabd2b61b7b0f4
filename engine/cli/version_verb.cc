#include <CLI/CLI.hpp>

#include <cstdio>

#include "engine/cli/exit_codes.h"
#include "engine/cli/verbs.h"

namespace freshet::cli {
namespace {

const char* BuildKind() {
#if defined(FRESHET_SANITIZE_ADDRESS)
  return "address and undefined-behaviour sanitizers";
#elif defined(FRESHET_SANITIZE_THREAD)
  return "thread sanitizer";
#elif defined(NDEBUG)
  return "release";
#else
  return "debug (slow: checks are on)";
#endif
}

int PrintVersion() {
  std::printf("freshet %s\n", FRESHET_VERSION);
  std::printf("compiler   %s, C++ %ld\n", __VERSION__, __cplusplus);
  std::printf("build      %s\n", BuildKind());
#if defined(FRESHET_NATIVE)
  std::printf("processor  this machine's only (FRESHET_NATIVE)\n");
#else
  std::printf("processor  any x86-64, faster kernels chosen at run time\n");
#endif
  std::printf("libraries  CLI11 %s; the others are those of the system, see README\n", CLI11_VERSION);
  return kExitOk;
}

}  // namespace

Verb AddVersionVerb(CLI::App& program) {
  return {program.add_subcommand("version", "Print version, compiler, build flags and libraries"), PrintVersion};
}

}  // namespace freshet::cli
