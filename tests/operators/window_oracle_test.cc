// The window operator against the oracle: random streams in every cut of batches, watermarks, crashes and lanes.
#include <doctest/doctest.h>

#include <iterator>
#include <string>
#include <vector>

#include "operators/window/window.h"
#include "tests/operators/window_streams.h"

namespace freshet::testing {
namespace {

struct Shape {
  const char* yaml;
  int64_t size_us;
  int64_t slide_us;
  bool cumulate = false;
  int64_t early_us = 0;
};
constexpr Shape kShapes[] = {
    {"{tumbling: 10s}", 10 * kSecond, 10 * kSecond},
    {"{hopping: 10s, every: 2s}", 10 * kSecond, 2 * kSecond},
    {"{hopping: 7s, every: 3s}", 7 * kSecond, 3 * kSecond},
    {"{hopping: 5s, every: 5s}", 5 * kSecond, 5 * kSecond},
    {"{tumbling: 1ms}", 1000, 1000},
    {"{cumulate: 12s, every: 3s}", 12 * kSecond, 3 * kSecond, true},
    {"{cumulate: 1m, every: 1m}", 60 * kSecond, 60 * kSecond, true},
    {"{hopping: 20s, every: 1s}", 20 * kSecond, kSecond},  // many slices: what was merged is kept
    {"{hopping: 31s, every: 3s}", 31 * kSecond, 3 * kSecond},
    {"{cumulate: 1m, every: 2s}", 60 * kSecond, 2 * kSecond, true},
};
constexpr Shape kEarlyShapes[] = {
    {"{tumbling: 10s}\nemit_every: 2s", 10 * kSecond, 10 * kSecond, false, 2 * kSecond},
    {"{hopping: 10s, every: 2s}\nemit_every: 1s", 10 * kSecond, 2 * kSecond, false, kSecond},
    {"{hopping: 9s, every: 6s}\nemit_every: 3s", 9 * kSecond, 6 * kSecond, false, 3 * kSecond},
    {"{cumulate: 12s, every: 4s}\nemit_every: 2s", 12 * kSecond, 4 * kSecond, true, 2 * kSecond},
    {"{tumbling: 5s}\nemit_every: 5s", 5 * kSecond, 5 * kSecond, false, 5 * kSecond},
    {"{global: true}\nemit_every: 7s", 0, 0, false, 7 * kSecond},
    {"{global: true}", 0, 0},
};
constexpr int64_t kAllowed[] = {0, 1, 3 * kSecond, 40 * kSecond};

/// Runs random streams through the given shapes. Returns the number of revisions.
int64_t CheckShapes(const Shape* shapes, size_t shape_count, NodeCounters* all) {
  NodeCounters& total = *all;
  int64_t revisions = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    const WindowStream stream = RandomStream(seed, 700);
    const Shape& shape = shapes[seed % shape_count];
    const int key_columns = static_cast<int>(seed % 3);
    const bool global = shape.size_us == 0;
    const int64_t allowed = global ? 0 : kAllowed[seed % std::size(kAllowed)];
    CAPTURE(seed);
    CAPTURE(std::string(shape.yaml));
    CAPTURE(key_columns);
    CAPTURE(allowed);
    const BoundNode node(WindowDescriptor(),
                         std::string("window: ") + shape.yaml + "\n" + kKeys[key_columns] + kOracleAggregates +
                             "allowed_lateness: " + std::to_string(allowed) + "us\n",
                         kSchema);
    REQUIRE_MESSAGE(node, node.diagnostics());
    const WindowExpectation expected =
        WindowOracle(stream.rows, shape.size_us, shape.slide_us, key_columns, allowed, shape.cumulate, shape.early_us);
    WindowOutcome first;
    for (const size_t batch_rows : {size_t{1}, size_t{7}, size_t{4096}}) {
      for (const bool crashes : {false, true}) {
        CAPTURE(batch_rows);
        CAPTURE(crashes);
        WindowOutcome got =
            WindowRun(node.bound(), stream, batch_rows, seed * 100 + batch_rows, crashes, global).Finish();
        const bool revised = allowed > 0 || shape.early_us > 0 || global;
        revisions += CheckAgainstOracle(got, expected, stream.rows.size(), revised);
        total.late += got.counters.late;
        total.late_panes += got.counters.late_panes;
        total.nulled += got.counters.nulled;
        if (first.rows.empty()) {
          first = std::move(got);
          continue;
        }
        CHECK(got.rows == first.rows);  // to the bit, variances too
        CHECK(got.late == first.late);
        CHECK(got.counters.nulled == first.counters.nulled);
      }
    }
  }
  return revisions;
}

TEST_CASE("Window_RandomStreams_EqualTheOracleInEveryCut") {
  NodeCounters total;
  const int64_t revisions = CheckShapes(kShapes, std::size(kShapes), &total);
  // The streams have what they are meant to have.
  CHECK(total.late > 0);
  CHECK(total.late_panes > 0);
  CHECK(total.nulled > 0);
  CHECK(revisions > 1000);
}

TEST_CASE("Window_EarlyResultsAndGlobal_EqualTheOracleInEveryCut") {
  NodeCounters total;
  CHECK(CheckShapes(kEarlyShapes, std::size(kEarlyShapes), &total) > 10000);
  CHECK(total.late > 0);
  CHECK(total.late_panes > 0);
}

/// The text without the cells of these columns.
std::string Without(std::string text, std::initializer_list<const char*> columns) {
  for (const char* column : columns) {
    const size_t at = text.find(std::string(" ") + column + "=");
    if (at != std::string::npos) text.erase(at, text.find(' ', at + 1) - at);
  }
  return text;
}

TEST_CASE("Window_PreAggregated_EqualsTheOracleInEveryCut") {
  std::string aggregates = kOracleAggregates;
  for (const char* ordered : {"  fi: first(t)\n", "  la: last(x)\n"})
    aggregates.erase(aggregates.find(ordered), std::string_view(ordered).size());
  std::vector<Shape> shapes(std::begin(kShapes), std::end(kShapes));
  shapes.push_back({"{global: true}", 0, 0});
  int64_t combined = 0, all = 0;
  NodeCounters total;
  for (uint64_t seed = 1; seed <= 44; ++seed) {
    const WindowStream stream = RandomStream(seed, 700);
    const Shape& shape = shapes[seed % shapes.size()];
    const int key_columns = 1 + static_cast<int>(seed % 2);
    const bool global = shape.size_us == 0;
    const int64_t allowed = global ? 0 : kAllowed[seed % std::size(kAllowed)];
    // Values lost to overflow are counted row by row.
    const bool overflows = seed % 5 == 0;
    CAPTURE(seed);
    CAPTURE(std::string(shape.yaml));
    CAPTURE(key_columns);
    CAPTURE(allowed);
    const BoundNode node(WindowDescriptor(),
                         std::string("pre_aggregate: on\nwindow: ") + shape.yaml + "\n" + kKeys[key_columns] +
                             aggregates + (overflows ? "  ox: sum(x * 10000000)\n" : "") +
                             "allowed_lateness: " + std::to_string(allowed) + "us\n",
                         kSchema);
    REQUIRE_MESSAGE(node, node.diagnostics());
    WindowExpectation expected =
        WindowOracle(stream.rows, shape.size_us, shape.slide_us, key_columns, allowed, shape.cumulate);
    for (WindowResult& result : expected.results) result.text = Without(std::move(result.text), {"fi", "la"});
    WindowOutcome first;
    for (const size_t batch_rows : {size_t{1}, size_t{7}, size_t{64}, size_t{4096}}) {
      for (const bool crashes : {false, true}) {
        CAPTURE(batch_rows);
        CAPTURE(crashes);
        WindowOutcome got =
            WindowRun(node.bound(), stream, batch_rows, seed * 100 + batch_rows, crashes, global, true).Finish();
        CheckAgainstOracle(got, expected, stream.rows.size(), allowed > 0 || global);
        combined += got.pre_aggregated;
        all += got.counters.in;
        total.late += got.counters.late;
        total.late_panes += got.counters.late_panes;
        total.nulled += got.counters.nulled;
        CHECK((got.pre_aggregated == 0 || batch_rows > 1));
        if (first.rows.empty()) {
          first = std::move(got);
          continue;
        }
        CHECK(got.rows == first.rows);
        CHECK(got.late == first.late);
        CHECK(got.counters.nulled == first.counters.nulled);
      }
    }
  }
  CHECK(combined > all / 20);
  CHECK(total.late > 0);
  CHECK(total.late_panes > 0);
  CHECK(total.nulled > 0);
}

}  // namespace
}  // namespace freshet::testing
