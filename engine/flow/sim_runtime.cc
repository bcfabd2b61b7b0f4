#include "engine/flow/sim_runtime.h"

#include <algorithm>
#include <deque>

#include "engine/base/units.h"

namespace freshet {
namespace {

/// One life of the job, from (re)start to end or crash.
class Life final : public Carrier {
 public:
  /// `faults` are those still to be drawn in this life.
  Life(const SimOptions& options, const SimFaults& faults, SimEnv* env, Rng* rng, SimResult* result)
      : options_(options), faults_(faults), env_(env), rng_(*rng), result_(*result) {}
  ~Life() override {
    if (job_) job_->DetachAndClose();
  }

  void Send(Envelope envelope) override {
    const auto edge = static_cast<size_t>(envelope.edge);
    if (const auto* watermark = std::get_if<Watermark>(&envelope.message)) {
      ++result_.watermark_count;
      promised_[edge] = std::max(promised_[edge], watermark->time);
    } else if (const auto* batch = std::get_if<Batch>(&envelope.message)) {
      CheckPromise(edge, *batch);
    }
    queues_[edge].push_back(std::move(envelope));
  }
  void Nudge(int cell) override { nudged_.insert(cell); }

  Status Start(GraphSpec spec, CheckpointStore* store) {
    PlantFaults(faults_, &rng_, &spec);
    JobOptions job = options_.job;
    job.env = env_;
    if (store != nullptr) {
      store_ = NewFaultyStore(faults_, &rng_, store, [this] { DeliverMeanwhile(); });
      job.store = store_.get();
    }
    if (job.memory_limit > 0) {
      spill_ = NewFaultySpill(faults_, &rng_, options_.spill_in_memory ? NewMemorySpill() : NewRocksDbSpill(env_, {}));
      job.spill = spill_.get();
    }
    FRESHET_ASSIGN_OR_RETURN(job_, Job::Make(std::move(spec), job, this));
    if (job_->already_finished()) return Status::Ok();
    queues_.resize(job_->plan().edges.size());
    promised_.assign(queues_.size(), EventTime::Min());
    for (size_t e = 0; e < queues_.size(); ++e) slow_.push_back(rng_.NextDouble() < faults_.slow_edge);
    for (const auto& driver : job_->drivers())
      decoders_.push_back(driver->bound().make_decoder ? driver->bound().make_decoder() : nullptr);
    chunks_.resize(job_->drivers().size());
    done_.resize(job_->drivers().size());
    return Status::Ok();
  }

  enum class Step : uint8_t { kWorked, kCrash, kFinished, kFailed };

  Step Take(bool may_crash) {
    env_->Advance(static_cast<int64_t>(rng_.Below(2000)));
    if (job_->already_finished()) {
      SinkCell* sink = SinkWithWork();
      return sink != nullptr ? SendParcel(*sink) : Step::kFinished;
    }
    if (rng_.NextDouble() < faults_.clock_jump) env_->Jump(static_cast<int64_t>(rng_.Below(4 * kJumpUs)) - 2 * kJumpUs);
    if (!broken_.ok()) return Fail(broken_);
    if (job_->failed()) {
      if (!IsPlantedOutage(job_->failure())) return Fail(job_->failure());
      ++result_.outage_count;
      return Step::kCrash;
    }
    if (job_->finished() && nudged_.empty() && !AnySinkWaits()) {
      if (SinkCell* sink = SinkWithWork(); sink != nullptr)
        return may_crash && rng_.NextDouble() < options_.crash_chance ? Step::kCrash : SendParcel(*sink);
      return Finish();
    }
    const bool before_commit = job_->commit_ready() && !job_->finished();
    if (may_crash && (!options_.crash_between_prepare_and_commit || before_commit) &&
        rng_.NextDouble() < (options_.crash_between_prepare_and_commit ? 0.5 : options_.crash_chance)) {
      if (before_commit) ++result_.crash_before_commit_count;
      return Step::kCrash;
    }
    job_->GiveUpSlowEpoch();
    if (!job_->epoch_under_way() && (rng_.NextDouble() < options_.epoch_chance || EarlyCheckpointDue() ||
                                     (job_->checkpoint_wanted() && rng_.Below(20) == 0)))
      for (const int cell : job_->BeginEpoch(false)) nudged_.insert(cell);
    for (const CellPlan& cell : job_->plan().cells)
      if (cell.wants_clock && rng_.Below(kClockTickUs / 1000) == 0) nudged_.insert(cell.id);
    return Act();
  }

  JobReport Report() {
    JobReport report = job_->Report();
    report.finished = report.finished || job_->already_finished();
    return report;
  }

  /// Who holds what when nothing moves.
  std::string Picture() const {
    std::string text = job_->epoch_under_way() ? "; an epoch is under way" : "";
    if (job_->paused()) text += "; sources rest until a checkpoint succeeds";
    if (job_->memory().sources_wait())
      text += "; sources wait for memory: " + std::to_string(job_->memory().used()) + " bytes used, " +
              std::to_string(job_->memory().unclean()) + " changed, " + std::to_string(job_->memory().aside()) +
              " aside, limit " + std::to_string(job_->memory().limit());
    for (size_t d = 0; d < done_.size(); ++d) {
      const SourceDriver& driver = *job_->drivers()[d];
      text += "; source " + std::to_string(d) + (done_[d] ? " is done" : " is not done") + ", rows under way " +
              std::to_string(driver.credits().rows_in_use());
    }
    for (const auto& cell : job_->cells()) {
      const Cell::Published p = cell->published();
      if (p.ended) continue;
      text += "; cell " + std::to_string(cell->id()) + " of `" +
              job_->spec().nodes[static_cast<size_t>(cell->plan().nodes[0])].id + "` has not ended, " +
              std::to_string(p.queued) + " messages wait in it, blocked " + std::to_string(p.blocked_count) + " times";
    }
    return text;
  }

 private:
  static constexpr int64_t kJumpUs = int64_t{3600} * 1000000;
  static constexpr uint64_t kSlowness = 30;

  /// As the coordinator: not right behind the last one, which the cells have to hear of first.
  bool EarlyCheckpointDue() const {
    return job_->memory().wants_checkpoint() && env_->SteadyMicros() >= early_checkpoint_us_;
  }

  /// After a watermark W only rows come that have a time from W on, or that are late by their own watermark.
  void CheckPromise(size_t edge, const Batch& batch) {
    const EventTime promised = promised_[edge];
    for (int32_t row = 0; row < batch.row_count(); ++row) {
      if (std::max(batch.time(row), batch.row_watermark(row)) >= promised) continue;
      const CellPlan& to = job_->plan().cells[static_cast<size_t>(job_->plan().edges[edge].to)];
      broken_ = Status::Internal("a row of " + FormatTime(batch.time(row)) + " came behind the watermark " +
                                 FormatTime(promised))
                    .WithNode(job_->spec().nodes[static_cast<size_t>(to.nodes[0])].id);
      return;
    }
  }

  bool AnySinkWaits() const {
    return std::any_of(job_->sinks().begin(), job_->sinks().end(),
                       [](const SinkCell* sink) { return !sink->waiting_for().ok(); });
  }

  Step Act() {
    // Every possible next event, weighed alike.
    std::vector<std::pair<char, int>> actions;
    for (size_t d = 0; d < done_.size(); ++d) {
      if (!done_[d] && !job_->paused() && !job_->memory().sources_wait() && !job_->outbox_full() &&
          job_->drivers()[d]->ready() && chunks_[d].size() < 4)
        actions.emplace_back('p', d);
      for (size_t c = 0; c < chunks_[d].size(); ++c) actions.emplace_back('d', static_cast<int>(d));
    }
    std::vector<std::pair<char, int>> slow;
    for (size_t e = 0; e < queues_.size(); ++e) {
      if (queues_[e].empty()) continue;
      (slow_[e] && rng_.Below(kSlowness) > 0 ? slow : actions).emplace_back('e', static_cast<int>(e));
    }
    for (const int cell : nudged_) actions.emplace_back('n', cell);
    if (job_->commit_ready()) actions.emplace_back('c', 0);
    if (job_->paused() && !job_->epoch_under_way()) actions.emplace_back('b', 0);
    for (SinkCell* sink : job_->sinks())
      if (!sink->waiting_for().ok()) actions.emplace_back('n', sink->id());
    for (SinkCell* sink : job_->sinks())
      if (sink->outbox() != nullptr && sink->outbox()->has_work()) actions.emplace_back('o', sink->id());
    if (actions.empty()) actions = std::move(slow);
    if (actions.empty() && (job_->checkpoint_wanted() || job_->memory().wants_checkpoint()) &&
        !job_->epoch_under_way()) {
      for (const int cell : job_->BeginEpoch(false)) nudged_.insert(cell);
      if (!nudged_.empty()) return Step::kWorked;
    }
    if (actions.empty())
      return Fail(Status::Internal("deadlock: nothing can happen and the input has not ended" + Picture()));
    const auto [what, which] = actions[rng_.Below(actions.size())];
    switch (what) {
      case 'p':
        return Poll(static_cast<size_t>(which));
      case 'd':
        return Decode(static_cast<size_t>(which));
      case 'e':
        return DeliverOne(static_cast<size_t>(which));
      case 'b': {
        for (const int cell : job_->BeginEpoch(false)) nudged_.insert(cell);
        return Step::kWorked;
      }
      case 'o':
        return SendParcel(dynamic_cast<SinkCell&>(job_->cell(which)));
      case 'n': {
        nudged_.erase(which);
        job_->cell(which).Deliver(Envelope());
        job_->cell(which).Run();
        return Step::kWorked;
      }
      default: {
        const Status status = job_->CommitReady();
        if (status.code() == StatusCode::kCancelled) {
          ++result_.crash_before_commit_count;
          return Step::kCrash;
        }
        if (!status.ok()) return Fail(status);
        for (const int cell : job_->cells_to_nudge()) nudged_.insert(cell);
        early_checkpoint_us_ = env_->SteadyMicros() + kEarlyCheckpointGapUs;
        return Step::kWorked;
      }
    }
  }

  SinkCell* SinkWithWork() {
    for (SinkCell* sink : job_->sinks())
      if (sink->outbox() != nullptr && sink->outbox()->has_work()) return sink;
    return nullptr;
  }

  Step SendParcel(SinkCell& sink) {
    const Result<OutboxSink::Step> step = sink.outbox()->DeliverStep();
    if (!step.ok()) return Fail(step.status());
    if (!step->worked) env_->Advance(step->wait_us);
    return Step::kWorked;
  }

  /// A delivery's thread waits for nobody's commit.
  void DeliverMeanwhile() {
    for (SinkCell* sink : job_->sinks())
      while (sink->outbox() != nullptr && sink->outbox()->has_work() && rng_.Below(2) == 0)
        if (const Result<OutboxSink::Step> step = sink->outbox()->DeliverStep(); !step.ok()) {
          broken_ = step.status();
          return;
        }
  }

  Step Poll(size_t d) {
    SourceItem item;
    Status error;
    switch (job_->drivers()[d]->Step(&item, &error)) {
      case SourceDriver::Outcome::kChunk:
      case SourceDriver::Outcome::kSignal:
        chunks_[d].push_back(std::move(item));
        break;
      case SourceDriver::Outcome::kNothing:
      case SourceDriver::Outcome::kRetry:
        env_->Advance(job_->drivers()[d]->source().retry_after_us());
        break;
      case SourceDriver::Outcome::kLinger:
        env_->Advance(job_->drivers()[d]->linger_us());
        break;
      case SourceDriver::Outcome::kNoCredit:
      case SourceDriver::Outcome::kHeld:
      case SourceDriver::Outcome::kQueued:
        break;
      case SourceDriver::Outcome::kDone:
        done_[d] = true;
        if (!error.ok()) return Fail(error);
    }
    return Step::kWorked;
  }

  /// Decodes any waiting chunk, not the oldest: the source cell must restore the order.
  Step Decode(size_t d) {
    auto& chunks = chunks_[d];
    const size_t at = rng_.Below(chunks.size());
    SourceItem item = std::move(chunks[at]);
    chunks.erase(chunks.begin() + static_cast<std::ptrdiff_t>(at));
    if (item.kind == SourceItem::Kind::kBlock && !item.chunk.finished) decoders_[d]->Decode(item.chunk, &item.block);
    SourceCell& cell = job_->drivers()[d]->cell();
    cell.Prepare(&item);
    cell.Push(std::move(item));
    nudged_.insert(cell.id());
    return Step::kWorked;
  }

  Step DeliverOne(size_t e) {
    Envelope envelope = std::move(queues_[e].front());
    queues_[e].pop_front();
    Cell& cell = job_->cell(job_->plan().edges[e].to);
    cell.Deliver(std::move(envelope));
    cell.Run();
    return Step::kWorked;
  }

  Step Finish() {
    for (const auto& queue : queues_)
      if (!queue.empty()) return Fail(Status::Internal("the run finished with messages in flight"));
    for (SinkCell* sink : job_->sinks())
      if (Status status = sink->Finish(); !status.ok()) return Fail(status);
    for (const auto& driver : job_->drivers())
      if (driver->credits().rows_in_use() != 0)
        return Fail(Status::Internal("credits did not come back: " + std::to_string(driver->credits().rows_in_use()) +
                                     " rows"));
    return Step::kFinished;
  }

  Step Fail(Status status) {
    result_.status = std::move(status);
    return Step::kFailed;
  }

  const SimOptions& options_;
  const SimFaults& faults_;
  SimEnv* env_;
  Rng& rng_;
  SimResult& result_;
  std::unique_ptr<CheckpointStore> store_;
  std::unique_ptr<SpillStore> spill_;
  std::unique_ptr<Job> job_;
  std::vector<EventTime> promised_;  // per edge: the last watermark
  std::vector<bool> slow_;           // per edge
  Status broken_;
  std::vector<std::deque<Envelope>> queues_;
  std::set<int> nudged_;
  std::vector<std::unique_ptr<Decoder>> decoders_;
  std::vector<std::vector<SourceItem>> chunks_;
  std::vector<bool> done_;
  int64_t early_checkpoint_us_ = 0;
};

}  // namespace

SimResult RunSimulation(const std::function<GraphSpec()>& make_spec, const SimOptions& options) {
  SimResult result;
  g_drains_compared = !IsPlanted(PlantedBug::kChangeSealed);
  SimEnv env(options.job.env != nullptr ? options.job.env : Env::Posix());
  Rng rng(options.seed);
  const SimFaults no_faults;
  for (;;) {
    CheckpointStore* store = options.job.store;
    if (options.store_of_life) {
      Result<CheckpointStore*> opened = options.store_of_life();
      if (!opened.ok()) {
        result.status = std::move(opened).status();
        return result;
      }
      store = *opened;
    }
    const bool disturbed = result.crash_count < options.crash_count_max;
    Life life(options, disturbed ? options.faults : no_faults, &env, &rng, &result);
    if (Status status = life.Start(make_spec(), store); !status.ok()) {
      result.status = std::move(status);
      return result;
    }
    Life::Step step = Life::Step::kWorked;
    while (step == Life::Step::kWorked) {
      if (++result.step_count > options.step_count_max) {
        result.report = life.Report();
        result.status = Status::Internal("the simulation did not end within " + std::to_string(options.step_count_max) +
                                         " steps" + life.Picture());
        return result;
      }
      step = life.Take(disturbed);
    }
    if (step == Life::Step::kCrash) {
      ++result.crash_count;
      continue;
    }
    result.report = life.Report();
    return result;
  }
}

}  // namespace freshet
