#include "engine/flow/sim_faults.h"

#include "engine/state/forwarding_store.h"

namespace freshet {
namespace {

constexpr const char* kOutage = "simulated outage";

/// Io is for good, as far as this life goes.
Status EndOfLife() { return Status(StatusCode::kIo, kOutage); }

class FaultySource final : public Source {
 public:
  FaultySource(std::unique_ptr<Source> real, const SimFaults& faults, Rng* rng)
      : real_(std::move(real)), faults_(faults), rng_(*rng) {}
  Status Open(const SourceOpenContext& ctx) override { return real_->Open(ctx); }
  std::vector<std::string> Partitions() const override { return real_->Partitions(); }
  Result<PollOutcome> Poll(const PollBudget& budget, RawChunk* chunk) override {
    if (rng_.NextDouble() < faults_.source_error) return Status::Unavailable(kOutage);
    return real_->Poll(budget, chunk);
  }
  std::optional<std::vector<uint32_t>> TakeQuiet() override { return real_->TakeQuiet(); }
  Result<bool> HasMore(const SourceOpenContext& ctx) override { return real_->HasMore(ctx); }
  int64_t retry_after_us() const override { return real_->retry_after_us(); }
  std::optional<double> ProgressRatio() const override { return real_->ProgressRatio(); }
  void Interrupt() override { real_->Interrupt(); }
  void Close() noexcept override { real_->Close(); }

 private:
  const std::unique_ptr<Source> real_;
  const SimFaults& faults_;
  Rng& rng_;
};

/// Fails for good before or after the real call (what it did may or may not have happened), in passing before it.
class FaultySink final : public Sink {
 public:
  FaultySink(std::unique_ptr<Sink> real, const SimFaults& faults, Rng* rng)
      : real_(std::move(real)), faults_(faults), rng_(*rng) {}
  Status Open(const SinkOpenContext& ctx) override { return real_->Open(ctx); }
  Status Write(const Batch& batch, int64_t first_ordinal) override {
    return Around([&] { return real_->Write(batch, first_ordinal); });
  }
  Result<std::string> PrepareCommit(Epoch epoch) override {
    std::string prepared;
    FRESHET_RETURN_IF_ERROR(Around([&]() -> Status {
      FRESHET_ASSIGN_OR_RETURN(prepared, real_->PrepareCommit(epoch));
      return Status::Ok();
    }));
    return prepared;
  }
  Status Commit(Epoch epoch) override {
    return Around([&] { return real_->Commit(epoch); });
  }
  Status Abort(Epoch epoch) override {
    return Around([&] { return real_->Abort(epoch); });
  }
  Status Finish() override { return real_->Finish(); }
  void Close() noexcept override { real_->Close(); }
  std::string Summary() const override { return real_->Summary(); }

 private:
  template <class F>
  Status Around(F&& call) {
    if (rng_.NextDouble() < faults_.sink_retry) return Status::Unavailable(kOutage);
    const bool before = rng_.NextDouble() < faults_.sink_error / 2;
    const bool after = rng_.NextDouble() < faults_.sink_error / 2;
    if (before) return EndOfLife();
    FRESHET_RETURN_IF_ERROR(call());
    return after ? EndOfLife() : Status::Ok();
  }

  const std::unique_ptr<Sink> real_;
  const SimFaults& faults_;
  Rng& rng_;
};

class FaultyStore final : public ForwardingStore {
 public:
  FaultyStore(const SimFaults& faults, Rng* rng, CheckpointStore* base, std::function<void()> meanwhile)
      : ForwardingStore(base), faults_(faults), rng_(*rng), meanwhile_(std::move(meanwhile)) {}
  Status Commit(const Manifest& manifest, EpochRows&& rows) override {
    meanwhile_();
    const double draw = rng_.NextDouble();
    double limit = faults_.commit_unavailable;
    if (draw < limit) return Status::Unavailable(kOutage);
    if (draw < (limit += faults_.commit_no_space)) return Status::NoSpace("simulated full disk");
    if (draw < (limit += faults_.commit_crash)) {
      if (rng_.Below(2) == 0) FRESHET_RETURN_IF_ERROR(ForwardingStore::Commit(manifest, std::move(rows)));
      return Status(StatusCode::kCancelled, "the process died while it committed");
    }
    Status status = ForwardingStore::Commit(manifest, std::move(rows));
    if (status.ok()) meanwhile_();
    return status;
  }

 private:
  const SimFaults& faults_;
  Rng& rng_;
  const std::function<void()> meanwhile_;
};

class FaultySpill final : public ForwardingSpill {
 public:
  FaultySpill(const SimFaults& faults, Rng* rng, std::unique_ptr<SpillStore> base)
      : ForwardingSpill(base.get()), faults_(faults), rng_(*rng), real_(std::move(base)) {}
  Status Write(EpochRows&& rows) override {
    if (rng_.NextDouble() < faults_.spill_no_space) return Status::NoSpace("simulated full disk");
    return ForwardingSpill::Write(std::move(rows));
  }

 private:
  const SimFaults& faults_;
  Rng& rng_;
  const std::unique_ptr<SpillStore> real_;
};

}  // namespace

void PlantFaults(const SimFaults& faults, Rng* rng, GraphSpec* spec) {
  for (NodeSpec& node : spec->nodes) {
    if (auto* source = std::get_if<SourceNode>(&node.kind); source != nullptr && faults.source_error > 0)
      source->bound.make_source = [real = source->bound.make_source, &faults, rng] {
        return std::make_unique<FaultySource>(real(), faults, rng);
      };
    if (auto* sink = std::get_if<SinkNode>(&node.kind); sink != nullptr && faults.sink_error + faults.sink_retry > 0)
      sink->bound.make_sink = [real = sink->bound.make_sink, &faults, rng] {
        return std::make_unique<FaultySink>(real(), faults, rng);
      };
  }
}

bool IsPlantedOutage(const Status& status) { return status.message().find(kOutage) != std::string::npos; }

std::unique_ptr<CheckpointStore> NewFaultyStore(const SimFaults& faults, Rng* rng, CheckpointStore* base,
                                                std::function<void()> meanwhile) {
  return std::make_unique<FaultyStore>(faults, rng, base, std::move(meanwhile));
}

std::unique_ptr<SpillStore> NewFaultySpill(const SimFaults& faults, Rng* rng, std::unique_ptr<SpillStore> base) {
  return std::make_unique<FaultySpill>(faults, rng, std::move(base));
}

}  // namespace freshet
