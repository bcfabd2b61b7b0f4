// Alerts and windows into a network sink, on one thread from a seed: whatever crashes when, each row arrives, under one
// name and with one content, and nothing that was to wait for its commit arrives before it.
#include <doctest/doctest.h>

#include <map>

#include "connectors/registry.h"
#include "engine/base/bytes.h"
#include "engine/base/stable_id.h"
#include "engine/flow/sim_runtime.h"
#include "engine/plan/pipeline.h"
#include "operators/registry.h"
#include "tests/cli/sample.h"
#include "tests/flow/receiver.h"
#include "tests/state/temp_directory.h"

namespace freshet {
namespace {
using test::Receiver;

std::string PipelineText(int batch) {
  return R"(name: outbox
sources:
  in:
    type: file
    path: in.ndjson
    schema: {at: timestamp, k: string, v: int64}
    time: {field: at, lateness: 1s}
operators:
  high:
    type: alert
    inputs: [in]
    when: v >= 90
    key: [k]
  kept:
    type: filter
    inputs: [high]
    where: k <> 'k3'
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
  REQUIRE(env->WriteFileAtomically(directory.path() + "/in.ndjson", testing::SampleRows(0, 300)).ok());
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
};

/// `answer` decides about each attempt from a stream of its own.
Outcome Simulate(const Pipeline& pipeline, uint64_t seed, int crashes, bool flaky) {
  auto store = NewMemoryStore();
  auto receiver = std::make_shared<Receiver>();
  Rng rng(seed * 31 + 7);
  std::map<std::string, std::string> by_id;
  receiver->answer = [&](const Parcel& parcel) {
    const auto [known, fresh] = by_id.emplace(parcel.id, parcel.payload);
    CHECK_MESSAGE(known->second == parcel.payload, parcel.id, " has two contents");
    if (parcel.id.size() == 32) {  // on commit: its number is part of a committed epoch
      const auto committed = store->Get(kEngineTable, 0, EngineKey("sink", "hook"));
      REQUIRE(committed.ok());
      REQUIRE(committed->has_value());
      ByteSource source(**committed);
      (void)source.GetU8();
      const uint64_t rows = source.GetU64();
      bool found = false;
      for (uint64_t ordinal = 0; ordinal < rows && !found; ++ordinal) {
        ByteSink name;
        name.PutString("outbox");
        name.PutString("hook");
        name.PutU64(ordinal);
        found = StableId(name.bytes()) == parcel.id;
      }
      CHECK_MESSAGE(found, "left before its epoch was committed");
    }
    return flaky && rng.Below(4) == 0 ? test::Later() : DeliveryResult();
  };
  SimOptions options;
  options.job.store = store.get();
  options.job.lane_count = 1 + static_cast<int>(seed % 3);
  options.job.batch_row_count_max = seed % 2 == 0 ? 7 : 64;
  options.seed = seed;
  options.crash_count_max = crashes;
  options.crash_chance = 0.005;
  options.crash_between_prepare_and_commit = seed % 5 == 4;
  Outcome outcome;
  const auto make_spec = [&] {
    GraphSpec spec = pipeline.graph;
    for (NodeSpec& node : spec.nodes)
      if (auto* sink = std::get_if<SinkNode>(&node.kind))
        sink->bound.make_network_sink = [receiver] { return std::make_unique<test::ReceiverSink>(receiver); };
    return spec;
  };
  outcome.result = RunSimulation(make_spec, options);
  // Of a run that died after its last commit the next one sends the rest, though it finds nothing else to do.
  flaky = false;
  if (const SimResult again = RunSimulation(make_spec, options); !again.status.ok())
    outcome.result.status = again.status;
  // What was taken, not what was tried: all of it must have come through.
  const std::set<std::string> taken = receiver->ids();
  CHECK(taken.size() == by_id.size());
  outcome.by_id = std::move(by_id);
  return outcome;
}

TEST_CASE("OutboxSimulation_CrashesAndAFlakyReceiver_EveryRowArrivesUnderOneNameWithOneContent") {
  TempDirectory directory;
  for (const int batch : {1, 5}) {
    const Pipeline pipeline = Load(directory, batch);
    const Outcome undisturbed = Simulate(pipeline, 0, 0, false);
    REQUIRE_MESSAGE(undisturbed.result.status.ok(), undisturbed.result.status.ToString());
    REQUIRE(undisturbed.by_id.size() > 40);
    int crashes = 0;
    for (uint64_t seed = 1; seed <= 60; ++seed) {
      CAPTURE(batch);
      CAPTURE(seed);
      const Outcome outcome = Simulate(pipeline, seed, 4, true);
      REQUIRE_MESSAGE(outcome.result.status.ok(), outcome.result.status.ToString());
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

}  // namespace
}  // namespace freshet
