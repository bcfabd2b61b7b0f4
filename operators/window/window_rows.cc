#include "operators/window/window_rows.h"

#include "operators/window/window_operator.h"

namespace freshet {

WindowRows::WindowRows(const WindowPlan& plan, int32_t expected)
    : starts(TypeId::kTimestamp, expected),
      ends(TypeId::kTimestamp, expected),
      times(AllocateBuffer(int64_t{8} * expected)),
      watermarks(AllocateBuffer(int64_t{8} * expected)) {
  for (TypeId type : plan.key.types()) keys.emplace_back(type, expected);
  for (const AggregatePlan::Output& o : plan.aggregates.outputs) results.emplace_back(o.type, expected);
  if (!plan.revises()) return;
  revision.emplace(TypeId::kInt64, expected);
  op.emplace(TypeId::kString, expected);
}

void WindowRows::AppendAggregates(const AggregatePlan& plan, const std::byte* states, int64_t* nulled) {
  for (size_t i = 0; i < results.size(); ++i) {
    const AggregatePlan::Output& output = plan.outputs[i];
    const AggregatePlan::State& state = plan.states[static_cast<size_t>(output.state)];
    state.accumulator->Finish(output.result, states + state.offset, results[i], nulled);
  }
}

std::vector<Column> WindowRows::TakeColumns() {
  std::vector<Column> columns;
  columns.push_back(starts.Finish());
  columns.push_back(ends.Finish());
  for (ColumnBuilder& b : keys) columns.push_back(b.Finish());
  for (ColumnBuilder& b : results) columns.push_back(b.Finish());
  if (revision) columns.push_back(revision->Finish());
  if (op) columns.push_back(op->Finish());
  return columns;
}

Batch WindowRows::Finish(const SchemaRef& schema) {
  const int32_t count = starts.length();
  RowMeta meta;
  meta.times = ShrinkBuffer(times, int64_t{8} * count);
  meta.watermarks = ShrinkBuffer(watermarks, int64_t{8} * count);
  return Batch(schema, TakeColumns(), count, std::move(meta));
}

}  // namespace freshet
