#pragma once

#include <string>

#include "engine/base/rng.h"

namespace freshet::testing {

/// File to window to file, and one test of its own.
inline std::string SamplePipeline(const std::string& more = {}) {
  return R"(name: sample
settings:
  checkpoint: {every: 50ms}
  parallelism: 2
sources:
  in:
    type: file
    path: in.ndjson
    format: ndjson
    schema: {at: timestamp, k: string, v: int64}
    time: {field: at, lateness: 1s}
operators:
  big:
    type: filter
    inputs: [in]
    where: v >= 10
  w:
    type: window
    inputs: [big]
    window: {tumbling: 10s}
    key: [k]
    aggregates:
      n: count()
      s: sum(v)
sinks:
  out:
    type: file
    path: out.ndjson
    format: ndjson
    inputs: [w]
)" + more;
}

/// Rows [from, to): 100 ms apart, eleven keys; a pure function of the row number.
inline std::string SampleRows(int from, int to) {
  std::string text;
  for (int i = from; i < to; ++i) {
    const uint64_t r = Mix64(static_cast<uint64_t>(i));
    text += "{\"at\":" + std::to_string(1700000000000 + int64_t{i} * 100) + ",\"k\":\"k" + std::to_string(r % 11) +
            "\",\"v\":" + std::to_string((r >> 8) % 100) + "}\n";
  }
  return text;
}

}  // namespace freshet::testing
