#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "operators/window/key_panes.h"

namespace freshet {

/// The aggregate over the plain cells of one key's newest window, kept from one result to the next: two stacks over
/// slices (Tangwongsan, Hirzel, Schneider, DEBS 2017). `front_` holds, for each slice up to the last flip, the
/// aggregate of it and all behind it up to the flip; `back_` is the aggregate of the slices since. When the front is
/// used up, it is made anew from the slices, newest first. Each slice so is merged twice, and each result takes two
/// merges more, however many slices a window has. Aggregates are order-free, so the grouping changes no bit.
///
/// Not part of the state: after a restore, or when its key comes back to memory, it begins anew. Its cells belong to
/// the pool; whoever drops it calls Clear.
class RunningWindow {
 public:
  /// The aggregate over [start, end). `cells`: the key's, newest first. Null if they have none in it. If `*made` is not
  /// null, it is the result and the caller's to give back. REQUIRES: neither `start` nor `end` falls from call to call.
  const SliceCell* Over(CellPool& pool, const SliceCell* cells, int64_t start, int64_t end, SliceCell** made);
  /// The plain cell of a slice that may have been seen has got what `more` holds.
  void Add(CellPool& pool, const SliceCell& more);
  void Clear(CellPool& pool);

 private:
  void AddToBack(CellPool& pool, const SliceCell& cell);
  void Flip(CellPool& pool, const SliceCell* cells, int64_t start, int64_t end);

  std::vector<SliceCell*> front_;                           ///< oldest last
  SliceCell* back_ = nullptr;                               ///< its `slice_begin`: of the oldest slice in it
  int64_t boundary_ = std::numeric_limits<int64_t>::min();  ///< slices from it on are in the back
  int64_t through_ = std::numeric_limits<int64_t>::min();   ///< slices from it on have not been seen
};

}  // namespace freshet
