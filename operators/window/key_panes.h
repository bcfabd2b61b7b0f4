#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/bytes.h"
#include "operators/window/aggregate_plan.h"
#include "operators/window/slice_assigner.h"

namespace freshet {

/// The partial aggregates of one key over one slice; the states lie behind this header. A row that is late for some
/// windows of its slice and on time for others goes to a cell of its own with a later `first_end`, so that it counts
/// in exactly the windows for which it was on time.
struct SliceCell {
  int64_t slice_begin = 0;
  int64_t first_end = 0;  ///< the first and the last end of the windows that count this cell
  int64_t last_end = 0;
  SliceCell* next = nullptr;
  bool live = false;
  std::byte* bytes() { return reinterpret_cast<std::byte*>(this); }
  const std::byte* bytes() const { return reinterpret_cast<const std::byte*>(this); }
};

/// Memory of the cells of one operator: slabs, recycled, nothing allocated per row. Owns all cells. One thread.
class CellPool {
 public:
  CellPool(const AggregatePlan& plan, const SliceAssigner& assigner);
  ~CellPool();
  CellPool(const CellPool&) = delete;
  CellPool& operator=(const CellPool&) = delete;

  /// With empty states.
  SliceCell* New();
  void Delete(SliceCell* cell);
  void Merge(SliceCell* into, const SliceCell* from) const;
  void EncodeStates(const SliceCell* cell, ByteSink& sink) const;
  bool DecodeStates(SliceCell* cell, ByteSource& source) const;
  const SliceAssigner& assigner() const { return assigner_; }

 private:
  static constexpr size_t kCellsPerSlab = 64;
  static constexpr size_t kCellAlignment = 64;
  const AggregatePlan& plan_;
  const SliceAssigner assigner_;
  size_t stride_;
  std::vector<std::byte*> slabs_;
  SliceCell* free_ = nullptr;
};

/// All open panes of one key: the value of the window's table. Cells are listed newest slice first.
struct KeyPanes {
  static constexpr int64_t kNone = std::numeric_limits<int64_t>::max();

  CellPool* pool = nullptr;  ///< set by the operator with the first cell
  SliceCell* cells = nullptr;
  int64_t emitted_end = std::numeric_limits<int64_t>::min();  ///< windows up to this end have left
  int64_t next_due = kNone;  ///< end of the earliest open window, where the operator has this key in its index
  uint32_t hash = 0;
  std::unique_ptr<std::string> restored;  ///< bytes from a checkpoint until the operator has a pool for them

  SliceCell* Find(int64_t slice_begin, int64_t first_end) const;
  /// REQUIRES: no such cell yet.
  SliceCell* Add(const SliceAssigner::Slice& slice, int64_t first_end);
  /// Open windows that hold at least one cell.
  int64_t CountOpen() const;
  /// The end of the earliest of them, or kNone.
  int64_t EarliestOpen() const;
  /// Marks windows up to `end` as emitted and frees cells that no later window needs.
  void CloseThrough(int64_t end);

  void Encode(ByteSink& sink) const;
  bool Decode(ByteSource& source, uint16_t codec);
  /// Builds the cells from `restored`. False if the bytes are not such state.
  bool Load();
};

}  // namespace freshet
