#include "operators/window/ordered_window.h"

#include <algorithm>

namespace freshet {
namespace {

void EncodePanes(const std::vector<OrderedPane>& panes, const CellPool* pool, ByteSink& sink) {
  sink.PutVarint(panes.size());
  for (const OrderedPane& pane : panes) {
    sink.PutI64(pane.start_us);
    sink.PutI64(pane.last_us);
    sink.PutVarint(static_cast<uint64_t>(pane.rows));
    pool->EncodeStates(pane.cell, sink);
  }
}

bool DecodePanes(ByteSource& source, CellPool* pool, std::vector<OrderedPane>* panes) {
  for (uint64_t n = source.GetVarint(); n > 0 && source.ok(); --n) {
    OrderedPane pane;
    pane.start_us = source.GetI64();
    pane.last_us = source.GetI64();
    pane.rows = static_cast<int64_t>(source.GetVarint());
    pane.cell = pool->New();
    panes->push_back(pane);
    if (!source.ok() || !pool->DecodeStates(pane.cell, source)) return false;
  }
  return source.ok();
}

}  // namespace

void OrderedPanes::Encode(ByteSink& sink) const {
  EncodePanes(open, pool, sink);
  EncodePanes(steps, pool, sink);
}

bool OrderedPanes::Decode(ByteSource& source, uint16_t codec) {
  if (codec != 1) return false;
  restored = std::make_unique<std::string>(source.GetBytes(source.remaining()));
  return source.ok();
}

bool OrderedPanes::Load() {
  ByteSource source(*restored);
  if (!DecodePanes(source, pool, &open) || !DecodePanes(source, pool, &steps) || !source.exhausted()) return false;
  restored.reset();
  return !open.empty() || !steps.empty();
}

OrderedWindow::OrderedWindow(OrderedWindowPlan plan)
    : plan_(std::move(plan)), pool_(plan_.window->aggregates, plan_.window->assigner) {}

Status OrderedWindow::Open(OpenContext& ctx) {
  counters_ = &ctx.counters();
  row_count_max_ = ctx.batch_row_count_max();
  const char* name = plan_.gap_us > 0 ? "sessions" : "counts";
  FRESHET_ASSIGN_OR_RETURN(table_, ctx.state().OpenKeyed<OrderedPanes>(name, {1, plan_.window->fingerprint}));
  Status status;
  table_->ForEach([&](std::string_view key, OrderedPanes& panes) {
    panes.pool = &pool_;
    panes.hash = HashKey(key);
    if (!panes.Load()) status = Status::DataLoss("open windows in the checkpoint cannot be read");
    if (!status.ok()) return;
    counters_->panes_open += static_cast<int64_t>(panes.open.size());
    if (!panes.open.empty()) Schedule(panes, table_->StoredKey(panes.hash, key), MomentOf(panes.open.front()));
  });
  return status;
}

// ---- rows in
// ---------------------------------------------------------------------------------------------------------

Status OrderedWindow::ProcessBatch(InputIndex, const Batch& in, Emitter&) {
  if (!in.has_times()) return Status::Internal("a window got rows without event time");
  keys_.Encode(plan_.window->key, in);
  cells_.resize(static_cast<size_t>(in.row_count()));
  for (int32_t row = 0; row < in.row_count(); ++row) {
    OrderedPanes& panes = table_->FindOrCreate(keys_.hash(row), keys_.key(row));
    panes.pool = &pool_;
    panes.hash = keys_.hash(row);
    const int64_t time_us = in.time(row).us;
    SliceCell* cell = plan_.gap_us > 0 ? ExtendSession(panes, time_us) : ExtendStep(panes, time_us);
    cells_[static_cast<size_t>(row)] = cell->bytes();
    // A window that grows is looked at again when it would have ended.
    if (!panes.open.empty() && MomentOf(panes.open.front()) < panes.next_due)
      Schedule(panes, table_->StoredKey(panes.hash, keys_.key(row)), MomentOf(panes.open.front()));
  }
  AccumulateRows(plan_.window->aggregates, in, cells_.data(), &counters_->nulled);
  Complete();
  counters_->absorbed += in.row_count();
  return Status::Ok();
}

void OrderedWindow::OpenPane(OrderedPanes& panes, const OrderedPane& pane) {
  panes.open.push_back(pane);
  ++counters_->panes_opened;
  ++counters_->panes_open;
}

SliceCell* OrderedWindow::ExtendSession(OrderedPanes& panes, int64_t time_us) {
  if (panes.open.empty() || time_us - panes.open.back().last_us >= plan_.gap_us)
    OpenPane(panes, {time_us, time_us, 0, pool_.New()});
  OrderedPane& session = panes.open.back();
  session.last_us = time_us;
  ++session.rows;
  return session.cell;
}

SliceCell* OrderedWindow::ExtendStep(OrderedPanes& panes, int64_t time_us) {
  if (panes.steps.empty() || panes.steps.back().rows == plan_.every)
    panes.steps.push_back({time_us, time_us, 0, pool_.New()});
  OrderedPane& step = panes.steps.back();
  SliceCell* const cell = step.cell;
  step.last_us = time_us;
  if (++step.rows < plan_.every || static_cast<int64_t>(panes.steps.size()) * plan_.every < plan_.count) return cell;
  Completion completion{pool_.New(), {}, panes.steps.front().cell};
  for (const OrderedPane& s : panes.steps) completion.steps.push_back(s.cell);
  OpenPane(panes, {panes.steps.front().start_us, time_us, plan_.count, completion.into});
  completions_.push_back(std::move(completion));
  panes.steps.erase(panes.steps.begin());
  return cell;
}

void OrderedWindow::Complete() {
  for (const Completion& completion : completions_)
    for (const SliceCell* step : completion.steps) pool_.Merge(completion.into, step);
  for (const Completion& completion : completions_) pool_.Delete(completion.unneeded);
  completions_.clear();
}

// ---- windows out
// -----------------------------------------------------------------------------------------------------

void OrderedWindow::Schedule(OrderedPanes& panes, const std::string* key, int64_t moment) {
  panes.next_due = moment;
  due_[moment].push_back({&panes, key});
}

bool OrderedWindow::NextDue(EventTime now) {
  if (due_.empty() || due_.begin()->first >= now.us) return false;
  moment_ = due_.begin()->first;
  firing_.clear();
  firing_at_ = 0;
  const std::vector<DueKey> keys = std::move(due_.begin()->second);
  due_.erase(due_.begin());
  for (const DueKey& due : keys) {
    if (due.panes->next_due != moment_) continue;
    due.panes->next_due = OrderedPanes::kNone;
    if (MomentOf(due.panes->open.front()) == moment_)
      firing_.push_back(due);
    else
      Schedule(*due.panes, due.key, MomentOf(due.panes->open.front()));
  }
  std::sort(firing_.begin(), firing_.end(), [](const DueKey& a, const DueKey& b) { return *a.key < *b.key; });
  return true;
}

Result<Progress> OrderedWindow::OnWatermark(EventTime now, Emitter& out) {
  std::unique_ptr<WindowRows> rows;
  int32_t count = 0;
  while (count < row_count_max_) {
    if (firing_at_ == firing_.size()) {
      if (!NextDue(now)) break;
      continue;
    }
    const DueKey& due = firing_[firing_at_];
    if (rows == nullptr) rows = std::make_unique<WindowRows>(*plan_.window, row_count_max_);
    table_->BeforeChange(due.panes->hash, *due.key);
    Emit(due, *rows, count++);
    OrderedPanes& panes = *due.panes;
    if (!panes.open.empty() && MomentOf(panes.open.front()) == moment_) continue;  // another one at this moment
    if (panes.open.empty() && panes.steps.empty())
      table_->Erase(panes.hash, *due.key);
    else
      table_->MarkDirty(panes.hash, *due.key);
    if (!panes.open.empty()) Schedule(panes, due.key, MomentOf(panes.open.front()));
    ++firing_at_;
  }
  if (rows != nullptr) out.Emit(rows->Finish(plan_.window->output));
  if (firing_at_ < firing_.size() || (!due_.empty() && due_.begin()->first < now.us)) return Progress::kMore;
  return Progress::kDone;
}

void OrderedWindow::Emit(const DueKey& due, WindowRows& rows, int32_t at) {
  OrderedPanes& panes = *due.panes;
  const OrderedPane pane = panes.open.front();
  rows.starts.AppendInt64(pane.start_us);
  rows.ends.AppendInt64(moment_ + 1);
  plan_.window->key.Decode(*due.key, rows.keys);
  rows.AppendAggregates(plan_.window->aggregates, pane.cell->bytes(), &counters_->nulled);
  rows.times.as<int64_t>()[at] = rows.watermarks.as<int64_t>()[at] = moment_;
  pool_.Delete(pane.cell);
  panes.open.erase(panes.open.begin());
  ++counters_->panes_emitted;
  --counters_->panes_open;
}

}  // namespace freshet
