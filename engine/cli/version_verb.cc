#include <CLI/CLI.hpp>

#include <cstdio>
#include <string>

#include "engine/base/env.h"
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

/// The shared libraries in this process by their files' versions: those that run, not those it was built with.
std::string LoadedLibraries() {
  constexpr const char* kNames[] = {"tbb",  "rocksdb", "yaml-cpp", "simdjson", "curl",    "re2",
                                    "zstd", "z",       "xxhash",   "spdlog",   "date-tz", "cpp-httplib"};
  const Result<std::string> maps = Env::Posix()->ReadFile("/proc/self/maps");
  std::string text;
  for (const char* name : kNames) {
    const std::string file = std::string("/lib") + name + ".so.";
    const size_t at = maps.ok() ? maps->find(file) : std::string::npos;
    if (at == std::string::npos) continue;
    const size_t from = at + file.size();
    text += " lib" + std::string(name) + ".so." + maps->substr(from, maps->find('\n', from) - from);
  }
  return text;
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
  std::printf("libraries  CLI11 %s; loaded:%s\n", CLI11_VERSION, LoadedLibraries().c_str());
  return kExitOk;
}

}  // namespace

Verb AddVersionVerb(CLI::App& program) {
  return {program.add_subcommand("version", "Print version, compiler, build flags and libraries"), PrintVersion};
}

}  // namespace freshet::cli
