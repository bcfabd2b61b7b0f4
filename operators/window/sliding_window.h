#pragma once

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/state/table_numbers.h"
#include "engine/state/table_scan.h"
#include "operators/window/due_keys.h"
#include "operators/window/window_operator.h"

namespace freshet {

/// The rows of one key within the last `size`, and their aggregate: the value of the table.
///
/// Two stacks (folklore; Tangwongsan, Hirzel, Schneider, "Low-latency sliding-window aggregation in worst-case constant
/// time", DEBS 2017): each of the first `flipped` entries holds the aggregate of itself and all entries behind it up to
/// the flip, the entries since then hold themselves, and `back` is the aggregate of these. A row so costs two merges
/// and one for its result, however many rows are within the window. Aggregates are order-free, so where the flips fall
/// changes no bit.
struct TrailingRows {
  struct Entry {
    int64_t time_us = 0;
    SliceCell* cell = nullptr;
  };

  CellPool* pool = nullptr;
  std::vector<Entry> entries;
  size_t first = 0;    ///< entries before it have left
  size_t flipped = 0;  ///< index of the first entry behind the flip; at least `first`
  SliceCell* back = nullptr;
  bool scheduled = false;
  uint32_t hash = 0;
  std::unique_ptr<std::string> restored;  ///< bytes from a checkpoint until the operator has a pool for them

  bool empty() const { return first == entries.size(); }
  int64_t newest_us() const { return entries.back().time_us; }
  /// Forgets entries up to `time_us`.
  void Expire(int64_t time_us);
  /// Takes the cell. REQUIRES: no older than the newest entry.
  void Push(int64_t time_us, SliceCell* cell);
  /// Calls f(states) with the aggregate of all entries. REQUIRES: not empty.
  template <class F>
  void WithAggregate(F&& f) const;

  void Encode(ByteSink& sink) const;
  bool Decode(ByteSource& source, uint16_t codec);
  bool Load();
  /// The time of the newest row in a value that is not loaded.
  static int64_t NewestOf(const std::string& restored);
  /// Gives all cells back.
  void Free();

 private:
  void Flip();
};

/// `{sliding: 1h}`: each row gives one result, over the rows of its key in the hour that ends with it.
///
/// Rows come by event time (the cell's sorter sees to it, and to late ones), and results leave in their order, with
/// their time and row watermark. Rows of one time are taken one after the other, by ordinal. The end of the input ends
/// no window: rows of an input that has grown since find what was there. A key without rows for `size` is forgotten
/// when the watermark says so. Keys may leave memory; those that nothing comes for are looked for in the store, some
/// thousand rows at each watermark.
class SlidingWindow final : public Operator {
 public:
  SlidingWindow(std::shared_ptr<const WindowPlan> plan, int64_t size_us);
  Status Open(OpenContext& ctx) override;
  Status ProcessBatch(InputIndex input, const Batch& in, Emitter& out) override;
  Result<Progress> OnWatermark(EventTime now, Emitter& out) override;

 private:
  using DueKey = DueKeyOf<TrailingRows>;
  void Schedule(TrailingRows& rows, const std::string* key);
  void SetEvictionHooks();
  bool IsExpired(int64_t newest_us, int64_t now_us) const {
    return newest_us <= std::numeric_limits<int64_t>::max() - size_us_ && newest_us + size_us_ <= now_us;
  }
  /// How far time is for a key that was not in memory.
  int64_t ClosedFor(uint32_t hash) const { return std::max(closed_us_, closed_through_->at(KeyGroupOf(hash))); }
  Status SweepStored(EventTime now);
  void AccountMemory();

  const std::shared_ptr<const WindowPlan> plan_;
  const int64_t size_us_;
  CellPool pool_;
  KeyedTable<TrailingRows>* table_ = nullptr;
  KeyGroupNumbers* closed_through_ = nullptr;  ///< `closed_us_`, kept from the first eviction on
  NodeCounters* counters_ = nullptr;
  EncodedKeys keys_;
  std::vector<std::byte*> cells_;
  DueKeysOf<TrailingRows> due_;              ///< when a key is to be looked at
  int64_t closed_us_ = EventTime::Min().us;  ///< the last watermark
  int64_t next_sweep_us_ = EventTime::Min().us;
  std::optional<StoredSweep> sweep_;  ///< under way
  SweepPace pace_{4096};
};

}  // namespace freshet
