#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "engine/flow/graph_spec.h"

namespace freshet::testing {

/// A source of rows at: timestamp, k: int64, v: float64 (NumbersSchema): row i of partition p has the time `at(p, i)`,
/// k = i % keys, v = i. Restartable. A live one says of partitions, by a fixed pattern, that they have nothing, and
/// ends all the same.
struct PacedOptions {
  int64_t rows = 100;  ///< per partition
  int partitions = 1;
  std::function<int64_t(int partition, int64_t row)> at = [](int, int64_t row) { return row * 1000000; };
  int64_t keys = 5;
  int64_t chunk_rows = 8;
  bool live = false;
  bool by_time = false;
  uint64_t quiet_seed = 0;  ///< 0: never quiet
  uint64_t quiet_in = 3;    ///< a partition asked has nothing one time in so many
  bool timed = true;        ///< false: stamped on arrival
  Duration lateness = Duration::Seconds(5);
  Duration idle = Duration::Seconds(30);
  int64_t credit_rows = kSourceCreditRows;
  OnOverflow on_overflow = OnOverflow::kBlock;
  std::function<void(int64_t at_us)> on_decode;  ///< each row that is decoded
};
NodeSpec PacedSource(const std::string& id, const PacedOptions& options);

}  // namespace freshet::testing
