#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/batch/key_codec.h"
#include "engine/state/table_numbers.h"
#include "operators/window/aggregate_plan.h"
#include "operators/window/slice_assigner.h"

namespace freshet {

/// The partial aggregates of one key over one slice; the states lie behind this header. A row that is late for some
/// windows of its slice and on time for others goes to a cell of its own with a later `first_end`, so that it counts
/// in exactly the windows for which it was on time.
///
/// With `allowed_lateness`, rows that come after a window's end by their own watermark wait in a cell per row watermark
/// (`since`) until the results up to that moment have left; then the cell is settled, that is merged with the others
/// of its slice.
///
/// With early results every row waits like that, until the next of their moments.
struct SliceCell {
  static constexpr int64_t kSettled = std::numeric_limits<int64_t>::min();

  int64_t slice_begin = 0;
  int64_t first_end = 0;  ///< the first and the last end of the windows that count this cell
  int64_t last_end = 0;
  int64_t since = kSettled;   ///< counts in results of this moment and later; windows up to it are revised then
  SliceCell* next = nullptr;  ///< older
  SliceCell* prev = nullptr;  ///< newer
  bool live = false;
  bool plain = true;  ///< settled, and in all windows of its slice
  bool pending() const { return since != kSettled; }
  std::byte* bytes() { return reinterpret_cast<std::byte*>(this); }
  const std::byte* bytes() const { return reinterpret_cast<const std::byte*>(this); }
};

/// Whether the windows of a node give more than one result, and when.
struct RevisionPlan {
  bool revises = false;  ///< results carry `revision` and `op`
  int64_t early_us = 0;  ///< results before a window's end leave at multiples of this; 0: none
  int64_t keep_us = 0;   ///< how long after its end a window is kept: its allowed lateness, up to the next such moment
};

class RunningWindow;

/// Memory of the cells of one operator: slabs, recycled, nothing allocated per row. Owns all cells. One thread.
class CellPool {
 public:
  CellPool(const AggregatePlan& plan, const SliceAssigner& assigner, const RevisionPlan& revisions = {});
  ~CellPool();
  CellPool(const CellPool&) = delete;
  CellPool& operator=(const CellPool&) = delete;

  /// With empty states.
  SliceCell* New();
  void Delete(SliceCell* cell);
  void Merge(SliceCell* into, const SliceCell* from);
  /// AccumulateRows for cells of the pool.
  void Accumulate(const Batch& in, std::byte* const* cells, int64_t* nulled) {
    AccumulateRows(plan_, in, cells, nulled, &heap_bytes_);
  }
  void EncodeStates(const SliceCell* cell, ByteSink& sink) const;
  bool DecodeStates(SliceCell* cell, ByteSource& source);
  const SliceAssigner& assigner() const { return assigner_; }
  const RevisionPlan& revisions() const { return revisions_; }
  /// How many ends of the input the windows of a key have seen, if some keys were not in memory then: a row of the
  /// store that saw fewer is older (WindowOperator::Wake). `ends` counts them by key group.
  void CountEnds(const KeyGroupNumbers* ends) { ends_ = ends; }
  int64_t EndsSeen(uint32_t hash) const {
    return ends_ == nullptr ? 0 : std::max<int64_t>(ends_->at(KeyGroupOf(hash)), 0);
  }
  /// Of the cells in use, with what their states hold beside them.
  int64_t live_count() const { return live_count_; }
  int64_t live_bytes() const { return live_count_ * static_cast<int64_t>(stride_) + heap_bytes_; }

 private:
  int64_t HeapOf(const SliceCell* cell) const {
    int64_t bytes = 0;
    for (const AggregatePlan::State* s : heap_states_) bytes += s->accumulator->HeapBytes(cell->bytes() + s->offset);
    return bytes;
  }
  static constexpr size_t kCellsPerSlab = 64;
  static constexpr size_t kCellAlignment = 64;
  const AggregatePlan& plan_;
  const SliceAssigner assigner_;
  const RevisionPlan revisions_;
  const KeyGroupNumbers* ends_ = nullptr;
  size_t stride_;
  std::vector<const AggregatePlan::State*> heap_states_;  ///< none: cells are all there is
  int64_t heap_bytes_ = 0;
  std::vector<std::byte*> slabs_;
  SliceCell* free_ = nullptr;
  int64_t live_count_ = 0;
};

/// A window of one key of which a result has left and which may still be heard of: until its allowed lateness has
/// passed, because it was the end of the input that closed it, not time (SEMANTICS.md §3.2), or because the result was
/// an early one.
struct LeftWindow {
  int64_t end = 0;
  int64_t revision = 0;   ///< of the last result
  bool reopened = false;  ///< its end gives one more: so far results were early, or made by the end of the input
};

/// All panes of one key that are not over for good: the value of the window's table. Cells are listed newest slice
/// first.
///
/// Results leave at *moments*: the first one of a window at `end` - 1 µs; a revision at the row watermark of the late
/// rows it is for; with early results all but a window's last at multiples of their step, - 1 µs. A moment is due when
/// the watermark has passed it.
struct KeyPanes {
  static constexpr int64_t kNone = std::numeric_limits<int64_t>::max();

  KeyPanes();
  KeyPanes(KeyPanes&&) noexcept;
  KeyPanes& operator=(KeyPanes&&) noexcept;
  ~KeyPanes();

  /// Rarely there, so kept apart.
  struct Tail {
    std::vector<LeftWindow> windows;  ///< by end, ascending
    /// Windows up to this end may have left although rows that are on time for them still come.
    int64_t guard_end = std::numeric_limits<int64_t>::min();
  };

  CellPool* pool = nullptr;  ///< set by the operator with the first cell
  SliceCell* cells = nullptr;
  SliceCell* oldest = nullptr;                             ///< the last one
  int64_t gone_end = std::numeric_limits<int64_t>::min();  ///< windows up to this end are over for good
  int64_t next_due = kNone;  ///< the earliest moment for which the operator has this key in its index
  std::unique_ptr<Tail> left;
  std::unique_ptr<RunningWindow> running;  ///< where windows have many slices
  uint32_t hash = 0;
  bool plain = true;                      ///< all cells are
  int64_t ends_seen = 0;                  ///< as loaded: how many ends of the input it knows of
  std::unique_ptr<std::string> restored;  ///< codec and bytes from a checkpoint until the operator has a pool for them

  SliceCell* Find(int64_t slice_begin, int64_t first_end, int64_t since) const;
  /// REQUIRES: no such cell yet. `*opened` is how many windows it is the first to open.
  SliceCell* Add(const SliceAssigner::Slice& slice, int64_t first_end, int64_t since, int64_t* opened);
  /// Open windows: they hold at least one cell and no result of them has left.
  int64_t CountOpen() const;
  /// When something is due next, or kNone; with `expire` also the end of a window's allowed lateness.
  int64_t NextMoment(bool expire) const;
  /// When the windows of one cell are due first.
  int64_t MomentOf(const SliceCell& cell) const;
  /// Ends of the windows that have a result at `moment`, ascending.
  void WindowsAt(int64_t moment, std::vector<int64_t>* ends) const;
  /// Notes that a result left at `moment`. Returns its revision. `keep`: the window may be heard of again.
  int64_t Leave(int64_t end, int64_t moment, bool keep);
  /// Settles cells up to `moment`, forgets windows whose lateness has passed by then (with `expire`) and frees cells
  /// that no later result needs.
  void Settle(int64_t moment, bool expire);
  bool empty() const { return cells == nullptr && left == nullptr; }
  LeftWindow* FindLeft(int64_t end) const;
  /// The aggregate of the cells that count in [start, end) at `moment`. If `*made` is not null, it is the result and
  /// the caller's to give back. `newest`: no window before it is asked for again, so what was merged is kept for the
  /// next.
  const SliceCell* MergeOver(int64_t start, int64_t end, int64_t moment, bool newest, SliceCell** made);
  /// The end of the input closed windows: rows that are on time for them may still come.
  void GuardLeft();
  /// Gives all cells back; the key is as if it had never been.
  void Free();

  void Encode(ByteSink& sink) const;
  bool Decode(ByteSource& source, uint16_t codec);
  /// Builds the cells from `restored`. False if the bytes are not such state.
  bool Load();

 private:
  /// The first window from `end` on that is neither gone nor left.
  int64_t FirstFresh(int64_t end) const;
  bool IsCovered(int64_t end) const;
  SliceCell* Create(const SliceAssigner::Slice& slice, int64_t first_end, int64_t since);
  /// Puts a cell in its place; sets `plain`.
  SliceCell* Link(SliceCell* cell);
  void Unlink(SliceCell* cell);
  void SettlePending(int64_t moment);
};

/// TableOptions::loaded_bytes of tables whose values hold cells: about what the cells of an encoded value take, which
/// is made for that and given back. 0 if it is no such value. `per_cell`: what the value keeps for each.
template <class Panes>
int64_t LoadedBytes(CellPool* pool, std::string_view value, uint16_t codec, int64_t per_cell) {
  const int64_t bytes = pool->live_bytes(), count = pool->live_count();
  Panes panes;
  panes.pool = pool;
  ByteSource source(value);
  const bool loaded = panes.Decode(source, codec) && panes.Load();
  const int64_t taken = pool->live_bytes() - bytes + per_cell * (pool->live_count() - count);
  panes.Free();
  return loaded ? taken : 0;
}

}  // namespace freshet
