// Alerts and windows into a network sink, on one thread from a seed: whatever crashes when, each row arrives, under one
// name and with one content; nothing that was to wait for its commit arrives before it; no alert leaves before it is
// durable; nothing is sent again that no power cut has taken the mark of.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

#include "connectors/registry.h"
#include "engine/base/bytes.h"
#include "engine/base/rng.h"
#include "engine/base/stable_id.h"
#include "engine/flow/outbox.h"
#include "engine/flow/planted_bugs.h"
#include "engine/flow/sim_runtime.h"
#include "engine/plan/pipeline.h"
#include "operators/registry.h"
#include "tests/flow/receiver.h"
#include "tests/state/temp_directory.h"
#include "tests/support/flow_nodes.h"
#include "tests/support/rocksdb_crashing_store.h"

namespace freshet {
namespace {
using test::Receiver;

std::string PipelineText(int batch, int64_t waiting_max) {
  return R"(name: outbox
sources:
  in:
    type: file  # bound as a file; what is read are numbers, in many small chunks
    path: numbers.csv
    format: csv
    schema: {at: timestamp, k: int64, v: float64}
    time: {field: at, lateness: 1s}
operators:
  high:
    type: alert
    inputs: [in]
    when: v > 5
    key: [k]
  kept:
    type: filter
    inputs: [high]
    where: k <> 3
  w:
    type: window
    inputs: [in]
    window: {tumbling: 5s}
    key: [k]
    aggregates: {n: count(), s: sum(v)}
sinks:
  hook:
    type: webhook
    inputs: [kept, w]
    url: http://127.0.0.1:1/
    batch: )" +
         std::to_string(batch) + "\n    max_waiting: " + std::to_string(waiting_max) + "\n";
}

Pipeline Load(const TempDirectory& directory, int batch, int64_t waiting_max = 100000) {
  static const Registry registry = [] {
    Registry r;
    RegisterOperators(r);
    RegisterConnectors(r);
    return r;
  }();
  Env* env = Env::Posix();
  REQUIRE(env->WriteFileAtomically(directory.path() + "/p.yaml", PipelineText(batch, waiting_max)).ok());
  LoadOptions options;
  options.registry = &registry;
  Diagnostics diagnostics;
  auto pipeline = LoadPipeline(directory.path() + "/p.yaml", options, &diagnostics);
  REQUIRE_MESSAGE(pipeline.has_value(), diagnostics.Render());
  return std::move(*pipeline);
}

struct Outcome {
  std::map<std::string, std::string> by_id;
  SimResult result;
  std::string wrong;  ///< the first thing, or ""
};

struct Setting {
  int crashes = 0;
  bool flaky = false;       ///< the receiver is, the source, and the store's commits
  bool power_cuts = false;  ///< the real store; each crash takes what was not synced, some happen within a commit
};

bool IsEager(const std::string& id) { return id.size() != 32; }

/// What the receiver may be sent, in the order of attempts.
class Judge {
 public:
  explicit Judge(Outcome* outcome) : outcome_(outcome) {}
  void Attempt(const Parcel& parcel, CheckpointStore* store) {
    const auto [known, fresh] = outcome_->by_id.emplace(parcel.id, parcel.payload);
    if (known->second != parcel.payload) Wrong(parcel.id + " has two contents");
    if (taken_.count(parcel.id) != 0) Wrong(parcel.id + " is sent again");
    if (IsEager(parcel.id)) return;
    // On commit: its number is part of a committed epoch.
    const auto committed = store->Get(kEngineTable, 0, EngineKey("sink", "hook"));
    if (!committed.ok() || !committed->has_value()) return Wrong("left before any epoch was committed");
    ByteSource source(**committed);
    (void)source.GetU8();
    const uint64_t rows = source.GetU64();
    for (uint64_t ordinal = 0; ordinal < rows; ++ordinal) {
      ByteSink name;
      name.PutString("outbox");
      name.PutString("hook");
      name.PutU64(ordinal);
      if (StableId(name.bytes()) == parcel.id) return;
    }
    Wrong("left before its epoch was committed");
  }
  void Taken(const std::string& id) { taken_.insert(id); }
  /// The power was gone; `store` is what came back.
  void PowerCut(CheckpointStore* store) {
    taken_.clear();
    Outbox outbox(store->outbox(), "hook");
    for (const auto& [id, payload] : outcome_->by_id) {
      if (!IsEager(id)) continue;
      const auto known = outbox.FindKnown(id);
      if (!known.ok() || !known->has_value()) Wrong(id + " was tried, and is not known after a power cut");
    }
  }
  void Wrong(std::string what) {
    if (outcome_->wrong.empty()) outcome_->wrong = std::move(what);
  }

 private:
  Outcome* const outcome_;
  std::set<std::string> taken_;  // since the last power cut
};

/// `pipeline` with numbers for a source, in many small chunks, and a receiver in this process.
GraphSpec SpecOf(const Pipeline& pipeline, const std::shared_ptr<Receiver>& receiver) {
  GraphSpec spec = pipeline.graph;
  testing::NumbersOptions numbers;
  numbers.rows = 300;
  numbers.chunk_rows = 8;
  numbers.jitter_us = 500000;
  for (NodeSpec& node : spec.nodes)
    if (auto* source = std::get_if<SourceNode>(&node.kind)) {
      const NodeSpec real = testing::NumbersSource(node.id, numbers);
      source->bound = std::get<SourceNode>(real.kind).bound;
      source->credit_rows = 30;
    } else if (auto* sink = std::get_if<SinkNode>(&node.kind))
      sink->bound.make_network_sink = [receiver] { return std::make_unique<test::ReceiverSink>(receiver); };
  return spec;
}

Outcome Simulate(const Pipeline& pipeline, uint64_t seed, const Setting& setting) {
  const auto memory = NewMemoryStore();
  testing::CrashingRocksDbStore disk;
  CheckpointStore* store = memory.get();
  auto receiver = std::make_shared<Receiver>();
  Rng rng(seed * 31 + 7);
  Rng power(seed * 17 + 5);
  Outcome outcome;
  Judge judge(&outcome);
  bool flaky = setting.flaky;
  receiver->answer = [&](const Parcel& parcel) {
    judge.Attempt(parcel, store);
    if (flaky && rng.Below(4) == 0) return test::Later();
    judge.Taken(parcel.id);
    return DeliveryResult();
  };
  if (seed % 2 == 1) disk.IngestAbove(static_cast<int64_t>(seed % 16));
  SimOptions options;
  if (setting.power_cuts)
    options.store_of_life = [&]() -> Result<CheckpointStore*> {
      FRESHET_ASSIGN_OR_RETURN(store, disk.NextLife(&power));
      judge.PowerCut(store);
      if (power.Below(3) > 0) disk.CrashAtCall(static_cast<int64_t>(power.Below(60)));
      return store;
    };
  else
    options.job.store = store;
  options.job.lane_count = 1 + static_cast<int>(seed % 3);
  options.job.batch_row_count_max = seed % 2 == 0 ? 7 : 64;
  options.seed = seed;
  options.step_count_max = 200000;
  options.crash_count_max = setting.crashes;
  options.crash_chance = 0.005;
  options.crash_between_prepare_and_commit = seed % 5 == 4;
  if (setting.flaky && seed % 3 > 0) {
    options.faults.source_error = 0.1 * rng.NextDouble();
    options.faults.slow_edge = 0.3 * rng.NextDouble();
    options.faults.commit_unavailable = 0.4 * rng.NextDouble();
    options.faults.commit_no_space = 0.2 * rng.NextDouble();
    options.faults.commit_crash = 0.2 * rng.NextDouble();
  }
  const auto make_spec = [&] { return SpecOf(pipeline, receiver); };
  outcome.result = RunSimulation(make_spec, options);
  if (!outcome.result.status.ok()) judge.Wrong(outcome.result.status.ToString());
  // Of a run that died after its last commit the next one sends the rest, though it finds nothing else to do.
  flaky = false;
  if (const SimResult again = RunSimulation(make_spec, options); !again.status.ok())
    judge.Wrong(again.status.ToString());
  // What was taken, not what was tried: all of it must have come through.
  if (receiver->ids().size() != outcome.by_id.size()) judge.Wrong("not all that was tried was taken");
  return outcome;
}

/// The rows, however they share requests: that depends on when epochs were committed.
std::multiset<std::string> RowsOf(const Outcome& outcome) {
  std::multiset<std::string> found;
  for (const auto& [id, payload] : outcome.by_id) {
    size_t from = 0;
    while (from < payload.size()) {
      const size_t end = payload.find("},{", from);
      found.insert(payload.substr(from, end == std::string::npos ? end : end + 1 - from));
      from = end == std::string::npos ? payload.size() : end + 2;
    }
  }
  return found;
}

/// Pipelines with one row a request and with five, and what undisturbed runs of them send.
class Cases {
 public:
  Cases() {
    for (const int batch : {1, 5}) {
      pipelines_.push_back(Load(directory_, batch));
      undisturbed_.push_back(Simulate(pipelines_.back(), 0, {}));
      REQUIRE_MESSAGE(undisturbed_.back().wrong.empty(), undisturbed_.back().wrong);
      REQUIRE(RowsOf(undisturbed_.back()).size() > 40);
    }
  }
  /// What is wrong with one run, or "".
  std::string Run(uint64_t seed, bool power_cuts, SimResult* total) const {
    const size_t which = seed / 2 % 2;
    const Outcome outcome = Simulate(pipelines_[which], seed, {4, true, power_cuts});
    total->crash_count += outcome.result.crash_count;
    total->crash_before_commit_count += outcome.result.crash_before_commit_count;
    if (!outcome.wrong.empty()) return outcome.wrong;
    const bool same =
        which == 0 ? outcome.by_id == undisturbed_[which].by_id : RowsOf(outcome) == RowsOf(undisturbed_[which]);
    return same ? "" : "other rows than undisturbed";
  }

 private:
  TempDirectory directory_;
  std::vector<Pipeline> pipelines_;
  std::vector<Outcome> undisturbed_;
};

TEST_CASE("OutboxSimulation_CrashesAndAFlakyReceiver_EveryRowArrivesUnderOneNameWithOneContent") {
  const Cases cases;
  SimResult total;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    const std::string wrong = cases.Run(seed, false, &total);
    CHECK_MESSAGE(wrong.empty(), "seed ", seed, ": ", wrong);
  }
  CHECK(total.crash_count > 200);  // else this says little
}

TEST_CASE("OutboxSimulation_PowerCutsUnderRocksDb_EveryRowArrivesUnderOneNameWithOneContent") {
  const Cases cases;
  SimResult total;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    const std::string wrong = cases.Run(seed, true, &total);
    CHECK_MESSAGE(wrong.empty(), "seed ", seed, ": ", wrong);
  }
  MESSAGE(total.crash_count, " power cuts, ", total.crash_before_commit_count, " between prepare and commit");
  CHECK(total.crash_count > 300);
}

TEST_CASE("OutboxSimulation_ReceiverAwayWhileWindowsClose_SourcesWaitForIt") {
  TempDirectory directory;
  constexpr int64_t kWaitingMax = 10;
  const Pipeline pipeline = Load(directory, 1, kWaitingMax);
  const auto memory = NewMemoryStore();
  auto receiver = std::make_shared<Receiver>();
  int refusals = 3000;  // far more than it takes to read all
  size_t waiting_max = 0;
  receiver->answer = [&](const Parcel&) {
    Outbox outbox(memory->outbox(), "hook");
    size_t waiting = 0;
    for (const DeliverMode mode : {DeliverMode::kEager, DeliverMode::kOnCommit})
      waiting += outbox.ScanWaiting(mode, 0, UINT64_MAX, 100000)->size();
    waiting_max = std::max(waiting_max, waiting);
    return refusals-- > 0 ? test::Later() : DeliveryResult();
  };
  SimOptions options;
  options.job.store = memory.get();
  const SimResult result = RunSimulation([&] { return SpecOf(pipeline, receiver); }, options);
  REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
  CHECK(receiver->ids().size() > 100);
  CHECK(waiting_max >= kWaitingMax);
  CHECK_MESSAGE(waiting_max < 60, waiting_max);  // and what 30 rows of credit became
}

TEST_CASE("OutboxSimulation_PlantedBugs_AreEachFoundWithin1000Seeds") {
  const Cases cases;
  for (const auto& [bug, name] : kPlantedOutboxBugs) {
    uint64_t seed = 0;
    std::string wrong;
    while (wrong.empty() && ++seed <= 1000) {
      SimResult ignored;
      g_planted_bugs = static_cast<uint32_t>(bug);
      wrong = cases.Run(seed, true, &ignored);
      g_planted_bugs = 0;
    }
    MESSAGE("seed ", seed, " finds \"", std::string(name), "\": ", wrong);
    CHECK_MESSAGE(!wrong.empty(), std::string(name));
  }
}

}  // namespace
}  // namespace freshet
