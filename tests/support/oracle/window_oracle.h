#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace freshet::testing {

/// A row of the window tests: keys k and s, values x, f and t.
struct WindowRow {
  int64_t time_us = 0;
  int64_t watermark_us = INT64_MIN;  ///< the row's own
  uint64_t ordinal = 0;
  std::optional<int64_t> k;
  std::optional<std::string> s;
  std::optional<int64_t> x;
  std::optional<double> f;
  std::optional<std::string> t;
};

/// One result row as the operator's output should print it, without its last two columns, whose arithmetic differs.
struct WindowResult {
  std::string text;
  std::optional<double> stddev_f;
  std::optional<double> var_x;
  int64_t revision = 0;
};

struct WindowExpectation {
  std::vector<WindowResult> results;  ///< by (moment, window end, key); without lateness allowed: by (window end, key)
  int64_t windows = 0;                ///< results with revision 0
  std::vector<uint64_t> late;         ///< ordinals, in input order
  std::vector<int64_t> late_ends;
  int64_t late_panes = 0;
};

/// The aggregates that WindowOracle computes, as options of the operator.
extern const char* const kOracleAggregates;

/// Row at a time, whole input in memory, every window a list of rows: slow and obvious. `key_columns`: 0, 1 (k) or 2
/// (k, s). Sums are taken in 113 bits, exact for values of similar size.
///
/// With `cumulate`, windows start together every `size_us` and end `slide_us` after each other.
/// With `allowed_us`, a window that has ended by a row's own watermark takes the row for so long still; all such rows
/// of one row watermark make one more result, which has that row watermark. With `early_us`, open windows have results
/// at its multiples as well, and late rows wait for the next of them. `size_us` 0: one window over everything.
WindowExpectation WindowOracle(const std::vector<WindowRow>& rows, int64_t size_us, int64_t slide_us, int key_columns,
                               int64_t allowed_us = 0, bool cumulate = false, int64_t early_us = 0);

/// The same for sessions (`gap_us` > 0), or the last `count` rows every `every` rows. All rows are on time.
WindowExpectation OrderedWindowOracle(std::vector<WindowRow> rows, int64_t gap_us, int64_t count, int64_t every,
                                      int key_columns);

/// Each row's result over the `size_us` that end with it. All rows are on time.
WindowExpectation SlidingWindowOracle(std::vector<WindowRow> rows, int64_t size_us, int key_columns);

}  // namespace freshet::testing
