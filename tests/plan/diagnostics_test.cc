// Golden files: every tests/diagnostics/NAME.yaml is loaded with the node types of fake_registry.h (from FR3xxx on with
// the real ones), and what is reported must equal NAME.expected, byte for byte. `FRESHET_ACCEPT=1` rewrites the
// expectations; read the difference before committing it. Directives at the beginning of a file: `# set: a.b=c` (a
// --set argument), `# env: NAME=value`.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "connectors/registry.h"
#include "engine/plan/pipeline.h"
#include "operators/registry.h"
#include "tests/plan/fake_registry.h"

namespace freshet {
namespace {

const std::filesystem::path kTree = FRESHET_SOURCE_DIR;

std::string Slurp(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream bytes;
  bytes << in.rdbuf();
  return bytes.str();
}

std::vector<std::string> Cases() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kTree / "tests/diagnostics")) {
    if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string Report(const std::string& name) {
  static const Registry fake = FakeRegistry();
  static const Registry real = [] {
    Registry r;
    RegisterOperators(r);
    RegisterConnectors(r);
    return r;
  }();
  const std::string path = "tests/diagnostics/" + name + ".yaml";
  TreeEnv env;
  env.variables["HOME"] = "/home/somebody";
  LoadOptions options;
  options.registry = name.starts_with("FR3") ? &real : &fake;
  options.env = &env;
  std::istringstream lines(Slurp(kTree / path));
  for (std::string line; std::getline(lines, line) && line.rfind("#", 0) == 0;) {
    if (line.rfind("# set: ", 0) == 0) options.sets.push_back(line.substr(7));
    const size_t equals = line.find('=');
    if (line.rfind("# env: ", 0) == 0) env.variables[line.substr(7, equals - 7)] = line.substr(equals + 1);
  }
  Diagnostics diagnostics;
  const bool loaded = LoadPipeline(path, options, &diagnostics).has_value();
  CHECK_MESSAGE(loaded == !diagnostics.has_errors(), name);
  return diagnostics.Render() + std::to_string(diagnostics.error_count()) + " errors, " +
         std::to_string(diagnostics.warning_count()) + " warnings\n";
}

/// `FR1003` and so on, as they stand in a text.
std::set<std::string> CodesIn(const std::string& text) {
  std::set<std::string> codes;
  for (size_t at = text.find("FR"); at != std::string::npos; at = text.find("FR", at + 1)) {
    const std::string code = text.substr(at, 6);
    const bool digits = code.size() == 6 && code.find_first_not_of("0123456789", 2) == std::string::npos;
    if (digits) codes.insert(code);
  }
  return codes;
}

TEST_CASE("Diagnostics_EveryGoldenFile_ReportsWhatIsExpected") {
  const bool accept = std::getenv("FRESHET_ACCEPT") != nullptr;
  REQUIRE(!Cases().empty());
  for (const std::string& name : Cases()) {
    CAPTURE(name);
    const std::string report = Report(name);
    const std::filesystem::path expected = kTree / "tests/diagnostics" / (name + ".expected");
    if (accept) std::ofstream(expected, std::ios::binary) << report;
    CHECK(report == Slurp(expected));
  }
}

TEST_CASE("Diagnostics_EveryCodeOfPlanAndOptions_HasAGoldenFileAndAnEntry") {
  std::set<std::string> used;
  for (const char* folder : {"engine/plan", "engine/options"}) {
    for (const auto& entry : std::filesystem::directory_iterator(kTree / folder)) {
      if (entry.path().extension() == ".cc") used.merge(CodesIn(Slurp(entry.path())));
    }
  }
  // Of alerts and detectors too; those of other node types are with their tests.
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kTree / "operators"))
    for (const std::string& code : CodesIn(entry.path().extension() == ".cc" ? Slurp(entry.path()) : ""))
      if (code >= "FR34") used.insert(code);
  std::set<std::string> shown;
  for (const std::string& name : Cases()) {
    shown.merge(CodesIn(Slurp(kTree / "tests/diagnostics" / (name + ".expected"))));
  }
  shown.insert({"FR1001", "FR1004"});  // a file that is not there, and one too large: plan_test.cc makes them
  const std::set<std::string> listed = CodesIn(Slurp(kTree / "engine/options/ERRORS.md"));
  for (const std::string& code : used) {
    CAPTURE(code);
    CHECK(shown.count(code) == 1);
    CHECK((listed.count(code) == 1 || code >= "FR3"));
  }
}

}  // namespace
}  // namespace freshet
