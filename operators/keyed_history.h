#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/time.h"
#include "engine/batch/column_builder.h"
#include "engine/expr/expr.h"

namespace freshet {

/// What `delta`, `rate` and `lag` remember of one key. A table's value.
class KeyedHistory {
 public:
  /// Appends the result of call number `index` for one row to `result` and remembers the row. `argument` is the call's
  /// evaluated argument. Rows come by event time. `nulled` counts results lost to overflow, resets and standing time.
  /// REQUIRES: always the same calls.
  void Step(size_t index, const KeyedCall& call, const Column& argument, int32_t row, EventTime time,
            ColumnBuilder& result, int64_t* nulled) {
    if (index >= calls_.size()) calls_.resize(index + 1);
    if (call.function == KeyedCall::Function::kLag)
      StepLag(calls_[index], call, argument, row, result);
    else
      StepChange(calls_[index], call, argument, row, time, result, nulled);
  }

  void Encode(ByteSink& sink) const;
  bool Decode(ByteSource& source, uint16_t codec);

 private:
  using Item = std::variant<std::monostate, int64_t, double, bool, std::string>;
  struct Call {
    EventTime time;           ///< of the last value
    uint64_t next = 0;        ///< where in `items` the next value goes
    std::vector<Item> items;  ///< the last `offset` values (lag), or the last one
  };
  static Item ItemAt(const Column& column, int32_t row);
  static void Append(const Item& item, ColumnBuilder& builder);
  static void StepLag(Call& call, const KeyedCall& spec, const Column& argument, int32_t row, ColumnBuilder& result);
  static void StepChange(Call& call, const KeyedCall& spec, const Column& argument, int32_t row, EventTime time,
                         ColumnBuilder& result, int64_t* nulled);

  std::vector<Call> calls_;
};

}  // namespace freshet
