// What people say of alerts: labels, silences, and what is kept of them.
#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "engine/base/rng.h"
#include "engine/flow/command.h"
#include "tests/alerts/alert_told.h"

namespace freshet::testing {
namespace {

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

TEST_CASE("AlertCell_Codec4_IsReadWithoutABrief") {
  AlertCell cell;
  cell.id = 7;
  cell.surprise = 4.5;
  cell.recent.Push(3, 2.5);
  ByteSink sink;
  cell.Encode(sink);
  const std::string bytes = sink.Take();
  ByteSource source(std::string_view(bytes).substr(0, bytes.size() - 26));
  AlertCell read;
  REQUIRE(read.Decode(source, 4));
  CHECK(source.exhausted());
  CHECK(read.surprise == 4.5);
  CHECK(read.recent.last_us() == 3);
  CHECK(read.brief.confidence.empty());
  cell.brief.confidence = "c";
  cell.brief.sample_size = 12;
  cell.silence_ends_with_episode = true;
  ByteSink whole;
  cell.Encode(whole);
  const std::string more = whole.Take();
  ByteSource again(more);
  REQUIRE(read.Decode(again, AlertCell::kCodec));
  CHECK(again.exhausted());
  CHECK(read.brief.confidence == "c");
  CHECK(read.brief.sample_size == 12);
  CHECK(read.silence_ends_with_episode);
}

TEST_CASE("AlertCell_Codec2_IsReadWithoutASurprise") {
  AlertCell cell;
  cell.id = 7;
  cell.feedback.Learn(AlertLabel::kNoise);
  cell.silenced_until_us = 99;
  cell.key_text = "k=a";
  cell.past.push_back({.id = 5, .message = "over"});
  ByteSink sink;
  cell.Encode(sink);
  // Codec 3 ends with a surprise of the past alert, then floor, surprise, bound (8 bytes each) and no values (1); codec
  // 4 has two numbers more, codec 5 a brief (8) of both alerts, and whether the silence ends with the episode (1),
  // codec 7 how many rows met the condition lately (1) and two moments.
  const std::string bytes = sink.Take();
  ByteSource source(std::string_view(bytes).substr(0, bytes.size() - 83));
  AlertCell read;
  REQUIRE(read.Decode(source, 2));
  CHECK(source.exhausted());
  CHECK(read.id == 7);
  CHECK(read.silenced_until_us == 99);
  CHECK(read.key_text == "k=a");
  REQUIRE(read.past.size() == 1);
  CHECK(read.past[0].message == "over");
  CHECK(read.past[0].surprise == 0);
  CHECK(read.feedback.factor() == cell.feedback.factor());
  CHECK(read.SurpriseFloor() == 0);
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    ByteSource torn(std::string_view(bytes).substr(0, cut));
    CHECK_FALSE(AlertCell().Decode(torn, AlertCell::kCodec));
  }
}

TEST_CASE("AlertCell_Codec3_IsReadWithoutWhatMetTheCondition") {
  AlertCell cell;
  cell.surprise = 6;
  cell.least_met = 2;
  cell.most_met = 9;
  ByteSink sink;
  cell.Encode(sink);
  const std::string bytes = sink.Take();
  for (const uint16_t codec : {uint16_t{3}, uint16_t{4}}) {
    ByteSource source(std::string_view(bytes).substr(0, bytes.size() - (codec == 3 ? 42 : 26)));
    AlertCell read;
    REQUIRE(read.Decode(source, codec));
    CHECK(source.exhausted());
    CHECK(read.surprise == 6);
    CHECK(read.least_met == (codec == 3 ? 0 : 2));
    CHECK(read.most_met == (codec == 3 ? 0 : 9));
  }
}

TEST_CASE("AlertCell_Codec6_IsReadWithoutFormsAndWhatMetTheConditionLately") {
  AlertCell cell;
  cell.least_met = 2;
  cell.most_met = 9;
  cell.lately_met = {9, 2, 3};
  cell.form_asked_us = 5;
  cell.forms_until_us = 6;
  ByteSink sink;
  cell.Encode(sink);
  const std::string bytes = sink.Take();
  AlertCell read;
  ByteSource source(bytes);
  REQUIRE(read.Decode(source, AlertCell::kCodec));
  CHECK(source.exhausted());
  CHECK(read.lately_met == cell.lately_met);
  CHECK(read.form_asked_us == 5);
  CHECK(read.forms_until_us == 6);
  ByteSource old(std::string_view(bytes).substr(0, bytes.size() - 1 - 3 * 8 - 2 * 8));
  AlertCell of_old;
  REQUIRE(of_old.Decode(old, 6));
  CHECK(old.exhausted());
  CHECK(of_old.most_met == 9);
  CHECK(of_old.lately_met.empty());
  CHECK(of_old.forms_until_us == 0);
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    ByteSource torn(std::string_view(bytes).substr(0, cut));
    CHECK_FALSE(AlertCell().Decode(torn, AlertCell::kCodec));
  }
  cell.lately_met = {10};  // more than the most
  ByteSink odd;
  cell.Encode(odd);
  const std::string wrong = odd.Take();
  ByteSource wrong_source(wrong);
  CHECK_FALSE(AlertCell().Decode(wrong_source, AlertCell::kCodec));
}

// The form of a link's page is good until its silence was ended or changed by other means, whatever the clock does.
TEST_CASE("AlertCommand_FormsMadeBeforeTheSilenceWasEnded_AreUsedUpThroughRestarts") {
  AlertCell cell;
  AlertInput on;
  on.episode.time_us = 1;
  on.episode.condition = true;
  bool started = false;
  REQUIRE(cell.OnRow(on, {}, INT64_MIN, &started));
  cell.id = 9;
  const auto order = [&](int64_t until_us, int64_t now_us, int64_t form_asked_us) {
    ByteSink sink;
    cell.Encode(sink);
    const std::string bytes = sink.Take();
    ByteSource source(bytes);
    AlertCell restarted;
    REQUIRE(restarted.Decode(source, AlertCell::kCodec));
    cell = restarted;
    AlertCommand command;
    command.alert_id = 9;
    command.until_us = until_us;
    command.now_us = now_us;
    command.form_asked_us = form_asked_us;
    const std::optional<AlertCommand> sent = AlertCommand::Decode(command.Encode());
    REQUIRE(sent);
    const char* const refusal = sent->Refusal(cell);
    REQUIRE(sent->Obey(&cell));
    return std::string(refusal == nullptr ? "" : refusal);
  };
  CHECK(order(5000, 110, 100).empty());
  CHECK(order(5000, 120, 100).empty());  // twice, and an older one
  CHECK(order(6000, 130, 90).empty());
  CHECK(cell.silenced_until_us == 6000);
  CHECK(order(INT64_MIN, 140, 0).empty());
  for (const int64_t asked : {90, 100, 140}) {
    CHECK(order(5000, 150, asked) == AlertCommand::kUsedForm);
    CHECK(order(AlertCommand::kUntilResolved, 150, asked) == AlertCommand::kUsedForm);
  }
  CHECK(cell.silenced_until_us == INT64_MIN);
  CHECK_FALSE(cell.silence_ends_with_episode);
  CHECK(order(7000, 160, 155).empty());
  CHECK(order(4000, 20, 0).empty());  // the clock went back
  CHECK(order(7000, 30, 155) == AlertCommand::kUsedForm);
  CHECK(cell.silenced_until_us == 4000);
  CHECK(order(8000, 170, 165).empty());
  CHECK(cell.silenced_until_us == 8000);
}

TEST_CASE("Feedback_Floor_IsTheWeakestTimesTheFactorWhereNoiseOutweighs") {
  Feedback said;
  said.Learn(AlertLabel::kUseful, 9);
  CHECK(said.SurpriseFloor() == 0);
  said.Learn(AlertLabel::kNoise, 4);
  CHECK(said.SurpriseFloor() == doctest::Approx(4 * said.factor()));
  said.Learn(AlertLabel::kNoise, 5);
  CHECK(said.SurpriseFloor() == doctest::Approx(4 * said.factor()));
  said.Learn(AlertLabel::kNoise);  // of which nothing is known
  CHECK(said.SurpriseFloor() == doctest::Approx(4 * said.factor()));
  while (said.factor() > 1) said.Learn(AlertLabel::kUseful, 3);
  CHECK(said.SurpriseFloor() == 0);
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

const Schema kOdd(
    {{"k", TypeId::kString}, {"odd", TypeId::kBool}, {"p_value", TypeId::kFloat64}, {"alarm_score", TypeId::kFloat64}});

const Schema kCounted(
    {{"k", TypeId::kString}, {"odd", TypeId::kBool}, {"n", TypeId::kFloat64}, {"p_value", TypeId::kFloat64}});

TestRow OddRow(int64_t time, const char* key, bool odd, TestCell p_value, TestCell alarm_score = nullptr) {
  return {.time_us = time,
          .watermark_us = INT64_MIN,
          .ordinal = static_cast<uint64_t>(time),
          .cells = {key, odd, std::move(p_value), std::move(alarm_score)}};
}

/// One key, in any lanes, kept through restarts: label(n) is said of the n-th alert that was told.
struct Listener {
  explicit Listener(const BoundNode& node, const Schema& schema) : bound(node.bound()), rows_of(schema) { Restart(1); }
  void Restart(int lanes) {
    if (harness) harness->Snapshot(&checkpoint);
    options.lanes = lanes;
    if (harness) options.restore = &checkpoint;
    harness = std::make_unique<OperatorHarness>(bound, options);
  }
  Lines Feed(const std::vector<TestRow>& rows) {
    const size_t before = all().size();
    harness->Feed(MakeRows(rows_of, rows));
    harness->Watermark({rows.back().time_us + 1});
    Lines lines = all();
    return {lines.begin() + static_cast<std::ptrdiff_t>(before), lines.end()};
  }
  Lines all() {
    Lines lines;
    for (int lane = 0; lane < options.lanes; ++lane)
      for (const Batch& b : harness->output(lane, 0))
        for (int32_t r = 0; r < b.row_count(); ++r) newest = *ParseAlertId(b.column(0).StringAt(r));
    for (int lane = 0; lane < options.lanes; ++lane)
      for (std::string& line : Told2(*harness, lane)) lines.push_back(std::move(line));
    return lines;
  }
  std::string Label(AlertLabel label) {
    Command command("node", Order(AlertCommand::Verb::kLabel, newest, 0, label));
    harness->Obey(command);
    REQUIRE(command.answers().size() == 1);
    return command.answers()[0];
  }
  const BoundOperator& bound;
  const Schema& rows_of;
  uint64_t newest = 0;
  HarnessCheckpoint checkpoint;
  OperatorHarness::Options options;
  std::unique_ptr<OperatorHarness> harness;
};

TEST_CASE("Alert_LabelsOnACondition_AskForMoreSurpriseOfTheirKey") {
  const BoundNode node(AlertDescriptor(), "key: [k]\nwhen: odd\n", kOdd);
  REQUIRE_MESSAGE(node, node.diagnostics());
  Listener a(node, kOdd);
  // The episode's most surprising row had 1e-4.
  CHECK(a.Feed({OddRow(1, "a", true, 1e-3), OddRow(2, "a", true, 1e-4), OddRow(3, "a", false, 0.5)}) ==
        Lines{"1 a firing", "3 a resolved"});
  CHECK(a.Label(AlertLabel::kNoise).empty());
  a.Restart(3);
  // 4 * 2^0.8 is 6.96; another key is free, and so is a row that nothing is known of.
  CHECK(a.Feed({OddRow(10, "a", true, 2e-7), OddRow(11, "b", true, 0.01), OddRow(12, "a", false, 1.0),
                OddRow(13, "b", false, 1.0)}) == Lines{"11 b firing", "13 b resolved"});
  CHECK(a.Feed({OddRow(20, "a", true, nullptr), OddRow(21, "a", true, 2e-7)}) == Lines{"20 a firing", "21 a resolved"});
  CHECK(a.Feed({OddRow(30, "a", true, 1e-7), OddRow(31, "a", false, 1.0)}) == Lines{"30 a firing", "31 a resolved"});
  CHECK(a.Feed({OddRow(32, "a", true, 0.5, 7.0), OddRow(33, "a", false, 1.0)}) ==
        Lines{"32 a firing", "33 a resolved"});
  a.Label(AlertLabel::kNoise);
  a.Restart(2);
  // 10.1 by now, but 7.5 is always enough; less than nothing cannot be asked for.
  CHECK(a.Feed({OddRow(40, "a", true, 1e-7), OddRow(41, "a", true, 0.0), OddRow(42, "a", false, 1.0)}) ==
        Lines{"41 a firing", "42 a resolved"});
}

TEST_CASE("Alert_LabelsOnACondition_UsefulOnesTakeItBackAndMakeNothingEasier") {
  const BoundNode node(AlertDescriptor(), "key: [k]\nwhen: v > 4\nvalue: v\n", kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  Listener a(node, kSchema);
  int64_t now = 0;
  const auto fires = [&](double v) { return !a.Feed({Row(++now, "a", v), Row(++now, "a", 0.0)}).empty(); };
  REQUIRE(fires(20));
  REQUIRE(fires(5));
  a.Label(AlertLabel::kNoise);
  CHECK_FALSE(fires(8));
  REQUIRE(fires(9));
  for (int i = 0; i < 40 && !fires(5); ++i) {
    REQUIRE(fires(100));
    a.Label(AlertLabel::kUseful);
  }
  CHECK(fires(4.1));
  CHECK_FALSE(fires(4));
}

TEST_CASE("Alert_OneNoiseLabelOnAGlitch_DoesNotDeafenItsKey") {
  const BoundNode node(AlertDescriptor(), "key: [k]\nwhen: v > 4\nvalue: v\n", kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  Listener a(node, kSchema);
  int64_t now = 0;
  const auto fires = [&](double v) { return !a.Feed({Row(++now, "a", v), Row(++now, "a", 0.0)}).empty(); };
  REQUIRE(fires(1e9));
  a.Label(AlertLabel::kNoise);
  a.Restart(3);
  CHECK_FALSE(fires(6));  // four times this is enough from now on
  a.Restart(2);
  CHECK_FALSE(fires(23));
  CHECK(fires(24));
  for (int i = 0; i < 50; ++i) {
    a.Label(AlertLabel::kNoise);
    REQUIRE(fires(24));
  }
}

TEST_CASE("Alert_OneTinyRowThatMetTheCondition_LeavesLabelsTheirEffectAndAThirdItsVoice") {
  const BoundNode node(AlertDescriptor(), "key: [k]\nwhen: v > 0\nvalue: v\n", kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  Listener a(node, kSchema);
  int64_t now = 0;
  const auto fires = [&](double v) { return !a.Feed({Row(++now, "a", v), Row(++now, "a", 0.0)}).empty(); };
  REQUIRE(fires(1e-6));
  for (const double v : {10.0, 14.0, 12.0, 15.0, 13.0}) REQUIRE(fires(v));
  REQUIRE(fires(11));
  a.Label(AlertLabel::kNoise);
  a.Restart(3);
  CHECK_FALSE(fires(11));  // 14 is the third largest of the last nine
  CHECK_FALSE(fires(1e-6));
  a.Restart(1);
  CHECK_FALSE(fires(12.5));
  CHECK(fires(14.5));
  // Whatever is said, about a third of what meets the condition is heard.
  Rng rng(11);
  int heard = 0;
  for (int i = 0; i < 400; ++i) {
    if (!fires(10 + 5 * rng.NextDouble())) continue;
    ++heard;
    a.Label(AlertLabel::kNoise);
  }
  CHECK(heard > 80);
  CHECK(heard < 200);
}

TEST_CASE("Alert_NoiseLabelsOnAScoreThatEndsAtOne_LeaveItsLargestToBeTold") {
  const Schema scored({{"k", TypeId::kString}, {"score", TypeId::kFloat64}, {"v", TypeId::kFloat64}});
  // `value` is not asked where there is a score.
  const BoundNode node(AlertDescriptor(), "key: [k]\nwhen: score > 0.6\nvalue: v\n", scored);
  REQUIRE_MESSAGE(node, node.diagnostics());
  Listener a(node, scored);
  int64_t now = 0;
  const auto row = [&](double score) {
    ++now;
    return TestRow{.time_us = now,
                   .watermark_us = INT64_MIN,
                   .ordinal = static_cast<uint64_t>(now),
                   .cells = {"a", score, 1e6 - static_cast<double>(now)}};
  };
  const auto fires = [&](double score) { return !a.Feed({row(score), row(0)}).empty(); };
  REQUIRE(fires(0.8));
  a.Label(AlertLabel::kNoise);
  a.Restart(2);
  CHECK_FALSE(fires(0.79));
  CHECK(fires(0.8));
  CHECK(fires(1));
  CHECK_FALSE(fires(0.99));
  for (int i = 0; i < 20; ++i) {
    REQUIRE(fires(1));
    a.Label(AlertLabel::kNoise);
  }
}

TEST_CASE("Alert_LabelsWhereRowsHaveAPValue_AskForThatAndNotForTheValue") {
  const BoundNode node(AlertDescriptor(), "key: [k]\nwhen: odd\nvalue: n\n", kCounted);
  REQUIRE_MESSAGE(node, node.diagnostics());
  Listener a(node, kCounted);
  int64_t now = 0;
  const auto fires = [&](double n, double p_value) {
    std::vector<TestRow> rows;
    for (const bool odd : {true, false}) {
      ++now;
      rows.push_back({.time_us = now,
                      .watermark_us = INT64_MIN,
                      .ordinal = static_cast<uint64_t>(now),
                      .cells = {"a", odd, n, p_value}});
    }
    return !a.Feed(rows).empty();
  };
  REQUIRE(fires(1e9, 1e-4));
  a.Label(AlertLabel::kNoise);
  CHECK_FALSE(fires(1e9, 2e-7));
  CHECK(fires(1, 1e-7));
}

TEST_CASE("Alert_RowShortOfTheFloor_HoldsAnEpisodeThatIsNotCleared") {
  const BoundNode node(AlertDescriptor(), "key: [k]\nwhen: v > 5\nclear_when: v < 3\nvalue: v\n", kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  Listener a(node, kSchema);
  REQUIRE(a.Feed({Row(1, "a", 12.0)}) == Lines{"1 a firing"});
  a.Label(AlertLabel::kNoise);
  CHECK(a.Feed({Row(2, "a", 6.0), Row(3, "a", 4.0), Row(4, "a", 6.0)}).empty());
  CHECK(a.Feed({Row(5, "a", 2.0)}) == Lines{"5 a resolved"});
  CHECK(a.Feed({Row(6, "a", 6.0)}).empty());  // and starts none
}

TEST_CASE("Alert_LabelsWhereNothingTellsSurprise_AreKeptAndSaidToBe") {
  const BoundNode node(AlertDescriptor(), "key: [k]\nwhen: v > 4\n", kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  Listener a(node, kSchema);
  REQUIRE(a.Feed({Row(1, "a", 5.0)}).size() == 1);
  CHECK(a.Label(AlertLabel::kNoise).find("the label is kept and shown") != std::string::npos);
  CHECK(a.Feed({Row(2, "a", 1.0), Row(3, "a", 5.0)}).size() == 2);
}

}  // namespace
}  // namespace freshet::testing
