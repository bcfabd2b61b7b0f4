#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/flow/descriptor.h"
#include "engine/state/keyed_table.h"
#include "engine/state/table_scan.h"

namespace freshet {

/// `state_ttl`, the option of operators that keep something per key: after that long without a row, in event time, a
/// key starts anew. Such operators take rows by event time, so that nobody can tell when a key was really dropped.
OptionSpec StateTtlOption();
/// In microseconds; 0: keys are kept for ever. FR3206 where the operator has no key, and nothing is returned.
std::optional<int64_t> ReadStateTtl(const OptionsNode& options, const BindContext& bind, bool keyed);

/// A key seen last at `seen_us` is forgotten by `now_us`.
inline bool IsForgotten(int64_t seen_us, int64_t now_us, int64_t ttl_us) {
  int64_t until_us = 0;
  return !__builtin_add_overflow(seen_us, ttl_us, &until_us) && until_us <= now_us;
}

/// Drops what no row can find any more, in memory at moments a quarter of the time to live apart, and in the store,
/// where keys are that have left memory, as rows come (SweepPace). V has
/// `bool IsExpired(int64_t now_us, int64_t ttl_us) const`, true for ever once it is. One thread.
template <class V>
class KeyExpiry {
 public:
  explicit KeyExpiry(int64_t ttl_us) : ttl_us_(ttl_us) {}

  void RowsCame(int32_t count) { pace_.RowsCame(count); }
  /// Time has passed `now`: no earlier row will come. REQUIRES: always the same table.
  Status OnWatermark(KeyedTable<V>* table, EventTime now) {
    if (ttl_us_ == 0 || now == EventTime::Max()) return Status::Ok();
    if (now.us >= next_us_) {
      if (__builtin_add_overflow(now.us, ttl_us_ / 4, &next_us_)) next_us_ = std::numeric_limits<int64_t>::max();
      std::vector<std::string> expired;
      table->ForEach([&](std::string_view key, const V& value) {
        if (value.IsExpired(now.us, ttl_us_)) expired.emplace_back(key);
      });
      for (const std::string& key : expired) table->Erase(HashKey(key), key);
      if (table->has_evicted() && !sweep_) sweep_.emplace(table->committed_rows());
    }
    const size_t count = pace_.Take();
    return sweep_ ? SweepStored(table, now, count) : Status::Ok();
  }

 private:
  Status SweepStored(KeyedTable<V>* table, EventTime now, size_t count) {
    bool over = false;
    const auto judge = [&](std::string_view key, std::string_view bytes) -> Result<bool> {
      if (table->Resident(HashKey(key), key)) return true;
      V value;
      FRESHET_RETURN_IF_ERROR(table->DecodeValue(bytes, table->options().codec, &value));
      return !value.IsExpired(now.us, ttl_us_) || table->NoteShell(key);
    };
    FRESHET_RETURN_IF_ERROR(sweep_->Next(count, judge, &over));
    if (over) sweep_.reset();
    return Status::Ok();
  }

  const int64_t ttl_us_;
  int64_t next_us_ = std::numeric_limits<int64_t>::min();
  std::optional<StoredSweep> sweep_;  ///< under way
  SweepPace pace_{4096};
};

}  // namespace freshet
