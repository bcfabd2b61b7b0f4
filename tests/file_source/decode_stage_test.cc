// What a source does beside its decoder (times, the filters behind it) gives the same as the operators themselves.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>

#include "connectors/file/file_source.h"
#include "engine/flow/sim_runtime.h"
#include "engine/flow/tbb_runtime.h"
#include "operators/filter.h"
#include "operators/window/window.h"
#include "tests/format/decode_support.h"
#include "tests/support/flow_nodes.h"
#include "tests/support/operator_harness.h"

namespace freshet {
namespace {

using testing::BoundNode;
using testing::Collected;

struct Answer {
  std::shared_ptr<Collected> rows = std::make_shared<Collected>();
  std::shared_ptr<Collected> panes = std::make_shared<Collected>();
  std::shared_ptr<Collected> late = std::make_shared<Collected>();
  std::shared_ptr<Collected> dead = std::make_shared<Collected>();
};

/// Stretches of good records between stretches with all that can be wrong with one: chunks of both kinds.
std::string RandomRecords(Rng& rng, int count) {
  std::string text;
  int64_t time = 1700000000000;
  bool rough = false;
  for (int i = 0; i < count; ++i) {
    if (rng.Below(150) == 0) rough = !rough;
    time += static_cast<int64_t>(rng.Below(40));
    const int64_t at = time - static_cast<int64_t>(rng.Below(10) == 0 ? rng.Below(4000) : 0);
    std::string at_text = std::to_string(at);
    std::string k = std::to_string(rng.Below(9));
    if (rng.Below(50) == 0) k = "null";
    if (rough && rng.Below(12) == 0) {
      const char* const odd[] = {"null", "\"soon\"", "null", "{}"};
      at_text = odd[rng.Below(4)];
    }
    if (rough && rng.Below(15) == 0) k = "\"seven\"";
    text += "{\"at\":" + at_text + ",\"k\":" + k + ",\"s\":\"" + std::string(rng.Below(6), 's') +
            "\",\"v\":" + std::to_string(rng.Below(1000)) + "}\n";
    if (rough && rng.Below(20) == 0) text += rng.Below(2) == 0 ? "\n" : "{\"at\":\n";
  }
  return text;
}

GraphSpec MakeSpec(const std::string& path, bool fused, int filters, bool second_reader, const Answer& answer,
                   int64_t credit_rows) {
  const std::vector<testing::Col> columns = {
      {"at", TypeId::kTimestamp}, {"k", TypeId::kInt64}, {"s", TypeId::kString}, {"v", TypeId::kFloat64}};
  const SourceFormat format = testing::NdjsonFormat(columns);
  GraphSpec spec;
  spec.pipeline_name = "test";
  SourceNode source;
  source.bound.schema = format.schema->columns;
  source.bound.make_source = [=] { return MakeFileSource({{path}, false, "records"}, format); };
  source.bound.make_decoder = format.make_decoder;
  source.time.evaluate = [](const Batch& batch) { return batch.column(0); };
  source.time.text = "at";
  source.time.lateness = Duration::Seconds(1);
  source.credit_rows = credit_rows;
  if (!fused) source.time.not_before = EventTime{-(int64_t{1} << 62)};  // no bound, but rows are judged one by one
  const SchemaRef schema = source.bound.schema;
  spec.nodes.push_back({"records", "file", {}, {}, std::move(source)});
  PortRef last{0, 0};
  const char* const conditions[] = {"where: k <> 3", "where: length(s) > 1 and v < 800"};
  for (int f = 0; f < filters; ++f) {
    BoundNode filter(FilterDescriptor(), conditions[f], *schema);
    REQUIRE_MESSAGE(filter, filter.diagnostics());
    BoundOperator bound = filter.bound();
    if (!fused) bound.filter = nullptr;
    spec.nodes.push_back({"filter" + std::to_string(f), "filter", {last}, {}, OperatorNode{std::move(bound)}});
    last = {static_cast<int>(spec.nodes.size()) - 1, 0};
  }
  BoundNode window(WindowDescriptor(),
                   std::string("window: {tumbling: 1s}\nkey: [k]\naggregates:\n  n: count(*)\n  sum: sum(v)\n") +
                       "pre_aggregate: " + (fused ? "on" : "off"),
                   *schema);
  REQUIRE_MESSAGE(window, window.diagnostics());
  const int at = static_cast<int>(spec.nodes.size());
  spec.nodes.push_back({"window", "window", {last}, {}, OperatorNode{window.bound()}});
  // A second reader of the last filter's rows: without it they are divided over the window's lanes beside the decoder.
  // Of the source's there is one, else nothing could be fused behind it.
  spec.nodes.push_back(testing::CollectSink("panes", {{at, 0}}, answer.panes));
  spec.nodes.push_back(testing::CollectSink("late", {{at, 1}}, answer.late));
  if (filters > 0 && second_reader) spec.nodes.push_back(testing::CollectSink("rows", {last}, answer.rows));
  spec.nodes.push_back(testing::CollectSink("dead", {{0, 1}}, answer.dead));
  return spec;
}

/// Everything a run says: rows, dead letters (but for the moment they were found at), counters.
std::string TextOf(const Answer& answer, const JobReport& report) {
  std::string text;
  for (const auto& lines : {answer.rows, answer.panes, answer.late})
    for (const std::string& line : lines->lines) text += line + "\n";
  // Those of one chunk leave in two groups, found by the decoder and found by the time stage.
  std::set<std::string> dead;
  for (const std::string& line : answer.dead->lines) dead.insert(line.substr(line.find('|')));
  for (const std::string& line : dead) text += line + "\n";
  for (const NodeReport& node : report.nodes) {
    const NodeCounters& c = node.counters;
    text += node.id;
    for (const int64_t n : {c.in, c.out, c.filtered, c.late, c.dead, c.skipped, c.absorbed, c.nulled, c.panes_emitted})
      text += " " + std::to_string(n);
    text += " " + node.law + "\n";
  }
  return text;
}

TEST_CASE("DecodeStage_FiltersBesideTheDecoder_GiveWhatTheOperatorsGive") {
  const char* const seed_text = std::getenv("FRESHET_TEST_SEED");
  const uint64_t first_seed = seed_text != nullptr ? std::strtoull(seed_text, nullptr, 10) : 1;
  const std::string path =
      (std::filesystem::temp_directory_path() / ("freshet_decode_stage_" + std::to_string(::getpid()))).string();
  for (uint64_t seed = first_seed; seed < first_seed + 4; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    std::ofstream(path) << RandomRecords(rng, 3000);
    const int filters = static_cast<int>(seed % 3);
    const bool second_reader = seed % 4 != 1;
    const auto simulate = [&](bool fused, int32_t batch, int64_t credit_rows) {
      const Answer answer;
      const auto store = NewMemoryStore();
      SimOptions options;
      options.job.store = store.get();
      options.job.lane_count = 1 + static_cast<int>(seed % 2);
      options.job.batch_row_count_max = batch;
      options.seed = seed;
      const SimResult result =
          RunSimulation([&] { return MakeSpec(path, fused, filters, second_reader, answer, credit_rows); }, options);
      REQUIRE_MESSAGE(result.status.ok(), result.status.ToString());
      return TextOf(answer, result.report);
    };
    const auto run = [&](bool fused, int32_t batch, int concurrency) {
      const Answer answer;
      const auto store = NewMemoryStore();
      TbbRuntime::Options options;
      options.job.env = Env::Posix();
      options.job.store = store.get();
      options.job.lane_count = concurrency;
      options.job.batch_row_count_max = batch;
      options.job.checkpoint_every = Duration::Millis(5);
      options.concurrency = concurrency;
      auto runtime = TbbRuntime::Start(MakeSpec(path, fused, filters, second_reader, answer, 400), options);
      REQUIRE(runtime.ok());
      while (!(*runtime)->Wait(Duration::Seconds(60))) {
      }
      const JobReport report = (*runtime)->Finish();
      REQUIRE_MESSAGE(report.status.ok(), report.status.ToString());
      return TextOf(answer, report);
    };
    const std::string expected = simulate(false, 4096, 1000000);
    CHECK(expected.find("wrong_type") != std::string::npos);
    CHECK(expected.find("time_missing") != std::string::npos);
    for (const int32_t batch : {1, 7, 4096}) {
      CAPTURE(batch);
      const std::string runs[] = {simulate(true, batch, 200), simulate(false, batch, 200), run(true, batch, 1),
                                  run(true, batch, 3)};
      for (const std::string& actual : runs) {
        CAPTURE(&actual - runs);
        const auto at = std::mismatch(expected.begin(), expected.end(), actual.begin(), actual.end()).first;
        CHECK_MESSAGE((actual == expected), "differ at "
                                                << at - expected.begin() << ": "
                                                << expected.substr(static_cast<size_t>(at - expected.begin()), 300));
      }
    }
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace freshet
