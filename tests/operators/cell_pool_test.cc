// What a pool says its cells hold, against a count of all of them.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "engine/base/rng.h"
#include "operators/window/key_panes.h"
#include "tests/operators/test_rows.h"

namespace freshet::testing {
namespace {

const Schema kSchema({{"x", TypeId::kInt64}, {"t", TypeId::kString}});

AggregatePlan PlanOf(const std::vector<std::string>& calls) {
  Diagnostics diagnostics;
  std::vector<std::pair<SpannedText, SpannedText>> lines;
  for (const std::string& call : calls) {
    SpannedText name, text;
    name.value = "a" + std::to_string(lines.size());
    text.value = call;
    lines.emplace_back(name, text);
  }
  auto plan = BindAggregates(lines, kSchema, &diagnostics);
  REQUIRE(plan);
  plan->LayOut(sizeof(SliceCell));
  return std::move(*plan);
}

int64_t HeapOf(const AggregatePlan& plan, const std::vector<SliceCell*>& cells) {
  int64_t bytes = 0;
  for (const SliceCell* cell : cells)
    for (const AggregatePlan::State& s : plan.states) bytes += s.accumulator->HeapBytes(cell->bytes() + s.offset);
  return bytes;
}

TEST_CASE("CellPool_RandomWork_KnowsWhatItsCellsHold") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    const AggregatePlan plan =
        PlanOf({"count_distinct(x)", "min(t)", "max(t)", "first(t)", "last(t)", "count(distinct t)", "sum(x)"});
    CellPool pool(plan, SliceAssigner(Duration{1000}, Duration{1000}));
    std::vector<SliceCell*> cells = {pool.New()};
    const int64_t cell_bytes = pool.live_bytes();
    int64_t most = 0;
    for (int step = 0; step < 400; ++step) {
      const auto any = [&] { return static_cast<size_t>(rng.Below(cells.size())); };
      const uint64_t what = cells.empty() ? 0 : rng.Below(6);
      if (what == 0) {
        cells.push_back(pool.New());
      } else if (what == 1 && rng.Below(3) == 0) {
        const size_t at = any();
        pool.Delete(cells[at]);
        cells.erase(cells.begin() + static_cast<std::ptrdiff_t>(at));
      } else if (what == 2) {
        const size_t into = any(), from = any();
        if (into != from) pool.Merge(cells[into], cells[from]);
      } else if (what == 3) {
        ByteSink sink;
        pool.EncodeStates(cells[any()], sink);
        // Sometimes cut short: what was read until then counts.
        const std::string bytes(sink.bytes().substr(0, rng.Below(4) == 0 ? sink.size() / 2 : sink.size()));
        ByteSource source(bytes);
        cells.push_back(pool.New());
        (void)pool.DecodeStates(cells.back(), source);
      } else {
        std::vector<TestRow> rows(1 + rng.Below(40));
        std::vector<std::byte*> places;
        for (TestRow& row : rows) {
          row.time_us = static_cast<int64_t>(rng.Below(1000));
          row.ordinal = rng.Below(1 << 20);
          row.cells = {static_cast<int64_t>(rng.Below(3000)), std::string(rng.Below(60), 'a')};
          places.push_back(rng.Below(5) == 0 ? nullptr : cells[any()]->bytes());
        }
        int64_t nulled = 0;
        pool.Accumulate(MakeRows(kSchema, rows), places.data(), &nulled);
      }
      const int64_t heap = HeapOf(plan, cells);
      REQUIRE(pool.live_count() == static_cast<int64_t>(cells.size()));
      REQUIRE(pool.live_bytes() == pool.live_count() * cell_bytes + heap);
      most = std::max(most, heap);
    }
    CHECK(most > 10000);
    for (SliceCell* cell : cells) pool.Delete(cell);
    CHECK(pool.live_bytes() == 0);
  }
}

TEST_CASE("CellPool_FixedStates_HoldNothingBesideTheirCells") {
  const AggregatePlan plan = PlanOf({"count(*)", "sum(x)", "var(x)", "max(x)", "first(x)"});
  for (const AggregatePlan::State& s : plan.states) CHECK_FALSE(s.accumulator->has_heap());
}

}  // namespace
}  // namespace freshet::testing
