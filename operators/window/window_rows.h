#pragma once

#include <optional>
#include <vector>

#include "engine/batch/column_builder.h"
#include "operators/window/aggregate_plan.h"

namespace freshet {

struct WindowPlan;

/// Columns of window results being made: window_start, window_end, the key's, the aggregates, and revision and op where
/// results are revised. Who appends fills them all. One thread.
struct WindowRows {
  WindowRows(const WindowPlan& plan, int32_t expected);
  /// The aggregates of one result. `nulled` counts those lost to overflow.
  void AppendAggregates(const AggregatePlan& plan, const std::byte* states, int64_t* nulled);
  /// In the order of the output's schema.
  std::vector<Column> TakeColumns();
  Batch Finish(const SchemaRef& schema);

  ColumnBuilder starts;
  ColumnBuilder ends;
  BufferRef times;
  BufferRef watermarks;
  std::vector<ColumnBuilder> keys;
  std::vector<ColumnBuilder> results;
  std::optional<ColumnBuilder> revision;
  std::optional<ColumnBuilder> op;
};

}  // namespace freshet
