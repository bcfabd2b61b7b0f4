#include "operators/window/ordered_window.h"

#include <algorithm>
#include <iterator>
#include <tuple>

#include "engine/flow/descriptor.h"

namespace freshet {
namespace {

/// Keys that a walk notes for each row of a batch, and rows of the store looked at in one call.
constexpr size_t kKeysFoundPerRow = 4;
constexpr int kRowsLookedAt = 16384;
/// No more than this share of the keys found come back at once, however few they are: memory may have room for less.
constexpr size_t kShareBack = 8;
constexpr size_t kKeysBackMin = 64;
/// A session is looked at so many times between its last row and its end, if it is not in memory.
constexpr int64_t kSpansPerGap = 8;
constexpr uint16_t kCodec = 2;
/// Of the index, for each moment of one key.
constexpr int64_t kDueBytes = 112;
constexpr auto kBytesPerCell = static_cast<int64_t>(sizeof(OrderedPane));

int64_t FloorDiv(int64_t a, int64_t b) { return a / b - (a % b < 0); }

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
  sink.PutVarint(ended.size());
  for (const EndedSession& session : ended) {
    sink.PutI64(session.start_us);
    sink.PutI64(session.last_us);
  }
}

bool OrderedPanes::Decode(ByteSource& source, uint16_t codec) {
  if (codec != 1 && codec != 2) return false;
  restored = std::make_unique<std::string>(source.GetBytes(source.remaining()));
  if (codec == 1) restored->push_back('\0');  // no session that has ended
  return source.ok();
}

bool OrderedPanes::Load() {
  ByteSource source(*restored);
  if (!DecodePanes(source, pool, &open) || !DecodePanes(source, pool, &steps)) return false;
  for (uint64_t n = source.GetVarint(); n > 0 && source.ok(); --n) {
    const int64_t start_us = source.GetI64();
    ended.push_back({start_us, source.GetI64()});
  }
  if (!source.ok() || !source.exhausted()) return false;
  restored.reset();
  return !empty();
}

void OrderedPanes::Free() {
  for (const std::vector<OrderedPane>* panes : {&open, &steps})
    for (const OrderedPane& pane : *panes) pool->Delete(pane.cell);
  open.clear();
  steps.clear();
  ended.clear();
  next_due = kNone;
}

OrderedWindow::OrderedWindow(OrderedWindowPlan plan)
    : plan_(std::move(plan)),
      pool_(plan_.window->aggregates, plan_.window->assigner),
      span_us_(plan_.gap_us > 0 ? std::max<int64_t>(plan_.gap_us / kSpansPerGap, 1) : 1000000) {}

Status OrderedWindow::Open(OpenContext& ctx) {
  counters_ = &ctx.counters();
  row_count_max_ = ctx.batch_row_count_max();
  const char* name = plan_.gap_us > 0 ? "sessions" : "counts";
  const auto loaded_bytes = [this](std::string_view value) {
    return LoadedBytes<OrderedPanes>(&pool_, value, kCodec, kBytesPerCell);
  };
  FRESHET_ASSIGN_OR_RETURN(
      table_, ctx.state().OpenKeyed<OrderedPanes>(name, {kCodec, plan_.window->fingerprint, true, loaded_bytes}));
  SetEvictionHooks();
  Status status;
  table_->ForEach([&](std::string_view key, OrderedPanes& panes) {
    panes.pool = &pool_;
    panes.hash = HashKey(key);
    if (!panes.Load()) status = Status::DataLoss("open windows in the checkpoint cannot be read");
    if (!status.ok()) return;
    counters_->panes_open += static_cast<int64_t>(panes.open.size());
    Schedule(panes, table_->StoredKey(panes.hash, key), NextMoment(panes, true));
  });
  FRESHET_RETURN_IF_ERROR(std::move(status));
  AccountMemory();
  return ReadStored();
}

// ---- rows in
// ---------------------------------------------------------------------------------------------------------

Status OrderedWindow::ProcessBatch(InputIndex, const Batch& in, Emitter& out) {
  if (!in.has_times()) return Status::Internal("a window got rows without event time");
  keys_.Encode(plan_.window->key, in);
  FRESHET_RETURN_IF_ERROR(table_->LoadMissing(keys_, in.row_count()));
  cells_.resize(static_cast<size_t>(in.row_count()));
  late_rows_.clear();
  late_ends_.clear();
  for (int32_t row = 0; row < in.row_count(); ++row) {
    if (in.time(row) < in.row_watermark(row)) {
      MarkLate(row, 0);
      continue;
    }
    OrderedPanes& panes = table_->FindOrCreate(keys_.hash(row), keys_.key(row));
    if (const EndedSession* ended = FindEnded(panes, in.time(row).us); ended != nullptr) {
      MarkLate(row, ended->last_us + plan_.gap_us);
      continue;
    }
    panes.pool = &pool_;
    panes.hash = keys_.hash(row);
    const int64_t time_us = in.time(row).us;
    SliceCell* cell = plan_.gap_us > 0 ? ExtendSession(panes, time_us) : ExtendStep(panes, time_us);
    cells_[static_cast<size_t>(row)] = cell->bytes();
    // A window that grows is looked at again when it would have ended.
    if (!panes.open.empty() && MomentOf(panes.open.front()) < panes.next_due)
      Schedule(panes, table_->StoredKey(panes.hash, keys_.key(row)), MomentOf(panes.open.front()));
  }
  pool_.Accumulate(in, cells_.data(), &counters_->nulled);
  Complete();
  AccountMemory();
  const auto late = static_cast<int64_t>(late_rows_.size());
  counters_->absorbed += in.row_count() - late;
  counters_->late += late;
  if (late > 0) EmitLate(in, out);
  return Status::Ok();
}

void OrderedWindow::MarkLate(int32_t row, int64_t end_us) {
  cells_[static_cast<size_t>(row)] = nullptr;
  late_rows_.push_back(row);
  late_ends_.push_back(end_us);
}

void OrderedWindow::EmitLate(const Batch& in, Emitter& out) {
  const auto count = static_cast<int32_t>(late_rows_.size());
  const Batch late = in.Take(late_rows_.data(), count);
  ColumnBuilder reason(TypeId::kString, count), end(TypeId::kTimestamp, count), lateness(TypeId::kInt64, count);
  for (int32_t i = 0; i < count; ++i) {
    const bool after_end = late.time(i) >= late.row_watermark(i);
    const int64_t end_us = late_ends_[static_cast<size_t>(i)];
    reason.AppendString(after_end ? "after_end" : LateReasonOf(late, i));
    after_end ? end.AppendInt64(end_us) : end.AppendNull();
    lateness.AppendInt64(((after_end ? end_us : late.row_watermark(i).us) - late.time(i).us) / 1000);
  }
  out.Emit(late.WithAppended(plan_.window->late, {reason.Finish(), end.Finish(), lateness.Finish()}), 1);
}

const EndedSession* OrderedWindow::FindEnded(const OrderedPanes& panes, int64_t time_us) const {
  for (const EndedSession& session : panes.ended)
    if (time_us > session.start_us - plan_.gap_us && time_us < session.last_us + plan_.gap_us) return &session;
  return nullptr;
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
  if (moment != KeyPanes::kNone) due_[moment].push_back({&panes, key});
}

int64_t OrderedWindow::NextMoment(const OrderedPanes& panes, bool expire) const {
  int64_t moment = panes.open.empty() ? KeyPanes::kNone : MomentOf(panes.open.front());
  if (expire)
    for (const EndedSession& session : panes.ended) moment = std::min(moment, session.last_us + plan_.gap_us - 1);
  return moment;
}

bool OrderedWindow::NextDue(EventTime now) {
  if (due_.empty() || due_.begin()->first >= now.us) return false;
  table_->HoldEviction(true);  // `firing_` points to values
  moment_ = due_.begin()->first;
  firing_.clear();
  firing_at_ = 0;
  const std::vector<DueKey> keys = std::move(due_.begin()->second);
  due_.erase(due_.begin());
  for (const DueKey& due : keys) {
    if (due.value->next_due != moment_) continue;
    if (next_back_ && next_back_->first == moment_ && *due.key >= next_back_->second) {
      due_[moment_].push_back(due);  // keys in between are not in memory yet
      continue;
    }
    due.value->next_due = OrderedPanes::kNone;
    if (Prepare(due)) firing_.push_back(due);
  }
  std::sort(firing_.begin(), firing_.end(), [](const DueKey& a, const DueKey& b) { return *a.key < *b.key; });
  return true;
}

bool OrderedWindow::Prepare(const DueKey& due) {
  OrderedPanes& panes = *due.value;
  const auto expired = [&](const EndedSession& s) { return s.last_us + plan_.gap_us - 1 <= moment_; };
  bool changed = false;
  if (!ending_ && std::any_of(panes.ended.begin(), panes.ended.end(), expired)) {
    table_->BeforeChange(panes.hash, *due.key);
    changed = std::erase_if(panes.ended, expired) > 0;
  }
  if (!panes.open.empty() && MomentOf(panes.open.front()) == moment_) return true;
  if (changed)
    Settle(due);
  else
    Schedule(panes, due.key, NextMoment(panes, !ending_));
  return false;
}

void OrderedWindow::Settle(const DueKey& due) {
  OrderedPanes& panes = *due.value;
  if (panes.empty()) {
    table_->Erase(panes.hash, *due.key);
    return;
  }
  table_->MarkDirty(panes.hash, *due.key);
  Schedule(panes, due.key, NextMoment(panes, !ending_));
}

Result<Progress> OrderedWindow::OnWatermark(EventTime now, Emitter& out) {
  ending_ = now == EventTime::Max();
  std::unique_ptr<WindowRows> rows;
  int32_t count = 0;
  bool looked = false;  // for keys that are not in memory: once in a call
  while (count < row_count_max_) {
    if (firing_at_ == firing_.size()) {
      if (MustWalk(now)) {
        if (scan_ == nullptr && table_->eviction_held()) {
          table_->HoldEviction(false);  // what has left makes room before more comes back
          break;
        }
        if (std::exchange(looked, true)) break;
        FRESHET_RETURN_IF_ERROR(WalkStored(now));
      } else if (!NextDue(now)) {
        break;
      }
      continue;
    }
    const DueKey& due = firing_[firing_at_];
    if (rows == nullptr) rows = std::make_unique<WindowRows>(*plan_.window, row_count_max_);
    table_->BeforeChange(due.value->hash, *due.key);
    Emit(due, *rows, count++);
    OrderedPanes& panes = *due.value;
    if (!panes.open.empty() && MomentOf(panes.open.front()) == moment_) continue;  // another one at this moment
    Settle(due);
    ++firing_at_;
  }
  if (rows != nullptr) out.Emit(rows->Finish(plan_.window->output));
  if (firing_at_ < firing_.size() || MustWalk(now) || (!due_.empty() && due_.begin()->first < now.us))
    return Progress::kMore;
  AccountMemory();
  table_->HoldEviction(false);
  return Progress::kDone;
}

void OrderedWindow::Emit(const DueKey& due, WindowRows& rows, int32_t at) {
  OrderedPanes& panes = *due.value;
  const OrderedPane pane = panes.open.front();
  rows.starts.AppendInt64(pane.start_us);
  rows.ends.AppendInt64(moment_ + 1);
  plan_.window->key.Decode(*due.key, rows.keys);
  rows.AppendAggregates(plan_.window->aggregates, pane.cell->bytes(), &counters_->nulled);
  rows.times.as<int64_t>()[at] = rows.watermarks.as<int64_t>()[at] = moment_;
  if (ending_ && plan_.gap_us > 0) panes.ended.push_back({pane.start_us, pane.last_us});
  pool_.Delete(pane.cell);
  panes.open.erase(panes.open.begin());
  ++counters_->panes_emitted;
  --counters_->panes_open;
}

// ---- keys that are not in memory
// -------------------------------------------------------------------------------------

void OrderedWindow::SetEvictionHooks() {
  EvictionHooks<OrderedPanes> hooks;
  hooks.on_load = [this](uint32_t hash, const std::string& key, OrderedPanes& panes) -> Result<bool> {
    panes.pool = &pool_;
    panes.hash = hash;
    if (!panes.Load()) return Status::DataLoss("open windows in the checkpoint cannot be read");
    Schedule(panes, &key, NextMoment(panes, true));
    return true;
  };
  hooks.on_evict = [this](uint32_t hash, const std::string& key, OrderedPanes& panes) {
    const int64_t moment = NextMoment(panes, !ending_);
    // What is due soon would come back at once. A full count window is always due.
    if (moment < back_before_ ||
        (next_back_ && std::tie(moment, key) < std::tie(next_back_->first, next_back_->second)) ||
        (plan_.count > 0 && !panes.open.empty()))
      return false;
    if (moment != KeyPanes::kNone) {
      NoteStored(hash, moment);
      if (walked_ && FloorDiv(moment, span_us_) == stored_due_.begin()->first) NoteFound(moment, key);
    }
    panes.Free();
    return true;
  };
  hooks.after_pass = [this] {
    ForgetDueKeys(&due_, [](int64_t moment, const OrderedPanes& panes) { return panes.next_due != moment; });
    AccountMemory();
  };
  table_->SetEvictionHooks(std::move(hooks));
}

Status OrderedWindow::ReadStored() {
  if (!table_->has_evicted()) return Status::Ok();
  std::bitset<kKeyGroupCount> lane;
  for (uint16_t g = table_->committed_rows()->first_key_group; g <= table_->committed_rows()->last_key_group; ++g)
    lane.set(g);
  StoredScan scan(table_->committed_rows(), lane);
  for (bool found = true;;) {
    FRESHET_RETURN_IF_ERROR(scan.Next(&found));
    if (!found) return Status::Ok();
    const uint32_t hash = HashKey(scan.key());
    if (table_->Resident(hash, scan.key())) continue;
    OrderedPanes panes;
    panes.pool = &pool_;
    FRESHET_RETURN_IF_ERROR(table_->DecodeValue(scan.value(), table_->options().codec, &panes));
    if (!panes.Load()) return Status::DataLoss("open windows in the checkpoint cannot be read");
    counters_->panes_open += static_cast<int64_t>(panes.open.size());
    if (const int64_t moment = NextMoment(panes, true); moment != KeyPanes::kNone) NoteStored(hash, moment);
    panes.Free();
  }
}

void OrderedWindow::NoteStored(uint32_t hash, int64_t moment) {
  stored_due_[FloorDiv(moment, span_us_)].set(KeyGroupOf(hash));
}

bool OrderedWindow::MustWalk(EventTime now) const {
  if (stored_due_.empty()) return false;
  const int64_t span = stored_due_.begin()->first;
  if (span * span_us_ >= now.us) return false;
  if (scan_ != nullptr) return true;
  if (next_back_ && next_back_->first >= now.us) return false;
  if (due_.empty() || due_.begin()->first >= now.us) return true;
  const int64_t next = due_.begin()->first;
  if (FloorDiv(next, span_us_) < span) return false;
  if (!next_back_) return true;
  // What was brought back of the span goes first.
  if (next != next_back_->first) return next > next_back_->first;
  return std::none_of(due_.begin()->second.begin(), due_.begin()->second.end(),
                      [&](const DueKey& due) { return due.value->next_due == next && *due.key < next_back_->second; });
}

Status OrderedWindow::WalkStored(EventTime now) {
  if (walked_) return BringBack(now);
  bool found = true;
  if (scan_ == nullptr) {
    table_->HoldEviction(true);
    scan_ = std::make_unique<StoredScan>(table_->committed_rows(), stored_due_.begin()->second);
    found_through_.reset();
    FRESHET_RETURN_IF_ERROR(scan_->Next(&found));
  }
  for (int left = kRowsLookedAt; found && left > 0; --left) {
    if (!table_->Resident(HashKey(scan_->key()), scan_->key())) {
      OrderedPanes panes;
      panes.pool = &pool_;
      FRESHET_RETURN_IF_ERROR(table_->DecodeValue(scan_->value(), table_->options().codec, &panes));
      if (!panes.Load()) return Status::DataLoss("open windows in the checkpoint cannot be read");
      const int64_t moment = NextMoment(panes, !ending_);
      panes.Free();
      if (moment != KeyPanes::kNone && FloorDiv(moment, span_us_) <= stored_due_.begin()->first)
        NoteFound(moment, scan_->key());
      else if (ending_ && moment != KeyPanes::kNone)
        NoteStored(HashKey(scan_->key()), moment);  // it was listed for what is not looked at any more
    }
    FRESHET_RETURN_IF_ERROR(scan_->Next(&found));
  }
  if (found) return Status::Ok();
  scan_.reset();
  walked_ = true;
  slice_ = std::max(kKeysBackMin, found_.size() / kShareBack);
  const Status status = BringBack(now);
  table_->HoldEviction(false);
  return status;
}

void OrderedWindow::NoteFound(int64_t moment, std::string_view key) {
  Place place(moment, key);
  if (found_through_ && *found_through_ < place) return;
  found_.insert(std::move(place));
  if (found_.size() <= kKeysFoundPerRow * static_cast<size_t>(row_count_max_)) return;
  found_.erase(std::prev(found_.end()));
  found_through_ = *found_.rbegin();
}

Status OrderedWindow::BringBack(EventTime now) {
  std::vector<Place> slice;
  const size_t at_once = std::min(slice_, static_cast<size_t>(table_->keys_back_at_once()));
  while (!found_.empty() && slice.size() < at_once && found_.begin()->first < now.us)
    slice.push_back(std::move(found_.extract(found_.begin()).value()));
  walked_ = !found_.empty();
  if (walked_) {
    next_back_ = *found_.begin();
  } else if (found_through_) {
    next_back_.emplace(found_through_->first, found_through_->second + '\0');
  } else {
    next_back_.reset();
    back_before_ = (stored_due_.begin()->first + 1) * span_us_;
    stored_due_.erase(stored_due_.begin());
  }
  std::vector<std::string_view> keys;
  for (const Place& place : slice) keys.push_back(place.second);
  return table_->LoadMissing(keys);
}

void OrderedWindow::AccountMemory() {
  int64_t bytes = pool_.live_bytes() + pool_.live_count() * kBytesPerCell;
  bytes += static_cast<int64_t>(due_.size()) * kDueBytes;
  table_->set_value_bytes(bytes);
}

}  // namespace freshet
