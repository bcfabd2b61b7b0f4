#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/expr/expr.h"
#include "engine/options/diagnostics.h"
#include "operators/window/accumulator.h"

namespace freshet {

/// What one cell holds and how results come out of it. Aggregates over the same values share a state: `sum(x)` and
/// `avg(x)` are one, as are `var(x)` and `stddev(x)`. Constant after binding.
struct AggregatePlan {
  struct State {
    std::shared_ptr<const Accumulator> accumulator;
    int argument = -1;     ///< index into `arguments`; -1 for count(*)
    int filter = -1;       ///< index into `filters`; -1: all rows
    size_t offset = 0;     ///< in a cell
    std::string identity;  ///< canonical text, for sharing and for the table's fingerprint
  };
  struct Output {
    std::string name;
    int state = 0;
    AggregateResult result = AggregateResult::kValue;
    TypeId type = TypeId::kInt64;
  };
  std::vector<BoundExpr> arguments;
  std::vector<BoundExpr> filters;
  std::vector<State> states;
  std::vector<Output> outputs;
  size_t cell_bytes = 0;

  /// Sets the states' offsets, from `header_bytes` on.
  void LayOut(size_t header_bytes);
  std::string Fingerprint() const;
};

/// Binds `name: call` lines. Reports unknown functions, wrong arities and types (FR3241 to FR3244) at their place.
std::optional<AggregatePlan> BindAggregates(const std::vector<std::pair<SpannedText, SpannedText>>& lines,
                                            const Schema& input, Diagnostics* diagnostics);

/// Adds the rows of a batch to their cells, one aggregate after the other: `cells[row]`, or null for a row that is in
/// none. `nulled` counts values of arguments lost to overflow, `heap_bytes` what the cells' states took beside the
/// cells.
void AccumulateRows(const AggregatePlan& plan, const Batch& in, std::byte* const* cells, int64_t* nulled,
                    int64_t* heap_bytes = nullptr);

}  // namespace freshet
