#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/time.h"
#include "engine/options/config_value.h"
#include "engine/options/diagnostics.h"

namespace freshet {

/// One row of a test: column names and values as they stand in the file.
struct TestRow {
  SourceSpan span;
  std::vector<ConfigValue::Entry> cells;
};

/// What a test gives to one source, in order: a row, a watermark, or "this source is idle now".
struct TestStep {
  enum class Kind : uint8_t { kRow, kAdvance, kIdle };
  Kind kind = Kind::kRow;
  TestRow row;        ///< kRow
  EventTime advance;  ///< kAdvance
  SourceSpan span;
};

struct TestFeed {
  SpannedText source;
  std::vector<TestStep> steps;  ///< the end of the source is implied
};

/// The rows of one output: same number, same order, compared on the columns given.
struct TestExpectation {
  SpannedText target;  ///< "node" or "node.output" as written
  std::string node;
  std::string output;         ///< "" is the main one
  std::vector<TestRow> rows;  ///< none: nothing may come out
};

/// One entry of the `tests:` section.
struct PipelineTest {
  std::string name;
  SourceSpan span;
  std::vector<TestFeed> feed;
  std::vector<TestExpectation> expect;
};

/// Reads the `tests:` section. A test without a name, feed or expectation is an error, as is an unknown key. Whether
/// nodes and columns exist is checked by the planner.
std::vector<PipelineTest> ReadTests(const ConfigValue& section, Diagnostics* diagnostics);

}  // namespace freshet
