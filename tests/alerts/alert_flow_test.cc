// Alerts that inhibit each other, grouped and held to a budget, in a running graph: one answer whatever the lanes,
// batches, interleavings and crashes.
#include <doctest/doctest.h>

#include "engine/flow/sim_runtime.h"
#include "operators/alert.h"
#include "operators/inhibit.h"
#include "operators/notify.h"
#include "tests/support/flow_nodes.h"
#include "tests/support/operator_harness.h"

namespace freshet::testing {
namespace {

NodeSpec Operator(const char* id, const BoundNode& node, std::vector<PortRef> inputs) {
  NodeSpec spec;
  spec.id = id;
  spec.type = id;
  spec.inputs = std::move(inputs);
  spec.kind = OperatorNode{node.bound()};
  return spec;
}

TEST_CASE("Alerts_InhibitedGroupedBudgeted_OneAnswerInAnyLanesAndThroughCrashes") {
  const BoundNode often(AlertDescriptor(),
                        "value: v\nthreshold: 2\nclear_threshold: 0.5\ndirection: up\nkey: [k]\nfor: 200ms\n"
                        "no_data: resolve\nno_data_after: 3s\nmessage: \"{k} {v:.2f}\"\n",
                        *NumbersSchema());
  const BoundNode seldom(AlertDescriptor(), "when: v > 6\nkey: [k]\nkeep_firing_for: 2s\n", *NumbersSchema());
  REQUIRE_MESSAGE(often, often.diagnostics());
  REQUIRE_MESSAGE(seldom, seldom.diagnostics());
  const Schema& a = *often->outputs[0].schema;
  const Schema& b = *seldom->outputs[0].schema;
  const BoundNode inhibit(InhibitDescriptor(), "equal: [k]\n", std::vector<const Schema*>{&a, &b});
  REQUIRE_MESSAGE(inhibit, inhibit.diagnostics());
  const BoundNode notify(NotifyDescriptor(), "group_by: [rule]\ngroup_wait: 1s\ngroup_interval: 2s\nbudget: 900/hour\n",
                         a);
  REQUIRE_MESSAGE(notify, notify.diagnostics());
  size_t rows = 0, held = 0;
  int crashes = 0;
  for (uint64_t data = 1; data <= 3; ++data) {
    NumbersOptions numbers;
    numbers.seed = data;
    numbers.partitions = static_cast<int>(data);
    numbers.rows = 400;
    numbers.jitter_us = 2000000;
    numbers.lateness = Duration::Millis(1700);
    numbers.keys = 6;
    std::vector<std::string> expected_all, expected_told;
    for (uint64_t seed = 1; seed <= 16; ++seed) {
      CAPTURE(data);
      CAPTURE(seed);
      const auto all = std::make_shared<Collected>(), told = std::make_shared<Collected>();
      const auto make = [&] {
        GraphSpec spec;
        spec.pipeline_name = "test";
        spec.nodes.push_back(NumbersSource("numbers", numbers));
        spec.nodes.push_back(Operator("often", often, {{0, 0}}));
        spec.nodes.push_back(Operator("seldom", seldom, {{0, 0}}));
        spec.nodes.push_back(Operator("inhibit", inhibit, {{1, 0}, {2, 0}}));
        spec.nodes.push_back(Operator("notify", notify, {{3, 0}}));
        spec.nodes.push_back(CollectSink("all", {{1, 0}}, all));
        spec.nodes.push_back(CollectSink("told", {{4, 0}}, told));
        return spec;
      };
      const auto store = NewMemoryStore();
      SimOptions options;
      options.job.store = store.get();
      options.seed = seed;
      options.job.lane_count = 1 + static_cast<int>(seed % 4);
      const int32_t batches[] = {4096, 1, 7};
      options.job.batch_row_count_max = batches[seed % 3];
      options.crash_chance = seed <= 4 ? 0 : 0.003;
      options.crash_count_max = 4;
      numbers.chunk_rows = seed % 4 == 0 ? 400 : 64;
      const SimResult result = RunSimulation(make, options);
      REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
      crashes += result.crash_count;
      if (seed == 1) {
        expected_all = all->lines;
        expected_told = told->lines;
      }
      REQUIRE(all->lines == expected_all);
      REQUIRE(told->lines == expected_told);
    }
    rows += expected_told.size();
    held += expected_all.size() - expected_told.size();
  }
  MESSAGE("rows told ", rows, ", left out ", held, ", crashes ", crashes);
  CHECK(rows > 20);
  CHECK(held > 20);
  CHECK(crashes > 30);
}

}  // namespace
}  // namespace freshet::testing
