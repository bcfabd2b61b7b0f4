// Two hundred times kill -9 over pipelines from file to file with windows, a forest per key and alerts. At least every
// second kill meets a checkpoint that is prepared and not committed; after each round every output file must be that of
// an undisturbed run, byte for byte. Lanes change from run to run.
#include <doctest/doctest.h>
#include <stdlib.h>

#include <cstdio>
#include <cstdlib>

#include "engine/base/rng.h"
#include "tests/pipelines/kills.h"

using namespace freshet;
using namespace freshet::testing;

namespace {

constexpr int kKillCount = 200;
constexpr int kKillCountPerRound = 8;
constexpr int kRowCount = 60000;
constexpr const char* kOutputs[] = {"out/panes.csv", "out/late.ndjson", "out/scored.ndjson", "out/alerts.ndjson"};

constexpr char kPipeline[] = R"(name: crash_loop
sources:
  first:
    type: file
    path: first.csv
    format: csv
    schema: {at: timestamp, device: string, load: float64}
    time: {field: at, lateness: 2s}
  second:
    type: file
    path: second.csv
    format: csv
    schema: {at: timestamp, device: string, load: float64}
    time: {field: at, lateness: 2s}
operators:
  kept: {type: filter, inputs: [first, second], where: "load >= 0"}
  per_device:
    type: window
    inputs: [kept]
    window: {hopping: 20s, every: 5s}
    key: [device]
    aggregates:
      rows: count(*)
      load: avg(load)
      most: max(load)
  scored:
    type: isolation_forest
    inputs: [per_device]
    features:
      - load
      - most
    trees: 8
    window: 64
    key: [device]
  high:
    type: alert
    inputs: [scored]
    when: most > 99
    key: [device]
    severity: high
    for: 10s
sinks:
  panes: {type: file, inputs: [per_device], path: "${FRESHET_OUT}/panes.csv", format: csv}
  late: {type: file, inputs: [per_device.late], path: "${FRESHET_OUT}/late.ndjson", format: ndjson}
  scores: {type: file, inputs: [scored], path: "${FRESHET_OUT}/scored.ndjson", format: ndjson}
  alerts: {type: file, inputs: [high], path: "${FRESHET_OUT}/alerts.ndjson", format: ndjson}
)";

std::string Rows(uint64_t seed) {
  Rng rng(seed);
  std::string text = "at,device,load\n";
  for (int i = 0; i < kRowCount; ++i) {
    // 20 ms from row to row, up to 3 s back, and now and then 40 s: late for all its windows.
    const int64_t back = rng.Below(50) == 0 ? 40000 : static_cast<int64_t>(rng.Below(3000));
    const int64_t ms = 1700000000000 + int64_t{20} * i - back;
    const uint64_t device = rng.Below(40);
    const bool busy = (i / 4000 + static_cast<int>(device)) % 9 == 0;
    text += std::to_string(ms) + ",d" + std::to_string(device) + "," +
            std::to_string(rng.NextDouble() * (busy ? 101 : 90)) + "\n";
  }
  return text;
}

std::vector<std::string> ReadAll(const Workshop& shop) {
  std::vector<std::string> all;
  for (const char* output : kOutputs) all.push_back(shop.Read(output));
  return all;
}

struct Place {
  Subject subject;
  void Prepare(const Workshop& shop) {
    shop.Write("first.csv", Rows(1));
    shop.Write("second.csv", Rows(2));
    subject = {shop.Write("crash_loop.yaml", kPipeline), kOutputs[0], "5ms", ""};
  }
};

}  // namespace

TEST_CASE("CrashLoop_TwoHundredKills_WriteTheSameBytes") {
  const char* chosen = std::getenv("FRESHET_TEST_SEED");
  const uint64_t seed = chosen == nullptr ? 45 : std::strtoull(chosen, nullptr, 10);
  std::vector<std::string> expected;
  uint64_t total = 0;
  {
    Workshop shop;
    Place place;
    place.Prepare(shop);
    const OutputFolder folder(shop.Path("out"));
    const Finished run = RunProgram(shop, RunArguments(shop, place.subject, 2));
    REQUIRE_MESSAGE(run.code == 0, run.err);
    expected = ReadAll(shop);
    total = Progress(shop);
    for (size_t i = 0; i < expected.size(); ++i)
      REQUIRE_MESSAGE(!expected[i].empty(), std::string(kOutputs[i]), run.err);
  }
  Rng rng(seed);
  int kills = 0, before_commit = 0, rounds = 0;
  std::string epochs;
  while (kills < kKillCount) {
    ++rounds;
    CAPTURE(rounds);
    Workshop shop;
    Place place;
    place.Prepare(shop);
    const OutputFolder folder(shop.Path("out"));
    for (int kill = 0; kill < kKillCountPerRound && kills < kKillCount; ++kill) {
      const int lanes = 1 + static_cast<int>(rng.Below(4));
      if (rng.Below(8) < 5) {
        const uint64_t epoch = KilledBeforeCommit(shop, place.subject, lanes, 1 + rng.Below(3));
        if (epoch == 0) break;
        ++before_commit;
        epochs += " " + std::to_string(epoch);
      } else {
        const uint64_t from = std::min(Progress(shop), total - 1);
        if (!KilledAt(shop, place.subject, lanes, from + rng.Below(std::max<uint64_t>(1, total / 8)))) break;
      }
      ++kills;
    }
    const Finished last = RunProgram(shop, RunArguments(shop, place.subject, 1 + static_cast<int>(rng.Below(4))));
    REQUIRE_MESSAGE(last.code == 0, last.err);
    const std::vector<std::string> found = ReadAll(shop);
    for (size_t i = 0; i < expected.size(); ++i) {
      const bool same = found[i] == expected[i];
      CHECK_MESSAGE(same, kOutputs[i], " differs: ", found[i].size(), " bytes instead of ", expected[i].size(),
                    "; replay: FRESHET_TEST_SEED=", seed, "; the last run said:\n", last.err);
    }
  }
  std::printf("%d kills in %d rounds, %d of them between prepare and commit, of epochs%s; seed %llu\n", kills, rounds,
              before_commit, epochs.c_str(), static_cast<unsigned long long>(seed));
  CHECK(before_commit * 2 >= kills);
}
