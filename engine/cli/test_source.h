#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/flow/graph_spec.h"
#include "engine/plan/pipeline_tests.h"

namespace freshet::cli {

/// What one test feeds to one source, as columns; shared by all permutations of the test.
struct TestFeedData {
  /// A run of rows without a step between them, or a step.
  struct Piece {
    TestStep::Kind kind = TestStep::Kind::kRow;
    std::vector<Column> columns;  ///< kRow
    int32_t row_count = 0;
    EventTime advance;
  };
  std::vector<Piece> pieces;
  bool has_advance = false;
  bool has_idle = false;
};

/// Turns a feed into columns of `schema`. Values that do not fit are InvalidArgument with their place.
Result<TestFeedData> BuildFeed(const TestFeed& feed, const Schema& schema);

/// Adds to `spec` a source that gives `data` in chunks of at most `chunk_rows`, in place of `original`; returns the
/// port of its rows. The port of its dead letters is that node's port 1: `*source_index`.
///
/// An `advance` travels as a row of a hidden column that moves the source's frontier as far as the promise, and is
/// dropped right behind the source.
PortRef AddTestSource(const NodeSpec& original, std::shared_ptr<const TestFeedData> data, int32_t chunk_rows,
                      GraphSpec* spec, int* source_index);

}  // namespace freshet::cli
