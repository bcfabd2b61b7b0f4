#include "operators/window/window_operator.h"

#include <algorithm>

namespace freshet {

struct WindowOperator::Rows {
  Rows(const WindowPlan& plan, int32_t expected)
      : starts(TypeId::kTimestamp, expected),
        ends(TypeId::kTimestamp, expected),
        times(AllocateBuffer(int64_t{8} * expected)) {
    for (TypeId type : plan.key.types()) keys.emplace_back(type, expected);
    for (const AggregatePlan::Output& o : plan.aggregates.outputs) results.emplace_back(o.type, expected);
  }
  Batch Finish(const SchemaRef& schema) {
    const int32_t count = starts.length();
    std::vector<Column> columns;
    columns.push_back(starts.Finish());
    columns.push_back(ends.Finish());
    for (ColumnBuilder& b : keys) columns.push_back(b.Finish());
    for (ColumnBuilder& b : results) columns.push_back(b.Finish());
    RowMeta meta;
    meta.times = times;
    meta.watermarks = times;  // the same value by definition
    return Batch(schema, std::move(columns), count, std::move(meta));
  }
  ColumnBuilder starts;
  ColumnBuilder ends;
  BufferRef times;
  std::vector<ColumnBuilder> keys;
  std::vector<ColumnBuilder> results;
};

WindowOperator::WindowOperator(std::shared_ptr<const WindowPlan> plan)
    : plan_(std::move(plan)), pool_(plan_->aggregates, plan_->assigner) {}

Status WindowOperator::Open(OpenContext& ctx) {
  counters_ = &ctx.counters();
  row_count_max_ = ctx.batch_row_count_max();
  FRESHET_ASSIGN_OR_RETURN(table_, ctx.state().OpenKeyed<KeyPanes>("panes", {1, plan_->fingerprint}));
  Status status;
  table_->ForEach([&](std::string_view key, KeyPanes& panes) {
    panes.pool = &pool_;
    panes.hash = HashKey(key);
    if (!panes.Load() || panes.EarliestOpen() == KeyPanes::kNone)
      status = Status::DataLoss("open windows in the checkpoint cannot be read");
    if (!status.ok()) return;
    counters_->panes_open += panes.CountOpen();
    Schedule(panes, table_->StoredKey(panes.hash, key));
  });
  return status;
}

// ---- rows in
// ---------------------------------------------------------------------------------------------------------

Status WindowOperator::ProcessBatch(InputIndex, const Batch& in, Emitter& out) {
  FRESHET_RETURN_IF_ERROR(AssignCells(in));
  Accumulate(in);
  const auto late = static_cast<int64_t>(late_rows_.size());
  counters_->absorbed += in.row_count() - late;
  counters_->late += late;
  if (late > 0) EmitLate(in, out);
  return Status::Ok();
}

namespace {
/// The head of a cell and the two lines of states behind it.
void PrefetchCell(const SliceCell* cell) {
  const auto* bytes = reinterpret_cast<const char*>(cell);
  __builtin_prefetch(bytes);
  __builtin_prefetch(bytes + 64);
  __builtin_prefetch(bytes + 128);
}
}  // namespace

Status WindowOperator::AssignCells(const Batch& in) {
  if (!in.has_times()) return Status::Internal("a window got rows without event time");
  const int32_t rows = in.row_count();
  keys_.Encode(plan_->key, in);
  cells_.resize(static_cast<size_t>(rows));
  late_rows_.clear();
  late_ends_.clear();
  const SliceAssigner& assigner = plan_->assigner;
  SliceAssigner::Slice slice;
  // Thousands of keys do not fit the inner caches: ask for each row's slot, entry and cell some rows before they are
  // needed.
  constexpr int32_t kEntryAhead = 12;
  constexpr int32_t kCellAhead = 6;
  for (int32_t row = 0; row < rows; ++row) table_->PrefetchSlot(keys_.hash(row));
  for (int32_t row = 0; row < rows; ++row) {
    if (row + kEntryAhead < rows) table_->PrefetchEntry(keys_.hash(row + kEntryAhead));
    if (row + kCellAhead < rows)
      if (const KeyPanes* ahead = table_->Peek(keys_.hash(row + kCellAhead)); ahead != nullptr)
        PrefetchCell(ahead->cells);
    const int64_t time = in.time(row).us;
    if (time < slice.begin || time >= slice.end) slice = assigner.SliceOf(time);
    int64_t first_end = slice.first_window_end;
    const EventTime over = in.row_watermark(row) - plan_->allowed_lateness;
    if (first_end <= over.us) [[unlikely]] {
      first_end = assigner.FirstEndAfter(over.us);
      if (first_end > slice.last_window_end) {
        MarkLate(row, slice);
        continue;
      }
      counters_->late_panes += (first_end - slice.first_window_end) / assigner.slide();
    }
    if (first_end <= closed_.us) [[unlikely]]
      return Status::Internal("a row on time by its own watermark met a closed window");
    KeyPanes& panes = table_->FindOrCreate(keys_.hash(row), keys_.key(row));
    SliceCell* cell = panes.cells;
    if (cell == nullptr || cell->slice_begin != slice.begin || cell->first_end != first_end)
      cell = OpenCell(panes, row, slice, first_end);
    cells_[static_cast<size_t>(row)] = cell->bytes();
  }
  return Status::Ok();
}

SliceCell* WindowOperator::OpenCell(KeyPanes& panes, int32_t row, const SliceAssigner::Slice& slice,
                                    int64_t first_end) {
  if (SliceCell* found = panes.Find(slice.begin, first_end)) return found;
  panes.pool = &pool_;
  panes.hash = keys_.hash(row);
  const int64_t open_before = panes.CountOpen();
  SliceCell* cell = panes.Add(slice, first_end);
  const int64_t opened = panes.CountOpen() - open_before;
  counters_->panes_opened += opened;
  counters_->panes_open += opened;
  if (panes.EarliestOpen() != panes.next_due) Schedule(panes, table_->StoredKey(panes.hash, keys_.key(row)));
  return cell;
}

void WindowOperator::MarkLate(int32_t row, const SliceAssigner::Slice& slice) {
  cells_[static_cast<size_t>(row)] = nullptr;
  late_rows_.push_back(row);
  late_ends_.push_back(slice.last_window_end);
}

void WindowOperator::Accumulate(const Batch& in) {
  const AggregatePlan& plan = plan_->aggregates;
  std::vector<Column> arguments;
  arguments.reserve(plan.arguments.size());
  for (const BoundExpr& e : plan.arguments)
    arguments.push_back(e.AsColumn() ? in.column(*e.AsColumn()) : e.Evaluate(in, &counters_->nulled));
  std::vector<Selection> filters;
  filters.reserve(plan.filters.size());
  for (const BoundExpr& e : plan.filters) filters.push_back(e.Filter(in));
  for (const AggregatePlan::State& state : plan.states) {
    AccumulatorInput input;
    input.cells = cells_.data();
    input.batch = &in;
    if (state.argument >= 0) input.argument = &arguments[static_cast<size_t>(state.argument)];
    input.count = in.row_count();
    if (state.filter >= 0) {
      const Selection& kept = filters[static_cast<size_t>(state.filter)];
      if (kept.count == 0) continue;
      input.rows = kept.indices.as<int32_t>();
      input.count = kept.count;
    }
    state.accumulator->Update(input, state.offset);
  }
}

void WindowOperator::EmitLate(const Batch& in, Emitter& out) {
  const auto count = static_cast<int32_t>(late_rows_.size());
  const Batch late = in.Take(late_rows_.data(), count);
  ColumnBuilder reason(TypeId::kString, count), end(TypeId::kTimestamp, count), lateness(TypeId::kInt64, count);
  for (int32_t i = 0; i < count; ++i) {
    reason.AppendString("late");
    end.AppendInt64(late_ends_[static_cast<size_t>(i)]);
    lateness.AppendInt64((late.row_watermark(i).us - late.time(i).us) / 1000);
  }
  out.Emit(late.WithAppended(plan_->late, {reason.Finish(), end.Finish(), lateness.Finish()}), 1);
}

// ---- windows out
// -----------------------------------------------------------------------------------------------------

void WindowOperator::Schedule(KeyPanes& panes, const std::string* key) {
  panes.next_due = panes.EarliestOpen();
  due_[panes.next_due].push_back({&panes, key});
}

bool WindowOperator::NextDue(EventTime now) {
  if (due_.empty() || due_.begin()->first > now.us) return false;
  firing_end_ = due_.begin()->first;
  firing_ = std::move(due_.begin()->second);
  firing_at_ = 0;
  due_.erase(due_.begin());
  const auto by_key = [](const DueKey& a, const DueKey& b) { return *a.key < *b.key; };
  // Keys of a hopping window were scheduled in order by the window before.
  if (!std::is_sorted(firing_.begin(), firing_.end(), by_key)) std::sort(firing_.begin(), firing_.end(), by_key);
  return true;
}

Result<Progress> WindowOperator::OnWatermark(EventTime now, Emitter& out) {
  std::unique_ptr<Rows> rows;
  int32_t count = 0;
  while (count < row_count_max_) {
    if (firing_at_ == firing_.size() && !NextDue(now)) break;
    const DueKey due = firing_[firing_at_++];
    if (due.panes->next_due != firing_end_) continue;
    if (rows == nullptr) rows = std::make_unique<Rows>(*plan_, row_count_max_);
    rows->times.as<int64_t>()[count++] = firing_end_ - 1;
    EmitPane(due, *rows);
  }
  if (rows != nullptr) out.Emit(rows->Finish(plan_->output));
  if (firing_at_ < firing_.size() || (!due_.empty() && due_.begin()->first <= now.us)) return Progress::kMore;
  closed_ = now;
  return Progress::kDone;
}

void WindowOperator::EmitPane(const DueKey& due, Rows& rows) {
  KeyPanes& panes = *due.panes;
  const int64_t end = firing_end_;
  const int64_t start = end - plan_->assigner.size();
  // The states of the only cell, or of all of them merged, oldest slice last.
  SliceCell* merged = nullptr;
  const SliceCell* only = nullptr;
  for (const SliceCell* c = panes.cells; c != nullptr; c = c->next) {
    if (c->slice_begin >= end || c->slice_begin < start || c->first_end > end) continue;
    if (only == nullptr) {
      only = c;
      continue;
    }
    if (merged == nullptr) {
      merged = pool_.New();
      pool_.Merge(merged, only);
    }
    pool_.Merge(merged, c);
  }
  rows.starts.AppendInt64(start);
  rows.ends.AppendInt64(end);
  plan_->key.Decode(*due.key, rows.keys);
  const std::byte* states = (merged != nullptr ? merged : only)->bytes();
  for (size_t i = 0; i < rows.results.size(); ++i) {
    const AggregatePlan::Output& output = plan_->aggregates.outputs[i];
    const AggregatePlan::State& state = plan_->aggregates.states[static_cast<size_t>(output.state)];
    state.accumulator->Finish(output.result, states + state.offset, rows.results[i], &counters_->nulled);
  }
  if (merged != nullptr) pool_.Delete(merged);
  ++counters_->panes_emitted;
  --counters_->panes_open;
  panes.CloseThrough(end);
  if (panes.cells == nullptr) {
    table_->Erase(panes.hash, *due.key);
  } else {
    table_->MarkDirty(panes.hash, *due.key);
    Schedule(panes, due.key);
  }
}

}  // namespace freshet
