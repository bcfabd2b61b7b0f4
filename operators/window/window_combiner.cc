#include "operators/window/window_combiner.h"

#include <bit>
#include <new>

namespace freshet {
namespace {

constexpr size_t kCellAlignment = 64;

/// Groups of rows with equal key and slice, by their first rows.
class Grouping {
 public:
  Grouping(const SliceAssigner& assigner, const Batch& rows, const EncodedKeys& keys)
      : rows_(rows), keys_(keys), mask_(std::bit_ceil(2 * static_cast<size_t>(rows.row_count())) - 1) {
    slots_.assign(mask_ + 1, -1);
    group_of_.resize(static_cast<size_t>(rows.row_count()));
    SliceAssigner::Slice slice;
    for (int32_t row = 0; row < rows.row_count(); ++row) {
      const int64_t time = rows.time(row).us;
      if (time < slice.begin || time >= slice.end) slice = assigner.SliceOf(time);
      group_of_[static_cast<size_t>(row)] = GroupOf(row, slice);
    }
  }

  /// Leaves groups of fewer rows out. Returns how many rows need not travel.
  int32_t KeepLarge(int32_t rows_min) {
    std::vector<int32_t> place(groups_.size(), -1);
    int32_t kept = 0, saved = 0;
    for (size_t g = 0; g < groups_.size(); ++g) {
      if (groups_[g].row_count < rows_min) continue;
      saved += groups_[g].row_count - 1;
      place[g] = kept;
      groups_[static_cast<size_t>(kept++)] = groups_[g];
    }
    groups_.resize(static_cast<size_t>(kept));
    for (int32_t& g : group_of_) g = place[static_cast<size_t>(g)];
    return saved;
  }
  std::vector<CombinedRows::Group> TakeGroups() { return std::move(groups_); }
  std::vector<int32_t> TakeGroupOf() { return std::move(group_of_); }

 private:
  int32_t GroupOf(int32_t row, const SliceAssigner::Slice& slice) {
    const uint32_t hash = keys_.hash(row);
    auto at = static_cast<size_t>((hash ^ static_cast<uint64_t>(slice.begin)) * 0x9e3779b97f4a7c15U >> 32);
    for (;; ++at) {
      int32_t& slot = slots_[at & mask_];
      if (slot < 0) {
        slot = static_cast<int32_t>(groups_.size());
        groups_.push_back({row, 1, EventTime{slice.first_window_end}});
        begins_.push_back(slice.begin);
        return slot;
      }
      CombinedRows::Group& group = groups_[static_cast<size_t>(slot)];
      if (begins_[static_cast<size_t>(slot)] != slice.begin || keys_.hash(group.first_row) != hash ||
          keys_.key(group.first_row) != keys_.key(row))
        continue;
      ++group.row_count;
      return slot;
    }
  }

  const Batch& rows_;
  const EncodedKeys& keys_;
  const size_t mask_;
  std::vector<int32_t> slots_;  // open addressing
  std::vector<CombinedRows::Group> groups_;
  std::vector<int64_t> begins_;  // of their slices
  std::vector<int32_t> group_of_;
};

}  // namespace

WindowPartials::WindowPartials(std::shared_ptr<const WindowPlan> plan, std::vector<Group> groups,
                               std::vector<int32_t> group_of)
    : plan_(std::move(plan)),
      stride_((plan_->aggregates.cell_bytes + kCellAlignment - 1) / kCellAlignment * kCellAlignment) {
  groups_ = std::move(groups);
  group_of_ = std::move(group_of);
  slab_ = static_cast<std::byte*>(::operator new (stride_* groups_.size(), std::align_val_t{kCellAlignment}));
  for (size_t g = 0; g < groups_.size(); ++g) {
    new (bytes(g)) SliceCell();
    for (const AggregatePlan::State& s : plan_->aggregates.states) s.accumulator->Construct(bytes(g) + s.offset);
  }
}

WindowPartials::~WindowPartials() {
  for (size_t g = 0; g < groups_.size(); ++g)
    for (const AggregatePlan::State& s : plan_->aggregates.states) s.accumulator->Destroy(bytes(g) + s.offset);
  ::operator delete (slab_, std::align_val_t{kCellAlignment});
}

const SliceCell* WindowPartials::cell(int32_t group) const {
  return reinterpret_cast<const SliceCell*>(bytes(static_cast<size_t>(group)));
}

bool WindowPartials::Accumulate(const Batch& rows) {
  std::vector<std::byte*> cells(group_of_.size());
  for (size_t row = 0; row < cells.size(); ++row)
    cells[row] = group_of_[row] < 0 ? nullptr : bytes(static_cast<size_t>(group_of_[row]));
  int64_t nulled = 0;
  AccumulateRows(plan_->aggregates, rows, cells.data(), &nulled);
  return nulled == 0;
}

bool WindowCombiner::Fits(const WindowPlan& plan) {
  // With early results a row's cell depends on its time and its own watermark, not on its slice alone.
  if (plan.key.empty() || plan.revisions.early_us > 0) return false;
  for (const AggregatePlan::State& s : plan.aggregates.states)
    if (!s.accumulator->order_free()) return false;
  return true;
}

bool WindowCombiner::Wants() {
  if (always_) return true;
  const int rest = rest_.load(std::memory_order_relaxed);
  if (rest <= 0) return true;
  rest_.store(rest - 1, std::memory_order_relaxed);
  return false;
}

void WindowCombiner::Learn(bool paid) {
  const int rest = next_rest_.load(std::memory_order_relaxed);
  rest_.store(paid ? 0 : rest, std::memory_order_relaxed);
  next_rest_.store(paid ? 1 : std::min(2 * rest, kRestMax), std::memory_order_relaxed);
}

std::shared_ptr<const CombinedRows> WindowCombiner::Combine(const Batch& rows, const EncodedKeys& keys) {
  if (!rows.has_times()) return nullptr;
  Grouping grouping(plan_->assigner, rows, keys);
  const int32_t saved = grouping.KeepLarge(always_ ? 2 : kRowsMin);
  const bool pays = always_ ? saved > 0 : 8 * int64_t{saved} >= 7 * int64_t{rows.row_count()};
  Learn(pays);
  if (!pays) return nullptr;
  auto partials = std::make_shared<WindowPartials>(plan_, grouping.TakeGroups(), grouping.TakeGroupOf());
  if (!partials->Accumulate(rows)) return nullptr;
  return partials;
}

}  // namespace freshet
