#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <utility>

#include "engine/base/limits.h"
#include "engine/flow/sim_runtime.h"
#include "engine/state/checkpoint_store.h"
#include "tests/support/flow_runs.h"

namespace freshet::testing {

/// A run under `settings.memory_limit`, in the simulator. 0: there is none.
inline SimOptions OptionsOf(CheckpointStore* store, int64_t limit, uint64_t seed, int lanes, int32_t batch_rows,
                            int crashes) {
  SimOptions options;
  options.job.store = store;
  options.job.memory_limit = limit;
  options.job.lane_count = lanes;
  options.job.batch_row_count_max = batch_rows;
  options.seed = seed;
  options.crash_count_max = crashes;
  options.crash_chance = 0.005;
  options.epoch_chance = 0.05;
  return options;
}

inline SinkLines RunUnlimited(const WriteGraph& write) {
  const auto store = NewMemoryStore();
  return RunGraph(write, OptionsOf(store.get(), 0, 1, 1, 4096, 0));
}

/// Four lives over one store, in other lanes and under other limits. The first three stop after `step_count`; one of
/// them has room for everything.
inline SinkLines RunInLives(const WriteGraph& write, uint64_t seed, int64_t step_count) {
  const auto store = NewMemoryStore();
  FlowGraph::Sinks sinks;
  SinkLines got;
  const std::pair<int, int64_t> lives[] = {{4, 16000}, {1, seed % 2 == 0 ? 0 : 8000}, {2, 16000}, {3, 24000}};
  for (const auto& [lanes, limit] : lives) {
    SimOptions options = OptionsOf(store.get(), limit, seed, lanes, 64, 0);
    const bool last = &lives[3].first == &lanes;
    if (!last) options.step_count_max = step_count;
    SimResult result;
    got = RunGraph(write, options, &sinks, &result);
    if (last) REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
  }
  return got;
}

/// Rows of a node's table in the store.
inline int StoredRows(CheckpointStore* store, const std::string& name) {
  const auto manifest = store->Load();
  REQUIRE((manifest.ok() && manifest->has_value()));
  int rows = 0;
  for (const Manifest::Table& table : (*manifest)->tables)
    if (table.name == name)
      REQUIRE(store
                  ->Scan(table.id, 0, kKeyGroupCount - 1,
                         [&](uint16_t, std::string_view, std::string_view) {
                           ++rows;
                           return Status::Ok();
                         })
                  .ok());
  return rows;
}

}  // namespace freshet::testing
