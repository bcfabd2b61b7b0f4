#include "tests/pipelines/kills.h"

#include <doctest/doctest.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

#include <cstdlib>
#include <filesystem>

namespace freshet::testing {
namespace {

constexpr int kPollCountMax = 2'000'000;
constexpr char kHoldVariable[] = "FRESHET_TEST_HOLD_COMMIT";

uint64_t BytesBelow(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!fs::is_directory(path, error)) return 0;
  uint64_t bytes = 0;
  // Files come and go while we look; what cannot be read counts as nothing.
  for (auto it = fs::recursive_directory_iterator(path, error); !error && it != fs::recursive_directory_iterator();
       it.increment(error)) {
    std::error_code gone;
    const auto size = it->is_regular_file(gone) ? it->file_size(gone) : 0;
    if (!gone) bytes += size;
  }
  return bytes;
}

bool Kill(Program& program) {
  program.Signal(SIGKILL);
  const int code = program.Wait();
  CHECK_MESSAGE((code == 0 || code == 128 + SIGKILL), program.err());
  return code == 128 + SIGKILL;
}

}  // namespace

uint64_t Progress(const Workshop& shop) { return BytesBelow(shop.Path("out")) + BytesBelow(shop.Path("state")); }

std::vector<std::string> RunArguments(const Workshop& shop, const Subject& subject, int lanes) {
  std::vector<std::string> arguments = {"run", subject.file, "--http", "off", "--state", shop.Path("state")};
  for (const std::string& setting :
       {"settings.checkpoint.every=" + subject.every, "settings.parallelism=" + std::to_string(lanes), subject.also}) {
    if (setting.empty()) continue;
    arguments.emplace_back("--set");
    arguments.push_back(setting);
  }
  return arguments;
}

bool KilledAt(const Workshop& shop, const Subject& subject, int lanes, uint64_t bytes) {
  Program program(shop, RunArguments(shop, subject, lanes));
  for (int polls = 0; polls < kPollCountMax && program.running() && Progress(shop) < bytes; ++polls) sched_yield();
  return Kill(program);
}

uint64_t KilledBeforeCommit(const Workshop& shop, const Subject& subject, int lanes, uint64_t nth) {
  setenv(kHoldVariable, std::to_string(nth).c_str(), 1);
  Program program(shop, RunArguments(shop, subject, lanes));
  unsetenv(kHoldVariable);
  const std::string mark = std::string(kHoldVariable) + ": epoch ";
  size_t at = std::string::npos;
  Eventually([&] {
    at = program.err().find(mark);
    const bool whole = at != std::string::npos && program.err().find('\n', at) != std::string::npos;
    return whole || !program.running();
  });
  const std::string said = program.err();
  if (!Kill(program)) return 0;
  at = said.find(mark);
  REQUIRE_MESSAGE(at != std::string::npos, said);
  return std::strtoull(said.c_str() + at + mark.size(), nullptr, 10);
}

}  // namespace freshet::testing
