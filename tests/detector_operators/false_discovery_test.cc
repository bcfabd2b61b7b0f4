// Benjamini and Hochberg per moment: against the definition, in every cut of batches, through restarts, in a graph.
#include "operators/false_discovery.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "engine/base/rng.h"
#include "operators/detector_columns.h"
#include "operators/statistical_outlier.h"
#include "tests/operators/row_run.h"
#include "tests/support/flow_runs.h"

namespace freshet::testing {
namespace {

const Schema kSchema({{"key", TypeId::kInt64}, {"p_value", TypeId::kFloat64}});

/// Moments of up to 30 rows; one in five p-values is tiny, one in ten is missing.
std::vector<TestRow> Moments(uint64_t seed, int count) {
  Rng rng(seed);
  std::vector<TestRow> rows;
  int64_t time = 0;
  while (static_cast<int>(rows.size()) < count) {
    ++time;
    for (uint64_t k = 0, n = 1 + rng.Below(30); k < n; ++k) {
      TestRow row{
          .time_us = time, .watermark_us = time, .ordinal = rows.size(), .cells = {static_cast<int64_t>(k), nullptr}};
      const double p = rng.Below(5) == 0 ? rng.NextDouble() / 500 : rng.NextDouble();
      if (rng.Below(10) > 0) row.cells[1] = rng.Below(20) == 0 ? 0.25 : p;
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

struct Found {
  double q;
  bool discovery;
};

/// By the definition: q of p is the least m p' / rank(p') over all p' >= p.
std::vector<Found> Expected(const std::vector<TestRow>& rows, double rate) {
  std::vector<Found> found;
  for (const TestRow& row : rows) {
    std::vector<double> p;
    for (const TestRow& other : rows)
      if (other.time_us == row.time_us)
        if (const auto* v = std::get_if<double>(&other.cells[1].value)) p.push_back(*v);
    const auto* own = std::get_if<double>(&row.cells[1].value);
    double q = std::numeric_limits<double>::quiet_NaN();
    if (own != nullptr) {
      q = 1;
      for (const double v : p) {
        if (v < *own) continue;
        const auto rank = std::count_if(p.begin(), p.end(), [&](double w) { return w <= v; });
        q = std::min(q, v * static_cast<double>(p.size()) / static_cast<double>(rank));
      }
    }
    found.push_back({q, q <= rate});
  }
  return found;
}

std::vector<Found> Run(const BoundNode& node, const std::vector<TestRow>& rows, size_t cut, bool restart = false) {
  std::vector<Found> found;
  int64_t last_time = 0, ordinal = -1;
  for (const Batch& b : RunRows(node, kSchema, rows, {.cut = cut, .restart = restart, .watermark_every = 1})) {
    for (int32_t r = 0; r < b.row_count(); ++r) {
      found.push_back({NumberAt(b.column(2), r), b.column(3).BoolAt(r)});
      CHECK(b.time(r).us >= last_time);
      CHECK(static_cast<int64_t>(b.ordinal(r).value) == ++ordinal);
      last_time = b.time(r).us;
    }
  }
  return found;
}

TEST_CASE("FalseDiscovery_AgainstTheDefinition_InEveryCut") {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    const std::vector<TestRow> rows = Moments(seed, 400);
    const BoundNode node(FalseDiscoveryDescriptor(), "rate: 0.1\n", kSchema);
    const std::vector<Found> expected = Expected(rows, 0.1);
    int discoveries = 0;
    for (const Found& f : expected) discoveries += f.discovery ? 1 : 0;
    CHECK(discoveries > 20);
    for (const auto& [cut, restart] : {std::pair<size_t, bool>{1, false}, {7, false}, {4096, false}, {13, true}}) {
      const std::vector<Found> found = Run(node, rows, cut, restart);
      REQUIRE(found.size() == expected.size());
      for (size_t i = 0; i < found.size(); ++i) {
        if (std::isnan(expected[i].q))
          CHECK(std::isnan(found[i].q));
        else
          CHECK(found[i].q == doctest::Approx(expected[i].q));
        CHECK(found[i].discovery == expected[i].discovery);
      }
    }
  }
}

TEST_CASE("FalseDiscovery_OnPlantedChanges_KeepsItsRate") {
  Rng rng(9);
  std::vector<TestRow> rows;
  for (int64_t time = 0; time < 300; ++time)
    for (int64_t k = 0; k < 200; ++k)
      rows.push_back({.time_us = time,
                      .watermark_us = time,
                      .ordinal = rows.size(),
                      .cells = {k, k < 20 ? rng.NextDouble() / 1000 : rng.NextDouble()}});
  const std::vector<Found> found = Run(BoundNode(FalseDiscoveryDescriptor(), "rate: 0.1\n", kSchema), rows, 4000);
  double share = 0, hits = 0;
  for (size_t time = 0; time < 300; ++time) {
    double right = 0, wrong = 0;
    for (size_t k = 0; k < 200; ++k) (k < 20 ? right : wrong) += found[time * 200 + k].discovery ? 1 : 0;
    share += wrong / std::max(1.0, right + wrong) / 300;
    hits += right / 20 / 300;
  }
  CHECK(share < 0.11);
  CHECK(share > 0.06);  // it is not just silent: the procedure gives 0.1 times the share of keys without a change
  CHECK(hits > 0.99);
}

TEST_CASE("FalseDiscovery_Mistakes_AreReported") {
  const auto fault = [](const std::string& yaml, const Schema& schema) {
    const BoundNode node(FalseDiscoveryDescriptor(), yaml, schema);
    CHECK_FALSE(node);
    return node.diagnostics();
  };
  CHECK(fault("", Schema({{"x", TypeId::kInt64}})).find("p_value") != std::string::npos);
  CHECK(fault("p_value: key = 1\n", kSchema).find("FR3505") != std::string::npos);
  CHECK(fault("rate: 2\n", kSchema).find("FR2004") != std::string::npos);
  CHECK(fault("", kSchema.With({{"q_value", TypeId::kInt64}})).find("FR3501") != std::string::npos);
}

TEST_CASE("FalseDiscovery_BehindKeyedLanes_LanesAndCrashesGiveOneAnswer") {
  NumbersOptions numbers;
  numbers.rows = 700;
  numbers.keys = 5;
  const BoundNode outlier(StatisticalOutlierDescriptor(), "metric: v\nkey: [k]\n", *NumbersSchema());
  const BoundNode believed(FalseDiscoveryDescriptor(), "rate: 0.5\n", *outlier->outputs[0].schema);
  REQUIRE_MESSAGE(believed, believed.diagnostics());
  const SinkLines lines = CheckLanesBatchesAndCrashes([&](FlowGraph& graph) {
    const PortRef scored = graph.Node("outlier", {graph.Source("numbers", numbers)}, outlier.bound());
    graph.Sink("out", graph.Node("believed", {scored}, believed.bound()));
  });
  CHECK(lines.at("out").size() == 700);
}

}  // namespace
}  // namespace freshet::testing
