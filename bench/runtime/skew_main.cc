// What rows cost on their way from a source over the exchange into a window, with even and uneven keys, pre-aggregated
// or not (README.md here). Rows come ready-made, nothing is decoded: source, exchange, window and gather are all there
// is.
//   skew_bench [ROWS_M [ROUNDS]]     (default 20 million rows, 3 rounds; medians, configurations take turns)
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "engine/base/rng.h"
#include "engine/batch/column_builder.h"
#include "engine/flow/tbb_runtime.h"
#include "engine/plan/yaml_reader.h"
#include "operators/window/window.h"

namespace freshet::bench {
namespace {

constexpr int32_t kBlockRows = 4096;
constexpr int kBlocks = 64;  // then they come again, with later times

void Require(bool ok, const std::string& why) {
  if (ok) return;
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}

/// One key out of many.
class Keys {
 public:
  virtual ~Keys() = default;
  virtual int64_t Draw(Rng& rng) = 0;
};
class Uniform final : public Keys {
 public:
  explicit Uniform(uint64_t count) : count_(count) {}
  int64_t Draw(Rng& rng) override { return static_cast<int64_t>(rng.Below(count_)); }

 private:
  const uint64_t count_;
};
/// The n-th of `count` keys has a share proportional to 1 / n.
class Zipf final : public Keys {
 public:
  explicit Zipf(int count) {
    double sum = 0;
    for (int n = 1; n <= count; ++n) through_.push_back(sum += 1.0 / n);
  }
  int64_t Draw(Rng& rng) override {
    const auto at = std::lower_bound(through_.begin(), through_.end(), rng.NextDouble() * through_.back());
    return at - through_.begin();
  }

 private:
  std::vector<double> through_;
};
/// A share of the rows has one key.
class Hot final : public Keys {
 public:
  explicit Hot(double share) : share_(share) {}
  int64_t Draw(Rng& rng) override { return rng.NextDouble() < share_ ? 0 : static_cast<int64_t>(rng.Below(5000)); }

 private:
  const double share_;
};

using Blocks = std::vector<std::vector<Column>>;

Blocks MakeBlocks(Keys& keys) {
  Rng rng(1);
  Blocks blocks;
  for (int b = 0; b < kBlocks; ++b) {
    ColumnBuilder k(TypeId::kString, kBlockRows), views(TypeId::kInt64, kBlockRows),
        seconds(TypeId::kFloat64, kBlockRows);
    for (int i = 0; i < kBlockRows; ++i) {
      k.AppendString("video-" + std::to_string(100000 + keys.Draw(rng)));
      views.AppendInt64(static_cast<int64_t>(rng.Below(1000)));
      seconds.AppendFloat64(rng.NextDouble() * 100);
    }
    blocks.push_back({k.Finish(), views.Finish(), seconds.Finish()});
  }
  return blocks;
}

class Rows final : public Source {
 public:
  Rows(const Blocks& blocks, int64_t block_count) : blocks_(blocks), block_count_(block_count) {}
  Status Open(const SourceOpenContext&) override { return Status::Ok(); }
  std::vector<std::string> Partitions() const override { return {"rows"}; }
  int64_t retry_after_us() const override { return 100; }
  Result<PollOutcome> Poll(const PollBudget& budget, RawChunk* chunk) override {
    if (given_ == block_count_) return PollOutcome::kEnd;
    if (budget.rows < kBlockRows) return PollOutcome::kNothing;
    ColumnBuilder at(TypeId::kTimestamp, kBlockRows);
    for (int i = 0; i < kBlockRows; ++i) at.AppendInt64((given_ * kBlockRows + i) * 10);  // 100,000 rows a second
    auto block = std::make_shared<DecodedBlock>();
    block->columns = blocks_[static_cast<size_t>(given_ % kBlocks)];
    block->columns.insert(block->columns.begin(), at.Finish());
    block->row_count = kBlockRows;
    block->record_count = kBlockRows;
    chunk->finished = std::move(block);
    chunk->row_count_hint = kBlockRows;
    chunk->size = kBlockRows * 48;
    ++given_;
    ByteSink position;
    position.PutI64(given_);
    chunk->position_after = position.Take();
    return PollOutcome::kChunk;
  }

 private:
  const Blocks& blocks_;
  const int64_t block_count_;
  int64_t given_ = 0;
};

class Nowhere final : public Sink {
 public:
  Status Open(const SinkOpenContext&) override { return Status::Ok(); }
  Status Write(const Batch&, int64_t) override { return Status::Ok(); }
  Result<std::string> PrepareCommit(Epoch) override { return std::string(); }
};

GraphSpec MakeSpec(const Blocks& blocks, int64_t block_count, const std::string& mode) {
  const auto schema = std::make_shared<const Schema>(std::vector<Field>{
      {"at", TypeId::kTimestamp}, {"k", TypeId::kString}, {"views", TypeId::kInt64}, {"seconds", TypeId::kFloat64}});
  static const NodeDescriptor descriptor = WindowDescriptor();
  Diagnostics diagnostics;
  const std::string text =
      "window: {tumbling: 10s}\nkey: k\naggregates: {n: count(*), views: sum(views), watched: avg(seconds), longest: "
      "max(seconds)}\npre_aggregate: " +
      mode;
  const auto value = ReadYaml(std::make_shared<const SourceText>(SourceText{"skew.yaml", text}), &diagnostics);
  BindContext bind;
  bind.inputs = {schema.get()};
  bind.input_names = {"rows"};
  bind.diagnostics = &diagnostics;
  bind.env = Env::Posix();
  auto bound = descriptor.make_operator(OptionsNode::Make(&*value, &descriptor.options, {}, &diagnostics), bind);
  Require(bound.has_value(), diagnostics.Render());
  GraphSpec spec;
  spec.pipeline_name = "skew_bench";
  SourceNode source;
  source.bound.schema = schema;
  source.bound.make_source = [&blocks, block_count] { return std::make_unique<Rows>(blocks, block_count); };
  source.time.evaluate = [](const Batch& batch) { return batch.column(0); };
  source.time.lateness = Duration::Seconds(0);
  spec.nodes.push_back({"rows", "rows", {}, {}, std::move(source)});
  spec.nodes.push_back({"window", "window", {{0, 0}}, {}, OperatorNode{std::move(*bound)}});
  SinkNode sink;
  sink.bound.blocking = false;
  sink.bound.make_sink = [] { return std::make_unique<Nowhere>(); };
  spec.nodes.push_back({"nowhere", "nowhere", {{1, 0}}, {}, std::move(sink)});
  return spec;
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

struct Figures {
  std::vector<double> cpu_ns;
  std::vector<double> rows_per_second;
  double combined = 0;  ///< share of the rows
};

void Measure(const Blocks& blocks, int64_t block_count, const std::string& mode, Figures* figures) {
  Env* const env = Env::Posix();
  TbbRuntime::Options options;
  options.job.env = env;
  options.job.lane_count = 2;
  options.job.checkpoint_every = Duration::Seconds(100000);
  options.concurrency = 2;
  const double cpu = CpuSeconds();
  const int64_t start = env->SteadyMicros();
  auto started = TbbRuntime::Start(MakeSpec(blocks, block_count, mode), options);
  Require(started.ok(), started.status().ToString());
  while (!(*started)->Wait(Duration::Seconds(1))) {
  }
  const JobReport report = (*started)->Finish();
  const auto rows = static_cast<double>(block_count * kBlockRows);
  Require(report.status.ok(), report.status.ToString());
  Require(report.nodes[1].counters.absorbed == block_count * kBlockRows, "rows were lost");
  figures->cpu_ns.push_back((CpuSeconds() - cpu) * 1e9 / rows);
  figures->rows_per_second.push_back(rows * 1e6 / static_cast<double>(env->SteadyMicros() - start));
  figures->combined = static_cast<double>(report.nodes[1].pre_aggregated) / rows;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void Run(double million_rows, int rounds) {
  const auto block_count = static_cast<int64_t>(million_rows * 1e6 / kBlockRows);
  const struct {
    const char* name;
    std::unique_ptr<Keys> keys;
  } distributions[] = {
      {"one key", std::make_unique<Uniform>(1)},
      {"half of the rows one key, half 5,000", std::make_unique<Hot>(0.5)},
      {"Zipf over 5,000 keys", std::make_unique<Zipf>(5000)},
      {"100 keys alike", std::make_unique<Uniform>(100)},
      {"1,000 keys alike", std::make_unique<Uniform>(1000)},
      {"5,000 keys alike", std::make_unique<Uniform>(5000)},
      {"100,000 keys alike", std::make_unique<Uniform>(100000)},
  };
  const char* const modes[] = {"off", "auto", "on"};
  std::printf("| keys | pre_aggregate | combined | processor time a row | rows/s |\n|---|---|---|---|---|\n");
  for (const auto& distribution : distributions) {
    const Blocks blocks = MakeBlocks(*distribution.keys);
    Figures all[std::size(modes)];
    for (int round = 0; round < rounds; ++round)
      for (size_t m = 0; m < std::size(modes); ++m) {
        const size_t at = (m + static_cast<size_t>(round)) % std::size(modes);
        Measure(blocks, block_count, modes[at], &all[at]);
      }
    for (size_t m = 0; m < std::size(modes); ++m)
      std::printf("| %s | %s | %.1f %% | %.1f ns | %.1f M |\n", distribution.name, modes[m], 100 * all[m].combined,
                  Median(all[m].cpu_ns), Median(all[m].rows_per_second) / 1e6);
  }
}

}  // namespace
}  // namespace freshet::bench

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  std::printf("%s\n", FRESHET_BENCH_FLAGS);
  freshet::bench::Run(argc > 1 ? std::atof(argv[1]) : 20, argc > 2 ? std::atoi(argv[2]) : 3);
  return 0;
}
