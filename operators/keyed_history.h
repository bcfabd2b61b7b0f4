#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/time.h"
#include "engine/batch/column_builder.h"
#include "engine/expr/expr.h"
#include "operators/state_ttl.h"

namespace freshet {

/// What `delta`, `rate` and `lag` remember of one key. A table's value.
class KeyedHistory {
 public:
  static constexpr uint16_t kCodec = 2;  ///< 1 did not say when a key was seen last
  /// Appends the result of call number `index` for one row to `result` and remembers the row. `argument` is the call's
  /// evaluated argument. Rows come by event time; what was seen `ttl_us` (0: never) or longer before the row is
  /// forgotten. `nulled` counts results lost to overflow, resets and standing time.
  /// REQUIRES: always the same calls.
  void Step(size_t index, const KeyedCall& call, const Column& argument, int32_t row, EventTime time, int64_t ttl_us,
            ColumnBuilder& result, int64_t* nulled) {
    if (index >= calls_.size()) calls_.resize(index + 1);
    if (ttl_us > 0) {
      if (IsForgotten(calls_[index].seen_us, time.us, ttl_us)) calls_[index] = Call();
      calls_[index].seen_us = time.us;
    }
    if (call.function == KeyedCall::Function::kLag)
      StepLag(calls_[index], call, argument, row, result);
    else
      StepChange(calls_[index], call, argument, row, time, result, nulled);
  }

  /// No later row than one at `now_us` would find anything.
  bool IsExpired(int64_t now_us, int64_t ttl_us) const;
  /// Beside the object itself.
  int64_t MemoryBytes() const;
  void Encode(ByteSink& sink) const;
  bool Decode(ByteSource& source, uint16_t codec);

 private:
  using Item = std::variant<std::monostate, int64_t, double, bool, std::string>;
  struct Call {
    EventTime time;                                         ///< of the last value
    int64_t seen_us = std::numeric_limits<int64_t>::max();  ///< the last row; the maximum: not known
    uint64_t next = 0;                                      ///< where in `items` the next value goes
    std::vector<Item> items;                                ///< the last `offset` values (lag), or the last one
  };
  static Item ItemAt(const Column& column, int32_t row);
  static void Append(const Item& item, ColumnBuilder& builder);
  static void StepLag(Call& call, const KeyedCall& spec, const Column& argument, int32_t row, ColumnBuilder& result);
  static void StepChange(Call& call, const KeyedCall& spec, const Column& argument, int32_t row, EventTime time,
                         ColumnBuilder& result, int64_t* nulled);

  std::vector<Call> calls_;
};

}  // namespace freshet
