#include "operators/window/running_window.h"

#include <algorithm>

namespace freshet {

const SliceCell* RunningWindow::Over(CellPool& pool, const SliceCell* cells, int64_t start, int64_t end,
                                     SliceCell** made) {
  *made = nullptr;
  while (!front_.empty() && front_.back()->slice_begin < start) {
    pool.Delete(front_.back());
    front_.pop_back();
  }
  if (back_ != nullptr && back_->slice_begin < start) {
    Flip(pool, cells, start, end);
  } else {
    for (const SliceCell* c = cells; c != nullptr && c->slice_begin >= std::max(start, through_); c = c->next) {
      if (!c->plain || c->slice_begin >= end) continue;
      AddToBack(pool, *c);
    }
    through_ = end;
  }
  if (front_.empty()) return back_;
  if (back_ == nullptr) return front_.back();
  *made = pool.New();
  pool.Merge(*made, front_.back());
  pool.Merge(*made, back_);
  return *made;
}

void RunningWindow::AddToBack(CellPool& pool, const SliceCell& cell) {
  if (back_ == nullptr) {
    back_ = pool.New();
    back_->slice_begin = cell.slice_begin;
  }
  back_->slice_begin = std::min(back_->slice_begin, cell.slice_begin);
  pool.Merge(back_, &cell);
}

void RunningWindow::Flip(CellPool& pool, const SliceCell* cells, int64_t start, int64_t end) {
  Clear(pool);
  for (const SliceCell* c = cells; c != nullptr && c->slice_begin >= start; c = c->next) {
    if (!c->plain || c->slice_begin >= end) continue;
    SliceCell* const suffix = pool.New();
    suffix->slice_begin = c->slice_begin;
    pool.Merge(suffix, c);
    if (!front_.empty()) pool.Merge(suffix, front_.back());
    front_.push_back(suffix);
  }
  boundary_ = through_ = end;
}

void RunningWindow::Add(CellPool& pool, const SliceCell& more) {
  if (more.slice_begin >= through_) return;
  if (more.slice_begin >= boundary_) {
    AddToBack(pool, more);
    return;
  }
  bool has_own = false;
  for (SliceCell* suffix : front_) {
    has_own = has_own || suffix->slice_begin == more.slice_begin;
    if (suffix->slice_begin <= more.slice_begin) pool.Merge(suffix, &more);
  }
  if (!has_own) Clear(pool);
}

void RunningWindow::Clear(CellPool& pool) {
  for (SliceCell* suffix : front_) pool.Delete(suffix);
  front_.clear();
  if (back_ != nullptr) pool.Delete(back_);
  back_ = nullptr;
  boundary_ = through_ = std::numeric_limits<int64_t>::min();
}

}  // namespace freshet
