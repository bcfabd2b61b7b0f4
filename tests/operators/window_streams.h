#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/base/rng.h"
#include "tests/operators/test_rows.h"
#include "tests/support/oracle/window_oracle.h"

namespace freshet::testing {

inline constexpr int64_t kSecond = 1000000;
/// Of the rows below.
extern const Schema kSchema;
inline constexpr const char* kKeys[] = {"", "key: k\n", "key: [k, s]\n"};

struct WindowStream {
  std::vector<WindowRow> rows;
  std::vector<int64_t> merged_us;  ///< the merged watermark once row i has been seen
};

/// Several partitions, each with its own frontier; jitter beyond the lateness, gaps, equal times, negative times, a
/// partition that lags, nulls, a hot key.
WindowStream RandomStream(uint64_t seed, int count);
std::vector<TestRow> ToTestRows(const std::vector<WindowRow>& rows);

/// What a run gave: rows of all lanes merged by (time, key), as the gather would, and late rows by position in the
/// input.
struct WindowOutcome {
  std::vector<std::string> rows;
  std::vector<std::string> late;
  NodeCounters counters;
  int64_t pre_aggregated = 0;
};

/// One run of a window operator over a stream: batches of `batch_rows`, watermarks now and then, which may lag, and, if
/// it `crashes`, restores with another number of lanes. Fails the test if the run itself goes wrong.
class WindowRun {
 public:
  /// `keeps_keys`: count windows, whose next rows go on where the last ones were. `in_lanes`: two at least.
  WindowRun(const BoundOperator& bound, const WindowStream& stream, size_t batch_rows, uint64_t seed, bool crashes,
            bool keeps_keys = false, bool in_lanes = false);
  WindowOutcome Finish();

 private:
  /// A result, and where it comes among those of other lanes.
  struct Keyed {
    int64_t moment_us;
    int64_t time_us;
    std::string key;
    std::string text;
    bool operator<(const Keyed& o) const {
      return std::tie(moment_us, time_us, key) < std::tie(o.moment_us, o.time_us, o.key);
    }
  };
  void NewHarness(const HarnessCheckpoint* restore);
  size_t Step(size_t at);
  /// Commits, goes on for a while, dies, and starts from the commit with another number of lanes.
  void SnapshotAndCrash(size_t at);
  void Check();
  void Collect();
  size_t Position(uint64_t ordinal) const;

  const BoundOperator& bound_;
  const WindowStream& stream_;
  const std::vector<TestRow> rows_;
  const SchemaRef schema_;
  const size_t batch_rows_;
  Rng rng_;
  const bool crashes_;
  const bool keeps_keys_;
  const bool in_lanes_;
  int lanes_ = 1;
  HarnessCheckpoint checkpoint_;
  std::unique_ptr<OperatorHarness> harness_;
  std::vector<Keyed> keyed_;
  std::vector<std::pair<size_t, std::string>> late_;
  WindowOutcome outcome_;
};

/// The number behind ` NAME=`; nothing: null.
std::optional<double> NumberAfter(const std::string& text, const std::string& name);
/// But for rounding.
void CheckClose(const std::optional<double>& got, const std::optional<double>& expected);
/// Returns the number of revisions.
int64_t CheckAgainstOracle(const WindowOutcome& got, const WindowExpectation& expected, size_t row_count, bool revised);

}  // namespace freshet::testing
