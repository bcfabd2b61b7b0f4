#pragma once

#include <cstdint>
#include <deque>

#include "engine/flow/graph_spec.h"
#include "engine/flow/source.h"

namespace freshet {

/// What a source has read while it had no credit, with `on_overflow: drop_oldest` or `drop_newest`: whole chunks up to
/// as many rows and bytes as the credits allow (one larger than all of it is kept alone). What does not fit is dropped
/// here, before it takes a credit or is decoded, and leaves in its place as a chunk that is finished, has no rows and
/// counts its records as skipped and dropped, so that positions, ordinals and line numbers go on. One thread.
class OverflowQueue {
 public:
  OverflowQueue(OnOverflow policy, int64_t rows_max, int64_t bytes_max)
      : policy_(policy), rows_max_(rows_max), bytes_max_(bytes_max) {}

  void Add(RawChunk chunk);
  bool empty() const { return entries_.empty(); }
  /// REQUIRES: !empty(). The first one is only an account of what was dropped: it needs no credit.
  bool front_is_dropped() const { return entries_.front().dropped; }
  /// REQUIRES: !empty().
  RawChunk Pop();
  static int64_t RowsOf(const RawChunk& chunk);

 private:
  struct Entry {
    RawChunk chunk;
    bool dropped = false;
  };
  void Drop(Entry* entry);
  bool Fits(const RawChunk& chunk) const;
  bool TryMerge(size_t last, const RawChunk& dropped);
  void DropOldest();

  const OnOverflow policy_;
  const int64_t rows_max_;
  const int64_t bytes_max_;
  std::deque<Entry> entries_;
  int64_t rows_ = 0;
  int64_t bytes_ = 0;
  int64_t chunk_count_ = 0;  ///< entries that were not dropped
};

}  // namespace freshet
