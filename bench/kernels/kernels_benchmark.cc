// Small parts of the hot path on their own, each beside the plain loop that it replaces.
//   cmake --build --preset release --target freshet_benchmark && build/release/bin/freshet_benchmark
#include <benchmark/benchmark.h>

#include <string>

#include "connectors/format/kernels/count_lines.h"
#include "engine/base/rng.h"
#include "engine/batch/batch.h"
#include "engine/batch/column_builder.h"
#include "engine/batch/key_codec.h"

namespace freshet {
namespace {

std::string Lines(size_t bytes) {
  Rng rng(1);
  std::string text(bytes, 'x');
  for (char& c : text)
    if (rng.Below(159) == 0) c = '\n';
  return text;
}

template <class Count>
void CountLines(benchmark::State& state, Count count) {
  const std::string text = Lines(256 << 10);
  for (auto _ : state)
    benchmark::DoNotOptimize(count(reinterpret_cast<const uint8_t*>(text.data()), static_cast<int64_t>(text.size())));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(text.size()));
}
void CountLinesPlain(benchmark::State& state) {
  CountLines(state, [](const uint8_t* bytes, int64_t size) {
    int64_t n = 0;
    for (int64_t i = 0; i < size; ++i) n += bytes[i] == '\n' ? 1 : 0;
    return n;
  });
}
void CountLinesSse2(benchmark::State& state) { CountLines(state, count_lines_sse2::Count); }
void CountLinesAvx2(benchmark::State& state) {
  if (__builtin_cpu_supports("avx2"))
    CountLines(state, count_lines_avx2::Count);
  else
    state.SkipWithError("this processor has no AVX2");
}
BENCHMARK(CountLinesPlain);
BENCHMARK(CountLinesSse2);
BENCHMARK(CountLinesAvx2);

Batch KeyedRows(int32_t rows) {
  Rng rng(2);
  ColumnBuilder key(TypeId::kString, rows), value(TypeId::kInt64, rows);
  for (int32_t i = 0; i < rows; ++i) {
    key.AppendString("v" + std::to_string(rng.Below(5000)));
    value.AppendInt64(static_cast<int64_t>(rng.Below(1000)));
  }
  auto schema = std::make_shared<const Schema>(std::vector<Field>{{"key", TypeId::kString}, {"value", TypeId::kInt64}});
  return Batch(schema, {key.Finish(), value.Finish()}, rows, RowMeta());
}

void EncodeKeys(benchmark::State& state) {
  const Batch batch = KeyedRows(4096);
  const KeyCodec codec(*batch.schema(), {0});
  EncodedKeys keys;
  for (auto _ : state) {
    keys.Encode(codec, batch);
    benchmark::DoNotOptimize(keys.hash(0));
  }
  state.SetItemsProcessed(state.iterations() * batch.row_count());
}
BENCHMARK(EncodeKeys);

/// A quarter of the rows copied out, as after a filter.
void CompactQuarter(benchmark::State& state) {
  const Batch batch = KeyedRows(4096);
  std::vector<int32_t> rows;
  for (int32_t i = 0; i < batch.row_count(); i += 4) rows.push_back(i);
  for (auto _ : state) benchmark::DoNotOptimize(batch.Take(rows.data(), static_cast<int32_t>(rows.size())));
  state.SetItemsProcessed(state.iterations() * batch.row_count());
}
BENCHMARK(CompactQuarter);

}  // namespace
}  // namespace freshet
