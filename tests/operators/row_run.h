#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/operators/test_rows.h"

namespace freshet::testing {

/// How rows are handed to an operator.
struct RowRun {
  size_t cut = 4096;             ///< rows a batch
  bool restart = false;          ///< a checkpoint after each batch, and a restore from it
  bool evict = false;            ///< a checkpoint after each batch, and what may leave memory does
  size_t watermark_every = 0;    ///< batches; of the newest row, which is still to pass. 0: none before the end
  std::vector<int> lanes = {1};  ///< of one life after the other, again and again
  NodeClass law = NodeClass::kRowWise;
  HarnessCheckpoint* at_the_end = nullptr;  ///< in front of the end of the input
};

/// What the operator gives on its main output, life by life, lane by lane. Faults are those of the test that calls.
inline std::vector<Batch> RunRows(const BoundNode& node, const Schema& schema, const std::vector<TestRow>& rows,
                                  const RowRun& run) {
  REQUIRE_MESSAGE(node, node.diagnostics());
  const SchemaRef shared = std::make_shared<const Schema>(schema);
  std::vector<Batch> out;
  HarnessCheckpoint checkpoint;
  OperatorHarness::Options options;
  options.lanes = run.lanes[0];
  options.evict = run.evict;
  auto harness = std::make_unique<OperatorHarness>(node.bound(), options);
  const auto collect = [&] {
    REQUIRE_MESSAGE(harness->status().ok(), harness->status().ToString());
    CHECK(ConservationFault(harness->counters(), run.law) == "");
    for (int lane = 0; lane < options.lanes; ++lane)
      for (const Batch& b : harness->output(lane, 0)) out.push_back(b);
  };
  size_t batch = 0;
  for (size_t from = 0; from < rows.size(); from += run.cut) {
    const size_t count = std::min(run.cut, rows.size() - from);
    harness->Feed(MakeRows(shared, rows, from, count));
    if (run.watermark_every > 0 && batch % run.watermark_every == 0)
      harness->Watermark({rows[from + count - 1].time_us});
    ++batch;
    const bool last = from + count == rows.size();
    if (run.restart || run.evict || (last && run.at_the_end != nullptr)) harness->Snapshot(&checkpoint);
    if (last && run.at_the_end != nullptr) *run.at_the_end = checkpoint;
    if (!run.restart) continue;
    collect();
    options.restore = &checkpoint;
    options.lanes = run.lanes[batch % run.lanes.size()];
    harness = std::make_unique<OperatorHarness>(node.bound(), options);
  }
  harness->End();
  collect();
  return out;
}

inline std::vector<std::string> RunTexts(const BoundNode& node, const Schema& schema, const std::vector<TestRow>& rows,
                                         const RowRun& run) {
  std::vector<std::string> texts;
  for (const Batch& b : RunRows(node, schema, rows, run))
    for (std::string& text : RowTexts(b)) texts.push_back(std::move(text));
  return texts;
}

/// The value of a column in a row's text; "?" if it is not there.
inline std::string CellIn(const std::string& text, const std::string& name) {
  const size_t at = text.find(" " + name + "=");
  if (at == std::string::npos) return "?";
  const size_t from = at + name.size() + 2;
  if (text[from] == '\'') return text.substr(from + 1, text.find('\'', from + 1) - from - 1);
  return text.substr(from, text.find(' ', from) - from);
}

}  // namespace freshet::testing
