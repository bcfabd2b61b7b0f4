// The accounts themselves: somebody who loses a row is found, and a record larger than all credit still gets in.
#include <doctest/doctest.h>

#include "engine/flow/credits.h"
#include "tests/flow/sim_cases.h"

namespace freshet {
namespace {

using testing::Collected;
using testing::NumbersOptions;

enum class Cheat { kNone, kDropsARow, kCountsTwice };

/// Passes its rows on, but for the hundredth.
class Cheater final : public Operator {
 public:
  explicit Cheater(Cheat cheat) : cheat_(cheat) {}
  Status Open(OpenContext& ctx) override {
    counters_ = &ctx.counters();
    return Status::Ok();
  }
  Status ProcessBatch(InputIndex, const Batch& in, Emitter& out) override {
    const bool now = seen_ < 100 && seen_ + in.row_count() >= 100;
    seen_ += in.row_count();
    if (now && cheat_ == Cheat::kCountsTwice) ++counters_->filtered;
    const int32_t kept = in.row_count() - (now && cheat_ == Cheat::kDropsARow ? 1 : 0);
    out.Emit(in.Slice(0, kept));
    return Status::Ok();
  }

 private:
  const Cheat cheat_;
  int64_t seen_ = 0;
  NodeCounters* counters_ = nullptr;
};

SimResult RunWith(Cheat cheat) {
  SimOptions options;
  const auto store = NewMemoryStore();
  options.job.store = store.get();
  options.seed = 3;
  const auto make_spec = [&] {
    GraphSpec spec;
    NumbersOptions numbers;
    spec.nodes.push_back(testing::NumbersSource("numbers", numbers));
    NodeSpec node;
    node.id = "cheater";
    node.type = "cheater";
    node.inputs = {{0, 0}};
    BoundOperator bound;
    bound.outputs = {{"", testing::NumbersSchema(), OutputOrder::kInputOrder, {}}};
    bound.instantiate = [cheat] { return std::make_unique<Cheater>(cheat); };
    node.kind = OperatorNode{std::move(bound)};
    spec.nodes.push_back(std::move(node));
    spec.nodes.push_back(testing::CollectSink("out", {{1, 0}}, std::make_shared<Collected>()));
    return spec;
  };
  return RunSimulation(make_spec, options);
}

TEST_CASE("Conservation_OperatorThatLosesOrInventsARow_EndsTheRunAndIsNamed") {
  CHECK(RunWith(Cheat::kNone).status.ok());
  for (const Cheat cheat : {Cheat::kDropsARow, Cheat::kCountsTwice}) {
    const Status status = RunWith(cheat).status;
    CHECK(status.ToString().find("rows are not accounted for") != std::string::npos);
    CHECK(status.ToString().find("cheater") != std::string::npos);
  }
}

TEST_CASE("Credits_RecordLargerThanTheWholeBudget_IsAdmittedAlone") {
  const auto pool = std::make_shared<CreditPool>(10, 1000);
  REQUIRE(pool->available().any());
  Batch::Hold record = pool->Take(1, 50000);
  CHECK(!pool->available().any());
  record.reset();
  CHECK(pool->available().any());
  CHECK(pool->available().bytes == 1000);
  // Used up once, nothing is given until half is back.
  std::vector<Batch::Hold> rows;
  for (int i = 0; i < 10; ++i) rows.push_back(pool->Take(1, 1));
  CHECK(!pool->available().any());
  rows.resize(6);
  CHECK(!pool->available().any());
  rows.resize(5);
  CHECK(pool->available().rows == 5);
}

}  // namespace
}  // namespace freshet
