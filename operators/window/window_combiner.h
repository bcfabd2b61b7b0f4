#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "engine/flow/combiner.h"
#include "operators/window/key_panes.h"
#include "operators/window/window_operator.h"

namespace freshet {

/// Partial aggregates of the rows of one batch with equal key and slice. Immutable, shared by the lanes.
class WindowPartials final : public CombinedRows {
 public:
  /// Takes the grouping over and makes empty cells.
  WindowPartials(std::shared_ptr<const WindowPlan> plan, std::vector<Group> groups, std::vector<int32_t> group_of);
  ~WindowPartials() override;
  WindowPartials(const WindowPartials&) = delete;
  WindowPartials& operator=(const WindowPartials&) = delete;
  /// Only the states behind the header mean something.
  const SliceCell* cell(int32_t group) const;
  /// Adds the rows of all groups. False if an argument overflowed: such values are counted row by row.
  bool Accumulate(const Batch& rows);

 private:
  std::byte* bytes(size_t group) const { return slab_ + group * stride_; }
  const std::shared_ptr<const WindowPlan> plan_;
  const size_t stride_;
  std::byte* slab_;
};

/// Combines rows in front of a window's exchange (SEMANTICS.md §1.5): local aggregation, as in MapReduce's combiners
/// (Dean and Ghemawat, OSDI 2004). Rows that open the same windows by their own watermark and hold no aggregate to
/// their order are one partial result then; which rows these are follows from time and key alone, and any grouping
/// gives the same bits, so nothing shows whether it was done.
///
/// `always`: wherever two rows belong together. Else only groups of kRowsMin rows or more, and only where these save
/// seven eighths of a batch's rows; after a batch with less, the next 1, 2, 4, … 64 are not looked at.
class WindowCombiner final : public Combiner {
 public:
  WindowCombiner(std::shared_ptr<const WindowPlan> plan, bool always) : plan_(std::move(plan)), always_(always) {}
  /// Whether a window can be combined: all its aggregates are order-free, and what becomes of a row that is on time
  /// depends on its slice alone.
  static bool Fits(const WindowPlan& plan);
  bool Wants() override;
  std::shared_ptr<const CombinedRows> Combine(const Batch& rows, const EncodedKeys& keys) override;

 private:
  /// A partial result costs as much as some five rows, where it is made and where it is merged.
  static constexpr int32_t kRowsMin = 8;
  static constexpr int kRestMax = 64;
  void Learn(bool paid);

  const std::shared_ptr<const WindowPlan> plan_;
  const bool always_;
  std::atomic<int> rest_{0};       ///< batches that are not looked at
  std::atomic<int> next_rest_{1};  ///< how many after the next one that does not pay
};

}  // namespace freshet
