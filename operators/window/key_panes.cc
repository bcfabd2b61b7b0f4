#include "operators/window/key_panes.h"

#include <algorithm>
#include <new>

namespace freshet {

CellPool::CellPool(const AggregatePlan& plan, const SliceAssigner& assigner)
    : plan_(plan),
      assigner_(assigner),
      stride_((plan.cell_bytes + kCellAlignment - 1) / kCellAlignment * kCellAlignment) {}

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
  for (const AggregatePlan::State& s : plan_.states) s.accumulator->Construct(cell->bytes() + s.offset);
  return cell;
}

void CellPool::Delete(SliceCell* cell) {
  for (const AggregatePlan::State& s : plan_.states) s.accumulator->Destroy(cell->bytes() + s.offset);
  cell->live = false;
  cell->next = free_;
  free_ = cell;
}

void CellPool::Merge(SliceCell* into, const SliceCell* from) const {
  for (const AggregatePlan::State& s : plan_.states)
    s.accumulator->Merge(into->bytes() + s.offset, from->bytes() + s.offset);
}

void CellPool::EncodeStates(const SliceCell* cell, ByteSink& sink) const {
  for (const AggregatePlan::State& s : plan_.states) s.accumulator->Encode(cell->bytes() + s.offset, sink);
}

bool CellPool::DecodeStates(SliceCell* cell, ByteSource& source) const {
  for (const AggregatePlan::State& s : plan_.states)
    if (!s.accumulator->Decode(cell->bytes() + s.offset, source)) return false;
  return true;
}

SliceCell* KeyPanes::Find(int64_t slice_begin, int64_t first_end) const {
  for (SliceCell* c = cells; c != nullptr && c->slice_begin >= slice_begin; c = c->next)
    if (c->slice_begin == slice_begin && c->first_end == first_end) return c;
  return nullptr;
}

SliceCell* KeyPanes::Add(const SliceAssigner::Slice& slice, int64_t first_end) {
  SliceCell** at = &cells;
  while (*at != nullptr &&
         ((*at)->slice_begin > slice.begin || ((*at)->slice_begin == slice.begin && (*at)->first_end > first_end)))
    at = &(*at)->next;
  SliceCell* cell = pool->New();
  cell->slice_begin = slice.begin;
  cell->first_end = first_end;
  cell->last_end = slice.last_window_end;
  cell->next = *at;
  *at = cell;
  return cell;
}

int64_t KeyPanes::CountOpen() const {
  if (cells == nullptr) return 0;
  // Cells come with falling last ends, so what a cell adds to the windows counted so far lies below `covered`.
  const int64_t slide = pool->assigner().slide();
  int64_t count = 0;
  int64_t covered = kNone;
  for (const SliceCell* c = cells; c != nullptr; c = c->next) {
    const int64_t first =
        std::max(c->first_end, emitted_end == std::numeric_limits<int64_t>::min() ? emitted_end : emitted_end + slide);
    if (first > c->last_end) continue;
    if (c->last_end < covered) {
      count += (c->last_end - first) / slide + 1;
      covered = first;
    } else if (first < covered) {
      count += (covered - first) / slide;
      covered = first;
    }
  }
  return count;
}

int64_t KeyPanes::EarliestOpen() const {
  int64_t earliest = kNone;
  const int64_t floor = emitted_end == std::numeric_limits<int64_t>::min() || cells == nullptr
                            ? emitted_end
                            : emitted_end + pool->assigner().slide();
  for (const SliceCell* c = cells; c != nullptr; c = c->next) {
    const int64_t first = std::max(c->first_end, floor);
    if (first <= c->last_end) earliest = std::min(earliest, first);
  }
  return earliest;
}

void KeyPanes::CloseThrough(int64_t end) {
  emitted_end = end;
  SliceCell** at = &cells;
  while (*at != nullptr && (*at)->last_end > end) at = &(*at)->next;
  SliceCell* done = *at;
  *at = nullptr;
  while (done != nullptr) {
    SliceCell* next = done->next;
    pool->Delete(done);
    done = next;
  }
}

void KeyPanes::Encode(ByteSink& sink) const {
  uint64_t count = 0;
  for (const SliceCell* c = cells; c != nullptr; c = c->next) ++count;
  sink.PutI64(emitted_end);
  sink.PutVarint(count);
  for (const SliceCell* c = cells; c != nullptr; c = c->next) {
    sink.PutI64(c->slice_begin);
    sink.PutI64(c->first_end);
    pool->EncodeStates(c, sink);
  }
}

bool KeyPanes::Decode(ByteSource& source, uint16_t codec) {
  if (codec != 1) return false;
  restored = std::make_unique<std::string>(source.GetBytes(source.remaining()));
  return source.ok();
}

bool KeyPanes::Load() {
  ByteSource source(*restored);
  emitted_end = source.GetI64();
  const uint64_t count = source.GetVarint();
  for (uint64_t i = 0; i < count && source.ok(); ++i) {
    const int64_t begin = source.GetI64();
    const int64_t first_end = source.GetI64();
    const SliceAssigner::Slice slice = pool->assigner().SliceOf(begin);
    if (!source.ok() || slice.begin != begin || first_end < slice.first_window_end || first_end > slice.last_window_end)
      return false;
    if (Find(begin, first_end) != nullptr || !pool->DecodeStates(Add(slice, first_end), source)) return false;
  }
  if (!source.ok() || !source.exhausted()) return false;
  restored.reset();
  return true;
}

}  // namespace freshet
