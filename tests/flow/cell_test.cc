// One cell by itself, its messages written by hand.
#include "engine/flow/cell.h"

#include <doctest/doctest.h>

namespace freshet {
namespace {

class Probe final : public Cell, public Carrier, public CellListener {
 public:
  explicit Probe(const CellEnvironment& environment, const CellPlan& plan) : Cell(environment, plan) {}
  Status Open() override { return Status::Ok(); }
  void Send(Envelope) override {}
  void Nudge(int) override {}
  void OnSnapshot(Epoch, CellSnapshot) override {}
  void OnEnded(CellSnapshot) override {}
  void OnFailure(int, Status status) override { failure = std::move(status); }
  Status failure;
  std::vector<int64_t> watermarks;
  int batches_per_watermark = 0;  ///< each fills the egress budget
  Batch::Hold last;               ///< of these; letting go of it makes room

 protected:
  Status HandleBatch(InputIndex, const Batch& batch, uint64_t) override {
    for (int32_t i = 0; i < batch.row_count(); ++i) watermarks.push_back(batch.row_watermark(i).us);
    return Status::Ok();
  }
  Result<Progress> HandleWatermark(EventTime) override {
    if (made_ == batches_per_watermark) return Progress::kDone;
    ++made_;
    last = outlets_.budget()->Take(outlets_.budget(), kEdgeBudgetBytes);
    return Progress::kMore;
  }
  Result<Progress> HandleEnd() override { return Progress::kDone; }
  Status Snapshot(CellSnapshot*) override { return Status::Ok(); }
  void FillPublished(Published*) const override {}

 private:
  int made_ = 0;
};

TEST_CASE("Cell_InputReturnsFromIdleBehindTheOthers_ItsRowsJoinAtTheMergedWatermark") {
  GraphPlan plan;
  plan.cells.emplace_back();
  plan.cells[0].id = 0;
  plan.cells[0].nodes = {0};
  plan.cells[0].input_count = 2;
  plan.edges = {{-1, 0, 0}, {-1, 0, 1}};
  GraphSpec spec;
  spec.nodes.emplace_back();
  CellEnvironment environment;
  environment.plan = &plan;
  environment.spec = &spec;
  Probe probe(environment, plan.cells[0]);
  uint64_t sent[2] = {0, 0};
  const auto give = [&](int edge, Message message) {
    probe.Deliver({edge, sent[edge]++, std::move(message), 0});
    probe.Run();
  };
  const auto rows = [&](std::vector<int64_t> own) {
    RowMeta meta;
    meta.watermarks = AllocateBuffer(static_cast<int64_t>(8 * own.size()));
    for (size_t i = 0; i < own.size(); ++i) meta.watermarks.as<int64_t>()[i] = own[i];
    return Batch(std::make_shared<const Schema>(), {}, static_cast<int32_t>(own.size()), std::move(meta));
  };
  give(0, Watermark{{10}});
  give(1, Watermark{{20}});
  give(1, rows({25}));
  give(0, Idle{});
  give(1, Watermark{{100}});
  give(0, rows({15, 120}));
  CHECK(probe.watermarks == std::vector<int64_t>{25, 100, 120});
  give(0, Watermark{{150}});
  give(0, rows({150}));
  CHECK(probe.watermarks.back() == 150);
}

/// A cell with one input and nobody behind it.
struct OneInput {
  GraphPlan plan;
  GraphSpec spec;
  CellEnvironment environment;
  std::unique_ptr<Probe> probe;
  OneInput() {
    plan.cells.emplace_back();
    plan.cells[0].nodes = {0};
    plan.cells[0].input_count = 1;
    plan.edges = {{-1, 0, 0}};
    spec.nodes.emplace_back();
    environment.plan = &plan;
    environment.spec = &spec;
    probe = std::make_unique<Probe>(environment, plan.cells[0]);
    environment.carrier = probe.get();
    environment.listener = probe.get();
  }
};

TEST_CASE("Cell_TriedInVainWhileItWaits_IsBlockedOnce") {
  OneInput cell;
  cell.probe->batches_per_watermark = 2;
  cell.probe->Deliver({0, 0, Watermark{{10}}, 0});
  cell.probe->Run();
  const auto blocked = [&] { return cell.probe->published().blocked_count; };
  CHECK(blocked() == 1);
  for (uint64_t n = 1; n < 4; ++n) {
    cell.probe->Deliver({0, n, Watermark{{static_cast<int64_t>(10 + n)}}, 0});
    cell.probe->Run();
  }
  CHECK(blocked() == 1);
  cell.probe->last.reset();  // there is room, and the next batch fills it
  cell.probe->Run();
  CHECK(blocked() == 2);
  cell.probe->last.reset();
  cell.probe->Run();
  CHECK(blocked() == 2);
  CHECK_FALSE(cell.probe->failed());
}

TEST_CASE("Cell_MessageMissingTwiceOrOutOfTurn_FailsTheRun") {
  for (const std::vector<uint64_t>& numbers : {std::vector<uint64_t>{1}, std::vector<uint64_t>{0, 0},
                                               std::vector<uint64_t>{0, 2}, std::vector<uint64_t>{0, 1}}) {
    OneInput cell;
    for (const uint64_t number : numbers) {
      cell.probe->Deliver({0, number, Watermark{{10}}, 0});
      cell.probe->Run();
    }
    const bool in_turn = numbers == std::vector<uint64_t>{0, 1};
    CHECK(cell.probe->failed() != in_turn);
  }
}

}  // namespace
}  // namespace freshet
