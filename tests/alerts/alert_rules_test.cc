// Hysteresis, silence of keys, maintenance, feedback and commands of `alert`.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/base/rng.h"
#include "engine/flow/command.h"
#include "operators/alert.h"
#include "operators/alert/alert_command.h"
#include "tests/alerts/episode_oracle.h"
#include "tests/operators/test_rows.h"

namespace freshet::testing {
namespace {

constexpr int64_t kHour = 3'600'000'000;

/// Runs one key's rows through an Episode, as `alert` does.
std::vector<Told> Played(const std::vector<EpisodeInput>& rows, const EpisodeOptions& options, int64_t horizon_us) {
  Episode episode;
  std::vector<Told> told;
  size_t start_row = 0;
  const auto tell = [&](const std::optional<EpisodeEvent>& event) {
    if (!event) return;
    told.push_back({event->firing, event->time_us, episode.started_us(), event->firing ? 0 : episode.ended_us(),
                    episode.peaked_us(), episode.peak(), episode.has_peak(), episode.severity(), start_row});
  };
  const auto advance = [&](int64_t now) {
    for (auto next = episode.Deadline(options); next && *next <= now; next = episode.Deadline(options))
      tell(episode.OnTime(*next, options));
    ByteSink sink;
    episode.Encode(sink);
    const std::string bytes = sink.Take();
    episode = Episode();
    ByteSource source(bytes);
    REQUIRE(episode.Decode(source));
    REQUIRE(source.exhausted());
  };
  for (size_t i = 0; i < rows.size(); ++i) {
    advance(rows[i].time_us);
    bool started = false;
    const auto event = episode.OnRow(rows[i], options, &started);
    if (started) start_row = i;
    tell(event);
  }
  advance(horizon_us);
  return told;
}

std::vector<EpisodeInput> RandomRows(Rng& rng, int64_t step_max, bool linger) {
  std::vector<EpisodeInput> rows;
  int64_t now = 100;
  for (uint64_t n = rng.Below(50); n > 0; --n) {
    now += 1 + static_cast<int64_t>(rng.Below(static_cast<uint64_t>(step_max)));
    EpisodeInput row{now, rng.Below(2) == 0, static_cast<uint8_t>(1 + rng.Below(4)), {}};
    if (rng.Below(3) > 0) row.value = static_cast<double>(rng.Below(9)) - 4;
    row.lingers = linger && !row.condition && rng.Below(2) == 0;
    rows.push_back(row);
  }
  return rows;
}

TEST_CASE("Episode_Hysteresis_EqualsATriggerInFrontOfPlainRows") {
  size_t events = 0, lingered = 0;
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    EpisodeOptions options;
    options.for_us = static_cast<int64_t>(rng.Below(8));
    options.keep_firing_for_us = static_cast<int64_t>(rng.Below(8));
    const std::vector<EpisodeInput> rows = RandomRows(rng, 5, true);
    std::vector<EpisodeInput> plain = rows;
    bool on = false;
    for (EpisodeInput& row : plain) {
      on = row.condition || (on && row.lingers);
      lingered += on && !row.condition ? 1 : 0;
      row.condition = on;
      row.lingers = false;
    }
    // Without cooldown nothing else decides whether an episode is on.
    const auto told = Played(rows, options, 10000);
    events += told.size();
    REQUIRE(told == EpisodesOf(plain, options, 10000));
  }
  CHECK(events > 3000);
  CHECK(lingered > 1000);
}

TEST_CASE("Episode_SilenceThatResolves_IsAFalseRowAtTheDeadline") {
  size_t events = 0;
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    EpisodeOptions options, plain_options;
    options.for_us = plain_options.for_us = static_cast<int64_t>(rng.Below(12));
    options.cooldown_us = plain_options.cooldown_us = rng.Below(2) == 0 ? 0 : static_cast<int64_t>(rng.Below(30));
    options.no_data = NoData::kResolve;
    options.no_data_after_us = 1 + static_cast<int64_t>(rng.Below(10));
    std::vector<EpisodeInput> rows = RandomRows(rng, 14, false), plain;
    for (size_t i = 0; i < rows.size(); ++i) {
      plain.push_back(rows[i]);
      const int64_t next = i + 1 < rows.size() ? rows[i + 1].time_us : 10000;
      const int64_t silent = rows[i].time_us + options.no_data_after_us;
      if (silent <= next) plain.push_back({silent, false, 0, {}});
    }
    auto told = Played(rows, options, 10000), expected = EpisodesOf(plain, plain_options, 10000);
    for (Told& t : expected) t.start_row = 0;
    for (Told& t : told) t.start_row = 0;
    events += told.size();
    REQUIRE(told == expected);
  }
  CHECK(events > 3000);
}

TEST_CASE("Episode_SilenceThatFires_OneEpisodePerGapUntilTheNextRow") {
  size_t silent_count = 0;
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    EpisodeOptions options;
    options.no_data = NoData::kFire;
    options.no_data_after_us = 1 + static_cast<int64_t>(rng.Below(10));
    options.no_data_severity = 4;
    const std::vector<EpisodeInput> rows = RandomRows(rng, 14, false);
    // With no waiting times an episode is a run of true rows, or a gap after a false one (and true rows behind it).
    std::vector<EpisodeInput> plain;
    for (size_t i = 0; i < rows.size(); ++i) {
      plain.push_back(rows[i]);
      const int64_t next = i + 1 < rows.size() ? rows[i + 1].time_us : 10000;
      const int64_t silent = rows[i].time_us + options.no_data_after_us;
      if (rows[i].condition || silent > next) continue;
      plain.push_back({silent, true, 4, {}});
      ++silent_count;
    }
    auto told = Played(rows, options, 10000), expected = EpisodesOf(plain, {}, 10000);
    for (Told& t : expected) t.start_row = 0;
    for (Told& t : told) t.start_row = 0;
    REQUIRE(told == expected);
  }
  CHECK(silent_count > 3000);
}

TEST_CASE("AlertCell_Codec1_IsReadWithItsEpisodeGoingOn") {
  ByteSink sink;
  sink.PutU8(2);  // firing
  sink.PutU8(1 | 4);
  sink.PutU8(3);
  for (const int64_t time : {100, 180, 90, 150}) sink.PutI64(time);  // start, failed, ended before, peak
  sink.PutF64(7.5);
  sink.PutString("text");
  sink.PutString("row");
  const std::string bytes = sink.Take();
  ByteSource source(bytes);
  AlertCell cell;
  REQUIRE(cell.Decode(source, 1));
  CHECK(source.exhausted());
  CHECK(cell.told);
  CHECK(cell.message == "text");
  CHECK(cell.row_bytes == "row");
  CHECK(cell.episode.started_us() == 100);
  CHECK(cell.episode.peak() == 7.5);
  CHECK(cell.feedback.factor() == 1);
  AlertRules rules;
  rules.episode.keep_firing_for_us = 30;
  CHECK(cell.Deadline(rules) == 210);
}

TEST_CASE("Feedback_Factor_StaysWithinItsBoundsAndFindsTheShareOfNoise") {
  Feedback noise, useful;
  CHECK(noise.factor() == 1);
  noise.Learn(AlertLabel::kNoise);
  useful.Learn(AlertLabel::kUseful);
  CHECK(noise.factor() == doctest::Approx(std::pow(2, 0.8)));
  CHECK(useful.factor() == doctest::Approx(std::pow(2, -0.2)));
  for (int i = 0; i < 1000; ++i) {
    noise.Learn(AlertLabel::kNoise);
    useful.Learn(AlertLabel::kUseful);
  }
  CHECK(noise.factor() == doctest::Approx(4));
  CHECK(useful.factor() == doctest::Approx(0.25));
  // Alerts whose share of noise falls as 0.8 / factor^2 settle where it is the tolerated fifth: at factor 2.
  Rng rng(7);
  Feedback learned;
  for (int i = 0; i < 20000; ++i)
    learned.Learn(rng.NextDouble() < 0.8 / (learned.factor() * learned.factor()) ? AlertLabel::kNoise
                                                                                 : AlertLabel::kUseful);
  CHECK(learned.factor() == doctest::Approx(2).epsilon(0.1));
  CHECK(Harder(3, 2, true) == 6);
  CHECK(Harder(0.01, 2, false) == 0.005);
  CHECK(Harder(-3, 2, true) == -1.5);
  CHECK(Harder(-3, 2, false) == -6);
}

const Schema kSchema({{"k", TypeId::kString}, {"v", TypeId::kFloat64}, {"direction", TypeId::kString}});

TestRow Row(int64_t time, const char* key, TestCell value, TestCell direction = nullptr) {
  return {.time_us = time,
          .watermark_us = INT64_MIN,
          .ordinal = static_cast<uint64_t>(time),
          .cells = {key, std::move(value), std::move(direction)}};
}

using Lines = std::vector<std::string>;

/// "TIME KEY STATE" of the rows that came out so far.
Lines Told2(const OperatorHarness& harness, int lane = 0) {
  Lines lines;
  for (const Batch& b : harness.output(lane, 0))
    for (int32_t r = 0; r < b.row_count(); ++r)
      lines.push_back(std::to_string(b.time(r).us) + " " + std::string(b.column(2).StringAt(r)) + " " +
                      std::string(b.column(3).StringAt(r)));
  return lines;
}

Lines Run(const std::string& yaml, const std::vector<TestRow>& rows) {
  const BoundNode node(AlertDescriptor(), "key: [k]\n" + yaml, kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness harness(node.bound(), {});
  harness.Feed(MakeRows(kSchema, rows));
  harness.End();
  REQUIRE_MESSAGE(harness.status().ok(), harness.status().ToString());
  CHECK(ConservationFault(harness.counters(), NodeClass::kStateful) == "");
  return Told2(harness);
}

TEST_CASE("Alert_Threshold_DirectionAndHysteresis") {
  const std::vector<TestRow> rows = {Row(1, "a", 5.0), Row(2, "a", 3.5), Row(3, "a", 2.9), Row(4, "a", -5.0),
                                     Row(5, "a", nullptr)};
  CHECK(Run("value: v\nthreshold: 4\n", rows) == Lines{"1 a firing", "2 a resolved", "4 a firing", "5 a resolved"});
  CHECK(Run("value: v\nthreshold: 4\nclear_threshold: 3\n", rows) ==
        Lines{"1 a firing", "3 a resolved", "4 a firing", "5 a resolved"});
  CHECK(Run("value: v\nthreshold: 4\ndirection: up\n", rows) == Lines{"1 a firing", "2 a resolved"});
  CHECK(Run("value: v\nthreshold: 3\ndirection: down\nclear_threshold: 3.2\n", rows) ==
        Lines{"3 a firing", "5 a resolved"});
  CHECK(Run("when: v > 4\nclear_when: v < 3\n", rows) == Lines{"1 a firing", "3 a resolved"});
  CHECK(Run("when: v < 0\nvalue: v\nthreshold: 4\n", rows) == Lines{"4 a firing", "5 a resolved"});
}

TEST_CASE("Alert_Direction_OfTheDetectorWhereThereIsNoThreshold") {
  const std::vector<TestRow> rows = {Row(1, "a", 5.0, "up"), Row(2, "a", 5.0, "down"), Row(3, "a", 5.0)};
  CHECK(Run("when: v > 1\ndirection: down\n", rows) == Lines{"2 a firing", "3 a resolved"});
  CHECK(Run("when: v > 1\ndirection: up\n", rows) == Lines{"1 a firing", "2 a resolved"});
  CHECK(Run("when: v > 1\n", rows) == Lines{"1 a firing"});
}

TEST_CASE("Alert_NoData_FiresPerKeyWithTheLastRow") {
  const BoundNode node(AlertDescriptor(),
                       "key: [k]\nvalue: v\nthreshold: 4\nno_data: fire\nno_data_after: 10us\nseverity: high\n",
                       kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness harness(node.bound(), {});
  harness.Feed(MakeRows(kSchema, {Row(1, "a", 1.0), Row(1, "b", 9.0), Row(5, "a", 2.0), Row(30, "a", 1.0)}));
  harness.Watermark({31});
  CHECK(Told2(harness) == Lines{"1 b firing", "15 a firing", "30 a resolved"});
  const Batch& batch = harness.output(0, 0)[0];
  CHECK(batch.column(4).StringAt(1) == "high");
  CHECK(batch.column(9).StringAt(1).find("no data for 10us, last at ") == 0);
  CHECK(batch.column(10).float64s()[1] == 2.0);
}

TEST_CASE("Alert_Maintenance_HoldsWhatStillFiresAfterwards") {
  // From 02:00 to 04:00: a begins and ends in it, b goes on, c fired before and resolves in it.
  const std::vector<TestRow> rows = {Row(kHour, "c", 9.0),     Row(2 * kHour, "a", 9.0), Row(2 * kHour + 1, "b", 9.0),
                                     Row(3 * kHour, "a", 1.0), Row(3 * kHour, "c", 1.0), Row(5 * kHour, "b", 1.0)};
  CHECK(Run("value: v\nthreshold: 4\nmaintenance: [daily 02:00-04:00]\n", rows) ==
        Lines{"3600000000 c firing", "10800000000 c resolved", "14400000000 b firing", "18000000000 b resolved"});
}

TEST_CASE("Alert_Texts_ResolvedMessageDedupeOwnerRunbookLabels") {
  const BoundNode node(AlertDescriptor(),
                       "key: [k]\nvalue: v\nthreshold: 4\nmessage: \"{k} is {v:.1f}\"\n"
                       "resolved_message: \"{k} is well after {duration}, worst {peak:.1f}\"\n"
                       "dedupe_key: \"x-{k}\"\nowner: media\nrunbook: https://example.org/r\n"
                       "labels: {team: \"a \\\"b\\\"\", tier: one}\n",
                       kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness harness(node.bound(), {});
  harness.Feed(MakeRows(kSchema, {Row(0, "a", 5.0), Row(1000000, "a", 7.0), Row(90000000, "a", 1.0)}));
  harness.End();
  REQUIRE(Told2(harness).size() == 2);
  const Batch& b = harness.output(0, 0)[0];
  const auto text = [&](const char* name, int32_t row) { return b.column(*b.schema()->Find(name)).StringAt(row); };
  CHECK(text("message", 0) == "a is 5.0");
  CHECK(text("message", 1) == "a is well after 1m30s, worst 7.0");
  CHECK(text("dedupe_key", 1) == "x-a");
  CHECK(text("owner", 0) == "media");
  CHECK(text("runbook", 0) == "https://example.org/r");
  CHECK(text("labels", 0) == "{\"team\":\"a \\\"b\\\"\",\"tier\":\"one\"}");
  CHECK(b.schema()->field(b.schema()->size() - 1).name == "labels");
}

TEST_CASE("Alert_WrongRules_AreReportedInPlace") {
  const auto fault = [](const std::string& yaml, const char* code) {
    const BoundNode node(AlertDescriptor(), yaml, kSchema);
    CHECK_FALSE(node);
    CHECK_MESSAGE(node.diagnostics().find(code) != std::string::npos, node.diagnostics());
  };
  fault("key: [k]\n", "FR3406");
  fault("threshold: 3\n", "FR3406");
  fault("value: k\nthreshold: 3\n", "FR3404");
  fault("value: v\nthreshold: 0\n", "FR3407");
  fault("when: v > 1\nclear_threshold: 1\n", "FR3408");
  fault("value: v\nthreshold: 3\nclear_threshold: 4\n", "FR3408");
  fault("value: v\nthreshold: 3\ndirection: down\nclear_threshold: 2\n", "FR3408");
  fault("when: v > 1\nno_data: fire\n", "FR3409");
  fault("when: v > 1\nno_data_after: 10m\n", "FR3409");
  fault("when: v > 1\nmaintenance: [daily 2-3]\n", "FR3410");
  fault("when: v > 1\nresolved_message: \"{durations}\"\n", "FR3401");
}

std::string Order(AlertCommand::Verb verb, uint64_t id, int64_t until = 0, AlertLabel label = AlertLabel::kNone) {
  AlertCommand command;
  command.verb = verb;
  command.alert_id = id;
  command.until_us = until;
  command.now_us = 77;
  command.label = label;
  return command.Encode();
}

TEST_CASE("Alert_Labels_MoveTheThresholdOfTheirKeyThroughRestartsAndLanes") {
  const BoundNode node(AlertDescriptor(), "key: [k]\nvalue: v\nthreshold: 4\n", kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  HarnessCheckpoint checkpoint;
  OperatorHarness::Options options;
  options.lanes = 3;
  auto harness = std::make_unique<OperatorHarness>(node.bound(), options);
  harness->Feed(MakeRows(kSchema, {Row(1, "a", 5.0), Row(1, "b", 5.0), Row(2, "a", 1.0), Row(2, "b", 1.0)}));
  harness->Watermark({3});
  std::map<std::string, uint64_t> ids;
  for (int lane = 0; lane < 3; ++lane)
    for (const Batch& b : harness->output(lane, 0))
      for (int32_t r = 0; r < b.row_count(); ++r)
        ids[std::string(b.column(2).StringAt(r))] = *ParseAlertId(b.column(0).StringAt(r));
  Command noise("node", Order(AlertCommand::Verb::kLabel, ids.at("a"), 0, AlertLabel::kNoise));
  harness->Obey(noise);
  CHECK(noise.answers().size() == 1);
  harness->Obey(noise);  // said twice, learned once
  Command nobody("node", Order(AlertCommand::Verb::kLabel, 1, 0, AlertLabel::kNoise));
  harness->Obey(nobody);
  CHECK(nobody.answers().empty());
  harness->Snapshot(&checkpoint);
  options.lanes = 1;
  options.restore = &checkpoint;
  harness = std::make_unique<OperatorHarness>(node.bound(), options);
  // 4 * 2^0.8 is 6.96.
  harness->Feed(MakeRows(kSchema, {Row(10, "a", 6.9), Row(10, "b", 6.9), Row(11, "a", 7.0)}));
  harness->Watermark({12});
  CHECK(Told2(*harness) == Lines{"10 b firing", "11 a firing"});
}

TEST_CASE("Alert_Silence_OfAnAlertOrARuleHoldsAndEnds") {
  const BoundNode node(AlertDescriptor(), "key: [k]\nvalue: v\nthreshold: 4\n", kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness harness(node.bound(), {});
  harness.Feed(MakeRows(kSchema, {Row(1, "a", 5.0), Row(2, "a", 1.0)}));
  harness.Watermark({3});
  const uint64_t id = *ParseAlertId(harness.output(0, 0)[0].column(0).StringAt(0));
  Command one("node", Order(AlertCommand::Verb::kSilence, id, 100));
  harness.Obey(one);
  CHECK(one.answers().size() == 1);
  harness.Feed(MakeRows(kSchema, {Row(10, "a", 5.0), Row(10, "b", 5.0), Row(20, "b", 1.0)}));
  harness.Watermark({99});
  const Lines before = {"1 a firing", "2 a resolved", "10 b firing", "20 b resolved"};
  CHECK(Told2(harness) == before);
  harness.Watermark({101});
  Lines now = before;
  now.emplace_back("100 a firing");
  CHECK(Told2(harness) == now);
  Command all("node", Order(AlertCommand::Verb::kSilence, 0, 1000));
  harness.Obey(all);
  harness.Feed(MakeRows(kSchema, {Row(110, "b", 5.0), Row(111, "c", 5.0), Row(112, "c", 1.0)}));
  harness.Watermark({200});
  CHECK(Told2(harness) == now);
  Command end("node", Order(AlertCommand::Verb::kSilence, 0, INT64_MIN));
  harness.Obey(end);
  harness.Watermark({300});
  now.emplace_back("200 b firing");  // c came and went unheard
  CHECK(Told2(harness) == now);
}

TEST_CASE("Alert_SilenceEndedRightAfterARestart_ShowsAtTheNextWatermark") {
  const BoundNode node(AlertDescriptor(), "key: [k]\nvalue: v\nthreshold: 4\n", kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  for (const bool watermark : {true, false}) {
    HarnessCheckpoint checkpoint;
    OperatorHarness::Options options;
    auto harness = std::make_unique<OperatorHarness>(node.bound(), options);
    Command all("node", Order(AlertCommand::Verb::kSilence, 0, 1000));
    harness->Obey(all);
    harness->Feed(MakeRows(kSchema, {Row(110, "b", 5.0)}));
    if (watermark) harness->Watermark({200});
    harness->Snapshot(&checkpoint);
    CHECK(Told2(*harness).empty());
    // The harness keeps one of a table's numbers per key group: let it be the one of the key's.
    for (const auto& [id, row] : std::map(checkpoint.rows))
      if (id.first == "episodes" && watermark) checkpoint.rows.at({"watermark", ""}).key_group = row.key_group;
    options.restore = &checkpoint;
    options.lanes = 3;
    harness = std::make_unique<OperatorHarness>(node.bound(), options);
    Command end("node", Order(AlertCommand::Verb::kSilence, 0, INT64_MIN));
    harness->Obey(end);
    harness->Watermark({300});
    Lines told;
    for (int lane = 0; lane < 3; ++lane)
      for (std::string& line : Told2(*harness, lane)) told.push_back(std::move(line));
    const std::string expected = watermark ? "200 b firing" : "110 b firing";
    REQUIRE(told.size() == 1);
    CHECK(told[0] == expected);
  }
}

TEST_CASE("Alert_SilenceOfAKey_OutlivesTheEndOfAnInputThatGrows") {
  for (const char* remember : {"0s", "1h"}) {
    const BoundNode node(AlertDescriptor(),
                         std::string("key: [k]\nvalue: v\nthreshold: 4\nremember: ") + remember + "\n", kSchema);
    REQUIRE_MESSAGE(node, node.diagnostics());
    HarnessCheckpoint checkpoint;
    OperatorHarness::Options options;
    auto harness = std::make_unique<OperatorHarness>(node.bound(), options);
    harness->Feed(MakeRows(kSchema, {Row(1, "a", 5.0)}));
    harness->Watermark({3});
    const uint64_t id = *ParseAlertId(harness->output(0, 0)[0].column(0).StringAt(0));
    Command silence("node", Order(AlertCommand::Verb::kSilence, id, 1000));
    harness->Obey(silence);
    harness->Feed(MakeRows(kSchema, {Row(10, "a", 1.0), Row(20, "a", 5.0), Row(30, "a", 1.0)}));
    harness->End();
    CHECK(Told2(*harness) == Lines{"1 a firing", "10 a resolved"});
    harness->Snapshot(&checkpoint);
    options.restore = &checkpoint;
    harness = std::make_unique<OperatorHarness>(node.bound(), options);
    harness->Feed(MakeRows(kSchema, {Row(40, "a", 5.0)}));
    harness->Watermark({50});
    CHECK(Told2(*harness).empty());
    harness->Watermark({1001});
    CHECK(Told2(*harness) == Lines{"1000 a firing"});
  }
}

TEST_CASE("Alert_AllRulesAtOnce_RestartAnywhereInAnyLanesTellsTheSame") {
  const BoundNode node(AlertDescriptor(),
                       "key: [k]\nvalue: v\nthreshold: 5\nclear_threshold: 3\nfor: 7us\nkeep_firing_for: 9us\n"
                       "cooldown: 20us\nno_data: fire\nno_data_after: 25us\nremember: 60us\n"
                       "maintenance: [\"1970-01-01T00:00:00.000100Z to 1970-01-01T00:00:00.000140Z\"]\n"
                       "message: \"{k} {v:.2f}\"\nresolved_message: \"{duration} {peak:.3f}\"\n",
                       kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  size_t told = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    std::vector<TestRow> rows;
    for (int64_t t = 10; t < 300; t += static_cast<int64_t>(rng.Below(6)))
      rows.push_back(Row(t, std::string(1, static_cast<char>('a' + rng.Below(4))).c_str(),
                         static_cast<double>(rng.Below(90)) / 10));
    const SchemaRef schema = std::make_shared<const Schema>(kSchema);
    const auto run = [&](bool restarts) {
      Lines out;
      HarnessCheckpoint checkpoint;
      OperatorHarness::Options options;
      auto harness = std::make_unique<OperatorHarness>(node.bound(), options);
      const auto collect = [&] {
        REQUIRE_MESSAGE(harness->status().ok(), harness->status().ToString());
        for (int lane = 0; lane < options.lanes; ++lane)
          for (const Batch& b : harness->output(lane, 0))
            for (std::string& text : RowTexts(b)) out.push_back(std::move(text));
      };
      Rng cuts(seed);
      for (size_t from = 0; from < rows.size();) {
        const size_t count = std::min<size_t>(restarts ? 1 + cuts.Below(9) : rows.size(), rows.size() - from);
        harness->Feed(MakeRows(schema, rows, from, count));
        from += count;
        if (!restarts || from == rows.size()) continue;
        if (rows[from].time_us == rows[from - 1].time_us) continue;
        harness->Watermark({rows[from].time_us});
        if (cuts.Below(2) == 0) continue;
        harness->Snapshot(&checkpoint);
        collect();
        options.restore = &checkpoint;
        options.lanes = 1 + static_cast<int>(cuts.Below(4));
        harness = std::make_unique<OperatorHarness>(node.bound(), options);
      }
      harness->End();
      collect();
      std::sort(out.begin(), out.end());
      return out;
    };
    const Lines expected = run(false);
    told += expected.size();
    REQUIRE(run(true) == expected);
  }
  MESSAGE("rows told ", told);
  CHECK(told > 500);
}

}  // namespace
}  // namespace freshet::testing
