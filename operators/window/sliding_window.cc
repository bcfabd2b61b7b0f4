#include "operators/window/sliding_window.h"

#include <algorithm>

#include "operators/window/window_rows.h"

namespace freshet {

static constexpr uint16_t kCodec = 2;
/// Of the index, for each moment of one key.
static constexpr int64_t kDueBytes = 112;
static constexpr auto kBytesPerCell = static_cast<int64_t>(sizeof(TrailingRows::Entry));

// ---- the rows of a key
// -----------------------------------------------------------------------------------------------

void TrailingRows::Expire(int64_t time_us) {
  while (first < entries.size() && entries[first].time_us <= time_us) {
    if (first == flipped) Flip();
    pool->Delete(entries[first++].cell);
  }
  constexpr size_t kGoneMin = 32;
  if (first < kGoneMin || first * 2 < entries.size()) return;
  entries.erase(entries.begin(), entries.begin() + static_cast<std::ptrdiff_t>(first));
  flipped -= first;
  first = 0;
}

void TrailingRows::Flip() {
  for (size_t i = entries.size() - 1; i > first; --i) pool->Merge(entries[i - 1].cell, entries[i].cell);
  flipped = entries.size();
  if (back != nullptr) pool->Delete(back);
  back = nullptr;
}

void TrailingRows::Push(int64_t time_us, SliceCell* cell) {
  entries.push_back({time_us, cell});
  if (back == nullptr) back = pool->New();
  pool->Merge(back, cell);
}

template <class F>
void TrailingRows::WithAggregate(F&& f) const {
  if (first == flipped) return f(back->bytes());
  if (back == nullptr) return f(entries[first].cell->bytes());
  SliceCell* const both = pool->New();
  pool->Merge(both, entries[first].cell);
  pool->Merge(both, back);
  f(both->bytes());
  pool->Delete(both);
}

void TrailingRows::Encode(ByteSink& sink) const {
  sink.PutI64(newest_us());
  sink.PutVarint(entries.size() - first);
  sink.PutVarint(flipped - first);
  for (size_t i = first; i < entries.size(); ++i) {
    sink.PutI64(entries[i].time_us);
    pool->EncodeStates(entries[i].cell, sink);
  }
}

bool TrailingRows::Decode(ByteSource& source, uint16_t codec) {
  if (codec != 1 && codec != 2) return false;
  if (codec == 1) {  // it did not say what the newest time is
    ByteSink unknown;
    unknown.PutI64(std::numeric_limits<int64_t>::max());
    restored = std::make_unique<std::string>(unknown.bytes());
  } else {
    restored = std::make_unique<std::string>();
  }
  *restored += source.GetBytes(source.remaining());
  return source.ok();
}

int64_t TrailingRows::NewestOf(const std::string& restored) { return ByteSource(restored).GetI64(); }

void TrailingRows::Free() {
  for (; first < entries.size(); ++first) pool->Delete(entries[first].cell);
  if (back != nullptr) pool->Delete(back);
  back = nullptr;
  entries.clear();
  first = flipped = 0;
}

bool TrailingRows::Load() {
  ByteSource source(*restored);
  (void)source.GetI64();
  const uint64_t count = source.GetVarint();
  flipped = source.GetVarint();
  if (count == 0 || flipped > count) return false;
  for (uint64_t i = 0; i < count && source.ok(); ++i) {
    const int64_t time_us = source.GetI64();
    if (!empty() && time_us < newest_us()) return false;
    SliceCell* const cell = pool->New();
    entries.push_back({time_us, cell});
    if (!pool->DecodeStates(cell, source)) return false;
    if (i < flipped) continue;
    if (back == nullptr) back = pool->New();
    pool->Merge(back, cell);
  }
  if (!source.ok() || !source.exhausted()) return false;
  restored.reset();
  return true;
}

// ---- the operator
// ----------------------------------------------------------------------------------------------------

SlidingWindow::SlidingWindow(std::shared_ptr<const WindowPlan> plan, int64_t size_us)
    : plan_(std::move(plan)), size_us_(size_us), pool_(plan_->aggregates, plan_->assigner) {}

Status SlidingWindow::Open(OpenContext& ctx) {
  counters_ = &ctx.counters();
  FRESHET_ASSIGN_OR_RETURN(closed_through_, ctx.state().OpenNumbers("closed"));
  const auto loaded_bytes = [this](std::string_view value) {
    return LoadedBytes<TrailingRows>(&pool_, value, kCodec, kBytesPerCell);
  };
  FRESHET_ASSIGN_OR_RETURN(
      table_, ctx.state().OpenKeyed<TrailingRows>("trailing", {kCodec, plan_->fingerprint, true, loaded_bytes}));
  SetEvictionHooks();
  Status status;
  std::vector<std::string> expired;
  table_->ForEach([&](std::string_view key, TrailingRows& rows) {
    rows.pool = &pool_;
    rows.hash = HashKey(key);
    if (!rows.Load()) status = Status::DataLoss("rows within a window in the checkpoint cannot be read");
    if (!status.ok()) return;
    if (IsExpired(rows.newest_us(), ClosedFor(rows.hash))) {
      rows.Free();
      expired.emplace_back(key);
    } else {
      Schedule(rows, table_->StoredKey(rows.hash, key));
    }
  });
  for (const std::string& key : expired) table_->Erase(HashKey(key), key);
  AccountMemory();
  return status;
}

void SlidingWindow::SetEvictionHooks() {
  EvictionHooks<TrailingRows> hooks;
  hooks.on_load = [this](uint32_t hash, const std::string& key, TrailingRows& rows) -> Result<bool> {
    // Whether the watermark has passed it in memory or not must not matter.
    if (IsExpired(TrailingRows::NewestOf(*rows.restored), ClosedFor(hash))) return false;
    rows.pool = &pool_;
    rows.hash = hash;
    if (!rows.Load()) return Status::DataLoss("rows within a window in the checkpoint cannot be read");
    Schedule(rows, &key);
    return true;
  };
  hooks.on_evict = [](uint32_t, const std::string&, TrailingRows& rows) {
    rows.Free();
    rows.scheduled = false;
    return true;
  };
  hooks.after_pass = [this] {
    closed_through_->Raise(closed_us_);
    // Values that have left are empty, as are the places they stood at.
    ForgetDueKeys(&due_, [](int64_t, const TrailingRows& rows) { return !rows.scheduled; });
    AccountMemory();
  };
  table_->SetEvictionHooks(std::move(hooks));
}

void SlidingWindow::AccountMemory() {
  int64_t bytes = pool_.live_bytes() + pool_.live_count() * kBytesPerCell;
  bytes += static_cast<int64_t>(due_.size()) * kDueBytes;
  table_->set_value_bytes(bytes);
}

Status SlidingWindow::SweepStored(EventTime now) {
  const size_t count = pace_.Take();
  if (now.us >= next_sweep_us_ && table_->has_evicted()) {
    next_sweep_us_ = now.us + size_us_ / 4;
    if (!sweep_) sweep_.emplace(table_->committed_rows());
  }
  if (!sweep_) return Status::Ok();
  bool over = false;
  const auto judge = [&](std::string_view key, std::string_view value) -> Result<bool> {
    if (table_->Resident(HashKey(key), key)) return true;
    TrailingRows rows;
    FRESHET_RETURN_IF_ERROR(table_->DecodeValue(value, table_->options().codec, &rows));
    return !IsExpired(TrailingRows::NewestOf(*rows.restored), now.us) || table_->NoteShell(key);
  };
  FRESHET_RETURN_IF_ERROR(sweep_->Next(count, judge, &over));
  if (over) sweep_.reset();
  return Status::Ok();
}

void SlidingWindow::Schedule(TrailingRows& rows, const std::string* key) {
  rows.scheduled = true;
  due_[rows.newest_us() + size_us_].push_back({&rows, key});
}

Status SlidingWindow::ProcessBatch(InputIndex, const Batch& in, Emitter& out) {
  if (!in.has_times()) return Status::Internal("a window got rows without event time");
  const int32_t count = in.row_count();
  pace_.RowsCame(count);
  keys_.Encode(plan_->key, in);
  FRESHET_RETURN_IF_ERROR(table_->LoadMissing(keys_, count));
  cells_.resize(static_cast<size_t>(count));
  for (std::byte*& cell : cells_) cell = pool_.New()->bytes();
  pool_.Accumulate(in, cells_.data(), &counters_->nulled);
  WindowRows results(*plan_, count);
  for (int32_t row = 0; row < count; ++row) {
    TrailingRows& rows = table_->FindOrCreate(keys_.hash(row), keys_.key(row));
    rows.pool = &pool_;
    rows.hash = keys_.hash(row);
    const int64_t end = in.time(row).us + 1;
    // A row that joins after idleness is behind what has been: it is taken as of now, and nothing comes back for it.
    const int64_t time_us = rows.empty() ? end - 1 : std::max(end - 1, rows.newest_us());
    rows.Expire(time_us - size_us_);
    rows.Push(time_us, reinterpret_cast<SliceCell*>(cells_[static_cast<size_t>(row)]));
    if (!rows.scheduled) Schedule(rows, table_->StoredKey(rows.hash, keys_.key(row)));
    results.starts.AppendInt64(end - size_us_);
    results.ends.AppendInt64(end);
    plan_->key.Decode(keys_.key(row), results.keys);
    rows.WithAggregate(
        [&](const std::byte* states) { results.AppendAggregates(plan_->aggregates, states, &counters_->nulled); });
  }
  AccountMemory();
  out.Emit(in.WithColumns(plan_->output, results.TakeColumns()));
  return Status::Ok();
}

Result<Progress> SlidingWindow::OnWatermark(EventTime now, Emitter&) {
  if (now == EventTime::Max()) return Progress::kDone;
  while (!due_.empty() && due_.begin()->first <= now.us) {
    const std::vector<DueKey> keys = std::move(due_.begin()->second);
    due_.erase(due_.begin());
    for (const DueKey& due : keys) {
      TrailingRows& rows = *due.value;
      if (!rows.scheduled) continue;  // it has left memory
      if (rows.newest_us() + size_us_ > now.us) {
        Schedule(rows, due.key);
        continue;
      }
      table_->BeforeChange(rows.hash, *due.key);
      rows.Expire(rows.newest_us());
      table_->Erase(rows.hash, *due.key);
    }
  }
  closed_us_ = now.us;
  if (table_->has_evicted()) closed_through_->Raise(closed_us_);
  FRESHET_RETURN_IF_ERROR(SweepStored(now));
  return Progress::kDone;
}

}  // namespace freshet
