#include "engine/cli/test_runner.h"

#include <algorithm>
#include <mutex>

#include "connectors/format/row_writer.h"
#include "engine/cli/test_source.h"
#include "engine/cli/test_values.h"
#include "engine/flow/sim_runtime.h"
#include "engine/flow/tbb_runtime.h"

namespace freshet::cli {
namespace {

constexpr size_t kRowsShown = 20;

/// What reached one expectation, over all lives of the job.
struct Collected {
  std::vector<Batch> batches;  // one row each
};

class CollectSink final : public Sink {
 public:
  explicit CollectSink(std::shared_ptr<Collected> into) : into_(std::move(into)) {}
  Status Open(const SinkOpenContext& ctx) override {
    const size_t kept = ctx.committed.empty() ? 0 : static_cast<size_t>(std::stoll(ctx.committed));
    into_->batches.resize(ctx.restored_epoch.number == 0 ? 0 : kept);
    return Status::Ok();
  }
  Status Write(const Batch& batch, int64_t) override {
    for (int32_t row = 0; row < batch.row_count(); ++row) into_->batches.push_back(batch.Slice(row, 1).Detached());
    return Status::Ok();
  }
  Result<std::string> PrepareCommit(Epoch) override { return std::to_string(into_->batches.size()); }

 private:
  std::shared_ptr<Collected> into_;
};

class TestRun {
 public:
  TestRun(const Pipeline& pipeline, const PipelineTest& test, const TestPermutation& permutation)
      : pipeline_(pipeline), test_(test), permutation_(permutation) {}

  Status Build() {
    nodes_.resize(pipeline_.graph.nodes.size());
    for (size_t n = 0; n < pipeline_.graph.nodes.size(); ++n) {
      const NodeSpec& node = pipeline_.graph.nodes[n];
      if (std::holds_alternative<SourceNode>(node.kind)) {
        FRESHET_RETURN_IF_ERROR(AddSource(n));
      } else if (std::holds_alternative<OperatorNode>(node.kind)) {
        NodeSpec copy = node;
        for (PortRef& input : copy.inputs) input = Moved(input);
        nodes_[n].index = nodes_[n].rows.node = static_cast<int>(spec_.nodes.size());
        spec_.nodes.push_back(std::move(copy));
      }
    }
    for (const TestExpectation& expectation : test_.expect) FRESHET_RETURN_IF_ERROR(AddCollector(expectation));
    spec_.pipeline_name = pipeline_.name();
    return Status::Ok();
  }

  Status Run() {
    JobOptions job;
    job.env = Env::Posix();
    job.lane_count = permutation_.lanes;
    job.batch_row_count_max = permutation_.batch_rows;
    job.checkpoint_every = Duration::Seconds(3600);
    if (!permutation_.simulated) {
      TbbRuntime::Options options;
      options.job = job;
      FRESHET_ASSIGN_OR_RETURN(const std::unique_ptr<TbbRuntime> runtime, TbbRuntime::Start(spec_, options));
      while (!runtime->Wait(Duration::Seconds(1))) {
      }
      return runtime->Finish().status;
    }
    const std::unique_ptr<CheckpointStore> store = NewMemoryStore();
    SimOptions options;
    options.job = job;
    options.seed = permutation_.seed;
    if (permutation_.crashes) {
      options.job.store = store.get();
      options.crash_chance = 0.01;
      options.crash_count_max = 4;
      options.epoch_chance = 0.1;
      // The clock does not jump: what a live source takes for the future depends on it.
      options.faults.slow_edge = 0.2;
      options.faults.source_error = 0.1;
      options.faults.sink_error = 0.002;
      options.faults.commit_unavailable = 0.2;
      options.faults.commit_crash = 0.1;
    }
    return RunSimulation([this] { return spec_; }, options).status;
  }

  /// Empty if all is as expected.
  std::string Compare() const {
    std::string failure;
    for (size_t e = 0; e < test_.expect.size(); ++e)
      failure += CompareOne(test_.expect[e], *collected_[e].rows, collected_[e].ordered);
    return failure;
  }

  std::vector<std::string> Rows() const {
    std::vector<std::string> rows;
    for (size_t e = 0; e < test_.expect.size(); ++e) {
      std::vector<std::string> here = Texts(*collected_[e].rows);
      if (!collected_[e].ordered) std::sort(here.begin(), here.end());
      for (std::string& row : here) rows.push_back(test_.expect[e].target.value + "  " + std::move(row));
    }
    return rows;
  }

 private:
  struct Place {
    PortRef rows;    // where the rows of the node come out
    int index = -1;  // the node itself, for its other ports
  };
  struct Target {
    std::shared_ptr<Collected> rows;
    bool ordered = true;
  };

  PortRef Moved(const PortRef& port) const {
    const Place& place = nodes_[static_cast<size_t>(port.node)];
    return port.port == 0 ? place.rows : PortRef{place.index, port.port};
  }

  Status AddSource(size_t n) {
    const NodeSpec& node = pipeline_.graph.nodes[n];
    auto data = std::make_shared<TestFeedData>();
    for (const TestFeed& feed : test_.feed) {
      if (feed.source.value != node.id) continue;
      FRESHET_ASSIGN_OR_RETURN(*data, BuildFeed(feed, *std::get<SourceNode>(node.kind).bound.schema));
    }
    if (data->has_advance && !std::get<SourceNode>(node.kind).time.evaluate)
      return Status::InvalidArgument("`advance` needs a source with `time`; `" + node.id + "` has none");
    nodes_[n].rows = AddTestSource(node, std::move(data), permutation_.batch_rows, &spec_, &nodes_[n].index);
    return Status::Ok();
  }

  Status AddCollector(const TestExpectation& expectation) {
    const int index = pipeline_.Find(expectation.node);
    if (index < 0) return Status::InvalidArgument("there is no node `" + expectation.node + "`");
    const NodeSpec& node = pipeline_.graph.nodes[static_cast<size_t>(index)];
    NodeSpec sink;
    sink.id = "expect " + expectation.target.value;
    sink.type = "test";
    if (std::holds_alternative<SinkNode>(node.kind)) {
      for (const PortRef& input : node.inputs) sink.inputs.push_back(Moved(input));
    } else if (expectation.output.empty()) {
      sink.inputs = {Moved({index, 0})};
    } else if (const auto* op = std::get_if<OperatorNode>(&node.kind)) {
      for (size_t p = 1; p < op->bound.outputs.size(); ++p)
        if (op->bound.outputs[p].name == expectation.output) sink.inputs = {Moved({index, static_cast<PortIndex>(p)})};
    } else if (expectation.output == "dead_letter") {
      sink.inputs = {Moved({index, 1})};
    }
    if (sink.inputs.empty()) return Status::InvalidArgument("there is no output `" + expectation.target.value + "`");
    Target target{std::make_shared<Collected>(), sink.inputs.size() == 1};
    SinkNode kind;
    kind.bound.blocking = false;
    kind.bound.restartable = true;
    kind.bound.make_sink = [into = target.rows] { return std::make_unique<CollectSink>(into); };
    sink.kind = std::move(kind);
    spec_.nodes.push_back(std::move(sink));
    collected_.push_back(std::move(target));
    return Status::Ok();
  }

  static std::vector<std::string> Texts(const Collected& collected) {
    RowWriterSet writers(RowFormat::kNdjson);
    std::vector<std::string> texts;
    for (const Batch& row : collected.batches) {
      texts.emplace_back();
      writers.For(row.schema()).AppendObject(row, 0, &texts.back());
    }
    return texts;
  }

  /// Empty if the row is as expected, else which columns are not.
  static std::string CompareRow(const TestRow& expected, const Batch& got) {
    std::string differences;
    for (const ConfigValue::Entry& cell : expected.cells) {
      const std::optional<int> column = got.schema()->Find(cell.key.value);
      if (column && SameAsTestValue(cell.value, got.column(*column), 0)) continue;
      std::string value = "no such column";
      if (column) {
        value.clear();
        AppendCellJson(got.column(*column), 0, &value);
      }
      differences += std::string(differences.empty() ? "" : ", ") + cell.key.value + ": expected " +
                     TestValueText(cell.value) + ", got " + value;
    }
    return differences;
  }

  static std::string CompareOne(const TestExpectation& expectation, const Collected& collected, bool ordered) {
    const std::vector<TestRow>& expected = expectation.rows;
    std::string text;
    if (ordered) {
      for (size_t i = 0; i < std::min(expected.size(), collected.batches.size()); ++i)
        if (const std::string d = CompareRow(expected[i], collected.batches[i]); !d.empty())
          text += "    row " + std::to_string(i + 1) + ": " + d + "\n";
    } else {
      std::vector<Batch> left = collected.batches;
      for (size_t i = 0; i < expected.size(); ++i) {
        const auto match =
            std::find_if(left.begin(), left.end(), [&](const Batch& b) { return CompareRow(expected[i], b).empty(); });
        if (match == left.end())
          text += "    row " + std::to_string(i + 1) + " did not come\n";
        else
          left.erase(match);
      }
    }
    if (text.empty() && expected.size() == collected.batches.size()) return {};
    std::string failure = "  " + expectation.target.value + ": expected " + std::to_string(expected.size()) +
                          " rows, got " + std::to_string(collected.batches.size()) + "\n" + text;
    const std::vector<std::string> texts = Texts(collected);
    for (size_t i = 0; i < std::min(texts.size(), kRowsShown); ++i)
      failure += "    " + std::string(i < expected.size() ? "got   " : "extra ") + texts[i] + "\n";
    if (texts.size() > kRowsShown) failure += "    and " + std::to_string(texts.size() - kRowsShown) + " more\n";
    return failure;
  }

  const Pipeline& pipeline_;
  const PipelineTest& test_;
  const TestPermutation& permutation_;
  GraphSpec spec_;
  std::vector<Place> nodes_;
  std::vector<Target> collected_;
};

}  // namespace

std::string TestPermutation::ToString() const {
  return (simulated ? "simulator, seed " + std::to_string(seed) : std::string("oneTBB")) + ", " +
         std::to_string(lanes) + (lanes == 1 ? " lane" : " lanes") + ", batches of " + std::to_string(batch_rows) +
         (crashes ? ", with crashes" : "");
}

std::vector<TestPermutation> AllPermutations() {
  std::vector<TestPermutation> all;
  for (const int lanes : {1, 4})
    for (const int32_t rows : {4096, 1, 7})
      for (const uint64_t seed : {1, 2, 3}) all.push_back({true, seed, lanes, rows, false});
  for (const int lanes : {1, 4}) all.push_back({false, 0, lanes, 4096, false});
  return all;
}

Status RunTest(const Pipeline& pipeline, const PipelineTest& test, const TestPermutation& permutation,
               std::string* failure, std::vector<std::string>* rows) {
  TestRun run(pipeline, test, permutation);
  FRESHET_RETURN_IF_ERROR(run.Build());
  if (const Status status = run.Run(); !status.ok()) {
    *failure = "  the run failed: " + status.ToString() + "\n";
    return Status::Ok();
  }
  *failure = run.Compare();
  *rows = run.Rows();
  return Status::Ok();
}

}  // namespace freshet::cli
