// What an alert says (CONNECTORS' content contract, ten points): the whole text of the four metrics of a media platform
// when they fire and when they are over, and the parts it is made of.
#include "operators/alert/alert_brief.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "engine/flow/command.h"
#include "operators/alert.h"
#include "operators/alert/alert_cell.h"
#include "operators/alert/alert_command.h"
#include "operators/alert/message_template.h"
#include "tests/alerts/alert_told.h"

namespace freshet::testing {
namespace {

bool Contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

const std::vector<Field> kDetector = {
    {"expected", TypeId::kFloat64},    {"lower", TypeId::kFloat64},   {"upper", TypeId::kFloat64},
    {"score", TypeId::kFloat64},       {"p_value", TypeId::kFloat64}, {"is_anomaly", TypeId::kBool},
    {"severity", TypeId::kString},     {"why", TypeId::kString},      {"direction", TypeId::kString},
    {"alarm_score", TypeId::kFloat64}, {"rule", TypeId::kString}};

/// One metric: the schema its detector gives, the alert over it, and two rows: one that is odd, the next that is not.
struct Metric {
  const char* name;
  const char* method;
  std::vector<Field> own;
  const char* yaml;
  std::vector<TestCell> odd, usual;
};

constexpr int64_t kAt = 1'772'460'600'000'000;  // 2026-03-02T14:10:00Z
constexpr int64_t kMinute = 60'000'000;

std::vector<Metric> FourMetrics() {
  return {
      {"view_velocity",
       "anomaly of views (count)",
       {{"channel", TypeId::kString}, {"video_id", TypeId::kString}, {"views", TypeId::kInt64}},
       "when: is_anomaly\nkey: [channel, video_id]\nsparkline: views\nsamples: views\npeak: views\n"
       "next: \"see what links to {video_id}; pin it if it is real\"\nowner: \"@growth\"\n"
       "link: \"https://dash.example.org/v/{video_id}?from={started_ms}&to={ended_ms}\"\n",
       {"ZDF", "v 1&2", 5210, 1004.5, 640, 1570, 5.1, 7.4e-6, true, "high",
        "views 5210 against 1004 expected (640–1570) for 20 min: a value never seen", "up", 5.1, nullptr},
       {"ZDF", "v 1&2", 1010, 1004.5, 640, 1570, 0.1, 0.6, false, nullptr, nullptr, "up", 0, nullptr}},
      {"engagement_rate",
       "contribution to engagement_rate (ratio) by device, country",
       {{"channel", TypeId::kString}, {"total", TypeId::kFloat64}, {"of", TypeId::kFloat64}},
       "when: rule = 'engagement_drop'\nkey: [channel]\nsparkline: total\npeak: total\nowner: \"@content\"\n"
       "runbook: https://wiki.example.org/engagement\nlink: "
       "\"https://dash.example.org/e?from={started_ms}&to={ended_ms}\"\n",
       {"ZDF", 0.041, 3240, 0.059, 0.051, 0.068, 3.6, 3.1e-4, true, "high",
        "engagement_rate 4.1 % against 5.9 % expected (5.1–6.8) for 12 min; mobile in US explains 71 %; rule "
        "engagement_drop: 4.1 % over 1.0 h, 31 % below 5.9 %",
        "down", 3.6, "engagement_drop"},
       {"ZDF", 0.058, 3100, 0.059, 0.051, 0.068, 0.1, 0.7, false, nullptr, nullptr, "down", 0, nullptr}},
      {"system_performance",
       "anomaly of latency (latency); false_discovery (Benjamini–Hochberg)",
       {{"edge", TypeId::kString}, {"latency", TypeId::kFloat64}},
       "when: is_anomaly and latency > upper\nkey: [edge]\nfor: 10m\nkeep_firing_for: 30m\nsparkline: latency\n"
       "peak: latency\nowner: \"@edge\"\nnext: \"drain {edge}\"\nrunbook: https://wiki.example.org/slow\n"
       "message: \"{edge} answers in {latency:.0f} ms\"\nlink: \"https://dash.example.org/l?edge={edge}\"\n",
       {"eu-1", 212.0, 96.0, 80.0, 131.0, 4.4, 4e-5, true, "critical",
        "latency 212 against 96 expected (80–131) for 10 min: a level never held", "up", 4.4, nullptr},
       {"eu-1", 97.0, 96.0, 80.0, 131.0, 0.1, 0.9, false, nullptr, nullptr, "up", 0, nullptr}},
      {"error_rates",
       "contribution to error_rate (ratio) by edge, channel",
       {{"total", TypeId::kFloat64}, {"of", TypeId::kFloat64}},
       "when: is_anomaly\nsparkline: total\npeak: total\nowner: \"@oncall\"\nnext: roll back the last release\n"
       "link: \"https://dash.example.org/errors?from={started_ms}&to={ended_ms}\"\n",
       {0.072, 1800, nullptr, nullptr, nullptr, nullptr, nullptr, true, "high",
        "error_rate 7.2 %; edge eu-1 explains 90 %; rule error_rate: 7.2 % over 5 min, above 5 %", nullptr, 0,
        "error_rate"},
       {0.011, 1750, nullptr, nullptr, nullptr, nullptr, nullptr, false, nullptr, nullptr, nullptr, 0, nullptr}},
  };
}

std::map<std::string, std::string> Cells(const Batch& b, int32_t row) {
  std::map<std::string, std::string> cells;
  for (int c = 0; c < b.schema()->size(); ++c) cells[b.schema()->field(c).name] = ValueText(b.column(c), row);
  return cells;
}

const AlertLinks kLinks{"https://alerts.example.org", "a secret for tests only", Duration::Seconds(604800)};

/// The row that fires and the one that resolves, by column.
std::vector<std::map<std::string, std::string>> Tell(const Metric& metric, bool links = true) {
  std::vector<Field> fields = metric.own;
  fields.insert(fields.end(), kDetector.begin(), kDetector.end());
  const Schema schema(fields);
  const BoundNode node(AlertDescriptor(), metric.yaml, {&schema}, [&](BindContext* bind) {
    bind->input_names = {metric.name};
    bind->input_method = metric.method;
    if (links) bind->alert_links = &kLinks;
  });
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness harness(node.bound(), {});
  std::vector<TestRow> rows;
  for (int i = 0; i < 14; ++i) {
    const bool odd = i >= 4 && i < 10;
    rows.push_back({.time_us = kAt + (i - 4) * 5 * kMinute,
                    .watermark_us = INT64_MIN,
                    .ordinal = static_cast<uint64_t>(i),
                    .cells = odd ? metric.odd : metric.usual});
  }
  harness.Feed(MakeRows(schema, rows));
  harness.End();
  REQUIRE_MESSAGE(harness.status().ok(), harness.status().ToString());
  std::vector<std::map<std::string, std::string>> told;
  for (const Batch& b : harness.output(0, 0))
    for (int32_t r = 0; r < b.row_count(); ++r) told.push_back(Cells(b, r));
  return told;
}

TEST_CASE("AlertText_FourMetrics_HaveTheTenPoints") {
  std::string all;
  for (const Metric& metric : FourMetrics()) {
    CAPTURE(std::string(metric.name));
    const auto told = Tell(metric);
    REQUIRE(told.size() == 2);
    CHECK(told[0].at("state") == "firing");
    CHECK(told[1].at("state") == "resolved");
    for (const auto& row : told) {
      const std::string& text = row.at("alert_text");
      CAPTURE(text);
      const bool firing = row.at("state") == "firing";
      all += std::string("==== ") + metric.name + " " + row.at("state") + "\n" + text + "\n";
      const bool has_band = metric.name != std::string("error_rates");
      // 1: a headline. 2: observed, expected, band, difference, since when.
      CHECK(text.substr(0, text.find('\n')).size() > 20);
      CHECK(text.starts_with(firing ? (row.at("severity") == "high" ? "HIGH: " : "CRITICAL: ") : "RESOLVED: "));
      CHECK(Contains(text, "\nFigures: observed "));
      CHECK(Contains(text, " expected ") == has_band);
      CHECK((Contains(text, " % above") || Contains(text, " % below") || Contains(text, " times as much")) == has_band);
      CHECK(Contains(text, "\nSince: 2026-03-02T14:10:00Z"));
      // 3: why. 4: confidence, sample size, method. 5: what next. 6: where, with the stretch of time.
      CHECK(Contains(text, "\nWhy: " + row.at("why")));
      CHECK(Contains(text, "\nConfidence: " + row.at("confidence")));
      CHECK(Contains(row.at("confidence"), metric.method));
      CHECK(Contains(row.at("confidence"), has_band ? "p = " : "rule error_rate is broken"));
      CHECK(Contains(row.at("confidence"), "n = ") == (row.at("sample_size") != "-"));
      CHECK(Contains(text, "\nNext: " + row.at("next_step")));
      CHECK(Contains(text, "\nLook: https://dash.example.org/"));
      // 7: the severity's reason. 8: silence, and whose it is. 9: the last values.
      CHECK(Contains(text, "\nSeverity: " + row.at("severity") + ", " + row.at("severity_reason")));
      for (const char* span : {"silence_1h", "silence_24h"}) CHECK(Contains(text, row.at(span)));
      CHECK(row.at("silence_1h")
                .starts_with("https://alerts.example.org/silence/" + row.at("alert_id") + "/1h?expires="));
      CHECK((row.at("silence_until_resolved") != "-") == firing);
      CHECK(Contains(text, "\nOwner: " + row.at("owner")));
      CHECK(Contains(text, "\nLately: ▁▁▁▁█") != Contains(text, "\nLately: ████▁"));
      // 10: how long, and the worst point.
      CHECK(Contains(text, "\nLasted: 30m") != firing);
      CHECK(Contains(text, "\nWorst point: " + row.at("peak") + " at 2026-03-02T14:10:00Z") != firing);
    }
    CHECK(told[0].at("sample_size") == (metric.name == std::string("system_performance") ? "-"
                                        : metric.name == std::string("view_velocity")    ? "5210"
                                        : metric.name == std::string("error_rates")      ? "1800"
                                                                                         : "3240"));
    // Without a secret there are no links, but a way all the same.
    const auto without = Tell(metric, false);
    CHECK(without[0].count("silence_1h") == 0);
    CHECK(Contains(without[0].at("alert_text"), "\nSilence: freshet alerts silence " + told[0].at("alert_id")));
  }
  const std::string path = std::string(FRESHET_SOURCE_DIR) + "/tests/alerts/golden/alert_texts.txt";
  if (std::getenv("FRESHET_ACCEPT") != nullptr) std::ofstream(path) << all;
  std::stringstream expected;
  expected << std::ifstream(path).rdbuf();
  CHECK(all == expected.str());
}

TEST_CASE("ConfidenceText_WhatIsKnown_IsSaid") {
  CHECK(ConfidenceText({3.1e-4, "", true, 3.5, "x > 1", 3240, "anomaly of x (count)", 0}) ==
        "p = 0.00031, one usual row in 3,200 is as odd; n = 3,240; anomaly of x (count)");
  CHECK(ConfidenceText({0.5, "", true, 1, "", std::nullopt, "", 0}) == "p = 0.5");
  CHECK(ConfidenceText({0.0, "", true, 8, "", std::nullopt, "", 0}) ==
        "p < 1e-15, fewer than one usual row in 1,000,000,000 is as odd");
  CHECK(ConfidenceText({0.02, "error_rate", true, 1, "c", 200, "m", 600'000'000}) ==
        "p = 0.02, one usual row in 50 is as odd; rule error_rate is broken, whatever is usual; held for 10m; n = 200; "
        "m");
  CHECK(ConfidenceText({std::nullopt, "", true, 4.25, "score > 4", std::nullopt, "m", 0}) ==
        "no probability, its detector has seen too little; alarm_score 4.25; m");
  CHECK(ConfidenceText({std::nullopt, "", false, std::nullopt, "v >= 10", std::nullopt, "", 0}) ==
        "no probability, a fixed rule: v >= 10");
}

TEST_CASE("SeverityReasonText_TwoAxesOrARule_AreNamed") {
  const auto reason = [](Severity severity, std::optional<double> p, const char* rule) {
    return SeverityReasonText({SeveritySource::kColumn, "", severity, p, rule});
  };
  CHECK(reason(Severity::kMedium, 3e-4, "") == "surprise (p = 0.0003) is medium; impact changes nothing");
  CHECK(reason(Severity::kHigh, 3e-4, "") ==
        "surprise (p = 0.0003) is medium; impact, a quarter of the whole or more, makes it a step higher");
  CHECK(reason(Severity::kLow, 3e-4, "") ==
        "surprise (p = 0.0003) is medium; impact, below 1 % of the whole, makes it a step lower");
  CHECK(reason(Severity::kHigh, 0.4, "error_rate") ==
        "rule error_rate is broken; surprise (p = 0.4) alone is no reason for an alert");
  CHECK(reason(Severity::kHigh, 3e-5, "engagement_drop") ==
        "surprise (p = 3e-05) is high; rule engagement_drop is broken too");
  CHECK(reason(Severity::kHigh, std::nullopt, "error_rate") == "rule error_rate is broken");
  CHECK(reason(Severity::kCritical, 0.4, "") == "said by the column `severity`");
  CHECK(SeverityReasonText({SeveritySource::kWord, "", Severity::kHigh, 0.1, ""}) == "set for all alerts of this rule");
  CHECK(SeverityReasonText({SeveritySource::kExpression, "x", Severity::kHigh, 0.1, ""}) == "by x");
}

TEST_CASE("DeltaText_Differences_ReadAsPeopleSayThem") {
  CHECK(DeltaText({41, 59, NAN, NAN}) == "31 % below");
  CHECK(DeltaText({59.5, 59, NAN, NAN}) == "0.85 % above");
  CHECK(DeltaText({590, 59, NAN, NAN}) == "10 times as much");
  CHECK(DeltaText({-5, -10, NAN, NAN}) == "50 % above");
  CHECK(DeltaText({1, 0, NAN, NAN}).empty());
  CHECK(DeltaText({NAN, 3, NAN, NAN}).empty());
  CHECK(FiguresText({41, 59, 51, 68}) == "observed 41, expected 59 (51 to 68), 31 % below");
  CHECK(FiguresText({NAN, NAN, NAN, NAN}).empty());
}

// The row with the worst severity says why it is the worst and how sure that is, not the one that started.
TEST_CASE("AlertBrief_SeverityRises_ReasonAndConfidenceAreOfTheRowThatRaisedIt") {
  const Schema schema(
      {{"p_value", TypeId::kFloat64}, {"severity", TypeId::kString}, {"hot", TypeId::kBool}, {"of", TypeId::kFloat64}});
  const BoundNode node(AlertDescriptor(), "when: hot\n", schema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness harness(node.bound(), {});
  const auto row = [](int64_t time, double p, const char* severity, bool hot) {
    return TestRow{.time_us = time,
                   .watermark_us = INT64_MIN,
                   .ordinal = 0,
                   .cells = {p, severity, hot, 100.0 * static_cast<double>(time)}};
  };
  harness.Feed(
      MakeRows(schema, {row(1, 5e-3, "low", true), row(2, 5e-8, "critical", true), row(3, 5e-4, "medium", true),
                        row(4, 5e-9, "critical", true), row(5, 0.5, "low", false)}));
  harness.End();
  REQUIRE(harness.output(0, 0).size() > 0);
  std::vector<std::string> reasons, sure;
  for (const Batch& b : harness.output(0, 0))
    for (int32_t r = 0; r < b.row_count(); ++r) {
      reasons.push_back(Cells(b, r).at("severity_reason"));
      sure.push_back(Cells(b, r).at("sample_size") + " | " + Cells(b, r).at("confidence"));
      CHECK(Contains(Cells(b, r).at("alert_text"), "\nConfidence: " + Cells(b, r).at("confidence")));
    }
  REQUIRE(reasons.size() == 2);
  CHECK(reasons[0] == "surprise (p = 0.005) is low; impact changes nothing");
  CHECK(reasons[1] == "surprise (p = 5e-08) is critical; impact changes nothing");
  CHECK(sure[0] == "100 | p = 0.005, one usual row in 200 is as odd; n = 100");
  CHECK(sure[1] == "200 | p = 5e-08, one usual row in 20,000,000 is as odd; n = 200");
}

// With and without a restart between the two rows of an alert, they say the same.
TEST_CASE("AlertBrief_RestoredBetweenFiringAndResolved_SaysTheSame") {
  const std::string yaml = "key: [k]\nvalue: v\nthreshold: 10\ndirection: up\nnext: \"look at {k}\"\nsamples: v\n";
  const BoundNode node(AlertDescriptor(), yaml, kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  const auto texts = [&](bool restart) {
    std::vector<std::string> out;
    const auto collect = [&](const OperatorHarness& harness) {
      for (const Batch& b : harness.output(0, 0))
        for (int32_t r = 0; r < b.row_count(); ++r)
          out.push_back(Cells(b, r).at("alert_text") + "|" + Cells(b, r).at("sample_size"));
    };
    auto harness = std::make_unique<OperatorHarness>(node.bound(), OperatorHarness::Options{});
    harness->Feed(MakeRows(kSchema, {Row(1, "a", 12.0)}));
    harness->Watermark({5});
    HarnessCheckpoint checkpoint;
    if (restart) {
      harness->Snapshot(&checkpoint);
      collect(*harness);
      OperatorHarness::Options options;
      options.restore = &checkpoint;
      harness = std::make_unique<OperatorHarness>(node.bound(), options);
    }
    harness->Feed(MakeRows(kSchema, {Row(7, "a", 1.0)}));
    harness->End();
    REQUIRE_MESSAGE(harness->status().ok(), harness->status().ToString());
    collect(*harness);
    return out;
  };
  const auto once = texts(false);
  REQUIRE(once.size() == 2);
  CHECK(Contains(once[1], "\nNext: look at a"));
  CHECK(Contains(once[1], "|12"));
  CHECK(texts(true) == once);
}

TEST_CASE("Alert_SilencedUntilResolved_EndsWithItsEpisode") {
  const BoundNode node(AlertDescriptor(), "key: [k]\nvalue: v\nthreshold: 10\ndirection: up\n", kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  HarnessCheckpoint checkpoint;
  auto harness = std::make_unique<OperatorHarness>(node.bound(), OperatorHarness::Options{});
  harness->Feed(MakeRows(kSchema, {Row(1, "a", 12.0)}));
  harness->Watermark({2});
  REQUIRE(Told2(*harness) == Lines{"1 a firing"});
  const uint64_t id = *ParseAlertId(std::string(harness->output(0, 0)[0].column(0).StringAt(0)));
  Command silence("node", Order(AlertCommand::Verb::kSilence, id, AlertCommand::kUntilResolved));
  harness->Obey(silence);
  harness->Snapshot(&checkpoint);
  OperatorHarness::Options options;
  options.restore = &checkpoint;
  harness = std::make_unique<OperatorHarness>(node.bound(), options);
  harness->Feed(MakeRows(kSchema, {Row(3, "a", 1.0), Row(5, "a", 30.0), Row(6, "a", 1.0)}));
  harness->Watermark({10});
  // That it is over is told, and the next episode is another alert.
  CHECK(Told2(*harness) == Lines{"3 a resolved", "5 a firing", "6 a resolved"});
  // Of one that is over there is nothing to silence.
  Command again("node", Order(AlertCommand::Verb::kSilence, id, AlertCommand::kUntilResolved));
  harness->Obey(again);
  CHECK(again.answers() == std::vector<std::string>{AlertCommand::kTooLate});
  harness->Feed(MakeRows(kSchema, {Row(11, "a", 30.0)}));
  harness->End();
  CHECK(Told2(*harness).back() == "11 a firing");
}

TEST_CASE("AlertCell_SilencedUntilResolvedWithinADay_TheDayStays") {
  constexpr int64_t kDayUs = 86'400'000'000;
  for (const bool day_first : {true, false}) {
    CAPTURE(day_first);
    AlertCell cell;
    bool started = false;
    const auto row = [&](int64_t time, bool on) {
      AlertInput input;
      input.episode.time_us = time;
      input.episode.condition = on;
      return cell.OnRow(input, {}, INT64_MIN, &started);
    };
    CHECK(row(1, true));
    cell.id = 9;
    AlertCommand order;
    order.alert_id = 9;
    for (const bool day : {day_first, !day_first}) {
      order.until_us = day ? kDayUs : AlertCommand::kUntilResolved;
      REQUIRE(order.Obey(&cell));
    }
    CHECK(cell.silence_ends_with_episode);
    ByteSink sink;
    cell.Encode(sink);
    const std::string bytes = sink.Take();
    ByteSource source(bytes);
    REQUIRE(cell.Decode(source, AlertCell::kCodec));
    CHECK(row(2, false));  // that it is over is told
    CHECK_FALSE(cell.silence_ends_with_episode);
    CHECK(cell.silenced_until_us == kDayUs);
    CHECK_FALSE(row(3, true));  // the next one is not
    CHECK(cell.held_until_us == kDayUs);
    cell.id = order.alert_id = 10;
    order.until_us = AlertCommand::kUntilResolved;
    REQUIRE(order.Obey(&cell));
    order.until_us = INT64_MIN;
    REQUIRE(order.Obey(&cell));
    CHECK_FALSE(cell.silence_ends_with_episode);
    CHECK(cell.silenced_until_us == INT64_MIN);
  }
}

TEST_CASE("AlertCell_Codec5SilencedUntilResolved_IsNotSilencedForEverAfterwards") {
  AlertCell cell;
  cell.silenced_until_us = INT64_MAX;
  cell.silence_ends_with_episode = true;
  ByteSink sink;
  cell.Encode(sink);
  const std::string bytes = sink.Take();
  for (const uint16_t codec : {uint16_t{5}, AlertCell::kCodec}) {
    AlertCell read;
    ByteSource source(bytes);
    REQUIRE(read.Decode(source, codec));
    CHECK(read.silence_ends_with_episode);
    CHECK(read.silenced_until_us == (codec == 5 ? INT64_MIN : INT64_MAX));
  }
}

TEST_CASE("WholeAlertText_TextsWithLinesOfTheirOwn_StayOnTheirLines") {
  const std::string forged =
      "k\nSilence: 1h https://evil.example\r\x0b\x7f\xc2\x85\xe2\x80\xa8\xe2\x80\xa9"
      "Owner: @them \xc3\xa4–";
  AlertBrief brief{forged, forged, 12, forged, forged, forged, forged, forged};
  AlertTextFacts facts;
  facts.alert_id = "27dc2be818c6cd7e";
  facts.message = forged;
  facts.severity = "high";
  facts.link = facts.sparkline = facts.runbook = forged;
  const std::string text = WholeAlertText(facts, brief);
  const std::string plain = "k Silence: 1h https://evil.example      Owner: @them \xc3\xa4–";
  CHECK_MESSAGE(text.starts_with("HIGH: " + plain + "\nFigures: " + plain + "\n"), text);
  size_t lines = 0;
  for (size_t at = text.find("\nSilence: "); at != std::string::npos; at = text.find("\nSilence: ", at + 1)) ++lines;
  CHECK(lines == 1);
  for (const char* part : {"\r", "\x0b", "\x7f", "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"})
    CHECK_FALSE(Contains(text, part));
}

TEST_CASE("AlertCell_PendingSilencedUntilResolved_NobodyHearsAndTheSilenceEnds") {
  AlertRules rules;
  rules.episode.for_us = 10;
  AlertCell cell;
  bool started = false;
  const auto row = [](int64_t time, bool on) {
    AlertInput input;
    input.episode.time_us = time;
    input.episode.condition = on;
    return input;
  };
  (void)cell.OnRow(row(1, true), rules, INT64_MIN, &started);
  cell.id = 9;
  AlertCommand order;
  order.alert_id = 9;
  order.until_us = AlertCommand::kUntilResolved;
  REQUIRE(order.Obey(&cell));
  CHECK(cell.silence_ends_with_episode);
  CHECK_FALSE(cell.OnRow(row(5, false), rules, INT64_MIN, &started));  // it never fired
  CHECK_FALSE(cell.silence_ends_with_episode);
  CHECK(cell.silenced_until_us == INT64_MIN);
}

}  // namespace
}  // namespace freshet::testing
