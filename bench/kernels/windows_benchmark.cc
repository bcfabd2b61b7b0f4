// One result of a hopping window of one key: all slices merged, as it would be without RunningWindow, and the step as
// it is. The argument is the number of slices in a window: 60 for {hopping: 1h, every: 1m}.
#include <benchmark/benchmark.h>

#include "operators/window/key_panes.h"

namespace freshet {
namespace {

AggregatePlan Plan() {
  const Schema schema({{"x", TypeId::kInt64}, {"f", TypeId::kFloat64}});
  const auto text = [](const char* s) {
    SpannedText t;
    t.value = s;
    return t;
  };
  Diagnostics diagnostics;
  auto plan = BindAggregates({{text("n"), text("count(*)")}, {text("s"), text("sum(x)")}, {text("a"), text("avg(f)")}},
                             schema, &diagnostics);
  plan->LayOut(sizeof(SliceCell));
  return std::move(*plan);
}

void HoppingResult(benchmark::State& state, bool keeps) {
  const AggregatePlan plan = Plan();
  const int64_t slide = 60000000;
  const int64_t size = state.range(0) * slide;
  CellPool pool(plan, SliceAssigner(Duration{size}, Duration{slide}));
  SliceCell* const rows = pool.New();
  KeyPanes panes;
  panes.pool = &pool;
  int64_t at = 0;
  for (auto _ : state) {
    int64_t opened = 0;
    const SliceAssigner::Slice slice = pool.assigner().SliceOf(at);
    pool.Merge(panes.Add(slice, slice.first_window_end, SliceCell::kSettled, &opened), rows);
    const int64_t end = slice.end;
    SliceCell* made = nullptr;
    benchmark::DoNotOptimize(panes.MergeOver(end - size, end, end - 1, keeps, &made));
    if (made != nullptr) pool.Delete(made);
    (void)panes.Leave(end, end - 1, false);
    panes.Settle(end - 1, true);
    benchmark::DoNotOptimize(panes.NextMoment(true));
    at += slide;
  }
  panes.Free();
  pool.Delete(rows);
}
void HoppingResultMergingAll(benchmark::State& state) { HoppingResult(state, false); }
void HoppingResultRunning(benchmark::State& state) { HoppingResult(state, true); }
BENCHMARK(HoppingResultMergingAll)->Arg(5)->Arg(10)->Arg(60)->Arg(1440);
BENCHMARK(HoppingResultRunning)->Arg(5)->Arg(10)->Arg(60)->Arg(1440);

}  // namespace
}  // namespace freshet
