#include "tests/support/paced_source.h"

#include <algorithm>

#include "engine/base/bytes.h"
#include "engine/base/rng.h"
#include "engine/batch/column_builder.h"
#include "tests/support/flow_nodes.h"

namespace freshet::testing {
namespace {

class PacedReader final : public Source {
 public:
  explicit PacedReader(PacedOptions options) : options_(std::move(options)) {}
  Status Open(const SourceOpenContext& ctx) override {
    next_.assign(static_cast<size_t>(options_.partitions), 0);
    for (size_t p = 0; p < ctx.restored.size(); ++p)
      if (!ctx.restored[p].position.empty()) next_[p] = ByteSource(ctx.restored[p].position).GetI64();
    return Status::Ok();
  }
  Result<bool> HasMore(const SourceOpenContext& ctx) override {
    FRESHET_RETURN_IF_ERROR(Open(ctx));
    return std::any_of(next_.begin(), next_.end(), [&](int64_t next) { return next < options_.rows; });
  }
  std::vector<std::string> Partitions() const override {
    std::vector<std::string> names;
    for (int p = 0; p < options_.partitions; ++p) names.push_back("part-" + std::to_string(p));
    return names;
  }
  Result<PollOutcome> Poll(const PollBudget& budget, RawChunk* chunk) override {
    if (options_.by_time) return budget.partition < 0 ? PollOutcome::kEnd : Give(budget.partition, budget, chunk);
    bool any_left = false;
    for (int tried = 0; tried < options_.partitions; ++tried) {
      const int p = options_.live ? static_cast<int>(turn_++ % static_cast<uint64_t>(options_.partitions)) : tried;
      if (next_[static_cast<size_t>(p)] >= options_.rows) continue;
      any_left = true;
      if (options_.quiet_seed != 0 && Mix64(options_.quiet_seed + ++asked_) % options_.quiet_in == 0) {
        quiet_.push_back(static_cast<uint32_t>(p));
        continue;
      }
      return Give(p, budget, chunk);
    }
    return any_left ? PollOutcome::kNothing : PollOutcome::kEnd;
  }
  std::optional<std::vector<uint32_t>> TakeQuiet() override { return std::exchange(quiet_, {}); }

 private:
  PollOutcome Give(int p, const PollBudget& budget, RawChunk* chunk) {
    int64_t& next = next_[static_cast<size_t>(p)];
    const int64_t count = std::min({options_.rows - next, options_.chunk_rows, std::max<int64_t>(1, budget.rows)});
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

  const PacedOptions options_;
  std::vector<int64_t> next_;
  std::vector<uint32_t> quiet_;
  uint64_t turn_ = 0;
  uint64_t asked_ = 0;
};

class PacedDecoder final : public Decoder {
 public:
  explicit PacedDecoder(PacedOptions options) : options_(std::move(options)) {}
  void Decode(const RawChunk& chunk, DecodedBlock* block) override {
    ColumnBuilder at(TypeId::kTimestamp), k(TypeId::kInt64), v(TypeId::kFloat64);
    for (int64_t i = chunk.numbers[0]; i < chunk.numbers[0] + chunk.numbers[1]; ++i) {
      at.AppendInt64(options_.at(static_cast<int>(chunk.partition), i));
      k.AppendInt64(i % options_.keys);
      v.AppendFloat64(static_cast<double>(i));
      if (options_.on_decode) options_.on_decode(options_.at(static_cast<int>(chunk.partition), i));
    }
    block->row_count = static_cast<int32_t>(chunk.numbers[1]);
    block->record_count = chunk.numbers[1];
    block->columns = {at.Finish(), k.Finish(), v.Finish()};
  }

 private:
  const PacedOptions options_;
};

}  // namespace

NodeSpec PacedSource(const std::string& id, const PacedOptions& options) {
  SourceNode source;
  source.bound.schema = NumbersSchema();
  source.bound.bounded = !options.live;
  source.bound.by_time = options.by_time;
  source.bound.make_source = [options] { return std::make_unique<PacedReader>(options); };
  source.bound.make_decoder = [options] { return std::make_unique<PacedDecoder>(options); };
  if (options.timed) source.time.evaluate = [](const Batch& batch) { return batch.column(0); };
  source.time.text = "at";
  source.time.lateness = options.lateness;
  source.time.idle = options.idle;
  source.credit_rows = options.credit_rows;
  source.on_overflow = options.on_overflow;
  NodeSpec node;
  node.id = id;
  node.type = "paced";
  node.kind = std::move(source);
  return node;
}

}  // namespace freshet::testing
