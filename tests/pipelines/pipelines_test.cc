// The pipelines of the folder `pipelines/` as a reader meets them: valid, tested, planned, run. Golden plans are
// rewritten with FRESHET_ACCEPT=1.
#include <doctest/doctest.h>

#include <fstream>
#include <sstream>

#include "engine/base/env.h"
#include "tests/pipelines/shipped.h"

using namespace freshet;
using namespace freshet::testing;

namespace {

std::string Slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Nothing of this machine may stand in a golden file.
std::string WithoutMachinePaths(std::string text) {
  const std::string folder = FRESHET_SOURCE_DIR;
  for (size_t at = text.find(folder); at != std::string::npos; at = text.find(folder, at)) {
    text.replace(at, folder.size(), "SOURCE");
  }
  return text;
}

/// Runs a shipped pipeline in a workshop of its own; state and output lie there.
Finished RunShipped(const Workshop& shop, const std::string& name, const std::vector<std::string>& settings) {
  const OutputFolder folder(shop.Path("out"));
  std::vector<std::string> arguments = {"run", PipelineFile(name), "--http", "off", "--state", shop.Path("state")};
  for (const std::string& setting : settings) {
    arguments.emplace_back("--set");
    arguments.push_back(setting);
  }
  return RunProgram(shop, arguments);
}

}  // namespace

TEST_CASE("ShippedPipelines_Validate_WithoutWarnings") {
  Workshop shop;
  for (const std::string& name : ShippedPipelines()) {
    const Finished run = RunProgram(shop, {"validate", PipelineFile(name), "--strict"});
    CHECK_MESSAGE(run.code == 0, run.err);
    CHECK_MESSAGE(!Contains(run.out + run.err, "warning"), run.out << run.err);
  }
}

TEST_CASE("ShippedPipelines_TheirOwnTests_Pass") {
  Workshop shop;
  for (const std::string& name : ShippedPipelines()) {
    const Finished run = RunProgram(shop, {"test", PipelineFile(name)});
    CHECK_MESSAGE(run.code == 0, run.out << run.err);
    CHECK_MESSAGE(CountOf(run.out + run.err, "ok    ") >= 2, run.out << run.err);
  }
}

TEST_CASE("ShippedPipelines_Plans_AreTheGoldenOnes") {
  Workshop shop;
  const OutputFolder folder("");
  const bool accept = Env::Posix()->Variable("FRESHET_ACCEPT").value_or("") == "1";
  for (const std::string& name : ShippedPipelines()) {
    const Finished run = RunProgram(shop, {"plan", PipelineFile(name), "--set", "settings.parallelism=2"});
    REQUIRE_MESSAGE(run.code == 0, run.err);
    const std::string plan = WithoutMachinePaths(run.out);
    const std::string golden = std::string(FRESHET_SOURCE_DIR) + "/tests/pipelines/golden/" + name + ".plan";
    if (accept) std::ofstream(golden, std::ios::binary) << plan;
    const bool same = plan == Slurp(golden);
    CHECK_MESSAGE(same, "the plan of " << name << " differs from " << golden
                                       << "; FRESHET_ACCEPT=1 takes the new one:\n"
                                       << plan);
  }
}

TEST_CASE("Quickstart_SmallStream_EndsWithWhatWasPlantedAndFound") {
  Workshop shop;
  const Finished run = RunShipped(shop, "quickstart", {"sources.events.events=60000", "sources.events.seed=1"});
  REQUIRE_MESSAGE(run.code == 0, run.err);
  CHECK(Contains(run.err, "read 60,000 = emitted 60,000"));
  const size_t verdict = run.err.find("verdict  planted ");
  REQUIRE_MESSAGE(verdict != std::string::npos, run.err);
  const std::string line = run.err.substr(verdict, run.err.find('\n', verdict) - verdict);
  CAPTURE(line);
  int planted = 0, found = 0, recall = 0, recall_chance = 0, alerts = 0, right = 0, precision = 0, precision_chance = 0;
  const int fields =
      std::sscanf(line.c_str(),
                  "verdict  planted %d, found %d: recall %d%% (by chance %d%%); alerts %d, right %d: "
                  "precision %d%% (by chance %d%%); median delay",
                  &planted, &found, &recall, &recall_chance, &alerts, &right, &precision, &precision_chance);
  CHECK(fields == 8);
  CHECK(planted == static_cast<int>(CountOf(shop.Read("out/truth.ndjson"), "\n")));
  CHECK(alerts == static_cast<int>(CountOf(shop.Read("out/alerts.ndjson"), "\"state\":\"firing\"")));
  CHECK(found > 0);
  CHECK(found <= planted);
  CHECK(right <= alerts);
  CHECK(recall > recall_chance);
  CHECK(precision > precision_chance);
  for (const char* kind : {"surge", "drop", "engagement_collapse", "error_burst", "bot_traffic"}) {
    CHECK_MESSAGE(Contains(run.err.substr(verdict), std::string("\n  ") + kind + " "), kind);
  }
}

TEST_CASE("FourMetrics_GeneratedWeek_NamesTheEdgeThatFails") {
  Workshop shop;
  const Finished run = RunShipped(shop, "four_metrics", {"sources.events.events=700000"});
  REQUIRE_MESSAGE(run.code == 0, run.err);
  CHECK(Contains(run.err, "read 700,000 = emitted 700,000"));
  const std::string alerts = shop.Read("out/alerts.ndjson");
  CHECK(Contains(alerts, "expected (0–1); us-east explains 100 %"));  // an edge, planted at 08:46 on the second day
  CHECK(Contains(alerts, "expected (0–1.1); slow_travel explains 100 %"));  // a channel, in the night before
  for (const char* rule : {"velocity_odd", "engagement_odd", "slow", "failing"})
    CHECK_MESSAGE(CountOf(alerts, std::string("\"rule\":\"") + rule + "\"") > 0, rule);
  int planted = 0, found = 0, recall = 0, chance = 0;
  const size_t verdict = run.err.find("verdict  planted ");
  REQUIRE(verdict != std::string::npos);
  CHECK(std::sscanf(run.err.c_str() + verdict, "verdict  planted %d, found %d: recall %d%% (by chance %d%%)", &planted,
                    &found, &recall, &chance) == 4);
  CHECK(recall > 2 * chance);
}

TEST_CASE("ServiceQuality_WithAndWithoutErrorBursts_TellsOfThemOnly") {
  Workshop shop;
  // In this stream five bursts are those of an edge; two of them are of eu-west, hours apart.
  const Finished planted = RunShipped(shop, "service_quality", {});
  REQUIRE_MESSAGE(planted.code == 0, planted.err);
  const std::string rule = "\"rule\":\"error_burst\",\"edge\":\"";
  for (const char* edge : {"sa-east", "eu-west", "us-east"}) CHECK_MESSAGE(Contains(planted.out, rule + edge), edge);
  CHECK(CountOf(planted.out, rule) >= 2 * 5);  // firing and resolved
  CHECK(CountOf(planted.out, rule) <= 2 * 7);
  Workshop quiet_shop;
  const Finished quiet = RunShipped(quiet_shop, "service_quality", {"sources.events.plants=0"});
  REQUIRE_MESSAGE(quiet.code == 0, quiet.err);
  CHECK(CountOf(quiet.out, rule) == 0);
}

TEST_CASE("WikipediaEdits_Sample_TellsOfTheCrowdAndNotOfTheRobot") {
  Workshop shop;
  const Finished run = RunShipped(shop, "wikipedia_edits", {});
  REQUIRE_MESSAGE(run.code == 0, run.err);
  CHECK(Contains(run.err, "read 2,270 = emitted 2,259 + dead 11"));
  CHECK(Contains(run.err, "in 2,259 = absorbed 2,256 + late 3"));
  CHECK(CountOf(run.out, "\"state\":\"firing\"") == 1);
  CHECK(CountOf(run.out, "\"state\":\"resolved\"") == 1);
  CHECK(CountOf(run.out, "\"started_at\":\"2026-03-03T11:32:59.999999Z\"") == 2);
  CHECK(CountOf(run.out, "\"channel\":\"#en.samplepedia\"") == 2);
  CHECK(CountOf(shop.Read("state/dead_letter/edits.ndjson"), "timestamp_ahead") == 11);
  CHECK(CountOf(shop.Read("out/minutes.csv"), "\n") == 599);
}

TEST_CASE("ContentPerformance_Sample_FindsBothBreakoutsAndBothCollapses") {
  Workshop shop;
  const Finished run = RunShipped(shop, "content_performance", {});
  REQUIRE_MESSAGE(run.code == 0, run.err);
  CHECK(Contains(run.err, "read 601 = emitted 600 + skipped 1"));
  CHECK(Contains(run.err, "in 600 = out 599 + rejected 1"));
  const std::string alerts = shop.Read("out/alerts.ndjson");
  for (const char* planted : {"\"rule\":\"breakout\",\"video_id\":\"kgws5VBg3lg\",\"state\":\"firing\"",
                              "\"rule\":\"collapse\",\"video_id\":\"n1HaHGkHH51\",\"state\":\"firing\"",
                              "\"rule\":\"breakout\",\"video_id\":\"jVdcnTJh9B7\",\"state\":\"firing\"",
                              "\"rule\":\"collapse\",\"video_id\":\"JEag7e6m-Xm\",\"state\":\"firing\""}) {
    CHECK_MESSAGE(CountOf(alerts, planted) == 1, planted);
  }
  CHECK(CountOf(alerts, "\"state\":\"firing\"") == 4);
}

TEST_CASE("WikipediaEdits_RealDay_AccountsForEveryRow") {
  const auto data = Env::Posix()->Variable("FRESHET_DATA_DIR");
  if (!data || data->empty()) {
    MESSAGE("skipped: FRESHET_DATA_DIR is not set (it names the folder with events/wikipedia_edits.ndjson.gz)");
    return;
  }
  Workshop shop;
  const Finished run =
      RunShipped(shop, "wikipedia_edits", {"sources.edits.path=" + *data + "/events/wikipedia_edits.ndjson.gz"});
  REQUIRE_MESSAGE(run.code == 0, run.err);
  CHECK(Contains(run.err, "read 39,244 = emitted 39,203 + dead 41"));
  CHECK(Contains(run.err, "in 39,203 = absorbed 39,199 + late 4"));
  // The one that is worth a message: four busy minutes from 08:04 on.
  CHECK(CountOf(run.out, "\"state\":\"firing\"") == 1);
  CHECK(CountOf(run.out, "\"started_at\":\"2015-09-12T08:04:59.999999Z\"") == 2);
}
