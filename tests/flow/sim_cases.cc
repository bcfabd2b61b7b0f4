#include "tests/flow/sim_cases.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>

#include "tests/flow/regression_seeds.h"
#include "tests/support/rocksdb_crashing_store.h"

namespace freshet::testing {

GraphSpec MakeSpec(const NumbersOptions& numbers, Outputs* outputs, int64_t credit_rows) {
  GraphSpec spec;
  spec.pipeline_name = "test";
  const auto add = [&](NodeSpec node) {
    spec.nodes.push_back(std::move(node));
    return PortRef{static_cast<int>(spec.nodes.size()) - 1, 0};
  };
  const auto sink = [&](const std::string& id, std::vector<PortRef> inputs, bool publishes = false) {
    auto& into = (*outputs)[id];
    if (!into) into = std::make_shared<Published>();
    add(publishes ? PublishSink(id, std::move(inputs), into) : CollectSink(id, std::move(inputs), into));
  };
  const PortRef source = add(NumbersSource("numbers", numbers));
  std::get<SourceNode>(spec.nodes[0].kind).credit_rows = credit_rows;
  const SchemaRef schema = NumbersSchema();
  const PortRef kept = add(DropMultiples("kept", source, schema, 5));
  const PortRef counted = add(RunningCount("counted", kept, schema, InputOrder::kByArrival));
  const PortRef window = add(CountWindow("window", kept, schema, Duration::Seconds(3)));
  const PortRef sums = add(RunningSum("sums", kept, schema));
  const PortRef sorted = add(RunningCount("sorted", kept, schema, InputOrder::kByEventTime));
  sink("rows", {counted});
  sink("panes", {window});
  sink("late", {{window.node, 1}});
  sink("summed", {sums}, true);
  sink("by_time", {sorted});
  sink("too_late", {{sorted.node, 1}});
  sink("both", {window, sorted}, true);
  return spec;
}

NumbersOptions Disorderly(uint64_t seed) {
  NumbersOptions options;
  options.seed = seed;
  options.partitions = 2;
  options.rows = 400;
  options.jitter_us = 4000000;
  options.lateness = Duration::Seconds(2);
  return options;
}

SimResult RunUndisturbed(const NumbersOptions& numbers, Outputs* outputs, uint64_t seed, int lanes,
                         int32_t batch_rows) {
  const auto store = NewMemoryStore();
  SimOptions options;
  options.job.store = store.get();
  options.job.lane_count = lanes;
  options.job.batch_row_count_max = batch_rows;
  options.seed = seed;
  return RunSimulation([&] { return MakeSpec(numbers, outputs); }, options);
}

SimResult RunUndisturbed(const std::function<GraphSpec()>& make_spec, uint64_t seed) {
  const auto store = NewMemoryStore();
  SimOptions options;
  options.job.store = store.get();
  options.seed = seed;
  return RunSimulation(make_spec, options);
}

std::string DifferenceOf(const Outputs& expected, const Outputs& actual) {
  for (const auto& [id, published] : expected) {
    const auto& a = published->lines;
    const auto& b = actual.at(id)->lines;
    for (size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
      const std::string left = i < a.size() ? a[i] : "no row";
      const std::string right = i < b.size() ? b[i] : "no row";
      if (left != right) return id + ", row " + std::to_string(i) + ": " + left + " undisturbed, " + right + " here";
    }
  }
  return {};
}

std::string CounterDifferenceOf(const JobReport& expected, const JobReport& actual) {
  const auto bytes_of = [](const NodeReport& node) {
    ByteSink sink;
    EncodeCounters(node.counters, sink);
    return std::string(sink.bytes());
  };
  if (actual.checkpoint_count == 0) return {};  // the last life found everything done
  for (size_t n = 0; n < expected.nodes.size(); ++n) {
    const NodeReport& node = expected.nodes[n];
    if (bytes_of(node) == bytes_of(actual.nodes[n])) continue;
    const NodeCounters &a = node.counters, &b = actual.nodes[n].counters;
    const auto text = [](const NodeCounters& c) {
      return "in " + std::to_string(c.in) + ", out " + std::to_string(c.out) + ", late " + std::to_string(c.late) +
             ", dead " + std::to_string(c.dead) + ", held " + std::to_string(c.held) + ", panes opened " +
             std::to_string(c.panes_opened) + ", emitted " + std::to_string(c.panes_emitted);
    };
    return "counters of " + node.id + ": " + text(a) + " undisturbed, " + text(b) + " here";
  }
  return {};
}

void CheckSame(const Outputs& expected, const Outputs& actual) {
  const std::string difference = DifferenceOf(expected, actual);
  REQUIRE_MESSAGE(difference.empty(), difference);
}

namespace {

/// Drawn aside, so that everything else of a seed stays what it is. From less than one key needs to more than all do.
/// Returns whether there is a state directory: without one no crash can be survived, and faults go on to the end.
bool DrawMemoryLimit(Rng draw, SimOptions* options) {
  if (draw.Below(4) == 0) return true;
  options->job.memory_limit = static_cast<int64_t>((400 + draw.Below(400)) << draw.Below(8));
  options->faults.spill_no_space = draw.Below(2) == 0 ? 0 : 0.5 * draw.NextDouble();
  if (draw.Below(4) > 0) return true;
  options->crash_chance = 0;
  options->crash_between_prepare_and_commit = false;
  options->faults.sink_error = 0;
  options->faults.commit_crash = 0;
  options->faults.commit_unavailable = 0;
  options->faults.commit_no_space = 0;
  return false;
}

}  // namespace

SimResult RunDisturbed(const std::function<GraphSpec()>& make_spec, uint64_t seed, const Disturbance& disturbance) {
  Rng draw(Mix64(seed));
  SimOptions options;
  options.seed = seed;
  constexpr int kLanes[] = {1, 2, 3, 4};
  constexpr int32_t kBatchRows[] = {1, 7, 64, 512};
  options.job.lane_count = kLanes[draw.Below(4)];
  options.job.batch_row_count_max = kBatchRows[draw.Below(4)];
  options.job.linger = Duration{static_cast<int64_t>(seed % 3) * 2500};
  if (draw.Below(8) == 0) options.job.edge_budget_bytes = 1 + static_cast<int64_t>(draw.Below(2000));
  constexpr double kEpochChance[] = {0.02, 0.1, 0.5};
  options.epoch_chance = kEpochChance[draw.Below(3)];
  options.crash_count_max = 1 + static_cast<int>(draw.Below(6));
  options.step_count_max = 2000000;
  options.crash_chance = 0.003;
  options.crash_between_prepare_and_commit = draw.Below(2) == 0;
  if (disturbance.faults) {
    const auto chance = [&](double most) { return draw.Below(2) == 0 ? 0 : most * draw.NextDouble(); };
    options.faults.slow_edge = chance(0.5);
    options.faults.clock_jump = chance(0.05);
    options.faults.source_error = chance(0.3);
    options.faults.sink_error = chance(0.005);
    options.faults.sink_retry = chance(0.01);
    options.faults.commit_unavailable = chance(0.6);
    options.faults.commit_no_space = chance(0.3);
    options.faults.commit_crash = chance(0.3);
  }
  options.spill_in_memory = !disturbance.rocksdb;
  if (disturbance.memory_limits && !DrawMemoryLimit(Rng(Mix64(seed ^ 0x3e3027)), &options))
    return RunSimulation(make_spec, options);
  const std::unique_ptr<CheckpointStore> memory = NewMemoryStore();
  if (!disturbance.rocksdb) {
    options.job.store = memory.get();
    return RunSimulation(make_spec, options);
  }
  CrashingRocksDbStore store;
  options.store_of_life = [&]() -> Result<CheckpointStore*> {
    FRESHET_ASSIGN_OR_RETURN(CheckpointStore * opened, store.NextLife(&draw));
    if (draw.Below(3) > 0) store.CrashAtCall(static_cast<int64_t>(draw.Below(40)));
    if (draw.Below(2) > 0) store.FailAtCall(static_cast<int64_t>(draw.Below(40)));
    return opened;
  };
  return RunSimulation(make_spec, options);
}

void Add(const SimResult& result, SimResult* total) {
  total->step_count += result.step_count;
  total->crash_count += result.crash_count;
  total->crash_before_commit_count += result.crash_before_commit_count;
  total->outage_count += result.outage_count;
  total->report.checkpoint_count += result.report.checkpoint_count;
  total->report.checkpoint_skipped_count += result.report.checkpoint_skipped_count;
  total->report.memory_dropped_bytes += result.report.memory_dropped_bytes;
  total->report.memory_spilled_bytes += result.report.memory_spilled_bytes;
}

std::string SummaryOf(const SimResult& total) {
  return std::to_string(total.step_count) + " steps, " + std::to_string(total.crash_count) + " crashes, of these " +
         std::to_string(total.crash_before_commit_count) + " between prepare and commit and " +
         std::to_string(total.outage_count) + " by an outage of a sink; in the last lives " +
         std::to_string(total.report.checkpoint_count) + " checkpoints and " +
         std::to_string(total.report.checkpoint_skipped_count) + " left out, " +
         std::to_string(total.report.memory_dropped_bytes) + " bytes of state dropped from memory and " +
         std::to_string(total.report.memory_spilled_bytes) + " put aside";
}

std::vector<uint64_t> SeedsOf(uint64_t count) {
  if (const uint64_t seed = ReplaySeed(); seed > 0) return {seed};
  std::vector<uint64_t> seeds;
  for (const RegressionSeed& once : kRegressionSeeds) seeds.push_back(once.seed);
  for (uint64_t seed = 1; seed <= count; ++seed) seeds.push_back(seed);
  return seeds;
}

uint64_t ReplaySeed() {
  const char* text = std::getenv("FRESHET_SIM_SEED");
  return text == nullptr ? 0 : std::strtoull(text, nullptr, 10);
}

std::string ReplayCommand(const std::string& test_case, uint64_t seed) {
  std::error_code unknown;
  const std::string program = std::filesystem::read_symlink("/proc/self/exe", unknown).string();
  return "FRESHET_SIM_SEED=" + std::to_string(seed) + " " + program + " --test-case='" + test_case + "'";
}

}  // namespace freshet::testing
