#include "operators/window/key_panes.h"

#include <algorithm>
#include <new>
#include <tuple>

#include "operators/window/running_window.h"

namespace freshet {

CellPool::CellPool(const AggregatePlan& plan, const SliceAssigner& assigner, const RevisionPlan& revisions)
    : plan_(plan),
      assigner_(assigner),
      revisions_(revisions),
      stride_((plan.cell_bytes + kCellAlignment - 1) / kCellAlignment * kCellAlignment) {
  for (const AggregatePlan::State& s : plan.states)
    if (s.accumulator->has_heap()) heap_states_.push_back(&s);
}

CellPool::~CellPool() {
  for (std::byte* slab : slabs_) {
    for (size_t i = 0; i < kCellsPerSlab; ++i) {
      auto* cell = reinterpret_cast<SliceCell*>(slab + i * stride_);
      if (cell->live) Delete(cell);
    }
    ::operator delete (slab, std::align_val_t{kCellAlignment});
  }
}

SliceCell* CellPool::New() {
  if (free_ == nullptr) {
    auto* slab = static_cast<std::byte*>(::operator new (stride_* kCellsPerSlab, std::align_val_t{kCellAlignment}));
    slabs_.push_back(slab);
    for (size_t i = kCellsPerSlab; i-- > 0;) {
      auto* cell = new (slab + i * stride_) SliceCell();
      cell->next = free_;
      free_ = cell;
    }
  }
  SliceCell* cell = free_;
  free_ = cell->next;
  *cell = SliceCell();
  cell->live = true;
  ++live_count_;
  for (const AggregatePlan::State& s : plan_.states) s.accumulator->Construct(cell->bytes() + s.offset);
  return cell;
}

void CellPool::Delete(SliceCell* cell) {
  heap_bytes_ -= HeapOf(cell);
  for (const AggregatePlan::State& s : plan_.states) s.accumulator->Destroy(cell->bytes() + s.offset);
  cell->live = false;
  --live_count_;
  cell->next = free_;
  free_ = cell;
}

void CellPool::Merge(SliceCell* into, const SliceCell* from) {
  heap_bytes_ -= HeapOf(into);
  for (const AggregatePlan::State& s : plan_.states)
    s.accumulator->Merge(into->bytes() + s.offset, from->bytes() + s.offset);
  heap_bytes_ += HeapOf(into);
}

void CellPool::EncodeStates(const SliceCell* cell, ByteSink& sink) const {
  for (const AggregatePlan::State& s : plan_.states) s.accumulator->Encode(cell->bytes() + s.offset, sink);
}

bool CellPool::DecodeStates(SliceCell* cell, ByteSource& source) {
  heap_bytes_ -= HeapOf(cell);
  bool ok = true;
  for (const AggregatePlan::State& s : plan_.states) ok = ok && s.accumulator->Decode(cell->bytes() + s.offset, source);
  heap_bytes_ += HeapOf(cell);
  return ok;
}

namespace {
/// Newest slice first; of one slice, later first ends and later moments first.
bool Before(const SliceCell& a, const SliceCell& b) {
  return std::tie(a.slice_begin, a.first_end, a.since) > std::tie(b.slice_begin, b.first_end, b.since);
}
}  // namespace

KeyPanes::KeyPanes() = default;
KeyPanes::KeyPanes(KeyPanes&&) noexcept = default;
KeyPanes& KeyPanes::operator=(KeyPanes&&) noexcept = default;
KeyPanes::~KeyPanes() = default;

SliceCell* KeyPanes::Find(int64_t slice_begin, int64_t first_end, int64_t since) const {
  for (SliceCell* c = cells; c != nullptr && c->slice_begin >= slice_begin; c = c->next)
    if (c->slice_begin == slice_begin && c->first_end == first_end && c->since == since) return c;
  return nullptr;
}

SliceCell* KeyPanes::Link(SliceCell* cell) {
  SliceCell* newer = nullptr;
  SliceCell* older = cells;
  for (; older != nullptr && Before(*older, *cell); older = older->next) newer = older;
  cell->next = older;
  cell->prev = newer;
  (newer != nullptr ? newer->next : cells) = cell;
  (older != nullptr ? older->prev : oldest) = cell;
  cell->plain = !cell->pending() && cell->first_end == pool->assigner().SliceOf(cell->slice_begin).first_window_end;
  plain = plain && cell->plain;
  return cell;
}

void KeyPanes::Unlink(SliceCell* cell) {
  (cell->prev != nullptr ? cell->prev->next : cells) = cell->next;
  (cell->next != nullptr ? cell->next->prev : oldest) = cell->prev;
}

SliceCell* KeyPanes::Add(const SliceAssigner::Slice& slice, int64_t first_end, int64_t since, int64_t* opened) {
  const int64_t slide = pool->assigner().slide();
  *opened = 0;
  if (left == nullptr && (cells == nullptr || (cells->plain && first_end >= cells->first_end))) {
    // The newest cell is in all windows from the first of this one to its own last.
    const int64_t first = FirstFresh(cells == nullptr ? first_end : std::max(first_end, cells->last_end + slide));
    if (first <= slice.last_window_end) *opened = (slice.last_window_end - first) / slide + 1;
    return Create(slice, first_end, since);
  }
  for (int64_t end = FirstFresh(first_end); end <= slice.last_window_end; end = FirstFresh(end + slide))
    if (!IsCovered(end)) ++*opened;
  return Create(slice, first_end, since);
}

SliceCell* KeyPanes::Create(const SliceAssigner::Slice& slice, int64_t first_end, int64_t since) {
  SliceCell* cell = pool->New();
  cell->slice_begin = slice.begin;
  cell->first_end = first_end;
  cell->last_end = slice.last_window_end;
  cell->since = since;
  return Link(cell);
}

bool KeyPanes::IsCovered(int64_t end) const {
  for (const SliceCell* c = cells; c != nullptr && c->last_end >= end; c = c->next)
    if (c->first_end <= end) return true;
  return false;
}

LeftWindow* KeyPanes::FindLeft(int64_t end) const {
  if (left == nullptr) return nullptr;
  const auto at = std::lower_bound(left->windows.begin(), left->windows.end(), end,
                                   [](const LeftWindow& w, int64_t e) { return w.end < e; });
  return at == left->windows.end() || at->end != end ? nullptr : &*at;
}

int64_t KeyPanes::FirstFresh(int64_t end) const {
  const int64_t slide = pool->assigner().slide();
  if (gone_end >= end) end = gone_end + slide;
  while (FindLeft(end) != nullptr) end += slide;
  return end;
}

int64_t KeyPanes::CountOpen() const {
  // Cells come with falling last ends, so what a cell adds to the windows counted so far lies below `covered`.
  const int64_t slide = pool->assigner().slide();
  int64_t count = 0;
  int64_t covered = kNone;
  for (const SliceCell* c = cells; c != nullptr; c = c->next) {
    const int64_t first = gone_end >= c->first_end ? gone_end + slide : c->first_end;
    if (first > c->last_end) continue;
    if (c->last_end < covered) {
      count += (c->last_end - first) / slide + 1;
      covered = first;
    } else if (first < covered) {
      count += (covered - first) / slide;
      covered = first;
    }
  }
  if (left == nullptr) return count;
  for (const LeftWindow& w : left->windows) count -= w.end > gone_end && IsCovered(w.end);
  return count;
}

int64_t KeyPanes::MomentOf(const SliceCell& cell) const {
  if (cell.pending()) return cell.since;
  const int64_t end = FirstFresh(cell.first_end);
  return end <= cell.last_end ? end - 1 : kNone;
}

int64_t KeyPanes::NextMoment(bool expire) const {
  if (plain && left == nullptr) return oldest == nullptr ? kNone : MomentOf(*oldest);
  int64_t moment = kNone;
  for (const SliceCell* c = cells; c != nullptr; c = c->next) moment = std::min(moment, MomentOf(*c));
  if (left == nullptr) return moment;
  if (expire) moment = std::min(moment, left->windows.front().end + pool->revisions().keep_us - 1);
  for (const LeftWindow& w : left->windows)
    if (w.reopened) moment = std::min(moment, w.end - 1);
  return moment;
}

void KeyPanes::WindowsAt(int64_t moment, std::vector<int64_t>* ends) const {
  const int64_t slide = pool->assigner().slide();
  ends->clear();
  for (const SliceCell* c = cells; c != nullptr; c = c->next) {
    if (c->pending() && c->since <= moment) {
      // Late rows for windows that are over; with early results any row for all its windows.
      const int64_t last = pool->revisions().early_us > 0 ? c->last_end : std::min(c->last_end, moment);
      for (int64_t end = gone_end >= c->first_end ? gone_end + slide : c->first_end; end <= last; end += slide)
        ends->push_back(end);
    }
    const int64_t end = moment + 1;
    if (c->first_end <= end && end <= c->last_end && FirstFresh(end) == end && c->since <= moment &&
        (end - c->first_end) % slide == 0)
      ends->push_back(end);
  }
  if (const LeftWindow* w = FindLeft(moment + 1); w != nullptr && w->reopened) ends->push_back(moment + 1);
  std::sort(ends->begin(), ends->end());
  ends->erase(std::unique(ends->begin(), ends->end()), ends->end());
}

int64_t KeyPanes::Leave(int64_t end, int64_t moment, bool keep) {
  const bool early = moment < end - 1;
  if (LeftWindow* w = FindLeft(end)) {
    w->reopened = early;
    return ++w->revision;
  }
  if (!keep) {
    gone_end = end;
    return 0;
  }
  if (left == nullptr) left = std::make_unique<Tail>();
  const auto at = std::lower_bound(left->windows.begin(), left->windows.end(), end,
                                   [](const LeftWindow& w, int64_t e) { return w.end < e; });
  left->windows.insert(at, {end, 0, early});
  return 0;
}

void KeyPanes::Settle(int64_t moment, bool expire) {
  const int64_t keep_us = pool->revisions().keep_us;
  if (left != nullptr && expire) {
    auto& windows = left->windows;
    size_t over = 0;
    while (over < windows.size() && windows[over].end + keep_us - 1 <= moment) ++over;
    if (over > 0) gone_end = std::max(gone_end, windows[over - 1].end);
    windows.erase(windows.begin(), windows.begin() + static_cast<std::ptrdiff_t>(over));
    if (windows.empty()) left.reset();
  }
  // Without revisions, what has left by the end of the input needs no cells any more.
  const int64_t needless = !pool->revisions().revises ? std::max(gone_end, moment + 1) : gone_end;
  while (oldest != nullptr && oldest->last_end <= needless) {
    SliceCell* const done = oldest;
    Unlink(done);
    pool->Delete(done);
  }
  if (!plain) SettlePending(moment);
}

void KeyPanes::SettlePending(int64_t moment) {
  std::vector<SliceCell*> settled;
  plain = true;
  for (SliceCell* cell = cells; cell != nullptr;) {
    SliceCell* const next = cell->next;
    if (cell->pending() && cell->since <= moment) {
      Unlink(cell);
      settled.push_back(cell);
    } else {
      plain = plain && cell->plain;
    }
    cell = next;
  }
  for (SliceCell* cell : settled) {
    SliceCell* const other = Find(cell->slice_begin, cell->first_end, SliceCell::kSettled);
    cell->since = SliceCell::kSettled;
    if (other == nullptr) Link(cell);
    if (running != nullptr && (other == nullptr ? cell : other)->plain) running->Add(*pool, *cell);
    if (other == nullptr) continue;
    pool->Merge(other, cell);
    pool->Delete(cell);
  }
}

const SliceCell* KeyPanes::MergeOver(int64_t start, int64_t end, int64_t moment, bool newest, SliceCell** made) {
  // Below that many merges there is nothing to win.
  constexpr int kMergesMax = 6;
  *made = nullptr;
  const SliceCell* merged = nullptr;
  int merges = 0;
  const auto add = [&](const SliceCell* c) {
    if (merged == nullptr) {
      merged = c;
      return;
    }
    if (*made == nullptr) {
      *made = pool->New();
      pool->Merge(*made, merged);
      merged = *made;
    }
    pool->Merge(*made, c);
    ++merges;
  };
  const bool runs = newest && running != nullptr;
  if (runs) merged = running->Over(*pool, cells, start, end, made);
  if (runs && plain) return merged;
  for (const SliceCell* c = cells; c != nullptr && c->slice_begin >= start; c = c->next) {
    if (c->slice_begin >= end || c->first_end > end || c->since > moment || (runs && c->plain)) continue;
    add(c);
  }
  if (newest && !runs && merges > kMergesMax) running = std::make_unique<RunningWindow>();
  return merged;
}

void KeyPanes::GuardLeft() {
  if (left != nullptr) left->guard_end = left->windows.back().end;
}

void KeyPanes::Free() {
  if (running != nullptr) running->Clear(*pool);
  running.reset();
  while (cells != nullptr) {
    SliceCell* const next = cells->next;
    pool->Delete(cells);
    cells = next;
  }
  oldest = nullptr;
  plain = true;
  left.reset();
  restored.reset();
  next_due = kNone;
}

void KeyPanes::Encode(ByteSink& sink) const {
  uint64_t count = 0;
  for (const SliceCell* c = cells; c != nullptr; c = c->next) ++count;
  sink.PutVarint(static_cast<uint64_t>(pool->EndsSeen(hash)));
  sink.PutI64(gone_end);
  sink.PutVarint(count);
  for (const SliceCell* c = cells; c != nullptr; c = c->next) {
    sink.PutI64(c->slice_begin);
    sink.PutI64(c->first_end);
    sink.PutBool(c->pending());
    if (c->pending()) sink.PutI64(c->since);
    pool->EncodeStates(c, sink);
  }
  sink.PutVarint(left == nullptr ? 0 : left->windows.size());
  if (left == nullptr) return;
  for (const LeftWindow& w : left->windows) {
    sink.PutI64(w.end);
    sink.PutVarint(static_cast<uint64_t>(w.revision));
    sink.PutBool(w.reopened);
  }
}

bool KeyPanes::Decode(ByteSource& source, uint16_t codec) {
  if (codec < 1 || codec > 3) return false;
  restored = std::make_unique<std::string>(1, static_cast<char>(codec));
  *restored += source.GetBytes(source.remaining());
  return source.ok();
}

bool KeyPanes::Load() {
  ByteSource source(std::string_view(*restored).substr(1));
  const char codec = restored->front();
  const bool has_left = codec != 1;  // codec 1 knew no late rows and nothing of windows that had left
  ends_seen = codec < 3 ? 0 : static_cast<int64_t>(source.GetVarint());
  gone_end = source.GetI64();
  const uint64_t count = source.GetVarint();
  for (uint64_t i = 0; i < count && source.ok(); ++i) {
    const int64_t begin = source.GetI64();
    const int64_t first_end = source.GetI64();
    const int64_t since = has_left && source.GetBool() ? source.GetI64() : SliceCell::kSettled;
    const SliceAssigner::Slice slice = pool->assigner().SliceOf(begin);
    if (!source.ok() || slice.begin != begin || first_end < slice.first_window_end || first_end > slice.last_window_end)
      return false;
    if ((slice.last_window_end - first_end) % pool->assigner().slide() != 0 ||
        Find(begin, first_end, since) != nullptr || !pool->DecodeStates(Create(slice, first_end, since), source))
      return false;
  }
  const uint64_t left_count = has_left ? source.GetVarint() : 0;
  for (uint64_t i = 0; i < left_count && source.ok(); ++i) {
    if (left == nullptr) left = std::make_unique<Tail>();
    const int64_t end = source.GetI64();
    const auto revision = static_cast<int64_t>(source.GetVarint());
    const bool reopened = source.GetBool();
    if (!left->windows.empty() && end <= left->windows.back().end) return false;
    left->windows.push_back({end, revision, reopened});
    if (reopened && !IsCovered(end)) return false;
  }
  if (!source.ok() || !source.exhausted()) return false;
  GuardLeft();
  restored.reset();
  return true;
}

}  // namespace freshet
