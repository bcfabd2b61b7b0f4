#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "operators/join/join_rows.h"

namespace freshet {

/// The keys in memory that have something to do, by (place, key): a heap in which a key stands once and knows where
/// (JoinRows::scheduled_at), so that it can be hastened and taken out. One thread.
class JoinSchedule {
 public:
  struct Due {
    JoinPlace place;
    JoinRows* rows;
    const std::string* key;  ///< as the table stores it
  };
  bool empty() const { return heap_.empty(); }
  /// REQUIRES: not empty.
  const Due& first() const { return heap_.front(); }
  /// REQUIRES: the key is in it.
  JoinPlace PlaceOf(const JoinRows& rows) const { return heap_[rows.scheduled_at].place; }
  /// The key has something to do at `place` or before.
  bool Has(const JoinRows& rows, JoinPlace place) const {
    return rows.scheduled_at != JoinRows::kUnscheduled && PlaceOf(rows) <= place;
  }

  /// The key's place from here on.
  void Set(const Due& due) {
    size_t at = due.rows->scheduled_at;
    if (at == JoinRows::kUnscheduled) {
      at = heap_.size();
      heap_.push_back(due);
    }
    Settle(at, due);
  }
  void Remove(JoinRows& rows) {
    if (rows.scheduled_at == JoinRows::kUnscheduled) return;
    const size_t at = rows.scheduled_at;
    rows.scheduled_at = JoinRows::kUnscheduled;
    const Due last = heap_.back();
    heap_.pop_back();
    if (at < heap_.size()) Settle(at, last);
  }
  /// After many have gone.
  void Shrink() {
    if (heap_.size() * 4 < heap_.capacity()) heap_.shrink_to_fit();
  }
  int64_t bytes() const { return static_cast<int64_t>(heap_.capacity() * sizeof(Due)); }

 private:
  /// Each has so many below it: half the levels of a heap of two, and all of them lie side by side.
  static constexpr size_t kWidth = 4;

  static bool Before(const Due& a, const Due& b) {
    if (a.place != b.place) return a.place < b.place;
    return a.place.turn != JoinPlace::kForget && a.rows != b.rows &&
           *a.key < *b.key;  // of what nobody sees any is first
  }
  void Put(size_t at, const Due& due) {
    heap_[at] = due;
    due.rows->scheduled_at = static_cast<uint32_t>(at);
  }
  /// Puts `due` where it belongs on the way through `at`.
  void Settle(size_t at, const Due& due) {
    for (; at > 0 && Before(due, heap_[(at - 1) / kWidth]); at = (at - 1) / kWidth) Put(at, heap_[(at - 1) / kWidth]);
    while (true) {
      const size_t begin = at * kWidth + 1;
      if (begin >= heap_.size()) break;
      size_t least = begin;
      for (size_t i = begin + 1; i < std::min(begin + kWidth, heap_.size()); ++i)
        if (Before(heap_[i], heap_[least])) least = i;
      if (!Before(heap_[least], due)) break;
      Put(at, heap_[least]);
      at = least;
    }
    Put(at, due);
  }

  std::vector<Due> heap_;
};

}  // namespace freshet
