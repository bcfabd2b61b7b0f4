#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/flow/graph_spec.h"

namespace freshet::testing {

/// A bounded source made of numbers: `partitions` files of `rows` rows each, columns at: timestamp, k: int64, v:
/// float64. Row i of partition p is a pure function of (seed, p, i): times rise by `step_us` a row with jitter up to
/// `jitter_us` back, so that some rows are late.
struct NumbersOptions {
  uint64_t seed = 1;
  int partitions = 1;
  int64_t rows = 1000;
  int64_t chunk_rows = 64;
  int64_t keys = 7;
  int64_t step_us = 100000;
  int64_t jitter_us = 0;
  Duration lateness = Duration::Seconds(5);
};
NodeSpec NumbersSource(const std::string& id, const NumbersOptions& options);
struct NumbersRow {
  int64_t at_us;
  int64_t k;
  double v;
};
NumbersRow NumbersRowAt(const NumbersOptions& options, int partition, int64_t row);

/// Lines that survive crashes: what a file sink would have on disk. PrepareCommit remembers the length, a reopening
/// sink cuts to it.
struct Collected {
  std::vector<std::string> lines;
};
NodeSpec CollectSink(const std::string& id, std::vector<PortRef> inputs, std::shared_ptr<Collected> into);
/// A place that shows rows at Commit and cannot take them back, as a database or a broker would: rows of a prepared
/// epoch are staged outside, and a reopening sink publishes or drops them by what it was restored to.
struct Published : Collected {
  std::map<uint64_t, std::vector<std::string>> staged;  ///< by epoch
};
NodeSpec PublishSink(const std::string& id, std::vector<PortRef> inputs, std::shared_ptr<Published> into);
/// One row as text, every column and its event time.
std::string RowText(const Batch& batch, int32_t row);

/// Stateless: keeps rows with k % `modulus` != 0; accepts selections.
NodeSpec DropMultiples(const std::string& id, PortRef input, SchemaRef schema, int64_t modulus);
/// Row-wise, keyed by k: appends n, the number of rows of the key so far.
NodeSpec RunningCount(const std::string& id, PortRef input, SchemaRef schema, InputOrder order);
/// Stateful, keyed by k: count and sum of v per tumbling window of `width`; late rows go to port 1. `per_call` rows a
/// batch.
NodeSpec CountWindow(const std::string& id, PortRef input, SchemaRef schema, Duration width);
/// Row-wise, unkeyed: appends s, the running sum over all rows, kept as model bytes.
NodeSpec RunningSum(const std::string& id, PortRef input, SchemaRef schema);

SchemaRef NumbersSchema();
SchemaRef SchemaOf(const NodeSpec& node, PortIndex port = 0);

}  // namespace freshet::testing
