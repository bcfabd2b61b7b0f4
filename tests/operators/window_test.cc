// What a pipeline author sees of `window`: diagnostics, schema, single cases by hand.
#include "operators/window/window.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include "tests/operators/test_rows.h"

namespace freshet::testing {
namespace {

const Schema kSchema({{"k", TypeId::kString},
                      {"x", TypeId::kInt64},
                      {"f", TypeId::kFloat64},
                      {"ok", TypeId::kBool},
                      {"at", TypeId::kTimestamp}});

std::string Problems(const std::string& yaml) {
  const BoundNode node(WindowDescriptor(), yaml, kSchema);
  CHECK_FALSE(node);
  return node.diagnostics();
}

bool Has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST_CASE("Window_PreAggregateWithoutEffect_Warns") {
  const auto problems = [](const char* more) {
    const BoundNode node(
        WindowDescriptor(),
        std::string("window: {tumbling: 10s}\naggregates: {n: count(*), l: last(x)}\npre_aggregate: ") + more, kSchema);
    CHECK(node);
    return node.diagnostics();
  };
  CHECK(Has(problems("on"), "warning: `pre_aggregate` has no effect on this window [FR2206]"));
  CHECK(Has(problems("on"), "without the aggregates `first` and `last`"));
  CHECK(!Has(problems("auto"), "FR2206"));
  CHECK(!Has(problems("off"), "FR2206"));
}

std::vector<std::string> Results(const std::string& yaml, const std::vector<TestRow>& rows, int64_t* nulled = nullptr) {
  const BoundNode node(WindowDescriptor(), yaml, kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness harness(node.bound(), {});
  harness.Feed(MakeRows(kSchema, rows));
  harness.End();
  REQUIRE_MESSAGE(harness.status().ok(), harness.status().ToString());
  CHECK(ConservationFault(harness.counters(), NodeClass::kStateful) == "");
  if (nulled != nullptr) *nulled = harness.counters().nulled;
  std::vector<std::string> texts;
  for (const Batch& b : harness.output(0, 0))
    for (std::string& t : RowTexts(b)) texts.push_back(t.substr(t.find("window_start")));
  return texts;
}

TEST_CASE("Window_Schema_IsBoundsKeyAggregates") {
  const BoundNode node(
      WindowDescriptor(),
      "window: {tumbling: 10s}\nkey: [k]\naggregates:\n  n: count(*)\n  a: avg(x)\n  s: sum(x)\n  l: last(at)\n",
      kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  CHECK(node->outputs[0].schema->ToString() ==
        "window_start: timestamp, window_end: timestamp, k: string, n: int64, a: float64, s: int64, l: timestamp");
  CHECK(node->outputs[0].order == OutputOrder::kByTime);
  CHECK(node->outputs[0].key_columns == std::vector<int>{2});
  CHECK(node->outputs[1].name == "late");
  CHECK(node->key == std::vector<int>{0});
  CHECK(node->columns_read == std::vector<std::string>{"k", "x", "at"});
  CHECK_FALSE(node->passes_input_columns);
}

TEST_CASE("Window_OptionsThatDoNotGoTogether_AreReported") {
  const std::string aggregates = "\naggregates: {n: count(*)}";
  const auto problems = [&](const std::string& options) { return Problems("window: " + options + aggregates); };
  CHECK(Has(problems("{tumbling: 10s}\nemit_every: 3s"), "does not divide the window's size"));
  CHECK(Has(problems("{hopping: 10s, every: 2s}\nemit_every: 5s"), "does not divide the window's size"));
  CHECK(Has(problems("{session: 10s}\nemit_every: 5s"), "have no early results"));
  CHECK(Has(problems("{sliding: 10s}\nemit_every: 5s"), "a sliding window has a result for each row"));
  CHECK(Has(problems("{sliding: 10s}\nallowed_lateness: 5s"), "take rows by event time"));
  CHECK(Has(problems("{global: true}\nallowed_lateness: 5s"), "no row is late for a global window"));
  CHECK(Has(problems("{sliding: 10s}\ntime: processing"), "goes with tumbling, hopping, cumulate and global"));
  CHECK(Has(problems("{global: false}"), "is no window"));
  CHECK(Has(problems("{global: true, every: 5s}"), "has no `every`"));
  CHECK(Has(problems("{global: true, sliding: 5s}"), "either tumbling, hopping, sliding"));
}

TEST_CASE("Window_BadShapes_AreReported") {
  const std::string aggregates = "\naggregates: {n: count(*)}";
  CHECK(Has(Problems("window: {hopping: 1m}" + aggregates), "a hopping window needs `every`"));
  CHECK(Has(Problems("window: {cumulate: 1m, every: 7s}" + aggregates), "does not divide the window's size"));
  CHECK(Has(Problems("window: {hopping: 1m, every: 7}" + aggregates), "is a time, such as 1m"));
  CHECK(Has(Problems("window: {count: 10, every: 3}" + aggregates), "does not divide `count`"));
  CHECK(Has(Problems("window: {count: 10, every: 5s}" + aggregates), "is a number of rows"));
  CHECK(Has(Problems("window: {session: 10s, every: 5s}" + aggregates), "no `every`"));
  CHECK(Has(Problems("window: {session: 10s}\nallowed_lateness: 5s" + aggregates), "no late rows to be revised for"));
  CHECK(Has(Problems("window: {session: 10s}\ntime: processing" + aggregates), "goes with tumbling"));
  CHECK(Has(Problems("window: {hopping: 1m, every: 2m}" + aggregates), "`every` is longer than the window"));
  CHECK(Has(Problems("window: {tumbling: 1m, hopping: 2m}" + aggregates), "either tumbling, hopping, sliding"));
  CHECK(Has(Problems("window: {tumbling: 1m, every: 2m}" + aggregates), "no `every`"));
  CHECK(Has(Problems("window: {tumbling: 0s}" + aggregates), "error"));
  CHECK(Has(Problems("window: {tumblng: 10s}" + aggregates), "tumbling"));
}

TEST_CASE("Window_BadAggregates_AreAllReportedInPlace") {
  const std::string text = Problems(
      "window: {tumbling: 10s}\nkey: [kk]\naggregates:\n  a: summ(x)\n  b: x + 1\n  c: sum(k)\n  d: sum(y)\n  e: "
      "quantile(x, 0.9)\n  f: sum(x, f)\n"
      "  g: count(*) filter (where x)\n");
  CHECK(Has(text, "test.yaml:2:7: error: there is no column `kk`"));
  CHECK(Has(text, "test.yaml:4:6: error: there is no aggregate `summ`"));
  CHECK(Has(text, "did you mean `sum`?"));
  CHECK(Has(text, "test.yaml:5:6: error: an aggregate is one call"));
  CHECK(Has(text, "test.yaml:6:6: error: `sum` does not take string"));
  CHECK(Has(text, "test.yaml:7:10: error:"));
  CHECK(Has(text, "test.yaml:8:6: error: the aggregate `quantile` is not available yet"));
  CHECK(Has(text, "test.yaml:9:6: error: `sum` takes one argument"));
  CHECK(Has(text, "test.yaml:10:"));
  CHECK(Has(text, "a condition is needed after `where`"));
  CHECK(Has(Problems("window: {tumbling: 10s}\nkey: k\naggregates:\n  k: count(*)\n"), "two columns `k`"));
}

TEST_CASE("Window_Empty_GivesNothing") {
  CHECK(Results("window: {tumbling: 10s}\naggregates: {n: count(*)}", {{.time_us = 0, .cells = {"a", 1, 1.0, true, 0}}})
            .size() == 1);
}

TEST_CASE("Window_OnlyNulls_GivesNullsAndZeroCounts") {
  const auto rows = Results(
      "window: {tumbling: 10s}\naggregates:\n  n: count(*)\n  c: count(x)\n  s: sum(x)\n  a: avg(f)\n  m: max(x)\n  v: "
      "var(x)\n  l: last(x)\n  d: count_distinct(x)\n",
      {{.time_us = -1, .cells = {nullptr, nullptr, nullptr, nullptr, nullptr}}});
  REQUIRE(rows.size() == 1);
  CHECK(rows[0] == "window_start=-10000000 window_end=0 n=1 c=0 s=null a=null m=null v=null l=null d=0");
}

TEST_CASE("Window_SumBeyondInt64_IsNullAndCounted_AverageIsNot") {
  int64_t nulled = 0;
  const auto rows = Results("window: {tumbling: 10s}\naggregates:\n  s: sum(x)\n  a: avg(x)\n",
                            {{.time_us = 0, .cells = {"a", INT64_MAX, 0.0, true, 0}},
                             {.time_us = 1, .cells = {"a", INT64_MAX, 0.0, true, 0}}},
                            &nulled);
  CHECK(rows[0] == "window_start=0 window_end=10000000 s=null a=9.2233720368547758e+18");
  CHECK(nulled == 1);
}

TEST_CASE("Window_NanAndZeros_OrderTotally") {
  const auto rows = Results(
      "window: {tumbling: 10s}\naggregates:\n  lo: min(f)\n  hi: max(f)\n  least: min(ok)\n  d: count_distinct(f)\n",
      {{.time_us = 0, .cells = {"a", 1, 0.0, true, 0}},
       {.time_us = 1, .cells = {"a", 1, -0.0, false, 0}},
       {.time_us = 2, .cells = {"a", 1, std::nan(""), nullptr, 0}}});
  CHECK(rows[0] == "window_start=0 window_end=10000000 lo=-0 hi=nan least=false d=2");
}

TEST_CASE("Window_VarianceFarFromZero_DoesNotCancel") {
  std::vector<TestRow> rows;
  for (int i = 0; i < 4; ++i)
    rows.push_back(
        {.time_us = i, .cells = {"a", 1, 1e9 + std::array{4.0, 7.0, 13.0, 16.0}[static_cast<size_t>(i)], true, 0}});
  CHECK(Results("window: {tumbling: 10s}\naggregates:\n  v: var(f)\n", rows)[0] ==
        "window_start=0 window_end=10000000 v=30");
}

TEST_CASE("Window_LateForSomePanes_CountsInTheOthers") {
  const BoundNode node(WindowDescriptor(), "window: {hopping: 10s, every: 5s}\naggregates: {n: count(*)}", kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness harness(node.bound(), {});
  // [-5, 5) is over by the row's own watermark, equal counts as over; [0, 10) is not.
  harness.Feed(MakeRows(kSchema, {{.time_us = 4000000, .watermark_us = 5000000, .cells = {"a", 1, 0.0, true, 0}},
                                  {.time_us = 4000000, .watermark_us = 10000000, .cells = {"b", 1, 0.0, true, 0}},
                                  {.time_us = 4000000, .watermark_us = 4999999, .cells = {"c", 1, 0.0, true, 0}}}));
  harness.End();
  const NodeCounters counters = harness.counters();
  CHECK(counters.late_panes == 1);
  CHECK(counters.late == 1);
  CHECK(counters.absorbed == 2);
  REQUIRE(harness.output(0, 1).size() == 1);
  const std::string late = RowTexts(harness.output(0, 1)[0])[0];
  CHECK(Has(late, "k='b'"));
  CHECK(Has(late, "late_reason='late' late_window_end=10000000 lateness_ms=6000"));
  const auto rows = RowTexts(harness.output(0, 0)[0]);
  REQUIRE(rows.size() == 2);
  CHECK(Has(rows[0], "window_end=5000000 n=1"));
  CHECK(Has(rows[1], "window_end=10000000 n=2"));
}

TEST_CASE("Window_ManyKeys_LeaveABatchAtATime") {
  const BoundNode node(WindowDescriptor(), "window: {tumbling: 10s}\nkey: x\naggregates: {n: count(*)}", kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness harness(node.bound(), {.batch_row_count_max = 10});
  std::vector<TestRow> rows;
  for (int i = 0; i < 95; ++i) rows.push_back({.time_us = i, .cells = {"a", 94 - i, 0.0, true, 0}});
  harness.Feed(MakeRows(kSchema, rows));
  CHECK(harness.state_keys() == 95);
  harness.Watermark({10000000});
  CHECK(harness.output(0, 0).size() == 10);
  CHECK(harness.batch_rows_max() == 10);
  CHECK(harness.emits_per_call_max() == 1);
  CHECK(Has(RowTexts(harness.output(0, 0)[0])[0], "x=0 n=1"));
  CHECK(harness.state_keys() == 0);
}

TEST_CASE("Window_TornState_IsDataLoss") {
  const BoundNode node(WindowDescriptor(),
                       "window: {tumbling: 10s}\nkey: k\naggregates:\n  s: sum(f)\n  d: count_distinct(x)\n", kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness harness(node.bound(), {});
  harness.Feed(MakeRows(kSchema, {{.time_us = 4000000, .cells = {"a", 1, 0.5, true, 0}}}));
  HarnessCheckpoint checkpoint;
  harness.Snapshot(&checkpoint);
  REQUIRE(checkpoint.rows.size() == 1);
  const std::string whole = checkpoint.rows.begin()->second.value;
  for (size_t length = 0; length < whole.size(); ++length) {
    CAPTURE(length);
    checkpoint.rows.begin()->second.value = whole.substr(0, length);
    OperatorHarness torn(node.bound(), {.restore = &checkpoint});
    CHECK(torn.status().code() == StatusCode::kDataLoss);
  }
}

}  // namespace
}  // namespace freshet::testing
