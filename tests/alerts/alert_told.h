#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "operators/alert.h"
#include "operators/alert/alert_command.h"
#include "tests/operators/test_rows.h"

namespace freshet::testing {

inline const Schema kSchema({{"k", TypeId::kString}, {"v", TypeId::kFloat64}, {"direction", TypeId::kString}});

inline TestRow Row(int64_t time, const char* key, TestCell value, TestCell direction = nullptr) {
  return {.time_us = time,
          .watermark_us = INT64_MIN,
          .ordinal = static_cast<uint64_t>(time),
          .cells = {key, std::move(value), std::move(direction)}};
}

using Lines = std::vector<std::string>;

/// "TIME KEY STATE" of the rows that came out so far.
inline Lines Told2(const OperatorHarness& harness, int lane = 0) {
  Lines lines;
  for (const Batch& b : harness.output(lane, 0))
    for (int32_t r = 0; r < b.row_count(); ++r)
      lines.push_back(std::to_string(b.time(r).us) + " " + std::string(b.column(2).StringAt(r)) + " " +
                      std::string(b.column(3).StringAt(r)));
  return lines;
}

inline Lines Run(const std::string& yaml, const std::vector<TestRow>& rows) {
  const BoundNode node(AlertDescriptor(), "key: [k]\n" + yaml, kSchema);
  REQUIRE_MESSAGE(node, node.diagnostics());
  OperatorHarness harness(node.bound(), {});
  harness.Feed(MakeRows(kSchema, rows));
  harness.End();
  REQUIRE_MESSAGE(harness.status().ok(), harness.status().ToString());
  CHECK(ConservationFault(harness.counters(), NodeClass::kStateful) == "");
  return Told2(harness);
}

inline std::string Order(AlertCommand::Verb verb, uint64_t id, int64_t until = 0,
                         AlertLabel label = AlertLabel::kNone) {
  AlertCommand command;
  command.verb = verb;
  command.alert_id = id;
  command.until_us = until;
  command.now_us = 77;
  command.label = label;
  return command.Encode();
}

}  // namespace freshet::testing
