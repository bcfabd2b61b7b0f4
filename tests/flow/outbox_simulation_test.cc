// Alerts and windows into a network sink, on one thread from a seed: whatever crashes when, each row arrives, under one
// name and with one content, and nothing that was to wait for its commit arrives before it.
#include <doctest/doctest.h>

#include <map>

#include "connectors/registry.h"
#include "engine/base/bytes.h"
#include "engine/base/rng.h"
#include "engine/base/stable_id.h"
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

std::string PipelineText(int batch) {
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
         std::to_string(batch) + "\n";
}

Pipeline Load(const TempDirectory& directory, int batch) {
  static const Registry registry = [] {
    Registry r;
    RegisterOperators(r);
    RegisterConnectors(r);
    return r;
  }();
  Env* env = Env::Posix();
  REQUIRE(env->WriteFileAtomically(directory.path() + "/p.yaml", PipelineText(batch)).ok());
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
  bool flaky = false;       ///< the receiver is
  bool power_cuts = false;  ///< the real store; each crash takes what was not synced, some happen within a commit
};

/// What the receiver may be sent, in the order of attempts.
class Judge {
 public:
  explicit Judge(Outcome* outcome) : outcome_(outcome) {}
  void Attempt(const Parcel& parcel, CheckpointStore* store) {
    const auto [known, fresh] = outcome_->by_id.emplace(parcel.id, parcel.payload);
    if (known->second != parcel.payload) Wrong(parcel.id + " has two contents");
    if (parcel.id.size() != 32) return;  // eager
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
  void Wrong(std::string what) {
    if (outcome_->wrong.empty()) outcome_->wrong = std::move(what);
  }

 private:
  Outcome* const outcome_;
};

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
    return flaky && rng.Below(4) == 0 ? test::Later() : DeliveryResult();
  };
  SimOptions options;
  if (setting.power_cuts)
    options.store_of_life = [&]() -> Result<CheckpointStore*> {
      FRESHET_ASSIGN_OR_RETURN(store, disk.NextLife(&power));
      if (power.Below(3) > 0) disk.CrashAtCall(static_cast<int64_t>(power.Below(60)));
      return store;
    };
  else
    options.job.store = store;
  options.job.lane_count = 1 + static_cast<int>(seed % 3);
  options.job.batch_row_count_max = seed % 2 == 0 ? 7 : 64;
  options.seed = seed;
  options.crash_count_max = setting.crashes;
  options.crash_chance = 0.005;
  options.crash_between_prepare_and_commit = seed % 5 == 4;
  const auto make_spec = [&] {
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
  };
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

TEST_CASE("OutboxSimulation_CrashesAndAFlakyReceiver_EveryRowArrivesUnderOneNameWithOneContent") {
  TempDirectory directory;
  for (const int batch : {1, 5}) {
    const Pipeline pipeline = Load(directory, batch);
    const Outcome undisturbed = Simulate(pipeline, 0, {});
    REQUIRE_MESSAGE(undisturbed.wrong.empty(), undisturbed.wrong);
    REQUIRE(undisturbed.by_id.size() > 40);
    int crashes = 0;
    for (uint64_t seed = 1; seed <= 60; ++seed) {
      CAPTURE(batch);
      CAPTURE(seed);
      const Outcome outcome = Simulate(pipeline, seed, {4, true, false});
      REQUIRE_MESSAGE(outcome.wrong.empty(), outcome.wrong);
      crashes += outcome.result.crash_count;
      if (batch == 1) {
        CHECK(outcome.by_id == undisturbed.by_id);
        continue;
      }
      // How rows share requests depends on when epochs were committed; the rows do not, nor do the alerts.
      const auto rows = [](const Outcome& o) {
        std::multiset<std::string> found;
        for (const auto& [id, payload] : o.by_id) {
          size_t from = 0;
          while (from < payload.size()) {
            const size_t end = payload.find("},{", from);
            found.insert(payload.substr(from, end == std::string::npos ? end : end + 1 - from));
            from = end == std::string::npos ? payload.size() : end + 2;
          }
        }
        return found;
      };
      CHECK(rows(outcome) == rows(undisturbed));
    }
    CHECK(crashes > 60);  // else this says little
  }
}

/// What is wrong with one run of power cuts, or "".
std::string PowerCuts(const Pipeline& pipeline, const Outcome& undisturbed, uint64_t seed, SimResult* result) {
  Outcome outcome = Simulate(pipeline, seed, {4, true, true});
  *result = outcome.result;
  if (outcome.wrong.empty() && outcome.by_id != undisturbed.by_id) outcome.wrong = "other rows than undisturbed";
  return outcome.wrong;
}

TEST_CASE("OutboxSimulation_PowerCutsUnderRocksDb_EveryRowArrivesUnderOneNameWithOneContent") {
  TempDirectory directory;
  const Pipeline pipeline = Load(directory, 1);
  const Outcome undisturbed = Simulate(pipeline, 0, {});
  REQUIRE(undisturbed.by_id.size() > 40);
  int crashes = 0;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    SimResult result;
    const std::string wrong = PowerCuts(pipeline, undisturbed, seed, &result);
    REQUIRE_MESSAGE(wrong.empty(), wrong);
    crashes += result.crash_count;
  }
  CHECK(crashes > 300);
}

TEST_CASE("OutboxSimulation_PlantedBugs_AreEachFoundWithin100Seeds") {
  TempDirectory directory;
  const Pipeline pipeline = Load(directory, 1);
  const Outcome undisturbed = Simulate(pipeline, 0, {});
  // What only undoes a whole epoch, such as a log that is not synced, cannot be told here: rows made anew have their
  // old names and contents.
  for (const PlantedBug bug : {PlantedBug::kPositionShort, PlantedBug::kLoseDirtyKey}) {
    CAPTURE(static_cast<uint32_t>(bug));
    uint64_t seed = 1;
    std::string wrong;
    for (; seed <= 100 && wrong.empty(); ++seed) {
      SimResult result;
      g_planted_bugs = static_cast<uint32_t>(bug);
      wrong = PowerCuts(pipeline, undisturbed, seed, &result);
      g_planted_bugs = 0;
    }
    MESSAGE("seed ", seed - 1, " finds ", static_cast<uint32_t>(bug), ": ", wrong);
    CHECK(!wrong.empty());
  }
}

}  // namespace
}  // namespace freshet
