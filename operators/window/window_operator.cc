#include "operators/window/window_operator.h"

#include <algorithm>

#include "operators/window/window_combiner.h"
#include "operators/window/window_rows.h"

#include "engine/flow/descriptor.h"

namespace freshet {

/// 2: cells may be pending, and windows that have left are listed. 3: ends of the input are counted.
static constexpr uint16_t kPanesCodec = 3;
/// Stored rows looked at in one call, per result there is room for: most may have nothing to emit.
static constexpr int32_t kStoredRowsPerResult = 8;

struct WindowOperator::Rows : WindowRows {
  using WindowRows::WindowRows;
};

WindowOperator::WindowOperator(std::shared_ptr<const WindowPlan> plan)
    : plan_(std::move(plan)), pool_(plan_->aggregates, plan_->assigner, plan_->revisions) {}

Status WindowOperator::Open(OpenContext& ctx) {
  counters_ = &ctx.counters();
  row_count_max_ = ctx.batch_row_count_max();
  FRESHET_RETURN_IF_ERROR(OpenStored(ctx.state()));
  const auto loaded_bytes = [this](std::string_view value) {
    return LoadedBytes<KeyPanes>(&pool_, value, kPanesCodec, 0);
  };
  FRESHET_ASSIGN_OR_RETURN(
      table_, ctx.state().OpenKeyed<KeyPanes>("panes", {kPanesCodec, plan_->fingerprint, true, loaded_bytes}));
  SetEvictionHooks();
  return ReadStored();
}

// ---- rows in
// ---------------------------------------------------------------------------------------------------------

Status WindowOperator::ProcessBatch(InputIndex input, const Batch& in, Emitter& out) {
  FRESHET_RETURN_IF_ERROR(AssignCells(in));
  pool_.Accumulate(in, cells_.data(), &counters_->nulled);
  AccountMemory();
  const auto late = static_cast<int64_t>(late_rows_.size());
  counters_->late += late;
  if (late > 0) EmitLate(in, out);
  counters_->absorbed += RowsMeant(in) - late;
  if (apart_.empty()) return Status::Ok();
  const Batch apart = TakeApart(in);
  counters_->absorbed -= apart.row_count();
  return ProcessBatch(input, apart, out);
}

void WindowOperator::TakePartial(const Batch& in, int32_t row, int32_t group, const SliceAssigner::Slice& slice) {
  cells_[static_cast<size_t>(row)] = nullptr;
  // None of its rows was late by its own watermark, but their input may have joined later, and any of the windows may
  // have left.
  const int64_t first_end = slice.first_window_end;
  if (first_end <= std::max(in.row_watermark(row), closed_).us) return apart_.push_back(group);
  KeyPanes& panes = table_->FindOrCreate(keys_.hash(row), keys_.key(row));
  if (first_end <= panes.gone_end || (panes.left != nullptr && first_end <= panes.left->guard_end))
    return apart_.push_back(group);
  SliceCell* cell = panes.cells;
  if (cell == nullptr || cell->slice_begin != slice.begin || cell->first_end != first_end || cell->pending())
    cell = OpenCell(panes, row, slice, first_end, SliceCell::kSettled);
  pool_.Merge(cell, static_cast<const WindowPartials&>(*in.meta().partials->combined).cell(group));
}

Batch WindowOperator::TakeApart(const Batch& in) {
  const PartialRows& partials = *in.meta().partials;
  const std::vector<int32_t>& group_of = partials.combined->group_of();
  std::sort(apart_.begin(), apart_.end());
  std::vector<int32_t> rows;
  for (size_t row = 0; row < group_of.size(); ++row)
    if (std::binary_search(apart_.begin(), apart_.end(), group_of[row])) rows.push_back(static_cast<int32_t>(row));
  apart_.clear();
  const auto count = static_cast<int32_t>(rows.size());
  const Batch taken = partials.whole.Take(rows.data(), count);
  RowMeta meta = taken.meta();
  // What has become of the batch on its way has become of these rows too.
  const EventTime joined = in.meta().joined > meta.joined ? in.meta().joined : EventTime::Min();
  meta.joined = in.meta().joined;
  meta.watermarks = AllocateBuffer(int64_t{8} * count);
  meta.positions = AllocateBuffer(int64_t{4} * count);
  for (int32_t i = 0; i < count; ++i) {
    meta.watermarks.as<int64_t>()[i] = std::max(taken.row_watermark(i), joined).us;
    meta.positions.as<uint32_t>()[i] = static_cast<uint32_t>(rows[static_cast<size_t>(i)]);
  }
  return taken.WithMeta(std::move(meta));
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
  FRESHET_RETURN_IF_ERROR(table_->LoadMissing(keys_, rows));
  cells_.resize(static_cast<size_t>(rows));
  late_rows_.clear();
  late_ends_.clear();
  late_reasons_.clear();
  const PartialRows* const partials = in.meta().partials.get();
  const SliceAssigner& assigner = plan_->assigner;
  const int64_t early_us = plan_->revisions.early_us;
  SliceAssigner::Slice slice;
  // Thousands of keys do not fit the inner caches: ask for each row's slot, entry and cell some rows before they are
  // needed.
  constexpr int32_t kEntryAhead = 32;
  constexpr int32_t kCellAhead = 16;
  for (int32_t row = 0; row < rows; ++row) table_->PrefetchSlot(keys_.hash(row));
  for (int32_t row = 0; row < rows; ++row) {
    if (row + kEntryAhead < rows) table_->PrefetchEntry(keys_.hash(row + kEntryAhead));
    if (row + kCellAhead < rows)
      if (const KeyPanes* ahead = table_->Peek(keys_.hash(row + kCellAhead)); ahead != nullptr)
        PrefetchCell(ahead->cells);
    const int64_t time = in.time(row).us;
    if (time < slice.begin || time >= slice.end) slice = assigner.SliceOf(time);
    if (partials != nullptr)
      if (const int32_t group = partials->group_of[static_cast<size_t>(row)]; group >= 0) {
        TakePartial(in, row, group, slice);
        continue;
      }
    int64_t first_end = slice.first_window_end;
    int64_t since = SliceCell::kSettled;
    if (first_end <= std::max(in.row_watermark(row), closed_).us) [[unlikely]] {
      if (!Judge(in, row, slice, &first_end, &since)) continue;
    }
    if (early_us > 0)
      since = SliceAssigner::NextTick(std::max({time, in.row_watermark(row).us, closed_.us}), early_us) - 1;
    KeyPanes& panes = table_->FindOrCreate(keys_.hash(row), keys_.key(row));
    SliceCell* cell = panes.cells;
    if (cell == nullptr || cell->slice_begin != slice.begin || cell->first_end != first_end || cell->since != since ||
        panes.left != nullptr)
      cell = OpenCell(panes, row, slice, first_end, since);
    cells_[static_cast<size_t>(row)] = cell == nullptr ? nullptr : cell->bytes();
  }
  return Status::Ok();
}

bool WindowOperator::Judge(const Batch& in, int32_t row, const SliceAssigner::Slice& slice, int64_t* first_end,
                           int64_t* since) {
  // The row's own watermark decides. It is behind the merged one, with an event time that is too, only where an input
  // went idle or came later than others: there it joins (SEMANTICS.md §2.4).
  const int64_t own = in.row_watermark(row).us;
  const bool joins = in.time(row) < closed_ && own < closed_.us;
  const int64_t over = joins ? closed_.us : own;
  const int64_t allowed = plan_->allowed_lateness.us;
  if (*first_end > over) return true;
  *first_end = std::max(*first_end, plan_->assigner.FirstEndAfter(over - allowed));
  if (*first_end > slice.last_window_end) {
    MarkLate(row, slice, slice.last_window_end + allowed <= own ? LateReason::kLate : LateReason::kAfterIdle);
    return false;
  }
  counters_->late_panes += (*first_end - slice.first_window_end) / plan_->assigner.slide();
  if (*first_end <= over) *since = over;
  return true;
}

SliceCell* WindowOperator::OpenCell(KeyPanes& panes, int32_t row, const SliceAssigner::Slice& slice, int64_t first_end,
                                    int64_t since) {
  if (panes.left != nullptr && first_end <= panes.left->guard_end && since < first_end &&
      !MeetLeftWindows(panes, row, slice, first_end))
    return nullptr;
  if (panes.gone_end >= slice.last_window_end) {
    MarkLate(row, slice, LateReason::kAfterIdle);
    return nullptr;
  }
  if (SliceCell* found = panes.Find(slice.begin, first_end, since)) return found;
  panes.pool = &pool_;
  panes.hash = keys_.hash(row);
  int64_t opened = 0;
  SliceCell* cell = panes.Add(slice, first_end, since, &opened);
  counters_->panes_opened += opened;
  counters_->panes_open += opened;
  if (const int64_t moment = panes.MomentOf(*cell); moment < panes.next_due)
    Schedule(panes, table_->StoredKey(panes.hash, keys_.key(row)), moment);
  return cell;
}

bool WindowOperator::MeetLeftWindows(KeyPanes& panes, int32_t row, const SliceAssigner::Slice& slice,
                                     int64_t first_end) {
  int64_t met = 0;
  const int64_t slide = plan_->assigner.slide();
  for (int64_t end = first_end; end <= slice.last_window_end; end += slide) {
    LeftWindow* left = panes.FindLeft(end);
    if (left == nullptr) continue;
    ++met;
    if (!plan_->revises()) continue;
    left->reopened = true;
    if (end - 1 < panes.next_due) Schedule(panes, table_->StoredKey(panes.hash, keys_.key(row)), end - 1);
  }
  if (met == 0 || plan_->revises()) return true;
  if (met == (slice.last_window_end - first_end) / slide + 1) {
    MarkLate(row, slice, LateReason::kAfterEnd);
    return false;
  }
  counters_->late_panes += met;
  return true;
}

void WindowOperator::MarkLate(int32_t row, const SliceAssigner::Slice& slice, LateReason reason) {
  cells_[static_cast<size_t>(row)] = nullptr;
  late_rows_.push_back(row);
  late_ends_.push_back(slice.last_window_end);
  late_reasons_.push_back(reason);
}

void WindowOperator::EmitLate(const Batch& in, Emitter& out) {
  const auto count = static_cast<int32_t>(late_rows_.size());
  const Batch late = in.Take(late_rows_.data(), count);
  ColumnBuilder reason(TypeId::kString, count), end(TypeId::kTimestamp, count), lateness(TypeId::kInt64, count);
  for (int32_t i = 0; i < count; ++i) {
    const LateReason why = late_reasons_[static_cast<size_t>(i)];
    reason.AppendString(why == LateReason::kAfterEnd    ? "after_end"
                        : why == LateReason::kAfterIdle ? "after_idle"
                                                        : LateReasonOf(late, i));
    end.AppendInt64(late_ends_[static_cast<size_t>(i)]);
    EventTime over = late.row_watermark(i);
    if (why != LateReason::kLate) over = std::max({over, closed_, EventTime{late_ends_[static_cast<size_t>(i)]}});
    lateness.AppendInt64((over.us - late.time(i).us) / 1000);
  }
  out.Emit(late.WithAppended(plan_->late, {reason.Finish(), end.Finish(), lateness.Finish()}), 1);
}

// ---- windows out
// -----------------------------------------------------------------------------------------------------

void WindowOperator::Schedule(KeyPanes& panes, const std::string* key, int64_t moment) {
  panes.next_due = moment;
  if (moment != KeyPanes::kNone) due_[moment].push_back({&panes, key});
}

int64_t WindowOperator::NextMoment() const {
  return std::min(due_.empty() ? KeyPanes::kNone : due_.begin()->first,
                  stored_due_.empty() ? KeyPanes::kNone : stored_due_.begin()->first);
}

Result<bool> WindowOperator::NextDue(EventTime now) {
  const int64_t moment = NextMoment();
  if (moment >= now.us) return false;
  moment_ = fired_through_ = moment;
  table_->HoldEviction(true);
  FRESHET_RETURN_IF_ERROR(StartStored());
  firing_.clear();
  firing_at_ = 0;
  const auto due_now = due_.find(moment_);
  if (due_now == due_.end()) return true;
  for (const DueKey& due : due_now->second)
    if (due.value->next_due == moment_) ListFirings(due);
  due_.erase(due_now);
  const auto in_order = [this](const Firing& a, const Firing& b) {
    const int64_t a_time = TimeOf(a.end), b_time = TimeOf(b.end);
    if (a_time != b_time) return a_time < b_time;
    const int by_key = a.due.key->compare(*b.due.key);
    return by_key != 0 ? by_key < 0 : a.end < b.end;
  };
  // Keys of a hopping window were scheduled in order by the window before.
  if (!std::is_sorted(firing_.begin(), firing_.end(), in_order)) std::sort(firing_.begin(), firing_.end(), in_order);
  return true;
}

void WindowOperator::ListFirings(const DueKey& due) {
  due.value->next_due = KeyPanes::kNone;  // the index may have the key twice
  if (!plan_->revises() && due.value->left == nullptr) {
    firing_.push_back({moment_ + 1, due, true});
    return;
  }
  due.value->WindowsAt(moment_, &ends_at_);
  if (ends_at_.empty()) ends_at_.push_back(KeyPanes::kNone);
  for (const int64_t end : ends_at_) firing_.push_back({end, due, end == ends_at_.back()});
}

Result<Progress> WindowOperator::OnWatermark(EventTime now, Emitter& out) {
  ending_ = now == EventTime::Max();
  std::unique_ptr<Rows> rows;
  int32_t count = 0;
  int32_t stored_left = row_count_max_ * kStoredRowsPerResult;
  while (count < row_count_max_ && stored_left > 0) {
    if (firing_at_ == firing_.size() && scan_ == nullptr) {
      FRESHET_ASSIGN_OR_RETURN(const bool any, NextDue(now));
      if (!any) break;
      continue;  // all it had may have been overtaken
    }
    if (scan_ != nullptr && StoredIsNext()) {
      FRESHET_RETURN_IF_ERROR(TakeStored(&rows, &count));
      --stored_left;
      continue;
    }
    const Firing firing = firing_[firing_at_++];
    table_->BeforeChange(firing.due.value->hash, *firing.due.key);
    if (firing.end != KeyPanes::kNone) AppendResult(firing, &rows, &count);
    if (firing.last) Settle(firing.due);
  }
  if (rows != nullptr) out.Emit(rows->Finish(plan_->output));
  if (firing_at_ < firing_.size() || scan_ != nullptr || NextMoment() < now.us) return Progress::kMore;
  FinishStored(now);
  closed_ = now;
  fired_through_ = now.us;
  return Progress::kDone;
}

void WindowOperator::AppendResult(const Firing& firing, std::unique_ptr<Rows>* rows, int32_t* count) {
  if (*rows == nullptr) *rows = std::make_unique<Rows>(*plan_, row_count_max_);
  (*rows)->times.as<int64_t>()[*count] = TimeOf(firing.end);
  (*rows)->watermarks.as<int64_t>()[(*count)++] = moment_;
  EmitPane(firing, **rows);
}

void WindowOperator::EmitPane(const Firing& firing, Rows& rows) {
  KeyPanes& panes = *firing.due.value;
  const int64_t end = firing.end;
  const int64_t start = plan_->assigner.StartOf(end);
  const bool first = panes.FindLeft(end) == nullptr;
  SliceCell* made = nullptr;
  const SliceCell* merged = panes.MergeOver(start, end, moment_, first && end == moment_ + 1 && firing.resident, &made);
  if (plan_->assigner.global()) {
    rows.starts.AppendNull();
    rows.ends.AppendNull();
  } else {
    rows.starts.AppendInt64(start);
    rows.ends.AppendInt64(end);
  }
  plan_->key.Decode(*firing.due.key, rows.keys);
  rows.AppendAggregates(plan_->aggregates, merged->bytes(), &counters_->nulled);
  if (made != nullptr) pool_.Delete(made);
  const int64_t revision = panes.Leave(end, moment_, plan_->revises() || ending_);
  counters_->panes_emitted += first;
  counters_->panes_open -= first;
  if (!rows.revision) return;
  rows.revision->AppendInt64(revision);
  rows.op->AppendString(first ? "insert" : "update");
}

void WindowOperator::Settle(const DueKey& due) {
  KeyPanes& panes = *due.value;
  panes.Settle(moment_, !ending_);
  if (panes.empty()) {
    panes.Free();
    table_->Erase(panes.hash, *due.key);
    return;
  }
  table_->MarkDirty(panes.hash, *due.key);
  Schedule(panes, due.key, panes.NextMoment(!ending_));
}

}  // namespace freshet
