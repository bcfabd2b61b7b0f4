#include "tests/support/flow_nodes.h"

#include <map>
#include <set>

#include "engine/base/rng.h"
#include "engine/base/units.h"
#include "engine/batch/column_builder.h"
#include "engine/batch/key_codec.h"

namespace freshet::testing {
namespace {

class NumbersReader final : public Source {
 public:
  explicit NumbersReader(NumbersOptions options) : options_(options) {}
  Status Open(const SourceOpenContext& ctx) override {
    next_.assign(static_cast<size_t>(options_.partitions), 0);
    for (size_t p = 0; p < ctx.restored.size(); ++p)
      if (!ctx.restored[p].position.empty()) next_[p] = ByteSource(ctx.restored[p].position).GetI64();
    return Status::Ok();
  }
  std::vector<std::string> Partitions() const override {
    std::vector<std::string> names;
    for (int p = 0; p < options_.partitions; ++p) names.push_back("part-" + std::to_string(p));
    return names;
  }
  Result<PollOutcome> Poll(const PollBudget& budget, RawChunk* chunk) override {
    for (int p = 0; p < options_.partitions; ++p) {
      int64_t& next = next_[static_cast<size_t>(p)];
      if (next >= options_.rows) continue;
      const int64_t count = std::max<int64_t>(1, std::min({options_.rows - next, options_.chunk_rows, budget.rows}));
      chunk->partition = static_cast<uint32_t>(p);
      chunk->numbers[0] = next;
      chunk->numbers[1] = count;
      chunk->row_count_hint = count;
      chunk->size = count * 24;
      next += count;
      ByteSink position;
      position.PutI64(next);
      chunk->position_after = position.Take();
      chunk->partition_end = next == options_.rows;
      return PollOutcome::kChunk;
    }
    return PollOutcome::kEnd;
  }

 private:
  const NumbersOptions options_;
  std::vector<int64_t> next_;
};

class NumbersDecoder final : public Decoder {
 public:
  explicit NumbersDecoder(NumbersOptions options) : options_(options) {}
  void Decode(const RawChunk& chunk, DecodedBlock* block) override {
    ColumnBuilder at(TypeId::kTimestamp), k(TypeId::kInt64), v(TypeId::kFloat64);
    for (int64_t i = 0; i < chunk.numbers[1]; ++i) {
      const NumbersRow row = NumbersRowAt(options_, static_cast<int>(chunk.partition), chunk.numbers[0] + i);
      at.AppendInt64(row.at_us);
      k.AppendInt64(row.k);
      v.AppendFloat64(row.v);
    }
    block->row_count = static_cast<int32_t>(chunk.numbers[1]);
    block->record_count = chunk.numbers[1];
    block->columns = {at.Finish(), k.Finish(), v.Finish()};
  }

 private:
  const NumbersOptions options_;
};

class Collector final : public Sink {
 public:
  explicit Collector(std::shared_ptr<Collected> into) : into_(std::move(into)) {}
  Status Open(const SinkOpenContext& ctx) override {
    const uint64_t committed = ctx.restored_epoch.number > 0 ? ByteSource(ctx.committed).GetU64() : 0;
    if (into_->lines.size() < committed) return Status::DataLoss("output is shorter than what was committed");
    into_->lines.resize(committed);
    return Status::Ok();
  }
  Status Write(const Batch& batch, int64_t first_ordinal) override {
    if (static_cast<size_t>(first_ordinal) != into_->lines.size())
      return Status::Internal("rows were numbered wrongly at the sink");
    for (int32_t row = 0; row < batch.row_count(); ++row) into_->lines.push_back(RowText(batch, row));
    return Status::Ok();
  }
  Result<std::string> PrepareCommit(Epoch) override {
    ByteSink sink;
    sink.PutU64(into_->lines.size());
    return sink.Take();
  }

 private:
  std::shared_ptr<Collected> into_;
};

class Publisher final : public Sink {
 public:
  explicit Publisher(std::shared_ptr<Published> into) : into_(std::move(into)) {}
  Status Open(const SinkOpenContext& ctx) override {
    PublishUpTo(ctx.restored_epoch.number);
    into_->staged.clear();
    const uint64_t committed = ctx.restored_epoch.number > 0 ? ByteSource(ctx.committed).GetU64() : 0;
    if (into_->lines.size() == committed) return Status::Ok();
    return Status::DataLoss(std::to_string(into_->lines.size()) + " rows are public and " + std::to_string(committed) +
                            " are committed");
  }
  Status Write(const Batch& batch, int64_t first_ordinal) override {
    if (static_cast<size_t>(first_ordinal) != count())
      return Status::Internal("rows were numbered wrongly at the sink");
    for (int32_t row = 0; row < batch.row_count(); ++row) pending_.push_back(RowText(batch, row));
    return Status::Ok();
  }
  Result<std::string> PrepareCommit(Epoch epoch) override {
    into_->staged[epoch.number] = std::exchange(pending_, {});
    ByteSink sink;
    sink.PutU64(count());
    return sink.Take();
  }
  Status Commit(Epoch epoch) override {
    PublishUpTo(epoch.number);
    return Status::Ok();
  }

 private:
  size_t count() const {
    size_t count = into_->lines.size() + pending_.size();
    for (const auto& [epoch, rows] : into_->staged) count += rows.size();
    return count;
  }
  void PublishUpTo(uint64_t epoch) {
    auto& staged = into_->staged;
    for (; !staged.empty() && staged.begin()->first <= epoch; staged.erase(staged.begin()))
      into_->lines.insert(into_->lines.end(), staged.begin()->second.begin(), staged.begin()->second.end());
  }

  std::shared_ptr<Published> into_;
  std::vector<std::string> pending_;
};

class DropMultiplesOperator final : public Operator {
 public:
  explicit DropMultiplesOperator(int64_t modulus) : modulus_(modulus) {}
  Status Open(OpenContext& ctx) override {
    counters_ = &ctx.counters();
    return Status::Ok();
  }
  Status ProcessBatch(InputIndex, const Batch& in, Emitter& out) override {
    Selection selection{AllocateBuffer(int64_t{4} * in.physical_row_count()), 0};
    for (int32_t i = 0; i < in.row_count(); ++i) {
      const int32_t row = in.has_selection() ? in.selection().indices.as<int32_t>()[i] : i;
      if (in.column(1).int64s()[row] % modulus_ != 0)
        selection.indices.as<int32_t>()[selection.count++] = row;
      else
        ++counters_->filtered;
    }
    out.Emit(in.WithSelection(std::move(selection)));
    return Status::Ok();
  }

 private:
  const int64_t modulus_;
  NodeCounters* counters_ = nullptr;
};

struct CountCell {
  int64_t n = 0;
  void Encode(ByteSink& sink) const { sink.PutI64(n); }
  bool Decode(ByteSource& source, uint16_t) {
    n = source.GetI64();
    return true;
  }
};

class RunningCountOperator final : public Operator {
 public:
  explicit RunningCountOperator(SchemaRef in, SchemaRef out) : codec_(*in, {1}), schema_(std::move(out)) {}
  Status Open(OpenContext& ctx) override {
    FRESHET_ASSIGN_OR_RETURN(cells_, ctx.state().OpenKeyed<CountCell>("count", {1, "k"}));
    return Status::Ok();
  }
  Status ProcessBatch(InputIndex, const Batch& in, Emitter& out) override {
    keys_.Encode(codec_, in);
    ColumnBuilder n(TypeId::kInt64, in.row_count());
    for (int32_t row = 0; row < in.row_count(); ++row)
      n.AppendInt64(++cells_->FindOrCreate(keys_.hash(row), keys_.key(row)).n);
    out.Emit(in.WithAppended(schema_, {n.Finish()}));
    return Status::Ok();
  }

 private:
  KeyCodec codec_;
  SchemaRef schema_;
  EncodedKeys keys_;
  KeyedTable<CountCell>* cells_ = nullptr;
};

struct WindowCell {
  std::map<int64_t, std::pair<int64_t, double>> panes;  // end -> count, sum
  void Encode(ByteSink& sink) const {
    sink.PutVarint(panes.size());
    for (const auto& [end, pane] : panes) {
      sink.PutI64(end);
      sink.PutI64(pane.first);
      sink.PutF64(pane.second);
    }
  }
  bool Decode(ByteSource& source, uint16_t) {
    for (uint64_t n = source.GetVarint(); n > 0; --n) {
      const int64_t end = source.GetI64();
      const int64_t count = source.GetI64();
      panes[end] = {count, source.GetF64()};
    }
    return source.ok();
  }
};

class CountWindowOperator final : public Operator {
 public:
  CountWindowOperator(SchemaRef in, SchemaRef out, SchemaRef late, Duration width)
      : codec_(*in, {1}), schema_(std::move(out)), late_schema_(std::move(late)), width_us_(width.us) {}
  Status Open(OpenContext& ctx) override {
    counters_ = &ctx.counters();
    row_count_max_ = ctx.batch_row_count_max();
    FRESHET_ASSIGN_OR_RETURN(cells_, ctx.state().OpenKeyed<WindowCell>("panes", {1, "k"}));
    cells_->ForEach([&](std::string_view key, WindowCell& cell) {
      for (const auto& [end, pane] : cell.panes) due_[end].insert(std::string(key));
      counters_->panes_open += static_cast<int64_t>(cell.panes.size());
    });
    return Status::Ok();
  }
  Status ProcessBatch(InputIndex, const Batch& in, Emitter& out) override {
    keys_.Encode(codec_, in);
    std::vector<int32_t> late;
    for (int32_t row = 0; row < in.row_count(); ++row) {
      const int64_t end = (in.time(row).us / width_us_ + 1) * width_us_;
      if (end <= in.row_watermark(row).us) {
        late.push_back(row);
        continue;
      }
      WindowCell& cell = cells_->FindOrCreate(keys_.hash(row), keys_.key(row));
      auto [at, fresh] = cell.panes.try_emplace(end);
      if (fresh) {
        due_[end].insert(std::string(keys_.key(row)));
        ++counters_->panes_opened;
        ++counters_->panes_open;
      }
      ++at->second.first;
      at->second.second += in.column(2).float64s()[row];
      ++counters_->absorbed;
    }
    if (late.empty()) return Status::Ok();
    counters_->late += static_cast<int64_t>(late.size());
    out.Emit(in.Take(late.data(), static_cast<int32_t>(late.size())), 1);
    return Status::Ok();
  }
  Result<Progress> OnWatermark(EventTime now, Emitter& out) override {
    ColumnBuilder end(TypeId::kTimestamp), count(TypeId::kInt64), sum(TypeId::kFloat64);
    std::vector<ColumnBuilder> key;
    key.emplace_back(TypeId::kInt64);
    int32_t rows = 0;
    while (!due_.empty() && due_.begin()->first <= now.us && rows < row_count_max_) {
      auto& keys = due_.begin()->second;
      const std::string k = *keys.begin();
      WindowCell& cell = cells_->FindOrCreate(HashKey(k), k);
      const auto pane = cell.panes.begin();
      end.AppendInt64(pane->first);
      codec_.Decode(k, key);
      count.AppendInt64(pane->second.first);
      sum.AppendFloat64(pane->second.second);
      cell.panes.erase(pane);
      if (cell.panes.empty()) cells_->Erase(HashKey(k), k);
      keys.erase(keys.begin());
      if (keys.empty()) due_.erase(due_.begin());
      ++rows;
    }
    if (rows == 0) return Progress::kDone;
    counters_->panes_emitted += rows;
    counters_->panes_open -= rows;
    RowMeta meta;
    meta.times = AllocateBuffer(int64_t{8} * rows);
    const Column ends = end.Finish();
    for (int32_t i = 0; i < rows; ++i) meta.times.as<int64_t>()[i] = ends.int64s()[i] - 1;
    meta.watermarks = meta.times;
    out.Emit(Batch(schema_, {ends, key[0].Finish(), count.Finish(), sum.Finish()}, rows, std::move(meta)));
    return due_.empty() || due_.begin()->first > now.us ? Progress::kDone : Progress::kMore;
  }

 private:
  KeyCodec codec_;
  SchemaRef schema_, late_schema_;
  const int64_t width_us_;
  EncodedKeys keys_;
  KeyedTable<WindowCell>* cells_ = nullptr;
  std::map<int64_t, std::set<std::string>> due_;
  NodeCounters* counters_ = nullptr;
  int32_t row_count_max_ = 0;
};

class RunningSumOperator final : public Operator {
 public:
  explicit RunningSumOperator(SchemaRef out) : schema_(std::move(out)) {}
  Status Open(OpenContext& ctx) override {
    if (!ctx.state().extra().empty()) sum_ = ByteSource(ctx.state().extra()).GetF64();
    return Status::Ok();
  }
  Status ProcessBatch(InputIndex, const Batch& in, Emitter& out) override {
    ColumnBuilder s(TypeId::kFloat64, in.row_count());
    for (int32_t row = 0; row < in.row_count(); ++row)
      s.AppendFloat64(sum_ = sum_ * 0.99 + in.column(2).float64s()[row]);
    out.Emit(in.WithAppended(schema_, {s.Finish()}));
    return Status::Ok();
  }
  Status SnapshotExtra(ByteSink& sink) override {
    sink.PutF64(sum_);
    return Status::Ok();
  }

 private:
  SchemaRef schema_;
  double sum_ = 0;
};

SchemaRef With(const SchemaRef& schema, std::vector<Field> fields) {
  return std::make_shared<const Schema>(schema->With(fields));
}

NodeSpec OperatorSpec(const std::string& id, const char* type, PortRef input, BoundOperator bound) {
  NodeSpec node;
  node.id = id;
  node.type = type;
  node.inputs = {input};
  node.kind = OperatorNode{std::move(bound)};
  return node;
}

}  // namespace

SchemaRef NumbersSchema() {
  static const SchemaRef schema = std::make_shared<const Schema>(
      std::vector<Field>{{"at", TypeId::kTimestamp}, {"k", TypeId::kInt64}, {"v", TypeId::kFloat64}});
  return schema;
}

NumbersRow NumbersRowAt(const NumbersOptions& options, int partition, int64_t row) {
  Rng rng(Mix64(options.seed * 1000003 + static_cast<uint64_t>(partition)) ^ static_cast<uint64_t>(row));
  NumbersRow out;
  out.at_us = 1600000000000000 + row * options.step_us;
  if (options.jitter_us > 0) out.at_us -= static_cast<int64_t>(rng.Below(static_cast<uint64_t>(options.jitter_us)));
  out.k = static_cast<int64_t>(rng.Below(static_cast<uint64_t>(options.keys)));
  out.v = rng.NextDouble() * 10 - 3;
  return out;
}

NodeSpec NumbersSource(const std::string& id, const NumbersOptions& options) {
  SourceNode source;
  source.bound.schema = NumbersSchema();
  source.bound.bounded = true;
  source.bound.make_source = [options] { return std::make_unique<NumbersReader>(options); };
  source.bound.make_decoder = [options] { return std::make_unique<NumbersDecoder>(options); };
  source.time.evaluate = [](const Batch& batch) { return batch.column(0); };
  source.time.text = "at";
  source.time.lateness = options.lateness;
  NodeSpec node;
  node.id = id;
  node.type = "numbers";
  node.kind = std::move(source);
  return node;
}

std::string RowText(const Batch& batch, int32_t row) {
  std::string text = FormatTime(batch.time(row));
  for (const Column& c : batch.columns()) {
    text += '|';
    if (c.IsNull(row))
      text += "null";
    else if (IsInt64Like(c.type()))
      text += std::to_string(c.int64s()[row]);
    else if (IsStringLike(c.type()))
      text += c.StringAt(row);
    else if (c.type() == TypeId::kBool)
      text += c.BoolAt(row) ? "true" : "false";
    else {
      char number[40];
      std::snprintf(number, sizeof number, "%.17g", c.float64s()[row]);
      text += number;
    }
  }
  return text;
}

namespace {
NodeSpec SinkSpec(const std::string& id, const char* type, std::vector<PortRef> inputs,
                  std::function<std::unique_ptr<Sink>()> make_sink) {
  SinkNode sink;
  sink.bound.delivery = Delivery::kExactlyOnce;
  sink.bound.blocking = false;
  sink.bound.make_sink = std::move(make_sink);
  NodeSpec node;
  node.id = id;
  node.type = type;
  node.inputs = std::move(inputs);
  node.kind = std::move(sink);
  return node;
}
}  // namespace

NodeSpec CollectSink(const std::string& id, std::vector<PortRef> inputs, std::shared_ptr<Collected> into) {
  return SinkSpec(id, "collect", std::move(inputs), [into] { return std::make_unique<Collector>(into); });
}

NodeSpec PublishSink(const std::string& id, std::vector<PortRef> inputs, std::shared_ptr<Published> into) {
  return SinkSpec(id, "publish", std::move(inputs), [into] { return std::make_unique<Publisher>(into); });
}

NodeSpec DropMultiples(const std::string& id, PortRef input, SchemaRef schema, int64_t modulus) {
  BoundOperator bound;
  bound.outputs = {{"", std::move(schema), OutputOrder::kInputOrder, {}}};
  bound.stateless = true;
  bound.accepts_selection = true;
  bound.instantiate = [modulus] { return std::make_unique<DropMultiplesOperator>(modulus); };
  return OperatorSpec(id, "drop", input, std::move(bound));
}

NodeSpec RunningCount(const std::string& id, PortRef input, SchemaRef schema, InputOrder order) {
  BoundOperator bound;
  const SchemaRef out = With(schema, {{id, TypeId::kInt64}});
  bound.outputs = {{"", out, OutputOrder::kInputOrder, {}}};
  if (order == InputOrder::kByEventTime)
    bound.outputs.push_back({"late", LateSchema(*schema), OutputOrder::kInputOrder, {}});
  bound.input_order = order;
  bound.key = std::vector<int>{1};
  bound.instantiate = [schema, out] { return std::make_unique<RunningCountOperator>(schema, out); };
  return OperatorSpec(id, "count", input, std::move(bound));
}

NodeSpec CountWindow(const std::string& id, PortRef input, SchemaRef schema, Duration width) {
  BoundOperator bound;
  const auto out = std::make_shared<const Schema>(std::vector<Field>{
      {"end", TypeId::kTimestamp}, {"k", TypeId::kInt64}, {"n", TypeId::kInt64}, {"sum", TypeId::kFloat64}});
  bound.outputs = {{"", out, OutputOrder::kByTime, {1}}, {"late", schema, OutputOrder::kInputOrder, {}}};
  bound.node_class = NodeClass::kStateful;
  bound.key = std::vector<int>{1};
  bound.instantiate = [schema, out, width] {
    return std::make_unique<CountWindowOperator>(schema, out, schema, width);
  };
  return OperatorSpec(id, "window", input, std::move(bound));
}

NodeSpec RunningSum(const std::string& id, PortRef input, SchemaRef schema) {
  BoundOperator bound;
  const SchemaRef out = With(schema, {{id, TypeId::kFloat64}});
  bound.outputs = {{"", out, OutputOrder::kInputOrder, {}}};
  bound.instantiate = [out] { return std::make_unique<RunningSumOperator>(out); };
  return OperatorSpec(id, "sum", input, std::move(bound));
}

SchemaRef SchemaOf(const NodeSpec& node, PortIndex port) {
  if (const auto* source = std::get_if<SourceNode>(&node.kind)) return source->bound.schema;
  return std::get<OperatorNode>(node.kind).bound.outputs[static_cast<size_t>(port)].schema;
}

}  // namespace freshet::testing
