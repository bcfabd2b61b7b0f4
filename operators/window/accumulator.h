#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "engine/base/bytes.h"
#include "engine/batch/batch.h"
#include "engine/batch/column_builder.h"

namespace freshet {

/// Rows on their way into the partial aggregates of their slices.
struct AccumulatorInput {
  std::byte* const* cells = nullptr;  ///< per physical row; null: the row is in no open window
  const Batch* batch = nullptr;
  const Column* argument = nullptr;  ///< absent for count(*)
  const int32_t* rows = nullptr;     ///< the rows that pass the aggregate's filter; null: all
  int32_t count = 0;
  int64_t* heap_bytes = nullptr;  ///< grows by what the states' own memory does; null: nobody asks
};

/// What is read off a state at the end: one state serves several aggregates.
enum class AggregateResult : uint8_t { kCount, kSum, kAvg, kVar, kStddev, kValue };

/// One kind of partial aggregate: its code, without state of its own. States lie side by side in a cell, `offset` bytes
/// from its beginning. Any order and grouping of rows and merges gives the same bits
/// (SEMANTICS.md §1.5). Immutable, thread-safe.
class Accumulator {
 public:
  virtual ~Accumulator() = default;
  virtual size_t size() const = 0;
  virtual size_t alignment() const = 0;
  /// Knows nothing of which row was first: may be aggregated in front of an exchange (SEMANTICS.md §1.5).
  virtual bool order_free() const { return true; }
  virtual void Construct(std::byte* state) const = 0;
  virtual void Destroy(std::byte* state) const = 0;
  /// One tight loop over a column: called once per batch.
  virtual void Update(const AccumulatorInput& in, size_t offset) const = 0;
  virtual void Merge(std::byte* into, const std::byte* from) const = 0;
  /// Appends one result. `nulled` counts results lost to overflow.
  virtual void Finish(AggregateResult result, const std::byte* state, ColumnBuilder& out, int64_t* nulled) const = 0;
  virtual void Encode(const std::byte* state, ByteSink& sink) const = 0;
  virtual bool Decode(std::byte* state, ByteSource& source) const = 0;
  /// States hold memory beside their own size; of one that was just constructed, none.
  virtual bool has_heap() const { return false; }
  virtual int64_t HeapBytes(const std::byte* state) const {
    (void)state;
    return 0;
  }
};

enum class AccumulatorKind : uint8_t { kCount, kSum, kVariance, kMin, kMax, kFirst, kLast, kDistinct };

/// Null if the kind does not take arguments of this type.
std::shared_ptr<const Accumulator> MakeAccumulator(AccumulatorKind kind, TypeId argument);

}  // namespace freshet
