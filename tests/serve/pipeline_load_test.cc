// How busy nodes are and which one is the bottleneck: by hand, and of runs with a node that is slow on purpose.
#include <doctest/doctest.h>

#include "engine/base/rng.h"
#include "engine/flow/tbb_runtime.h"
#include "engine/serve/pipeline_load.h"
#include "tests/support/flow_nodes.h"

using namespace freshet;
using freshet::testing::Collected;

namespace {

NodeReport Node(const char* id, NodeClass node_class, std::vector<Activity> activity) {
  NodeReport node;
  node.id = id;
  node.node_class = node_class;
  node.activity = std::move(activity);
  return node;
}

Activity Spent(int64_t busy_ms, int64_t blocked_ms = 0, int workers = 1) {
  Activity a;
  a.busy_us = busy_ms * 1000;
  a.blocked_us = blocked_ms * 1000;
  a.worker_count = workers;
  return a;
}

/// in -> mid -> out, and in.dead_letter -> bad, over a second.
JobReport Second(std::vector<Activity> in, std::vector<Activity> mid, std::vector<Activity> out) {
  JobReport report;
  report.running_us = 1000000;
  report.nodes.push_back(Node("in", NodeClass::kSource, std::move(in)));
  report.nodes.push_back(Node("mid", NodeClass::kStateful, std::move(mid)));
  report.nodes.push_back(Node("out", NodeClass::kSink, std::move(out)));
  report.nodes.push_back(Node("bad", NodeClass::kSink, {Spent(0)}));
  return report;
}
const NodeEdges kEdges = {{"in", "mid"}, {"mid", "out"}, {"in.dead_letter", "bad"}};

std::string Bottleneck(const JobReport& report) {
  const PipelineLoad load = MeasureLoad(JobReport(), report, kEdges);
  return load.bottleneck < 0 ? "none" : report.nodes[static_cast<size_t>(load.bottleneck)].id;
}

/// numbers -> kept -> out, where `slow` takes its time: `rounds` of arithmetic a row.
class SlowSink final : public Sink {
 public:
  explicit SlowSink(int rounds) : rounds_(rounds) {}
  Status Open(const SinkOpenContext&) override { return Status::Ok(); }
  Status Write(const Batch& batch, int64_t) override {
    for (int64_t i = 0; i < int64_t{batch.row_count()} * rounds_; ++i) value_ = Mix64(value_);
    return Status::Ok();
  }
  Result<std::string> PrepareCommit(Epoch) override { return std::to_string(value_); }

 private:
  const int rounds_;
  uint64_t value_ = 1;
};

GraphSpec NumbersInto(int rounds, bool blocking) {
  GraphSpec spec;
  spec.pipeline_name = "test";
  testing::NumbersOptions numbers;
  numbers.rows = 400000;
  numbers.chunk_rows = 1024;
  spec.nodes.push_back(testing::NumbersSource("in", numbers));
  std::get<SourceNode>(spec.nodes[0].kind).credit_rows = 8192;
  spec.nodes.push_back(testing::DropMultiples("mid", {0, 0}, testing::NumbersSchema(), 5));
  NodeSpec sink;
  sink.id = "out";
  sink.type = "slow";
  sink.inputs = {{1, 0}};
  SinkNode kind;
  kind.bound.blocking = blocking;
  kind.bound.make_sink = [rounds] { return std::make_unique<SlowSink>(rounds); };
  sink.kind = std::move(kind);
  spec.nodes.push_back(std::move(sink));
  return spec;
}

}  // namespace

TEST_CASE("PipelineLoad_Shares_AreOfTheBusiestWorkerAndAddUpToOne") {
  // A source: its thread waits, its two decoders are half busy; a node with one hot lane.
  const JobReport report =
      Second({Spent(100), Spent(50, 900), Spent(1000, 0, 2)}, {Spent(100), Spent(950), Spent(0)}, {Spent(100)});
  const PipelineLoad load = MeasureLoad(JobReport(), report, kEdges);
  CHECK(load.nodes[0].busy == doctest::Approx(0.5));
  CHECK(load.nodes[0].waiting == doctest::Approx(0.9));
  CHECK(load.nodes[0].backpressured == doctest::Approx(0.5));
  CHECK(load.nodes[1].busy == doctest::Approx(0.95));
  for (const NodeLoad& n : load.nodes) CHECK(n.busy + n.backpressured + n.idle == doctest::Approx(1));
}

TEST_CASE("PipelineLoad_Bottleneck_IsTheBusiestBehindSomethingThatWaits") {
  CHECK(Bottleneck(Second({Spent(50, 800)}, {Spent(300)}, {Spent(990)})) == "out");
  CHECK(Bottleneck(Second({Spent(50, 800)}, {Spent(900)}, {Spent(300)})) == "mid");
  // Only the window waits, for the sink: the source is busy but not held up.
  CHECK(Bottleneck(Second({Spent(700)}, {Spent(300, 600)}, {Spent(500)})) == "out");
  // Decoding is the slow part: the source waits for itself.
  CHECK(Bottleneck(Second({Spent(50, 600), Spent(1900, 0, 2)}, {Spent(300)}, {Spent(100)})) == "in");
  // Reading is: nobody waits for room.
  CHECK(Bottleneck(Second({Spent(960)}, {Spent(300)}, {Spent(100)})) == "in");
  // Nothing is: the input comes slowly.
  CHECK(Bottleneck(Second({Spent(100)}, {Spent(800)}, {Spent(100)})) == "none");
  // Somebody waits, but nobody works: an outage, not a bottleneck.
  CHECK(Bottleneck(Second({Spent(10, 990)}, {Spent(10)}, {Spent(10)})) == "none");
}

TEST_CASE("PipelineLoad_SideOutputs_BelongToTheirNode") {
  JobReport report = Second({Spent(50, 800)}, {Spent(100)}, {Spent(100)});
  report.nodes[3].activity = {Spent(900)};
  CHECK(Bottleneck(report) == "bad");
  CHECK(FindOwner(report, "in.dead_letter") == 0);
  CHECK(FindOwner(report, "inner.late") == -1);
}

TEST_CASE("LoadWindow_Reports_AreComparedOverTheLastSeconds") {
  LoadWindow window;
  JobReport report = Second({Spent(0)}, {Spent(0)}, {Spent(0)});
  report.nodes[0].counters.in = 1000000;  // restored
  report.running_us = 0;
  window.Add(report);
  for (int second = 1; second <= 20; ++second) {
    report.running_us = second * 1000000;
    report.nodes[0].counters.in += 500;
    report.nodes[0].activity[0].busy_us += second > 10 ? 250000 : 0;
    window.Add(report);
  }
  const PipelineLoad load = window.Measure(report, kEdges);
  CHECK(load.window_us == 5000000);
  CHECK(load.nodes[0].rows_in_per_second == doctest::Approx(500));
  CHECK(load.nodes[0].busy == doctest::Approx(0.25));
  // A reload begins anew: what was before is no measure for it.
  report.running_us = 1000000;
  report.nodes[0].activity[0].busy_us = 100000;
  window.Add(report);
  CHECK(window.Measure(report, kEdges).nodes[0].busy == doctest::Approx(0.1));
}

TEST_CASE("Run_SlowSink_IsTheBottleneckOfTheRun") {
  for (const bool blocking : {true, false}) {
    CAPTURE(blocking);
    TbbRuntime::Options options;
    options.job.env = Env::Posix();
    options.job.checkpoint_every = Duration::Seconds(10);
    options.concurrency = 2;
    auto runtime = TbbRuntime::Start(NumbersInto(300, blocking), options);
    REQUIRE(runtime.ok());
    while (!(*runtime)->Wait(Duration::Seconds(60))) {
    }
    const JobReport report = (*runtime)->Finish();
    REQUIRE(report.finished);
    const PipelineLoad load = MeasureLoad(JobReport(), report, {{"in", "mid"}, {"mid", "out"}});
    CHECK(load.bottleneck == 2);
    CHECK(load.nodes[2].busy > load.nodes[1].busy);
    CHECK(load.nodes[0].waiting > 0.1);
    const auto bytes = [&](size_t n) {
      int64_t in = 0;
      for (const Activity& a : report.nodes[n].activity) in += a.bytes_in;
      return in;
    };
    CHECK(bytes(1) > bytes(2));
    CHECK(bytes(2) > 320000 * 24);
  }
}
