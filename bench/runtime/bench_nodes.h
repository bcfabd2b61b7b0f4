#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/flow/graph_spec.h"

namespace freshet::bench {

/// A generator with a plan: `rate` rows a second whether or not they are taken (rows that wait keep the time at which
/// they were due), or as many as are taken (rate 0). Row i has key `i % warm_keys` while i < warm_keys, then keys go
/// round in `hot_keys` of them. Columns: due (microseconds of the steady clock), k.
struct Load {
  double rate = 0;
  int64_t warm_keys = 0;
  int64_t hot_keys = 5000;
  int64_t batch_rows = 4096;
  int64_t rows = INT64_MAX;  ///< then it ends
};

/// What the sink saw. Thread-safe.
class Meter {
 public:
  /// From now on.
  void Reset();
  void AddRows(const int64_t* due_us, int64_t count, int64_t now_us);
  void AddBarrier();
  int64_t rows() const { return rows_.load(); }
  /// The share of latencies up to this quantile, in ms.
  double LatencyMs(double quantile) const;
  /// Per barrier: from the last row before it to the first row after it, ms, ascending.
  std::vector<double> PausesMs() const;

 private:
  static constexpr int kBuckets = 4000;  // 1.005^i microseconds
  mutable std::mutex mutex_;
  std::vector<int64_t> latencies_ = std::vector<int64_t>(kBuckets);
  std::vector<double> pauses_ms_;
  int64_t last_us_ = 0;
  bool barrier_ = false;
  std::atomic<int64_t> rows_{0};
};

/// generator -> `hops` steps that only pass rows on -> (a table with a cell of 32 bytes per key, in lanes) -> meter.
GraphSpec MakeSpec(const Load& load, int hops, bool with_table, std::shared_ptr<Meter> meter);

}  // namespace freshet::bench
