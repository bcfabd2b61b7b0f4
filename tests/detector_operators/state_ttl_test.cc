// `state_ttl` of detectors against a slow oracle: the same rows without it, where a key that was away for too long has
// another name. In every cut of batches, lanes, restarts, and with keys that leave memory.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "engine/base/rng.h"
#include "operators/anomaly.h"
#include "operators/change_point.h"
#include "operators/contribution.h"
#include "operators/isolation_forest.h"
#include "operators/statistical_outlier.h"
#include "tests/operators/row_run.h"

namespace freshet::testing {
namespace {

const Schema kSchema({{"host", TypeId::kString}, {"part", TypeId::kString}, {"a", TypeId::kFloat64}});
constexpr int64_t kSecond = 1'000'000;
constexpr int64_t kTtl = 100 * kSecond;

struct Variant {
  const char* name;
  NodeDescriptor (*descriptor)();
  const char* yaml;
  NodeClass law = NodeClass::kRowWise;
};
const Variant kVariants[] = {
    {"forest", IsolationForestDescriptor, "features: [a]\ntrees: 4\nwindow: 32\n"},
    {"ewma", StatisticalOutlierDescriptor, "metric: a\n"},
    {"holt_winters", StatisticalOutlierDescriptor, "metric: a\nmethod: holt_winters\n"},
    {"anomaly", AnomalyDescriptor, "metric: a\nseason: none\n"},
    {"cusum", ChangePointDescriptor, "metric: a\nfalse_alarm_every: 20\n"},
    {"contribution", ContributionDescriptor, "metric: a\ndimensions: [part]\nseason: none\n", NodeClass::kStateful},
};

/// Hosts that come and go: pauses of a random length, some of exactly the time to live or a microsecond less.
std::vector<TestRow> Visits(uint64_t seed, int count) {
  Rng rng(seed);
  std::vector<TestRow> rows;
  for (int host = 0; host < 4; ++host) {
    int64_t time_us = static_cast<int64_t>(rng.Below(1000)) * kSecond;
    for (int i = 0; i < count / 4; ++i) {
      const uint64_t pause = rng.Below(60);
      time_us += pause == 0   ? kTtl
                 : pause == 1 ? kTtl - 1
                 : pause == 2 ? kTtl + static_cast<int64_t>(rng.Below(300)) * kSecond
                              : static_cast<int64_t>(rng.Below(5)) * kSecond;
      TestRow row{.time_us = time_us, .cells = {std::string(1, static_cast<char>('p' + host)), nullptr, nullptr}};
      row.cells[1] = rng.Below(2) == 0 ? "x" : "y";
      row.cells[2] = 10.0 * host + rng.NextNormal() + (rng.Below(40) == 0 ? 8 : 0);
      rows.push_back(std::move(row));
    }
  }
  std::stable_sort(rows.begin(), rows.end(), [](const TestRow& a, const TestRow& b) { return a.time_us < b.time_us; });
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i].ordinal = i;
    rows[i].watermark_us = rows[i].time_us;
  }
  return rows;
}

/// A host that comes back after the time to live has a number behind its name.
std::vector<TestRow> Renamed(std::vector<TestRow> rows, int* returns) {
  std::map<std::string, std::pair<int64_t, int>> seen;
  for (TestRow& row : rows) {
    auto& host = std::get<std::string>(row.cells[0].value);
    const auto [at, is_new] = seen.try_emplace(host, row.time_us, 0);
    if (row.time_us - at->second.first >= kTtl) ++at->second.second, ++*returns;
    at->second.first = row.time_us;
    host += std::to_string(at->second.second);
  }
  return rows;
}

/// Without the host's name, in one order whatever the lanes.
std::vector<std::string> Compared(std::vector<std::string> texts) {
  for (std::string& text : texts) {
    const size_t from = text.find(" host='") + 8;  // the first letter stays
    text.erase(from, text.find('\'', from) - from);
  }
  std::sort(texts.begin(), texts.end());
  return texts;
}

TEST_CASE("StateTtl_KeysThatComeBack_HaveFreshModels") {
  for (const Variant& v : kVariants) {
    for (const uint64_t seed : {1, 2}) {
      INFO(std::string(v.name) << " seed " << seed);
      const std::vector<TestRow> rows = Visits(seed, 1600);
      int returns = 0;
      const std::vector<TestRow> renamed = Renamed(rows, &returns);
      REQUIRE(returns > 20);
      const std::string yaml = std::string(v.yaml) + "key: [host]\n";
      const BoundNode forever(v.descriptor(), yaml, kSchema);
      const BoundNode node(v.descriptor(), yaml + "state_ttl: 100s\n", kSchema);
      const RowRun plain{.law = v.law};
      const std::vector<std::string> expected = Compared(RunTexts(forever, kSchema, renamed, plain));
      CHECK(expected != Compared(RunTexts(forever, kSchema, rows, plain)));  // it makes a difference
      for (const std::vector<int>& lanes : {std::vector{1}, {2}, {1, 4, 2}}) {
        for (const size_t cut : {1, 37, 400}) {
          if (cut == 1 && (lanes.size() > 1 || v.descriptor == AnomalyDescriptor)) continue;
          for (const bool evict : {false, true}) {
            for (const size_t watermark_every : {0, 1}) {
              INFO(lanes.size() << " lives of lanes, cut " << cut << ", evict " << evict << ", watermark each "
                                << watermark_every);
              const RowRun run{.cut = cut,
                               .restart = lanes.size() > 1,
                               .evict = evict && cut > 1,
                               .watermark_every = watermark_every,
                               .lanes = lanes,
                               .law = v.law};
              const bool same = Compared(RunTexts(node, kSchema, rows, run)) == expected;
              CHECK(same);
            }
          }
        }
      }
    }
  }
}

TEST_CASE("StateTtl_KeysWithoutRows_LeaveMemoryAndStore") {
  const std::vector<TestRow> rows = Visits(3, 800);
  const int64_t end_us = rows.back().time_us;
  for (const Variant& v : kVariants) {
    for (const bool evict : {false, true}) {
      INFO(std::string(v.name) << " evict " << evict);
      const BoundNode node(v.descriptor(), std::string(v.yaml) + "key: [host]\nstate_ttl: 100s\n", kSchema);
      REQUIRE_MESSAGE(node, node.diagnostics());
      OperatorHarness harness(node.bound(), {.lanes = 2, .evict = evict});
      HarnessCheckpoint checkpoint;
      harness.Feed(MakeRows(kSchema, rows));
      harness.Watermark({end_us + 1});
      harness.Snapshot(&checkpoint);
      CHECK(!checkpoint.rows.empty());
      CHECK((harness.evicted_bytes() > 0) == evict);
      harness.Watermark({end_us + kTtl});
      harness.Snapshot(&checkpoint);
      REQUIRE_MESSAGE(harness.status().ok(), harness.status().ToString());
      CHECK(checkpoint.rows.empty());
      CHECK(harness.state_keys() == 0);
    }
  }
}

TEST_CASE("StateTtl_StateWrittenWithoutTimes_IsReadAndForgottenOnceSeen") {
  const std::vector<TestRow> rows = Visits(4, 800);
  const BoundNode node(StatisticalOutlierDescriptor(), "metric: a\nkey: [host]\nstate_ttl: 100s\n", kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  HarnessCheckpoint checkpoint;
  OperatorHarness before(node.bound(), {});
  before.Feed(MakeRows(kSchema, rows));
  before.Snapshot(&checkpoint);
  const HarnessCheckpoint written = checkpoint;
  for (auto& [id, row] : checkpoint.rows) {
    CHECK(row.codec == 2);
    row = {1, row.value.substr(8)};  // codec 1: the model alone
  }
  OperatorHarness after(node.bound(), {.restore = &checkpoint});
  after.Watermark({rows.back().time_us + 10 * kTtl});
  CHECK(after.state_keys() == static_cast<int64_t>(written.rows.size()));  // who knows when they came last
  HarnessCheckpoint rewritten;
  after.Snapshot(&rewritten);
  REQUIRE_MESSAGE(after.status().ok(), after.status().ToString());
  REQUIRE(rewritten.rows.size() == written.rows.size());
  for (const auto& [id, row] : rewritten.rows) {
    CHECK(row.codec == 2);
    CHECK(row.value.substr(8) == written.rows.at(id).value.substr(8));
  }
}

TEST_CASE("StateTtl_WithoutKey_IsRefused") {
  for (const Variant& v : kVariants) {
    const BoundNode node(v.descriptor(), std::string(v.yaml) + "state_ttl: 100s\n", kSchema);
    CHECK_FALSE(node);
    CHECK(node.diagnostics().find("FR3206") != std::string::npos);
  }
}

}  // namespace
}  // namespace freshet::testing
