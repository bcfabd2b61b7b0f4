// Runs the checks over the tree, and over planted offenders: a check that cannot fail is none.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/tidy/checks.h"

namespace freshet::tidy {
namespace {

namespace fs = std::filesystem;

const fs::path kRoot = FRESHET_SOURCE_DIR;

std::vector<fs::path> Sources() {
  std::vector<fs::path> paths;
  for (const char* folder : {"engine", "operators", "connectors", "tests", "bench"}) {
    if (!fs::exists(kRoot / folder)) continue;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(kRoot / folder)) {
      const fs::path extension = entry.path().extension();
      if (entry.is_regular_file() && (extension == ".h" || extension == ".cc")) paths.push_back(entry.path());
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::string Read(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

std::string Listed(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings) text += "\n  " + ToString(finding);
  return text;
}

/// The rules found, in order, joined with spaces.
std::string Rules(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings) text += (text.empty() ? "" : " ") + finding.rule;
  return text;
}

std::string IncludeRules(std::string_view path, std::string_view header) {
  return Rules(CheckIncludes(path, "#include " + std::string(header) + "\n"));
}

TEST_CASE("Tree_AsItStands_KeepsTheIncludeTable") {
  const std::vector<fs::path> sources = Sources();
  REQUIRE(sources.size() > 20);
  std::vector<Finding> all;
  for (const fs::path& path : sources) {
    const std::vector<Finding> found = CheckIncludes(fs::relative(path, kRoot).generic_string(), Read(path));
    all.insert(all.end(), found.begin(), found.end());
  }
  CHECK_MESSAGE(all.empty(), Listed(all));
}

TEST_CASE("Tree_AsItStands_KeepsTheTextRules") {
  std::vector<Finding> all;
  for (const fs::path& path : Sources()) {
    const std::vector<Finding> found = CheckText(fs::relative(path, kRoot).generic_string(), Read(path));
    all.insert(all.end(), found.begin(), found.end());
  }
  CHECK_MESSAGE(all.empty(), Listed(all));
}

TEST_CASE("Contract_EachTestItNames_Exists") {
  std::set<std::string> tests;
  for (const fs::path& path : Sources()) {
    if (fs::relative(path, kRoot).generic_string().starts_with("tests/")) tests.merge(TestNames(Read(path)));
  }
  REQUIRE(tests.size() > 100);
  const std::vector<Finding> all = CheckNamedTests("tests/CONTRACT.md", Read(kRoot / "tests/CONTRACT.md"), tests);
  CHECK_MESSAGE(all.empty(), Listed(all));
  CHECK(Rules(CheckNamedTests("a.md", "| it holds | `Tree_AsItIs_StandsStill`, `a_name` |\n", tests)) == "test");
}

TEST_CASE("Tree_AsItStands_HasTheAgreedTopLevel") {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(kRoot))
    names.push_back(entry.path().filename().string());
  const std::vector<Finding> all = CheckTopLevel(names);
  CHECK_MESSAGE(all.empty(), Listed(all));
}

TEST_CASE("Includes_PlantedOffenders_AreFound") {
  // up the map
  CHECK(IncludeRules("engine/base/env.h", "\"engine/options/span.h\"") == "include");
  CHECK(IncludeRules("engine/batch/batch.h", "\"engine/expr/expr.h\"") == "include");
  CHECK(IncludeRules("engine/flow/cell.cc", "\"engine/expr/expr.h\"") == "include");
  CHECK(IncludeRules("engine/plan/lower.cc", "\"operators/registry.h\"") == "include");
  CHECK(IncludeRules("engine/embed/c_abi.cc", "\"operators/filter.h\"") == "include");
  CHECK(IncludeRules("operators/window.h", "\"engine/flow/cell.h\"") == "include");
  CHECK(IncludeRules("operators/window.h", "\"engine/state/rocksdb_store.h\"") == "include");
  CHECK(IncludeRules("operators/window.h", "\"connectors/registry.h\"") == "include");
  CHECK(IncludeRules("connectors/file/source.cc", "\"engine/expr/expr.h\"") == "include");
  CHECK(IncludeRules("connectors/format/csv.cc", "\"connectors/file/source.h\"") == "include");
  CHECK(IncludeRules("engine/cli/run.cc", "\"tests/support/fake_env.h\"") == "include");
  // not from the root
  CHECK(IncludeRules("engine/base/env.cc", "\"env.h\"") == "include");
  CHECK(IncludeRules("engine/base/env.cc", "\"../base/env.h\"") == "include");
  CHECK(IncludeRules("tests/base/env_test.cc", "<engine/base/env.h>") == "include");
  CHECK(IncludeRules("engine/base/env.cc", "<doctest/doctest.h>") == "third-party");
  // third-party libraries away from home
  CHECK(IncludeRules("engine/flow/cell.h", "<oneapi/tbb/flow_graph.h>") == "third-party");
  CHECK(IncludeRules("engine/flow/tbb_runtime.h", "<oneapi/tbb/flow_graph.h>") == "third-party");
  CHECK(IncludeRules("engine/state/memory_store.cc", "<rocksdb/db.h>") == "third-party");
  CHECK(IncludeRules("engine/plan/lower.cc", "<yaml-cpp/yaml.h>") == "third-party");
  CHECK(IncludeRules("connectors/webhook.cc", "<curl/curl.h>") == "third-party");
  CHECK(IncludeRules("operators/derive.cc", "<simdjson.h>") == "third-party");
  CHECK(IncludeRules("engine/expr/eval.cc", "<xsimd/xsimd.hpp>") == "third-party");
  CHECK(IncludeRules("engine/cli/top.cc", "<httplib.h>") == "third-party");
  CHECK(IncludeRules("engine/flow/inbox.h", "<concurrentqueue/concurrentqueue.h>") == "third-party");
  CHECK(IncludeRules("engine/plan/plan.cc", "<boost/json.hpp>") == "third-party");
  // spelled with spaces
  CHECK(IncludeRules("engine/flow/cell.h", " <tbb/flow_graph.h> // fast") == "third-party");
  CHECK(Rules(CheckIncludes("engine/flow/cell.h", "  #  include <tbb/task.h>\n")) == "third-party");
  // a std template compiled for one instruction set
  CHECK(IncludeRules("engine/expr/kernels/compare_avx2.cc", "<vector>") == "isa");
}

TEST_CASE("Includes_AtHome_AreQuiet") {
  CHECK(IncludeRules("engine/flow/tbb_runtime.cc", "<oneapi/tbb/flow_graph.h>") == "");
  CHECK(IncludeRules("engine/state/rocksdb_store.cc", "<rocksdb/db.h>") == "");
  CHECK(IncludeRules("engine/plan/yaml_reader.cc", "<yaml-cpp/eventhandler.h>") == "");
  CHECK(IncludeRules("connectors/net/http.cc", "<curl/curl.h>") == "");
  CHECK(IncludeRules("connectors/format/ndjson.cc", "<simdjson.h>") == "");
  CHECK(IncludeRules("engine/expr/kernels/compare_avx2.cc", "<xsimd/xsimd.hpp>") == "");
  CHECK(IncludeRules("engine/expr/kernels/compare_avx2.cc", "<cstdint>") == "");
  CHECK(IncludeRules("operators/window.h", "\"engine/flow/operator.h\"") == "");
  CHECK(IncludeRules("operators/window.h", "\"engine/state/keyed_table.h\"") == "");
  CHECK(IncludeRules("operators/registry.cc", "\"operators/window.h\"") == "");
  CHECK(IncludeRules("connectors/file/source.cc", "\"connectors/format/csv.h\"") == "");
  CHECK(IncludeRules("engine/cli/run.cc", "\"connectors/registry.h\"") == "");
  CHECK(IncludeRules("engine/base/env.cc", "<sys/stat.h>") == "");
  CHECK(IncludeRules("tests/flow/cell_test.cc", "\"engine/flow/cell.h\"") == "");
}

TEST_CASE("Text_PlantedOffenders_AreFound") {
  CHECK(Rules(CheckText("engine/base/a.h", "int a;\n")) == "pragma-once");
  CHECK(Rules(CheckText("engine/base/a.cc", "\tint a;\n")) == "tab");
  CHECK(Rules(CheckText("engine/base/a.cc", "int a; \n")) == "space");
  CHECK(Rules(CheckText("engine/base/a.cc", "int a;\r\n")) == "space");
  CHECK(Rules(CheckText("engine/base/a.cc", "int a;")) == "newline");
  CHECK(Rules(CheckText("engine/base/RowMeta.cc", "")) == "name");
  CHECK(Rules(CheckText("engine/base/string_utils.cc", "")) == "name");
  CHECK(Rules(CheckText("engine/base/a.cc", std::string(801, '\n'))) == "length");
  CHECK(Rules(CheckText("engine/base/a.h", "#pragma once\nusing namespace std;\n")) == "namespace");
  CHECK(Rules(CheckText("operators/a.cc", "std::normal_distribution<double> d;\n")) == "random");
  CHECK(Rules(CheckText("tests/a/a_test.cc", "int x = rand();\n")) == "random");
  CHECK(Rules(CheckText("operators/a.cc", "std::cerr << 1;\n")) == "print");
  CHECK(Rules(CheckText("engine/flow/a.cc", "  std::abort();\n")) == "print");
  CHECK(Rules(CheckText("tests/a/a_test.cc", "std::this_thread::sleep_for(1s);\n")) == "sleep");
  CHECK(Rules(CheckText("engine/flow/a.cc", "auto t = std::chrono::steady_clock::now();\n")) == "clock");
}

TEST_CASE("Text_WordsThatAreNotCode_AreQuiet") {
  CHECK(Rules(CheckText("engine/flow/a.cc", "// std::cerr is for programs\n/* abort()\n exit( */\nint a = 1;\n")) ==
        "");
  CHECK(Rules(CheckText("engine/flow/a.cc", "const char* a = \"std::cout \\\" abort()\";\n")) == "");
  CHECK(Rules(CheckText("engine/flow/a.cc", "snprintf(buffer, 3, format);\nrun.exit(1);\nBrand(2);\n")) == "");
  CHECK(Rules(CheckText("engine/cli/run.cc", "std::cout << 1;\n")) == "");
  CHECK(Rules(CheckText("tests/e/kill_test.cc", "usleep(1);  // tidy-allow: sleep (a child starts)\n")) == "");
  CHECK(Rules(CheckText("tests/e/kill_test.cc", "usleep(1);  // tidy-allow: clock\n")) == "sleep");
  CHECK(Rules(CheckText("tests/e/a_test.cc", "auto text = R\"(a\tb\nc\td)\";\nint a;\n")) == "tab");
}

TEST_CASE("TopLevel_PlantedStranger_IsFound") {
  CHECK(CheckTopLevel({"engine", "README.md", ".ci", "build", "scripts"}).empty());
  CHECK(Rules(CheckTopLevel({"engine", "notes.txt", "src"})) == "layout layout");
}

}  // namespace
}  // namespace freshet::tidy
