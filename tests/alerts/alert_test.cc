// `alert` as people write it: columns, ids, order, restarts, and one answer whatever the lanes, batches and crashes.
#include "operators/alert.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "engine/base/units.h"
#include "engine/flow/sim_runtime.h"
#include "tests/alerts/episode_oracle.h"
#include "tests/operators/test_rows.h"
#include "tests/support/flow_nodes.h"

namespace freshet::testing {
namespace {

const Schema kSchema({{"video", TypeId::kString},
                      {"views", TypeId::kInt64},
                      {"score", TypeId::kFloat64},
                      {"odd", TypeId::kBool},
                      {"severity", TypeId::kString}});

TestRow Row(int64_t time, const char* video, TestCell odd, TestCell score = nullptr, TestCell severity = nullptr) {
  return {.time_us = time,
          .watermark_us = INT64_MIN,
          .ordinal = static_cast<uint64_t>(time),
          .cells = {video, time * 10, std::move(score), std::move(odd), std::move(severity)}};
}

/// Output rows as name -> text.
std::vector<std::map<std::string, std::string>> Rows(const OperatorHarness& harness) {
  std::vector<std::map<std::string, std::string>> rows;
  for (const Batch& b : harness.output(0, 0)) {
    for (int32_t row = 0; row < b.row_count(); ++row) {
      std::map<std::string, std::string> cells;
      const std::string text = RowText(b, row);
      size_t from = text.find('|');
      for (const Field& f : b.schema()->fields()) {
        const size_t to = text.find('|', from + 1);
        cells[f.name] = text.substr(from + 1, to - from - 1);
        from = to;
      }
      cells["@"] = std::to_string(b.time(row).us);
      cells["wm"] = std::to_string(b.row_watermark(row).us);
      rows.push_back(std::move(cells));
    }
  }
  return rows;
}

std::vector<std::map<std::string, std::string>> Run(const std::string& yaml, const std::vector<TestRow>& rows,
                                                    const Schema& schema = kSchema) {
  const BoundNode node(AlertDescriptor(), yaml, schema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness harness(node.bound(), {});
  harness.Feed(MakeRows(schema, rows));
  harness.End();
  REQUIRE_MESSAGE(harness.status().ok(), harness.status().ToString());
  CHECK(ConservationFault(harness.counters(), NodeClass::kStateful) == "");
  return Rows(harness);
}

TEST_CASE("Alert_Schema_IsTheContract") {
  const BoundNode node(AlertDescriptor(), "when: odd\nkey: [video]\n", kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  std::string names;
  for (const Field& f : node->outputs[0].schema->fields()) names += f.name + " ";
  CHECK(names ==
        "alert_id rule video state severity started_at peaked_at peak ended_at message views score odd row_severity "
        "detected_by sample_size confidence severity_reason next_step alert_text ");
  CHECK(node->outputs[0].order == OutputOrder::kByTime);
  CHECK(node->outputs[0].key_columns == std::vector<int>{2});
  CHECK(node->outputs[1].name == "late");
  CHECK(node->input_order == InputOrder::kByEventTime);
  CHECK(node->node_class == NodeClass::kStateful);
  CHECK(node->key == std::vector<int>{0});
}

TEST_CASE("Alert_TakenNames_AreMovedAside") {
  const Schema schema({{"state", TypeId::kString},
                       {"row_state", TypeId::kString},
                       {"rule", TypeId::kInt64},
                       {"row_rule", TypeId::kInt64},
                       {"hot", TypeId::kBool}});
  const BoundNode node(AlertDescriptor(), "when: hot\nkey: [state, row_state]\n", schema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  std::set<std::string> names;
  for (const Field& f : node->outputs[0].schema->fields()) CHECK_MESSAGE(names.insert(f.name).second, f.name);
  CHECK(node->outputs[0].schema->field(2).name == "row_state");
  CHECK(node->outputs[0].schema->Find("state") == 4);
  CHECK(names.count("hot") == 1);
}

TEST_CASE("Alert_Episode_OneRowEachWithTheStartingRow") {
  const auto rows = Run("when: odd\nkey: [video]\nmessage: \"{video}: {views} views\"\n",
                        {Row(10, "a", false), Row(20, "a", true, 0.5, "low"), Row(30, "a", true, -0.9, "critical"),
                         Row(40, "a", true, 0.7, "low"), Row(50, "a", nullptr)});
  REQUIRE(rows.size() == 2);
  const auto& firing = rows[0];
  CHECK(firing.at("rule") == "node");
  CHECK(firing.at("video") == "a");
  CHECK(firing.at("state") == "firing");
  CHECK(firing.at("severity") == "low");
  CHECK(firing.at("started_at") == "20");
  CHECK(firing.at("peaked_at") == "20");
  CHECK(firing.at("peak") == "0.5");
  CHECK(firing.at("ended_at") == "null");
  CHECK(firing.at("message") == "a: 200 views");
  CHECK(firing.at("views") == "200");
  CHECK(firing.at("row_severity") == "low");
  CHECK(firing.at("@") == "20");
  CHECK(firing.at("wm") == "20");
  const auto& resolved = rows[1];
  CHECK(resolved.at("alert_id") == firing.at("alert_id"));
  CHECK(resolved.at("alert_id").size() == 16);
  CHECK(resolved.at("state") == "resolved");
  CHECK(resolved.at("severity") == "critical");
  CHECK(resolved.at("peaked_at") == "30");
  CHECK(resolved.at("peak") == "-0.90000000000000002");
  CHECK(resolved.at("ended_at") == "50");
  CHECK(resolved.at("message") == "a: 200 views");
  CHECK(resolved.at("views") == "200");
  CHECK(resolved.at("row_severity") == "low");
}

TEST_CASE("Alert_Severity_WordColumnOrExpression") {
  const std::vector<TestRow> null_severity = {Row(20, "a", true)};
  CHECK(Run("when: odd\n", null_severity)[0].at("severity") == "medium");
  CHECK(Run("when: odd\n", {Row(20, "a", true, nullptr, "high")})[0].at("severity") == "high");
  CHECK(Run("when: odd\nseverity: critical\n", {Row(20, "a", true, nullptr, "low")})[0].at("severity") == "critical");
  CHECK(Run("when: odd\nseverity: case when views > 100 then 'high' else 'low' end\n", null_severity)[0].at(
            "severity") == "high");
  CHECK(Run("when: odd\nseverity: severity\n", {Row(20, "a", true, nullptr, "no word of ours")})[0].at("severity") ==
        "low");
}

TEST_CASE("Alert_Peak_ScoreOrExpression") {
  CHECK(Run("when: odd\npeak: views\n", {Row(20, "a", true, 3.0)})[0].at("peak") == "200");
  CHECK(Run("when: odd\n", {Row(20, "a", true)})[0].at("peak") == "null");
}

TEST_CASE("Alert_Mistakes_AreReportedInPlace") {
  const auto faults = [](const std::string& yaml) {
    const BoundNode node(AlertDescriptor(), yaml, kSchema);
    CHECK_FALSE(node);
    return node.diagnostics();
  };
  CHECK(faults("when: views\n").find("FR3205") != std::string::npos);
  CHECK(faults("when: odd\nkey: [vide]\n").find("FR3202") != std::string::npos);
  CHECK(faults("when: odd\nseverity: views\n").find("FR3403") != std::string::npos);
  CHECK(faults("when: odd\npeak: video\n").find("FR3404") != std::string::npos);
  CHECK(faults("when: odd\nfor: -1s\n").find("FR2004") != std::string::npos);
  const std::string message = faults("when: odd\nmessage: \"{vides}\"\n");
  CHECK(message.find("test.yaml:2:12") != std::string::npos);
  CHECK(message.find("did you mean `video`?") != std::string::npos);
}

TEST_CASE("Alert_Ids_DifferByKeyStartAndNodeAndAreStable") {
  const std::vector<TestRow> input = {Row(10, "a", true), Row(10, "b", true), Row(20, "a", false), Row(30, "a", true)};
  const auto rows = Run("when: odd\nkey: [video]\n", input);
  REQUIRE(rows.size() == 4);
  std::set<std::string> ids;
  for (const auto& row : rows)
    if (row.at("state") == "firing") ids.insert(row.at("alert_id"));
  CHECK(ids.size() == 3);
  CHECK(Run("when: odd\nkey: [video]\n", input) == rows);
  // Frozen: receivers remember ids over releases.
  CHECK(rows[0].at("alert_id") == "27dc2be818c6cd7e");
}

TEST_CASE("Alert_FlickerWithinOneMicrosecond_NoIdTwice") {
  const auto rows = Run("when: odd\nkey: [video]\n", {Row(10, "a", true), Row(10, "a", false), Row(10, "a", true),
                                                      Row(10, "a", false), Row(11, "a", true)});
  std::set<std::pair<std::string, std::string>> seen;
  for (const auto& row : rows) CHECK(seen.insert({row.at("alert_id"), row.at("state")}).second);
  CHECK(rows.size() == 3);
}

TEST_CASE("Alert_NullKey_IsOneGroup") {
  TestRow row = Row(10, "x", true), other = Row(20, "x", true);
  row.cells[0] = other.cells[0] = nullptr;
  CHECK(Run("when: odd\nkey: [video]\n", {row, other}).size() == 1);
}

TEST_CASE("Alert_KeysThatAreOver_AreForgotten") {
  const BoundNode node(AlertDescriptor(),
                       "when: odd\nkey: [video]\nfor: 10us\nkeep_firing_for: 5us\ncooldown: 100us\nremember: 200us\n",
                       kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness harness(node.bound(), {});
  std::vector<TestRow> rows;
  for (int i = 0; i < 200; ++i) rows.push_back(Row(10, std::to_string(i).c_str(), true));
  for (int i = 0; i < 100; ++i) rows.push_back(Row(15, std::to_string(i).c_str(), false));
  for (int i = 100; i < 200; ++i) rows.push_back(Row(30, std::to_string(i).c_str(), false));
  harness.Feed(MakeRows(kSchema, rows));
  CHECK(harness.state_keys() == 100);
  harness.Watermark({131});
  CHECK(harness.state_keys() == 100);  // those that fired are remembered
  harness.Watermark({231});
  CHECK(harness.state_keys() == 0);
  CHECK(Rows(harness).size() == 200);
}

TEST_CASE("Alert_ManyAtOnce_OneBoundedBatchPerCall") {
  const BoundNode node(AlertDescriptor(), "when: odd\nkey: [video]\nfor: 10us\n", kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness::Options options;
  options.batch_row_count_max = 16;
  OperatorHarness harness(node.bound(), options);
  std::vector<TestRow> rows;
  for (int i = 0; i < 100; ++i) rows.push_back(Row(10 + i / 50, std::to_string(i * 37 % 100).c_str(), true));
  harness.Feed(MakeRows(kSchema, rows));
  harness.Watermark({20});
  CHECK(Rows(harness).empty());  // a row of moment 20 may still come
  harness.Watermark({1000});
  CHECK(harness.batch_rows_max() == 16);
  CHECK(harness.emits_per_call_max() == 1);
  const auto out = Rows(harness);
  REQUIRE(out.size() == 100);
  for (size_t i = 1; i < out.size(); ++i)
    CHECK(std::pair(out[i - 1].at("@"), out[i - 1].at("video")) < std::pair(out[i].at("@"), out[i].at("video")));
}

/// Looks after each call of OnWatermark.
class Watched final : public Operator {
 public:
  Watched(std::unique_ptr<Operator> inner, std::function<void()> look)
      : inner_(std::move(inner)), look_(std::move(look)) {}
  Status Open(OpenContext& ctx) override { return inner_->Open(ctx); }
  Status ProcessBatch(InputIndex input, const Batch& in, Emitter& out) override {
    return inner_->ProcessBatch(input, in, out);
  }
  Result<Progress> OnWatermark(EventTime now, Emitter& out) override {
    auto progress = inner_->OnWatermark(now, out);
    look_();
    return progress;
  }

 private:
  const std::unique_ptr<Operator> inner_;
  const std::function<void()> look_;
};

TEST_CASE("Alert_ManyDeadlinesAtOnce_NoMorePassedThanABatchTakes") {
  const BoundNode node(AlertDescriptor(), "when: odd\nkey: [video]\nkeep_firing_for: 5us\nremember: 0s\n", kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  BoundOperator bound = node.bound();
  const OperatorHarness* harness_seen = nullptr;
  std::vector<int64_t> keys;
  bound.instantiate = [&] {
    return std::make_unique<Watched>(node->instantiate(), [&] { keys.push_back(harness_seen->state_keys()); });
  };
  OperatorHarness::Options options;
  options.batch_row_count_max = 16;
  OperatorHarness harness(bound, options);
  harness_seen = &harness;
  std::vector<TestRow> rows;
  for (const bool odd : {true, false})
    for (int i = 0; i < 100; ++i) rows.push_back(Row(odd ? 10 : 20, std::to_string(i).c_str(), odd));
  harness.Feed(MakeRows(kSchema, rows));
  harness.Watermark({21});  // all fire
  REQUIRE(keys.back() == 100);
  keys.clear();
  harness.Watermark({1000});  // all resolve, at one moment, and are forgotten
  REQUIRE(keys.size() == 7);
  for (size_t i = 0; i < keys.size(); ++i) CHECK(keys[i] >= 99 - 16 * static_cast<int64_t>(i + 1));
  CHECK(keys.back() == 0);
  CHECK(Rows(harness).size() == 200);
}

constexpr const char* kNumbersAlert =
    "when: v > 1\nkey: [k]\nfor: 300ms\nkeep_firing_for: 700ms\ncooldown: 2s\npeak: v\nseverity: case when v > 6 then "
    "'high' else 'low' end\nmessage: \"{k} {v:.2f}\"\n";

GraphSpec AlertSpec(const BoundNode& node, const NumbersOptions& numbers, const std::shared_ptr<Collected>& alerts,
                    const std::shared_ptr<Collected>& late) {
  GraphSpec spec;
  spec.pipeline_name = "test";
  spec.nodes.push_back(NumbersSource("numbers", numbers));
  NodeSpec alert;
  alert.id = "node";
  alert.type = "alert";
  alert.inputs = {{0, 0}};
  alert.kind = OperatorNode{node.bound()};
  spec.nodes.push_back(std::move(alert));
  spec.nodes.push_back(CollectSink("alerts", {{1, 0}}, alerts));
  spec.nodes.push_back(CollectSink("late", {{1, 1}}, late));
  return spec;
}

/// All rows sorted, each key's episodes by the oracle, in order of time and key; without ids.
std::vector<std::string> ExpectedAlerts(const NumbersOptions& numbers, size_t* late) {
  std::vector<NumbersRow> rows;
  for (int p = 0; p < numbers.partitions; ++p) {
    int64_t frontier = INT64_MIN;
    for (int64_t i = 0; i < numbers.rows; ++i) {
      const NumbersRow row = NumbersRowAt(numbers, p, i);
      const bool is_late = frontier != INT64_MIN && row.at_us < frontier - numbers.lateness.us;
      frontier = std::max(frontier, row.at_us);
      if (is_late)
        ++*late;
      else
        rows.push_back(row);
    }
  }
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.at_us < b.at_us; });
  std::map<int64_t, std::vector<NumbersRow>> by_key;
  for (const NumbersRow& row : rows) by_key[row.k].push_back(row);
  std::vector<std::tuple<int64_t, int64_t, std::string>> told;
  for (const auto& [k, own] : by_key) {
    std::vector<EpisodeInput> inputs;
    for (const NumbersRow& r : own) inputs.push_back({r.at_us, r.v > 1, static_cast<uint8_t>(r.v > 6 ? 3 : 1), r.v});
    for (const Told& t : EpisodesOf(inputs, {300000, 700000, 2000000}, INT64_MAX)) {
      const NumbersRow& start = own[t.start_row];
      char text[400];
      std::snprintf(text, sizeof text, "|node|%ld|%s|%s|%ld|%ld|%.17g|%s|%ld %.2f|%ld|%.17g", k,
                    t.firing ? "firing" : "resolved", t.severity == 3 ? "high" : "low", t.started_us, t.peaked_us,
                    t.peak, t.firing ? "null" : std::to_string(t.ended_us).c_str(), k, start.v, start.at_us, start.v);
      told.emplace_back(t.time_us, k, FormatTime({t.time_us}) + text);
    }
  }
  std::stable_sort(told.begin(), told.end(), [](const auto& a, const auto& b) {
    return std::tie(std::get<0>(a), std::get<1>(a)) < std::tie(std::get<0>(b), std::get<1>(b));
  });
  std::vector<std::string> out;
  for (auto& t : told) out.push_back(std::move(std::get<2>(t)));
  return out;
}

TEST_CASE("Alert_LanesBatchesAndCrashes_OneAnswerEqualToTheOracle") {
  const BoundNode node(AlertDescriptor(), kNumbersAlert, *NumbersSchema());
  REQUIRE_MESSAGE(node, node.diagnostics());
  int crashes = 0;
  size_t alerts_seen = 0, late_seen = 0;
  for (uint64_t data = 1; data <= 4; ++data) {
    NumbersOptions numbers;
    numbers.seed = data;
    numbers.partitions = data % 2 == 0 ? 2 : 1;
    numbers.rows = 500;
    numbers.jitter_us = 3000000;
    numbers.lateness = Duration::Millis(2700);
    numbers.keys = 6;
    size_t late_count = 0;
    const std::vector<std::string> expected = ExpectedAlerts(numbers, &late_count);
    std::vector<std::string> whole;
    for (uint64_t seed = 1; seed <= 20; ++seed) {
      CAPTURE(data);
      CAPTURE(seed);
      numbers.chunk_rows = seed % 4 == 0 ? 500 : 64;  // how the input is cut must not show
      const auto alerts = std::make_shared<Collected>(), late = std::make_shared<Collected>();
      const auto store = NewMemoryStore();
      SimOptions options;
      options.job.store = store.get();
      options.seed = seed;
      options.job.lane_count = 1 + static_cast<int>(seed % 4);
      const int32_t batches[] = {1, 7, 4096};
      options.job.batch_row_count_max = batches[seed % 3];
      options.crash_chance = seed <= 6 ? 0 : 0.004;
      options.crash_count_max = 5;
      const SimResult result = RunSimulation([&] { return AlertSpec(node, numbers, alerts, late); }, options);
      REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
      crashes += result.crash_count;
      REQUIRE(late->lines.size() == late_count);
      REQUIRE(alerts->lines.size() == expected.size());
      std::set<std::string> ids;
      for (size_t i = 0; i < expected.size(); ++i) {
        std::string line = alerts->lines[i];
        const size_t from = line.find('|');
        const size_t to = line.find('|', from + 1);
        ids.insert(line.substr(from, to - from));
        line.erase(from, to - from);
        REQUIRE(line.substr(0, expected[i].size() + 1) == expected[i] + "|");  // then what briefs say
      }
      const auto firing = static_cast<size_t>(std::count_if(expected.begin(), expected.end(), [](const std::string& l) {
        return l.find("|firing|") != std::string::npos;
      }));
      CHECK(ids.size() == firing);
      if (whole.empty()) whole = alerts->lines;
      CHECK(alerts->lines == whole);
    }
    alerts_seen += expected.size();
    late_seen += late_count;
  }
  MESSAGE("alert rows ", alerts_seen, ", late ", late_seen, ", crashes ", crashes);
  CHECK(alerts_seen > 100);
  CHECK(late_seen > 0);
  CHECK(crashes > 50);
}

}  // namespace
}  // namespace freshet::testing
