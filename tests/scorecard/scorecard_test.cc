// The verdict over alerts: what counts as met, what chance would have found, and the sink around it.
#include "connectors/scorecard/scorecard.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "connectors/scorecard/score.h"
#include "engine/base/rng.h"
#include "engine/options/config_value.h"
#include "engine/plan/yaml_reader.h"
#include "tests/operators/test_rows.h"

namespace freshet::testing {
namespace {

PlantedAnomaly Plant(std::string kind, std::string channel, int64_t start, int64_t end, std::string edge = "") {
  PlantedAnomaly p;
  p.kind = std::move(kind);
  p.channel = std::move(channel);
  p.edge = std::move(edge);
  p.start_us = start;
  p.end_us = end;
  return p;
}
FoundAlert Alert(std::string channel, int64_t started, int64_t fired, std::string edge = "") {
  FoundAlert a;
  a.channel = std::move(channel);
  a.edge = std::move(edge);
  a.started_us = started;
  a.fired_us = fired;
  return a;
}

TEST_CASE("Score_TimesAndNames_DecideTogether") {
  const std::vector<PlantedAnomaly> plants = {Plant("spike", "c1", 100, 200)};
  const auto met = [&](const FoundAlert& a) { return Score(plants, {a}, 50).found == 1; };
  CHECK(met(Alert("c1", 100, 100)));
  CHECK(met(Alert("c1", 250, 900)));  // began within the grace, told later
  CHECK_FALSE(met(Alert("c1", 99, 150)));
  CHECK_FALSE(met(Alert("c1", 251, 251)));
  CHECK_FALSE(met(Alert("c2", 150, 150)));
  CHECK_FALSE(met(Alert("", 150, 150)));     // it knows none of the plant's names
  CHECK(met(Alert("c1", 150, 150, "fra")));  // the plant is at any edge
  const std::vector<PlantedAnomaly> both = {Plant("spike", "c1", 100, 200, "fra")};
  CHECK(Score(both, {Alert("", 150, 150, "fra")}, 0).found == 1);
  CHECK(Score(both, {Alert("c2", 150, 150, "fra")}, 0).found == 0);
}

TEST_CASE("Score_SeveralAlertsAndPlants_AreCountedOnceEach") {
  const std::vector<PlantedAnomaly> plants = {Plant("spike", "c1", 100, 200), Plant("drop", "c2", 100, 200, "fra"),
                                              Plant("spike", "c3", 900, 950)};
  const std::vector<FoundAlert> alerts = {Alert("c1", 110, 130), Alert("c1", 120, 125), Alert("", 150, 160, "fra"),
                                          Alert("c9", 150, 160)};
  const Scorecard card = Score(plants, alerts, 0);
  CHECK(card.planted == 3);
  CHECK(card.found == 2);
  CHECK(card.alerts == 4);
  CHECK(card.right_alerts == 3);
  CHECK(card.recall() == doctest::Approx(2.0 / 3));
  CHECK(card.precision() == doctest::Approx(0.75));
  REQUIRE(card.kinds.size() == 2);
  CHECK(card.kinds[0].kind == "drop");
  CHECK(card.kinds[0].delays_us == std::vector<int64_t>{60});
  CHECK(card.kinds[1].planted == 2);
  CHECK(card.kinds[1].delays_us == std::vector<int64_t>{25});  // the first that was told
  CHECK(card.median_delay_us == 60);
}

TEST_CASE("Score_NothingPlantedOrFound_IsZeroNotNan") {
  CHECK(Score({}, {}, 0).precision() == 0);
  CHECK(Score({}, {Alert("a", 1, 1)}, 0).recall() == 0);
  const Scorecard none = Score({Plant("spike", "a", 1, 2)}, {}, 0);
  CHECK(none.recall() == 0);
  CHECK(ScoreText(none, none).find("median delay -") != std::string::npos);
}

/// Plants on channels of their own, an alert for most, and some false ones.
void Make(uint64_t seed, size_t count, std::vector<PlantedAnomaly>* plants, std::vector<FoundAlert>* alerts) {
  Rng rng(seed);
  for (size_t i = 0; i < count; ++i) {
    const auto start = static_cast<int64_t>(rng.Below(1000000));
    plants->push_back(Plant("spike", "c" + std::to_string(i), start, start + 2000));
    if (i % 10 > 0) alerts->push_back(Alert("c" + std::to_string(i), start + 100, start + 200));
    if (i % 10 == 1)
      alerts->push_back(Alert("c" + std::to_string(rng.Below(count)), static_cast<int64_t>(rng.Below(1000000)), 1));
  }
}

TEST_CASE("Score_ShuffledTruth_IsNearChance") {
  double worst = 0, sum = 0;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    std::vector<PlantedAnomaly> plants;
    std::vector<FoundAlert> alerts;
    Make(seed, 60, &plants, &alerts);
    CHECK(Score(plants, alerts, 0).recall() == doctest::Approx(0.9).epsilon(0.03));
    const double chance = Score(ShuffledTruth(plants, seed), alerts, 0).recall();
    worst = std::max(worst, chance);
    sum += chance;
  }
  MESSAGE("recall against a shuffled truth: mean ", sum / 50, ", at most ", worst);
  CHECK(sum / 50 < 0.02);  // 2,000 of 1,000,000 a plant
  CHECK(worst < 0.1);
}

TEST_CASE("ShuffledTruth_NobodyKeepsItsNames_TimesStay") {
  for (size_t count = 2; count < 12; ++count) {
    std::vector<PlantedAnomaly> plants;
    std::vector<FoundAlert> alerts;
    Make(count, count, &plants, &alerts);
    const auto shuffled = ShuffledTruth(plants, count);
    CHECK(shuffled.size() == count);
    std::set<std::string> names;
    for (size_t i = 0; i < count; ++i) {
      CHECK(shuffled[i].channel != plants[i].channel);
      CHECK(shuffled[i].start_us == plants[i].start_us);
      CHECK(shuffled[i].kind == plants[i].kind);
      names.insert(shuffled[i].channel);
    }
    CHECK(names.size() == count);
    CHECK(ShuffledTruth(plants, count)[0].channel == shuffled[0].channel);
  }
  CHECK(ShuffledTruth({}, 1).empty());
  CHECK(ShuffledTruth({Plant("spike", "a", 1, 2)}, 1)[0].channel == "a");
}

/// A truth file in a directory of its own, and a sink that reads it.
class Fixture {
 public:
  explicit Fixture(const std::string& truth) {
    std::string pattern = (std::filesystem::temp_directory_path() / "freshet_scorecard_XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    std::FILE* file = std::fopen((directory_ + "/truth.ndjson").c_str(), "w");
    REQUIRE(file != nullptr);
    std::fwrite(truth.data(), 1, truth.size(), file);
    std::fclose(file);
    Diagnostics diagnostics;
    const NodeDescriptor descriptor = ScorecardDescriptor();
    const auto value = ReadYaml(
        std::make_shared<const SourceText>(SourceText{"test.yaml", "truth: truth.ndjson\ngrace: 1s\n"}), &diagnostics);
    REQUIRE(value.has_value());
    const OptionsNode options = OptionsNode::Make(&*value, &descriptor.options, {}, &diagnostics);
    BindContext bind;
    bind.directory = directory_;
    bind.node_id = "verdict";
    bind.diagnostics = &diagnostics;
    bind.env = Env::Posix();
    bound_ = descriptor.make_sink(options, bind);
    REQUIRE_MESSAGE(bound_.has_value(), diagnostics.Render());
  }
  ~Fixture() { std::filesystem::remove_all(directory_); }
  std::unique_ptr<Sink> Open(uint64_t epoch = 0, const std::string& committed = "", bool good = true) {
    auto sink = bound_->make_sink();
    SinkOpenContext ctx;
    ctx.env = Env::Posix();
    ctx.restored_epoch.number = epoch;
    ctx.committed = committed;
    CHECK(sink->Open(ctx).ok() == good);
    return sink;
  }

 private:
  std::string directory_;
  std::optional<BoundSink> bound_;
};

const Schema kAlerts({{"rule", TypeId::kString},
                      {"channel", TypeId::kString},
                      {"state", TypeId::kString},
                      {"started_at", TypeId::kTimestamp}});
constexpr const char* kTruth =
    "{\"kind\":\"spike\",\"channel\":\"c1\",\"start\":\"2020-01-01T00:00:00Z\",\"end\":\"2020-01-01T00:01:00Z\","
    "\"strength\":4.5}\n"
    "{\"kind\":\"drop\",\"channel\":\"c2\",\"video_id\":null,\"start\":\"2020-01-02T00:00:00Z\",\"end\":\"2020-01-"
    "02T00:01:00Z\"}\n";
constexpr int64_t kFirst = 1577836800000000;  // 2020-01-01T00:00:00Z

Batch Firing(const char* channel, int64_t started, const char* state = "firing") {
  return MakeRows(kAlerts, {{.time_us = started + 5000000, .cells = {"r", channel, state, started}}});
}

TEST_CASE("Scorecard_FiringRows_AreJudgedAtTheEnd") {
  Fixture fixture(kTruth);
  const auto sink = fixture.Open();
  REQUIRE(sink->Write(Firing("c1", kFirst + 1000000), 0).ok());
  REQUIRE(sink->Write(Firing("c1", kFirst + 1000000, "resolved"), 1).ok());
  REQUIRE(sink->Write(Firing("c9", kFirst + 1000000), 2).ok());
  REQUIRE(sink->Finish().ok());
  CHECK(sink->Summary().find("planted 2, found 1: recall 50% (by chance 0%); alerts 2, right 1: precision 50% (by "
                             "chance 0%); median delay 6s") == 0);
  CHECK(sink->Summary().find("drop                  0 of  1 found, median delay -") != std::string::npos);
}

TEST_CASE("Scorecard_Restart_ForgetsWhatWasNotCommittedAndKeepsTheRest") {
  Fixture fixture(kTruth);
  const auto first = fixture.Open();
  REQUIRE(first->Write(Firing("c1", kFirst), 0).ok());
  const auto committed = first->PrepareCommit(Epoch{1});
  REQUIRE(committed.ok());
  REQUIRE(first->Write(Firing("c9", kFirst), 1).ok());
  const auto second = fixture.Open(1, *committed);
  REQUIRE(second->Write(Firing("c2", kFirst + 86400000000), 1).ok());
  REQUIRE(second->Finish().ok());
  CHECK(second->Summary().find("planted 2, found 2: recall 100%") == 0);
  CHECK(second->Summary().find("alerts 2, right 2") != std::string::npos);
  fixture.Open(1, "");  // a sink that is new to a pipeline with state
  fixture.Open(1, committed->substr(0, committed->size() / 2), false);
}

TEST_CASE("Scorecard_BadTruth_IsAnErrorThatNamesTheFile") {
  for (const char* truth : {"{\"kind\":\"spike\",\"channel\":\"c1\"}\n", "{\"kind\":\n",
                            "{\"kind\":\"spike\",\"start\":\"2020-01-01T00:00:00Z\",\"end\":null}\n"}) {
    CAPTURE(std::string(truth));
    Fixture fixture(truth);
    const auto sink = fixture.Open();
    const Status status = sink->Finish();
    CHECK_FALSE(status.ok());
    CHECK(status.ToString().find("truth.ndjson") != std::string::npos);
  }
}

}  // namespace
}  // namespace freshet::testing
