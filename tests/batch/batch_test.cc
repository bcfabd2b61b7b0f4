#include "engine/batch/batch.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/base/queue.h"
#include "engine/base/rng.h"
#include "engine/batch/column_builder.h"

namespace freshet {
namespace {

constexpr TypeId kTypes[] = {TypeId::kBool,      TypeId::kInt64,       TypeId::kFloat64, TypeId::kString,
                             TypeId::kTimestamp, TypeId::kListFloat64, TypeId::kJson};

/// A cell as text: what two columns must agree on, whatever their buffers look like.
std::optional<std::string> CellOf(const Column& column, int32_t row) {
  if (column.IsNull(row)) return std::nullopt;
  switch (column.type()) {
    case TypeId::kBool:
      return column.BoolAt(row) ? "t" : "f";
    case TypeId::kInt64:
    case TypeId::kTimestamp:
      return std::to_string(column.int64s()[row]);
    case TypeId::kFloat64:
      return std::to_string(column.float64s()[row]);
    case TypeId::kString:
    case TypeId::kJson:
      return std::string(column.StringAt(row));
    case TypeId::kListFloat64: {
      std::string text;
      for (const double v : column.ListAt(row)) text += std::to_string(v) + " ";
      return text;
    }
  }
  return std::nullopt;
}

void AppendRandom(ColumnBuilder& builder, Rng& rng) {
  switch (builder.type()) {
    case TypeId::kBool:
      return builder.AppendBool(rng.Below(2) == 1);
    case TypeId::kInt64:
    case TypeId::kTimestamp:
      return builder.AppendInt64(static_cast<int64_t>(rng.Next()));
    case TypeId::kFloat64:
      return builder.AppendFloat64(rng.NextNormal());
    case TypeId::kString:
    case TypeId::kJson:
      return builder.AppendString(std::string(rng.Below(20), static_cast<char>(rng.Below(256))));
    case TypeId::kListFloat64: {
      const std::vector<double> list(rng.Below(4), rng.NextDouble());
      return builder.AppendList(list);
    }
  }
}

enum class Shape { kDense, kSliced, kSelected, kAllNull };
constexpr Shape kShapes[] = {Shape::kDense, Shape::kSliced, Shape::kSelected, Shape::kAllNull};

/// One batch with a column of each type. Cells and meta data depend on the seed and shape only.
Batch MakeBatch(uint64_t seed, Shape shape, int32_t rows) {
  Rng rng(seed);
  const int32_t extra = shape == Shape::kSliced ? 3 : 0;  // an odd offset, so that bits do not fall on bytes
  std::vector<Field> fields;
  std::vector<Column> columns;
  for (const TypeId type : kTypes) {
    fields.push_back({TypeName(type), type});
    ColumnBuilder builder(type);
    for (int32_t row = 0; row < rows + 2 * extra; ++row) {
      if (shape == Shape::kAllNull || rng.Below(5) == 0)
        builder.AppendNull();
      else
        AppendRandom(builder, rng);
    }
    columns.push_back(builder.Finish());
  }
  RowMeta meta;
  meta.times = AllocateBuffer(int64_t{8} * (rows + 2 * extra));
  for (int32_t row = 0; row < rows + 2 * extra; ++row) meta.times.as<int64_t>()[row] = 1000 + row;
  meta.watermark = EventTime{500};
  meta.first_ordinal = Ordinal::Of(3, 70);
  Batch batch(std::make_shared<Schema>(fields), columns, rows + 2 * extra, meta);
  if (shape == Shape::kSliced) return batch.Slice(extra, rows);
  if (shape == Shape::kSelected) {
    Selection selection{AllocateBuffer(int64_t{4} * rows), 0};
    for (int32_t row = 0; row < rows; ++row)
      if (rng.Below(3) == 0) selection.indices.as<int32_t>()[selection.count++] = row;
    return batch.WithSelection(selection);
  }
  return batch;
}

std::vector<int32_t> RowsOf(const Batch& batch) {
  std::vector<int32_t> rows;
  for (int32_t i = 0; i < batch.row_count(); ++i)
    rows.push_back(batch.has_selection() ? batch.selection().indices.as<int32_t>()[i] : i);
  return rows;
}

/// Row `a_row` of `a` equals row `b_row` of `b`, meta data included (but for the position).
void CheckSameRow(const Batch& a, int32_t a_row, const Batch& b, int32_t b_row) {
  for (int c = 0; c < a.column_count(); ++c) REQUIRE(CellOf(a.column(c), a_row) == CellOf(b.column(c), b_row));
  REQUIRE(a.time(a_row) == b.time(b_row));
  REQUIRE(a.ordinal(a_row) == b.ordinal(b_row));
  REQUIRE(a.row_watermark(a_row) == b.row_watermark(b_row));
}

TEST_CASE("Batch_EveryShape_KeepsItsRowsThroughEveryDerivation") {
  for (const Shape shape : kShapes) {
    for (const int32_t rows : {1, 7, 64, 500}) {
      CAPTURE(static_cast<int>(shape));
      CAPTURE(rows);
      const Batch batch = MakeBatch(17, shape, rows);
      const std::vector<int32_t> live = RowsOf(batch);
      const Batch dense = batch.Dense();
      REQUIRE_FALSE(dense.has_selection());
      REQUIRE(dense.row_count() == static_cast<int32_t>(live.size()));
      for (size_t i = 0; i < live.size(); ++i) CheckSameRow(batch, live[i], dense, static_cast<int32_t>(i));
      if (live.empty()) continue;

      std::vector<int32_t> backwards(live.rbegin(), live.rend());
      backwards.push_back(live.front());  // a row may be taken twice
      const Batch taken = batch.Take(backwards.data(), static_cast<int32_t>(backwards.size()));
      for (size_t i = 0; i < backwards.size(); ++i) CheckSameRow(batch, backwards[i], taken, static_cast<int32_t>(i));

      const int32_t half = dense.row_count() / 2;
      const Batch joined = ConcatBatches({dense.Slice(0, half), dense.Slice(half, dense.row_count() - half), taken});
      REQUIRE(joined.row_count() == dense.row_count() + taken.row_count());
      for (int32_t i = 0; i < dense.row_count(); ++i) CheckSameRow(dense, i, joined, i);
      for (int32_t i = 0; i < taken.row_count(); ++i) CheckSameRow(taken, i, joined, dense.row_count() + i);

      const Batch wider = batch.WithAppended(std::make_shared<Schema>(batch.schema()->With({{"more", TypeId::kInt64}})),
                                             {NullColumn(TypeId::kInt64, batch.physical_row_count())});
      REQUIRE(wider.row_count() == batch.row_count());
      for (const int32_t row : live) CheckSameRow(batch, row, wider, row);
      REQUIRE(wider.column(wider.column_count() - 1).CountNulls() == batch.physical_row_count());
      REQUIRE(batch.ByteSize() > 0);
    }
  }
}

TEST_CASE("Batch_SliceOfSlice_CountsFromTheInnerOne") {
  const Batch batch = MakeBatch(1, Shape::kDense, 100);
  const Batch inner = batch.Slice(9, 80).Slice(13, 20);
  for (int32_t i = 0; i < 20; ++i) CheckSameRow(batch, 22 + i, inner, i);
  CHECK(inner.ordinal(0) == Ordinal::Of(3, 92));
  CHECK(inner.ordinal(0).partition() == 3);
}

TEST_CASE("Batch_Hold_LivesUntilTheLastDerivationIsGone") {
  bool released = false;
  Batch::Hold hold(&released, [](const void* flag) { *static_cast<bool*>(const_cast<void*>(flag)) = true; });
  Batch batch = MakeBatch(1, Shape::kDense, 10).WithHold(std::move(hold));
  const int32_t row = 2;
  Batch taken = batch.Take(&row, 1);
  Batch joined = ConcatBatches({batch.Slice(0, 5), taken});
  const Batch kept = batch.Detached();
  batch = Batch();
  taken = Batch();
  CHECK_FALSE(released);
  joined = Batch();
  CHECK(released);
  CHECK(kept.row_count() == 10);
}

TEST_CASE("ColumnBuilder_ReusedAndTruncated_StartsClean") {
  for (const TypeId type : kTypes) {
    CAPTURE(TypeName(type));
    Rng rng(5);
    ColumnBuilder builder(type);
    for (int i = 0; i < 100; ++i) AppendRandom(builder, rng);
    builder.AppendNull();
    builder.Truncate(40);
    for (int i = 0; i < 30; ++i) AppendRandom(builder, rng);
    const Column first = builder.Finish();
    CHECK(first.length() == 70);
    CHECK(first.CountNulls() == 0);
    const Column empty = builder.Finish();
    CHECK(empty.length() == 0);
    CHECK(empty.ByteSize() >= 0);
    Rng again(5);
    ColumnBuilder other(type, 5000);
    for (int i = 0; i < 40; ++i) AppendRandom(other, again);
    builder.AppendNull();
    builder.AppendSlice(first, 0, 40);
    const Column second = builder.Finish();
    const Column expected = other.Finish();
    CHECK(second.IsNull(0));
    for (int32_t i = 0; i < 40; ++i) REQUIRE(CellOf(second, i + 1) == CellOf(expected, i));
    CHECK(ConcatColumns(type, std::vector<Column>{empty, second, empty}).length() == 41);
  }
}

TEST_CASE("Schema_Names_AreFoundAndGuessed") {
  const Schema schema({{"video_id", TypeId::kString}, {"views", TypeId::kInt64}});
  CHECK(schema.Find("views") == 1);
  CHECK_FALSE(schema.Find("view").has_value());
  CHECK(schema.Nearest("veiws") == "views");
  CHECK(schema.ToString() == "video_id: string, views: int64");
  for (const TypeId type : kTypes) CHECK(ParseTypeName(TypeName(type)) == type);
}

TEST_CASE("BufferPool_ManyThreads_NeverGiveOneBufferTwice") {
  constexpr int kThreads = 4;
  MpmcQueue<BufferRef> exchange;  // buffers die on other threads than they were born on
  std::atomic<int> broken{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      Rng rng(static_cast<uint64_t>(t));
      for (int i = 0; i < 5000; ++i) {
        const auto bytes = static_cast<int64_t>(1 + rng.Below(6000));
        BufferRef buffer = AllocateBuffer(bytes);
        const auto mark = static_cast<uint8_t>(rng.Next());
        std::memset(buffer->data(), mark, static_cast<size_t>(bytes));
        const BufferRef copy = buffer;
        if (BufferRef other; rng.Below(2) == 0 && exchange.TryPop(other)) broken += other->capacity() < 1 ? 1 : 0;
        broken += buffer->data()[0] != mark || buffer->data()[bytes - 1] != mark || buffer.unique() ? 1 : 0;
        broken += reinterpret_cast<uintptr_t>(buffer->data()) % 64 != 0 || buffer->capacity() < bytes ? 1 : 0;
        if (rng.Below(2) == 0) exchange.Push(std::move(buffer));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(broken == 0);
  CHECK(GetBufferPoolStats().recycled_count > 0);
  CHECK(GetBufferPoolStats().allocated_bytes > 0);
  BufferRef large = AllocateBuffer(int64_t{5} << 20);  // beyond the size classes
  CHECK(large->capacity() >= int64_t{5} << 20);
}

TEST_CASE("ColumnBuilder_FewRowsWhereManyWereExpected_TakesLittleMemory") {
  ColumnBuilder numbers(TypeId::kInt64, 4096), texts(TypeId::kString, 4096), truths(TypeId::kBool, 65536);
  for (int i = 0; i < 10; ++i) {
    numbers.AppendInt64(i);
    texts.AppendString("text " + std::to_string(i));
    truths.AppendBool(i % 3 == 0);
  }
  numbers.AppendNull();
  const Column n = numbers.Finish(), t = texts.Finish(), b = truths.Finish();
  CHECK(n.values_buffer()->capacity() + n.validity_buffer()->capacity() < 3000);
  CHECK(t.values_buffer()->capacity() + t.offsets_buffer()->capacity() < 3000);
  CHECK(b.values_buffer()->capacity() < 3000);
  CHECK(n.IsNull(10));
  for (int i = 0; i < 10; ++i) {
    CHECK(n.int64s()[i] == i);
    CHECK(t.StringAt(i) == "text " + std::to_string(i));
    CHECK(b.BoolAt(i) == (i % 3 == 0));
  }
}

}  // namespace
}  // namespace freshet
