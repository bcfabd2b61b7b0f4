#include "bench/runtime/bench_nodes.h"

#include <algorithm>
#include <cmath>

#include "engine/batch/column_builder.h"
#include "engine/batch/key_codec.h"

namespace freshet::bench {
namespace {

class Generator final : public Source {
 public:
  explicit Generator(Load load) : load_(load) {}
  Status Open(const SourceOpenContext& ctx) override {
    env_ = ctx.env;
    if (!ctx.restored.empty()) given_ = ByteSource(ctx.restored[0].position).GetI64();
    return Status::Ok();
  }
  std::vector<std::string> Partitions() const override { return {"generator"}; }
  int64_t retry_after_us() const override { return 500; }
  Result<PollOutcome> Poll(const PollBudget& budget, RawChunk* chunk) override {
    if (given_ >= load_.rows) return PollOutcome::kNothing;
    const int64_t now = env_->SteadyMicros();
    // The plan begins when the table is warm: until then rows come as they are taken.
    if (planned_from_us_ < 0 && given_ >= load_.warm_keys) {
      planned_from_us_ = now;
      planned_from_row_ = given_;
    }
    int64_t count = std::min({load_.batch_rows, budget.rows, load_.rows - given_});
    const bool planned = load_.rate > 0 && planned_from_us_ >= 0;
    if (planned) {
      const auto due = static_cast<int64_t>(load_.rate * static_cast<double>(now - planned_from_us_) / 1e6);
      count = std::min(count, planned_from_row_ + due - given_);
    }
    if (count <= 0) return PollOutcome::kNothing;
    ColumnBuilder due(TypeId::kTimestamp, static_cast<int32_t>(count)), k(TypeId::kInt64, static_cast<int32_t>(count));
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = given_ + i;
      due.AppendInt64(planned ? planned_from_us_ + static_cast<int64_t>(
                                                       1e6 * static_cast<double>(row - planned_from_row_) / load_.rate)
                              : now);
      k.AppendInt64(row < load_.warm_keys ? row : row % load_.hot_keys);
    }
    given_ += count;
    auto block = std::make_shared<DecodedBlock>();
    block->columns = {due.Finish(), k.Finish()};
    block->row_count = static_cast<int32_t>(count);
    block->record_count = count;
    chunk->finished = std::move(block);
    chunk->row_count_hint = count;
    chunk->size = count * 16;
    ByteSink position;
    position.PutI64(given_);
    chunk->position_after = position.Take();
    return PollOutcome::kChunk;
  }

 private:
  const Load load_;
  Env* env_ = nullptr;
  int64_t given_ = 0;
  int64_t planned_from_us_ = -1;
  int64_t planned_from_row_ = 0;
};

class Pass final : public Operator {
 public:
  Status Open(OpenContext&) override { return Status::Ok(); }
  Status ProcessBatch(InputIndex, const Batch& in, Emitter& out) override {
    out.Emit(in);
    return Status::Ok();
  }
};

struct Aggregate {
  int64_t count = 0, sum = 0, least = 0, most = 0;
  void Encode(ByteSink& sink) const {
    sink.PutI64(count);
    sink.PutI64(sum);
    sink.PutI64(least);
    sink.PutI64(most);
  }
  bool Decode(ByteSource& source, uint16_t) {
    count = source.GetI64();
    sum = source.GetI64();
    least = source.GetI64();
    most = source.GetI64();
    return true;
  }
};

class Table final : public Operator {
 public:
  explicit Table(const SchemaRef& schema) : codec_(*schema, {1}) {}
  Status Open(OpenContext& ctx) override {
    FRESHET_ASSIGN_OR_RETURN(cells_, ctx.state().OpenKeyed<Aggregate>("cells", {1, "k"}));
    return Status::Ok();
  }
  Status ProcessBatch(InputIndex, const Batch& in, Emitter& out) override {
    keys_.Encode(codec_, in);
    for (int32_t row = 0; row < in.row_count(); ++row) {
      Aggregate& cell = cells_->FindOrCreate(keys_.hash(row), keys_.key(row));
      ++cell.count;
      cell.sum += row;
    }
    out.Emit(in);
    return Status::Ok();
  }

 private:
  KeyCodec codec_;
  EncodedKeys keys_;
  KeyedTable<Aggregate>* cells_ = nullptr;
};

class MeterSink final : public Sink {
 public:
  explicit MeterSink(std::shared_ptr<Meter> meter) : meter_(std::move(meter)) {}
  Status Open(const SinkOpenContext& ctx) override {
    env_ = ctx.env;
    return Status::Ok();
  }
  Status Write(const Batch& batch, int64_t) override {
    meter_->AddRows(batch.column(0).int64s(), batch.row_count(), env_->SteadyMicros());
    return Status::Ok();
  }
  Result<std::string> PrepareCommit(Epoch) override {
    meter_->AddBarrier();
    return std::string();
  }

 private:
  std::shared_ptr<Meter> meter_;
  Env* env_ = nullptr;
};

}  // namespace

void Meter::Reset() {
  const std::lock_guard lock(mutex_);
  std::fill(latencies_.begin(), latencies_.end(), 0);
  pauses_ms_.clear();
  rows_ = 0;
}

void Meter::AddRows(const int64_t* due_us, int64_t count, int64_t now_us) {
  const std::lock_guard lock(mutex_);
  if (std::exchange(barrier_, false) && last_us_ > 0)
    pauses_ms_.push_back(static_cast<double>(now_us - last_us_) / 1000);
  last_us_ = now_us;
  size_t bucket = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (i == 0 || due_us[i] != due_us[i - 1]) {
      const double us = std::max<double>(1, static_cast<double>(now_us - due_us[i]));
      bucket = std::min<size_t>(kBuckets - 1, static_cast<size_t>(std::log(us) / std::log(1.005)));
    }
    ++latencies_[bucket];
  }
  rows_ += count;
}

void Meter::AddBarrier() {
  const std::lock_guard lock(mutex_);
  barrier_ = true;
}

double Meter::LatencyMs(double quantile) const {
  const std::lock_guard lock(mutex_);
  int64_t total = 0, seen = 0;
  for (const int64_t n : latencies_) total += n;
  for (int i = 0; i < kBuckets; ++i) {
    seen += latencies_[static_cast<size_t>(i)];
    if (total > 0 && static_cast<double>(seen) >= quantile * static_cast<double>(total))
      return std::pow(1.005, i + 1) / 1000;
  }
  return 0;
}

std::vector<double> Meter::PausesMs() const {
  const std::lock_guard lock(mutex_);
  std::vector<double> sorted = pauses_ms_;
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

GraphSpec MakeSpec(const Load& load, int hops, bool with_table, std::shared_ptr<Meter> meter) {
  const auto schema =
      std::make_shared<const Schema>(std::vector<Field>{{"due", TypeId::kTimestamp}, {"k", TypeId::kInt64}});
  GraphSpec spec;
  spec.pipeline_name = "runtime_bench";
  const auto add = [&](const std::string& id, const char* type, auto kind) {
    NodeSpec node;
    node.id = id;
    node.type = type;
    if (!spec.nodes.empty()) node.inputs = {PortRef{static_cast<int>(spec.nodes.size()) - 1, 0}};
    node.kind = std::move(kind);
    spec.nodes.push_back(std::move(node));
  };
  SourceNode source;
  source.bound.schema = schema;
  source.bound.bounded = false;
  source.bound.make_source = [load] { return std::make_unique<Generator>(load); };
  source.time.evaluate = [](const Batch& batch) { return batch.column(0); };
  source.time.lateness = Duration::Seconds(0);
  add("generator", "generator", std::move(source));
  for (int h = 0; h < hops; ++h) {
    BoundOperator pass;
    pass.outputs = {{"", schema, OutputOrder::kInputOrder, {}}};
    pass.instantiate = [] { return std::make_unique<Pass>(); };
    add("hop" + std::to_string(h), "pass", OperatorNode{std::move(pass)});
  }
  if (with_table) {
    BoundOperator table;
    table.outputs = {{"", schema, OutputOrder::kInputOrder, {}}};
    table.key = std::vector<int>{1};
    table.instantiate = [schema] { return std::make_unique<Table>(schema); };
    add("table", "table", OperatorNode{std::move(table)});
  }
  SinkNode sink;
  sink.bound.blocking = false;
  sink.bound.restartable = true;
  sink.bound.make_sink = [meter] { return std::make_unique<MeterSink>(meter); };
  add("meter", "meter", std::move(sink));
  return spec;
}

}  // namespace freshet::bench
