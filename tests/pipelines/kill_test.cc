// kill -9 in the middle, again and again, and the output is that of a run that nothing happened to, byte for byte.
//
// When to kill is drawn from a seed, as a number of bytes written: the output file and the state's log together are how
// far a run has come, whatever the machine is doing. Short checkpoint intervals give many commits to fall between.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "engine/base/rng.h"
#include "tests/pipelines/kills.h"

using namespace freshet;
using namespace freshet::testing;

namespace {

constexpr int kRoundCount = 3;    ///< times a pipeline is run from the start
constexpr int kKillCountMax = 5;  ///< in one round; then it may finish

constexpr int kLanes = 2;

/// Some rows of the output are on disk, committed or not.
bool HasRows(const Workshop& shop, const Subject& subject) {
  return !shop.Read(subject.output).empty() || !shop.Read(subject.output + ".part").empty();
}

struct Kills {
  int landed = 0;     ///< met a running process
  int with_rows = 0;  ///< rows lay in the output by then
  int resumed = 0;    ///< the next run had a checkpoint to go on from
};

/// Kills `subject` in every round and compares.
Kills KillAndCompare(const Subject& subject, uint64_t seed) {
  std::string expected;
  uint64_t total = 0;
  {
    Workshop shop;
    const OutputFolder folder(shop.Path("out"));
    const Finished run = RunProgram(shop, RunArguments(shop, subject, kLanes));
    REQUIRE_MESSAGE(run.code == 0, run.err);
    expected = shop.Read(subject.output);
    total = Progress(shop);
  }
  REQUIRE(expected.size() > 0);
  Rng rng(seed);
  Kills kills;
  for (int round = 0; round < kRoundCount; ++round) {
    CAPTURE(round);
    Workshop shop;
    const OutputFolder folder(shop.Path("out"));
    for (int kill = 0; kill < kKillCountMax; ++kill) {
      const uint64_t from = std::min(Progress(shop), total - 1);
      if (!KilledAt(shop, subject, kLanes, from + rng.Below(total - from))) break;
      ++kills.landed;
      kills.with_rows += HasRows(shop, subject) ? 1 : 0;
      kills.resumed += std::filesystem::exists(shop.Path(subject.output)) ? 1 : 0;
    }
    const Finished last = RunProgram(shop, RunArguments(shop, subject, kLanes));
    REQUIRE_MESSAGE(last.code == 0, last.err);
    const bool same = shop.Read(subject.output) == expected;
    CHECK_MESSAGE(same, "the output differs, " << shop.Read(subject.output).size() << " bytes instead of "
                                               << expected.size() << "; seed " << seed << "; the last run said:\n"
                                               << last.err);
  }
  return kills;
}

void Check(const std::string& name, const Subject& subject, uint64_t seed) {
  const Kills kills = KillAndCompare(subject, seed);
  std::printf("%s: %d kills landed in %d rounds, %d with rows in the output, %d behind a checkpoint; seed %llu\n",
              name.c_str(), kills.landed, kRoundCount, kills.with_rows, kills.resumed,
              static_cast<unsigned long long>(seed));
  CHECK(kills.landed > 0);
}

constexpr char kGenerated[] = R"(name: killed
sources:
  events:
    type: generate
    seed: 3
    events: 60000
    time: {field: at, lateness: 5s}
operators:
  per_video:
    type: window
    inputs: [events]
    window: {tumbling: 10m}
    key: [channel, video_id]
    aggregates:
      views: count(*) filter (where kind = 'view')
      watched: sum(watch_seconds)
      people: count_distinct(user)
sinks:
  out:
    type: file
    inputs: [per_video]
    path: ${FRESHET_OUT}/rows.ndjson
    format: ndjson
)";

}  // namespace

TEST_CASE("WikipediaEdits_KilledAgainAndAgain_WritesTheSameBytes") {
  Check("wikipedia_edits", {PipelineFile("wikipedia_edits"), "out/minutes.csv", "2ms", ""}, 41);
}

TEST_CASE("ContentPerformance_KilledAgainAndAgain_WritesTheSameBytes") {
  Check("content_performance", {PipelineFile("content_performance"), "out/alerts.ndjson", "2ms", ""}, 42);
}

TEST_CASE("Quickstart_KilledAgainAndAgain_WritesTheSameBytes") {
  Check("quickstart", {PipelineFile("quickstart"), "out/alerts.ndjson", "20ms", "sources.events.events=60000"}, 44);
}

TEST_CASE("GeneratedStream_KilledAgainAndAgain_WritesTheSameBytes") {
  Workshop shop;
  Check("generate, window, file", {shop.Write("killed.yaml", kGenerated), "out/rows.ndjson", "20ms", ""}, 43);
}

// The narrowest place to die: the last checkpoint is committed and says "finished", the file is not yet named.
TEST_CASE("FileSink_KilledBetweenTheLastCommitAndItsName_IsNamedByTheNextRun") {
  Workshop shop;
  const OutputFolder folder(shop.Path("out"));
  const Subject subject = {PipelineFile("content_performance"), "out/alerts.ndjson", "10s", ""};
  REQUIRE(RunProgram(shop, RunArguments(shop, subject, kLanes)).code == 0);
  const std::string expected = shop.Read(subject.output);
  REQUIRE(!expected.empty());
  std::filesystem::rename(shop.Path(subject.output), shop.Path(subject.output + ".part"));
  const Finished again = RunProgram(shop, RunArguments(shop, subject, kLanes));
  CHECK_MESSAGE(again.code == 0, again.err);
  const bool same = shop.Read(subject.output) == expected;
  CHECK_MESSAGE(same, "the rows lie in " << subject.output << ".part, and the run said: " << again.err);
}
