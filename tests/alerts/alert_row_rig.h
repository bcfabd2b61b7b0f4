#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/rng.h"
#include "tests/operators/test_rows.h"

namespace freshet::testing {

inline const Schema kAlertSchema({{"alert_id", TypeId::kString},
                                  {"rule", TypeId::kString},
                                  {"service", TypeId::kString},
                                  {"state", TypeId::kString},
                                  {"severity", TypeId::kString},
                                  {"started_at", TypeId::kTimestamp},
                                  {"peaked_at", TypeId::kTimestamp},
                                  {"peak", TypeId::kFloat64},
                                  {"ended_at", TypeId::kTimestamp},
                                  {"message", TypeId::kString}});

/// One alert from the moment it fires to the one it resolves; `resolved_us` INT64_MAX: it never does.
struct TestAlert {
  std::string id;
  std::string service;
  int64_t fired_us = 0;
  int64_t resolved_us = INT64_MAX;
  int severity = 2;  ///< 1 low … 4 critical
  double peak = 0;
};

inline TestRow AlertRow(const TestAlert& a, bool firing) {
  static const char* const kWords[] = {"", "low", "medium", "high", "critical"};
  const int64_t time = firing ? a.fired_us : a.resolved_us;
  return {.time_us = time,
          .watermark_us = time,
          .cells = {a.id, "rule", a.service, firing ? "firing" : "resolved", kWords[a.severity], a.fired_us, a.fired_us,
                    a.peak, firing ? TestCell(nullptr) : TestCell(a.resolved_us), "m " + a.id}};
}

/// Both rows of each, by time; of one moment those that begin first.
inline std::vector<TestRow> AlertRows(const std::vector<TestAlert>& alerts) {
  std::vector<TestRow> rows;
  for (const bool firing : {true, false})
    for (const TestAlert& a : alerts)
      if (firing || a.resolved_us < INT64_MAX) rows.push_back(AlertRow(a, firing));
  std::stable_sort(rows.begin(), rows.end(), [](const TestRow& a, const TestRow& b) { return a.time_us < b.time_us; });
  return rows;
}

inline std::vector<TestAlert> RandomAlerts(Rng& rng, const char* prefix, int64_t span_us, bool apart) {
  std::vector<TestAlert> alerts;
  int64_t now = 0;
  for (int i = 0; now < span_us; ++i) {
    now += (apart ? 2 : 0) + static_cast<int64_t>(rng.Below(12)) / 2 * 2;
    TestAlert a;
    a.id = prefix + std::to_string(i);
    a.service = std::string(1, static_cast<char>('a' + rng.Below(3)));
    a.fired_us = now;
    // Odd, so that nothing begins where something ends, unless ties are wanted.
    a.resolved_us =
        now + 1 + static_cast<int64_t>(rng.Below(20)) * 2 + (apart ? 0 : static_cast<int64_t>(rng.Below(2)));
    if (rng.Below(10) == 0) a.resolved_us = INT64_MAX;
    a.severity = 1 + static_cast<int>(rng.Below(4));
    a.peak = static_cast<double>(rng.Below(9));
    alerts.push_back(a);
  }
  return alerts;
}

/// What alerts have had since: other columns, between and behind those of before; and rows of it.
inline const Schema kGrownAlertSchema = [] {
  std::vector<Field> fields = kAlertSchema.fields();
  fields.insert(fields.begin() + 3, {"team", TypeId::kString});
  fields.push_back({"alert_text", TypeId::kString});
  return Schema(fields);
}();

inline std::vector<TestRow> GrownAlertRows(const std::vector<TestAlert>& alerts) {
  std::vector<TestRow> rows = AlertRows(alerts);
  for (TestRow& row : rows) {
    row.cells.insert(row.cells.begin() + 3, "team");
    row.cells.push_back("text");
  }
  return rows;
}

/// "TIME ID STATE" of what came out, all lanes.
inline std::vector<std::string> Leaving(const OperatorHarness& harness, int lanes = 1) {
  std::vector<std::string> lines;
  for (int lane = 0; lane < lanes; ++lane)
    for (const Batch& b : harness.output(lane, 0))
      for (int32_t r = 0; r < b.row_count(); ++r)
        lines.push_back(std::to_string(b.time(r).us) + " " + std::string(b.column(0).StringAt(r)) + " " +
                        std::string(b.column(*b.schema()->Find("state")).StringAt(r)));
  return lines;
}

/// Feeds rows in time order, input by input, cut at random moments, with checkpoints and other lane counts between them
/// if `restarts`, where for every other seed nothing stays in memory at a checkpoint that may leave it; returns what
/// left, sorted by time.
inline std::vector<std::string> RunAlertRows(const BoundOperator& bound,
                                             const std::vector<std::vector<TestRow>>& inputs,
                                             const std::vector<SchemaRef>& schemas, bool restarts, uint64_t seed,
                                             int lanes_max) {
  std::vector<std::string> out;
  HarnessCheckpoint checkpoint;
  OperatorHarness::Options options;
  options.batch_row_count_max = restarts ? 2 : 4096;
  options.evict = restarts && seed % 2 == 0;
  auto harness = std::make_unique<OperatorHarness>(bound, options);
  const auto collect = [&] {
    if (!harness->status().ok()) out.push_back(harness->status().ToString());
    for (std::string& line : Leaving(*harness, options.lanes)) out.push_back(std::move(line));
  };
  Rng rng(seed);
  std::vector<size_t> next(inputs.size());
  const auto feed_until = [&](int64_t until_us) {
    for (size_t i = 0; i < inputs.size(); ++i) {
      size_t to = next[i];
      while (to < inputs[i].size() && inputs[i][to].time_us < until_us) ++to;
      if (to > next[i]) harness->Feed(MakeRows(schemas[i], inputs[i], next[i], to - next[i]), static_cast<int>(i));
      next[i] = to;
    }
  };
  if (restarts) {
    for (int64_t now = 0; now < 300; now += 1 + static_cast<int64_t>(rng.Below(25))) {
      feed_until(now);
      harness->Watermark({now});
      if (rng.Below(3) > 0) continue;
      harness->Snapshot(&checkpoint);
      if (options.evict && rng.Below(2) == 0) continue;  // the same life goes on
      collect();
      options.restore = &checkpoint;
      options.lanes = 1 + static_cast<int>(rng.Below(static_cast<uint64_t>(lanes_max)));
      harness = std::make_unique<OperatorHarness>(bound, options);
    }
  }
  feed_until(INT64_MAX);
  harness->End();
  collect();
  if (const std::string fault = ConservationFault(harness->counters(), NodeClass::kStateful); !fault.empty())
    out.push_back(fault);
  std::stable_sort(out.begin(), out.end(),
                   [](const std::string& a, const std::string& b) { return std::stoll(a) < std::stoll(b); });
  return out;
}

}  // namespace freshet::testing
