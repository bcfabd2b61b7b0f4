#include "engine/cli/test_source.h"

#include <algorithm>
#include <numeric>

#include "engine/batch/column_builder.h"
#include "engine/cli/test_values.h"

namespace freshet::cli {
namespace {

constexpr const char* kAdvanceColumn = "__freshet_advance";

/// Position: "PIECE ROW", the next row to give.
class TestSource final : public Source {
 public:
  TestSource(std::shared_ptr<const TestFeedData> data, int32_t chunk_rows, bool with_advance, SchemaRef schema)
      : data_(std::move(data)), chunk_rows_(chunk_rows), with_advance_(with_advance), schema_(std::move(schema)) {}

  Status Open(const SourceOpenContext& ctx) override {
    if (!ctx.restored.empty()) {
      const std::string& position = ctx.restored[0].position;
      if (const size_t space = position.find(' '); space != std::string::npos) {
        piece_ = static_cast<size_t>(std::stoll(position.substr(0, space)));
        row_ = std::stoi(position.substr(space + 1));
      }
    }
    return Status::Ok();
  }
  std::vector<std::string> Partitions() const override { return {"test"}; }
  int64_t retry_after_us() const override { return 0; }

  Result<PollOutcome> Poll(const PollBudget& budget, RawChunk* chunk) override {
    while (piece_ < data_->pieces.size()) {
      const TestFeedData::Piece& piece = data_->pieces[piece_];
      if (piece.kind == TestStep::Kind::kIdle) {
        ++piece_;
        return PollOutcome::kNothing;
      }
      auto block = std::make_shared<DecodedBlock>();
      if (piece.kind == TestStep::Kind::kAdvance) {
        ++piece_;
        for (const Field& field : schema_->fields()) block->columns.push_back(NullColumn(field.type, 1));
        block->columns.back() = TimeColumn(piece.advance);
        block->row_count = 1;
      } else {
        const auto room = static_cast<int32_t>(std::clamp<int64_t>(budget.rows, 1, chunk_rows_));
        const int32_t count = std::min(room, piece.row_count - row_);
        for (const Column& column : piece.columns) block->columns.push_back(column.Slice(row_, count));
        if (with_advance_) block->columns.push_back(NullColumn(TypeId::kTimestamp, count));
        block->row_count = count;
        row_ += count;
        if (row_ == piece.row_count) {
          row_ = 0;
          ++piece_;
        }
      }
      block->record_count = block->row_count;
      chunk->finished = std::move(block);
      chunk->row_count_hint = chunk->finished->row_count;
      chunk->position_after = std::to_string(piece_) + " " + std::to_string(row_);
      return PollOutcome::kChunk;
    }
    if (piece_ > data_->pieces.size()) return PollOutcome::kEnd;
    // An empty chunk ends the partition: rows that wait for `max_jump` are settled by it.
    ++piece_;
    chunk->finished = std::make_shared<DecodedBlock>();
    for (const Field& field : schema_->fields()) chunk->finished->columns.push_back(NullColumn(field.type, 0));
    chunk->partition_end = true;
    chunk->position_after = std::to_string(piece_) + " 0";
    return PollOutcome::kChunk;
  }

 private:
  static Column TimeColumn(EventTime time) {
    ColumnBuilder builder(TypeId::kTimestamp, 1);
    builder.AppendInt64(time.us);
    return builder.Finish();
  }

  const std::shared_ptr<const TestFeedData> data_;
  const int32_t chunk_rows_;
  const bool with_advance_;
  const SchemaRef schema_;
  size_t piece_ = 0;
  int32_t row_ = 0;
};

/// Drops the rows that only moved time, and the hidden column.
class DropAdvances final : public Operator {
 public:
  explicit DropAdvances(SchemaRef schema) : schema_(std::move(schema)) {}
  Status Open(OpenContext& ctx) override {
    counters_ = &ctx.counters();
    return Status::Ok();
  }
  Status ProcessBatch(InputIndex, const Batch& in, Emitter& out) override {
    const Column& advance = in.column(in.column_count() - 1);
    std::vector<int32_t> rows;
    for (int32_t row = 0; row < in.row_count(); ++row)
      if (advance.IsNull(row)) rows.push_back(row);
    counters_->filtered += in.row_count() - static_cast<int32_t>(rows.size());
    if (rows.empty()) return Status::Ok();
    const Batch kept = in.Take(rows.data(), static_cast<int32_t>(rows.size()));
    std::vector<Column> columns(kept.columns().begin(), kept.columns().end() - 1);
    out.Emit(kept.WithColumns(schema_, std::move(columns)));
    return Status::Ok();
  }

 private:
  SchemaRef schema_;
  NodeCounters* counters_ = nullptr;
};

/// The source's own time expression; rows that only move time get what moves the watermark to their promise.
std::function<Column(const Batch&)> WithAdvances(const TimeSpec& time, SchemaRef inner) {
  return [evaluate = time.evaluate, lateness = time.lateness, inner](const Batch& batch) {
    const Column advance = batch.column(batch.column_count() - 1);
    std::vector<Column> columns(batch.columns().begin(), batch.columns().end() - 1);
    const Column times = evaluate(batch.WithColumns(inner, std::move(columns)));
    ColumnBuilder builder(TypeId::kTimestamp, batch.row_count());
    for (int32_t row = 0; row < batch.row_count(); ++row) {
      if (advance.IsValid(row))
        builder.AppendInt64((EventTime{advance.int64s()[row]} + lateness).us);
      else
        builder.AppendFrom(times, row);
    }
    return builder.Finish();
  };
}

std::string PlaceOf(const SourceSpan& span) {
  return (span.text ? span.text->name : "") + ":" + std::to_string(span.line) + ":" + std::to_string(span.column);
}

}  // namespace

Result<TestFeedData> BuildFeed(const TestFeed& feed, const Schema& schema) {
  TestFeedData data;
  std::vector<ColumnBuilder> builders;
  for (const Field& field : schema.fields()) builders.emplace_back(field.type);
  const auto flush = [&] {
    if (builders.empty() || builders[0].length() == 0) return;
    TestFeedData::Piece piece;
    piece.row_count = builders[0].length();
    for (ColumnBuilder& builder : builders) piece.columns.push_back(builder.Finish());
    data.pieces.push_back(std::move(piece));
  };
  for (const TestStep& step : feed.steps) {
    if (step.kind != TestStep::Kind::kRow) {
      flush();
      TestFeedData::Piece piece;
      piece.kind = step.kind;
      piece.advance = step.advance;
      data.has_advance = data.has_advance || step.kind == TestStep::Kind::kAdvance;
      data.has_idle = data.has_idle || step.kind == TestStep::Kind::kIdle;
      data.pieces.push_back(std::move(piece));
      continue;
    }
    for (int c = 0; c < schema.size(); ++c) {
      const ConfigValue* value = nullptr;
      for (const ConfigValue::Entry& cell : step.row.cells)
        if (cell.key.value == schema.field(c).name) value = &cell.value;
      if (value == nullptr) {
        builders[static_cast<size_t>(c)].AppendNull();
      } else if (const Status status = AppendTestValue(*value, &builders[static_cast<size_t>(c)]); !status.ok()) {
        return Status::InvalidArgument(PlaceOf(value->span()) + ": " + schema.field(c).name + ": " + status.message());
      }
    }
  }
  flush();
  return data;
}

PortRef AddTestSource(const NodeSpec& original, std::shared_ptr<const TestFeedData> data, int32_t chunk_rows,
                      GraphSpec* spec, int* source_index) {
  NodeSpec node = original;
  auto& source = std::get<SourceNode>(node.kind);
  const SchemaRef inner = source.bound.schema;
  const bool advances = data->has_advance && source.time.evaluate;
  if (advances) {
    source.bound.schema = std::make_shared<Schema>(inner->With({{kAdvanceColumn, TypeId::kTimestamp}}));
    source.time.evaluate = WithAdvances(source.time, inner);
  }
  source.bound.bounded = !data->has_idle;
  source.time.idle = Duration();
  // The clock has nothing to say about the times of a test.
  source.time.max_future.reset();
  source.bound.make_decoder = nullptr;
  source.bound.make_source = [data, chunk_rows, advances, schema = source.bound.schema] {
    return std::make_unique<TestSource>(data, chunk_rows, advances, schema);
  };
  *source_index = static_cast<int>(spec->nodes.size());
  spec->nodes.push_back(std::move(node));
  if (!advances) return {*source_index, 0};

  NodeSpec strip;
  strip.id = original.id + ".test";
  strip.type = "test";
  strip.inputs = {{*source_index, 0}};
  OperatorNode op;
  op.bound.outputs = {OutputPort{"", inner, OutputOrder::kInputOrder, {}}};
  op.bound.stateless = true;
  op.bound.instantiate = [inner] { return std::make_unique<DropAdvances>(inner); };
  strip.kind = std::move(op);
  spec->nodes.push_back(std::move(strip));
  return {*source_index + 1, 0};
}

}  // namespace freshet::cli
