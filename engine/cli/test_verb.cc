#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "engine/base/log.h"
#include "engine/cli/exit_codes.h"
#include "engine/cli/loading.h"
#include "engine/cli/test_runner.h"
#include "engine/cli/verbs.h"

namespace freshet::cli {
namespace {

struct TestArguments {
  LoadRequest load;
  int simulate = 0;
  uint64_t seed = 1;
  std::string only;
};

std::string PlaceOf(const PipelineTest& test, const Pipeline& pipeline) {
  return pipeline.file->path + ":" + std::to_string(test.span.line);
}

/// Rows without a time of their own carry the clock, which differs from run to run.
bool HasEventTime(const Pipeline& pipeline) {
  return std::all_of(pipeline.graph.nodes.begin(), pipeline.graph.nodes.end(), [](const NodeSpec& node) {
    const auto* source = std::get_if<SourceNode>(&node.kind);
    return source == nullptr || static_cast<bool>(source->time.evaluate);
  });
}

std::string FirstDifference(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  for (size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    const std::string left = i < a.size() ? a[i] : "no row";
    const std::string right = i < b.size() ? b[i] : "no row";
    if (left != right) return "  row " + std::to_string(i + 1) + ":\n    there " + left + "\n    here  " + right + "\n";
  }
  return {};
}

std::vector<TestPermutation> PermutationsOf(const TestArguments& arguments) {
  if (arguments.simulate == 0) return AllPermutations();
  // First an undisturbed run, to compare with. Everything else comes from the seed, so that one seed replays alone.
  std::vector<TestPermutation> all = {{true, 1, 1, 4096, false}};
  for (int i = 0; i < arguments.simulate; ++i) {
    const uint64_t seed = arguments.seed + static_cast<uint64_t>(i);
    constexpr int32_t kRows[] = {4096, 1, 7};
    all.push_back({true, seed, seed % 2 == 0 ? 1 : 4, kRows[seed % 3], true});
  }
  return all;
}

/// True if it passed everywhere.
bool RunEverywhere(const Pipeline& pipeline, const PipelineTest& test, const TestArguments& arguments) {
  const std::vector<TestPermutation> permutations = PermutationsOf(arguments);
  const bool comparable = HasEventTime(pipeline);
  std::vector<std::string> first;
  for (size_t i = 0; i < permutations.size(); ++i) {
    std::string failure;
    std::vector<std::string> rows;
    if (const Status status = RunTest(pipeline, test, permutations[i], &failure, &rows); !status.ok())
      failure = "  " + status.message() + "\n";
    if (i == 0) first = rows;
    if (failure.empty() && comparable && rows != first)
      failure = "  not the same rows as with " + permutations[0].ToString() + "\n" + FirstDifference(first, rows);
    if (failure.empty()) continue;
    std::printf("FAIL  %s  (%s)\n  in: %s\n%s", test.name.c_str(), PlaceOf(test, pipeline).c_str(),
                permutations[i].ToString().c_str(), failure.c_str());
    if (permutations[i].crashes)
      std::printf("  replay: freshet test %s --only '%s' --simulate 1 --seed %llu\n", pipeline.file->path.c_str(),
                  test.name.c_str(), static_cast<unsigned long long>(permutations[i].seed));
    return false;
  }
  std::printf("ok    %s  (%zu runs)\n", test.name.c_str(), permutations.size());
  return true;
}

int Test(const TestArguments& arguments) {
  int exit_code = kExitOk;
  const std::vector<Pipeline> pipelines = LoadOrExplain(arguments.load, &exit_code);
  if (exit_code != kExitOk) return exit_code;
  SetLogLevel(LogLevel::kWarning);
  int passed = 0;
  int failed = 0;
  for (const Pipeline& pipeline : pipelines) {
    if (pipeline.tests().empty()) std::printf("%s: no tests\n", pipeline.file->path.c_str());
    for (const PipelineTest& test : pipeline.tests()) {
      if (!arguments.only.empty() && test.name.find(arguments.only) == std::string::npos) continue;
      RunEverywhere(pipeline, test, arguments) ? ++passed : ++failed;
      std::fflush(stdout);
    }
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? kExitOk : kExitTarget;
}

}  // namespace

Verb AddTestVerb(CLI::App& program) {
  auto a = std::make_shared<TestArguments>();
  a->load.require_secrets = false;
  a->load.push_down = false;
  CLI::App* app = program.add_subcommand("test", "Run the tests that stand in pipeline files");
  app->add_option("FILE", a->load.files, "Pipeline files")->required();
  app->add_option("--set", a->load.sets, "Override an option: path.to.option=value (repeatable)")->take_all();
  app->add_option("--only", a->only, "Only tests whose name contains this");
  app->add_option("--simulate", a->simulate, "Instead: N simulated runs with crashes and restores")
      ->check(CLI::PositiveNumber);
  app->add_option("--seed", a->seed, "First seed for --simulate (default 1)");
  app->footer(
      "\nEach test runs on the simulator (3 seeds, 1 and 4 lanes, batches of 1, 7 and 4096 rows) and on oneTBB;\n"
      "all must give the same rows.");
  return {app, [a] { return Test(*a); }};
}

}  // namespace freshet::cli
