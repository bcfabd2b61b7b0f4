#include "engine/flow/sim_runtime.h"

#include <deque>

namespace freshet {
namespace {

/// The real files with a clock that only the simulation moves.
class SimEnv final : public Env {
 public:
  explicit SimEnv(Env* base) : base_(base) {}
  void Advance(int64_t us) { now_us_ += us; }
  int64_t WallMicros() override { return 1700000000000000 + now_us_; }
  int64_t SteadyMicros() override { return now_us_; }
  std::optional<std::string> Variable(const std::string& name) override { return base_->Variable(name); }
  Result<std::unique_ptr<ReadableFile>> OpenReadable(const std::string& path) override {
    return base_->OpenReadable(path);
  }
  Result<std::unique_ptr<WritableFile>> OpenWritable(const std::string& path, int64_t truncate_to) override {
    return base_->OpenWritable(path, truncate_to);
  }
  Result<FileInfo> Stat(const std::string& path) override { return base_->Stat(path); }
  Status Rename(const std::string& from, const std::string& to) override { return base_->Rename(from, to); }
  Status Remove(const std::string& path) override { return base_->Remove(path); }
  Status RemoveTree(const std::string& path) override { return base_->RemoveTree(path); }
  Status MakeDirectories(const std::string& path) override { return base_->MakeDirectories(path); }
  Status SyncDirectory(const std::string& path) override { return base_->SyncDirectory(path); }
  Result<std::vector<std::string>> List(const std::string& path) override { return base_->List(path); }
  Result<std::vector<std::string>> Glob(const std::string& pattern) override { return base_->Glob(pattern); }
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override { return base_->Lock(path); }

 private:
  Env* base_;
  int64_t now_us_ = 0;
};

/// One life of the job, from (re)start to end or crash.
class Life final : public Carrier {
 public:
  Life(const SimOptions& options, SimEnv* env, Rng* rng, SimResult* result)
      : options_(options), env_(env), rng_(*rng), result_(*result) {}
  ~Life() override {
    if (job_) job_->DetachAndClose();
  }

  void Send(Envelope envelope) override {
    const auto edge = static_cast<size_t>(envelope.edge);
    if (std::holds_alternative<Watermark>(envelope.message)) ++result_.watermark_count;
    queues_[edge].push_back(std::move(envelope));
  }
  void Nudge(int cell) override { nudged_.insert(cell); }

  Status Start(GraphSpec spec) {
    JobOptions job = options_.job;
    job.env = env_;
    FRESHET_ASSIGN_OR_RETURN(job_, Job::Make(std::move(spec), job, this));
    if (job_->already_finished()) return Status::Ok();
    queues_.resize(job_->plan().edges.size());
    for (const auto& driver : job_->drivers())
      decoders_.push_back(driver->bound().make_decoder ? driver->bound().make_decoder() : nullptr);
    chunks_.resize(job_->drivers().size());
    done_.resize(job_->drivers().size());
    return Status::Ok();
  }

  enum class Step : uint8_t { kWorked, kCrash, kFinished, kFailed };

  Step Take(bool may_crash) {
    env_->Advance(static_cast<int64_t>(rng_.Below(2000)));
    if (job_->already_finished()) return Step::kFinished;
    if (job_->failed()) return Fail(job_->failure());
    if (job_->finished() && nudged_.empty()) return Finish();
    const bool before_commit = job_->commit_ready() && !job_->finished();
    if (may_crash && (!options_.crash_between_prepare_and_commit || before_commit) &&
        rng_.NextDouble() < (options_.crash_between_prepare_and_commit ? 0.5 : options_.crash_chance)) {
      if (before_commit) ++result_.crash_before_commit_count;
      return Step::kCrash;
    }
    if (!job_->epoch_under_way() && rng_.NextDouble() < options_.epoch_chance)
      for (const int cell : job_->BeginEpoch(false)) nudged_.insert(cell);
    return Act();
  }

  JobReport Report() { return job_->Report(); }

 private:
  Step Act() {
    // Every possible next event, weighed alike.
    std::vector<std::pair<char, int>> actions;
    for (size_t d = 0; d < done_.size(); ++d) {
      if (!done_[d] && job_->drivers()[d]->credits().available().any() && chunks_[d].size() < 4)
        actions.emplace_back('p', d);
      for (size_t c = 0; c < chunks_[d].size(); ++c) actions.emplace_back('d', static_cast<int>(d));
    }
    for (size_t e = 0; e < queues_.size(); ++e)
      if (!queues_[e].empty()) actions.emplace_back('e', static_cast<int>(e));
    for (const int cell : nudged_) actions.emplace_back('n', cell);
    if (job_->commit_ready()) actions.emplace_back('c', 0);
    if (actions.empty()) return Fail(Status::Internal("deadlock: nothing can happen and the input has not ended"));
    const auto [what, which] = actions[rng_.Below(actions.size())];
    switch (what) {
      case 'p':
        return Poll(static_cast<size_t>(which));
      case 'd':
        return Decode(static_cast<size_t>(which));
      case 'e':
        return DeliverOne(static_cast<size_t>(which));
      case 'n': {
        nudged_.erase(which);
        job_->cell(which).Run();
        return Step::kWorked;
      }
      default: {
        const Status status = job_->CommitReady();
        if (status.code() == StatusCode::kCancelled) return Step::kCrash;
        if (!status.ok()) return Fail(status);
        for (SinkCell* sink : job_->sinks()) nudged_.insert(sink->id());
        return Step::kWorked;
      }
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
      case SourceDriver::Outcome::kNoCredit:
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
  SimEnv* env_;
  Rng& rng_;
  SimResult& result_;
  std::unique_ptr<Job> job_;
  std::vector<std::deque<Envelope>> queues_;
  std::set<int> nudged_;
  std::vector<std::unique_ptr<Decoder>> decoders_;
  std::vector<std::vector<SourceItem>> chunks_;
  std::vector<bool> done_;
};

}  // namespace

SimResult RunSimulation(const std::function<GraphSpec()>& make_spec, const SimOptions& options) {
  SimResult result;
  SimEnv env(options.job.env != nullptr ? options.job.env : Env::Posix());
  Rng rng(options.seed);
  for (;;) {
    Life life(options, &env, &rng, &result);
    if (Status status = life.Start(make_spec()); !status.ok()) {
      result.status = std::move(status);
      return result;
    }
    Life::Step step = Life::Step::kWorked;
    while (step == Life::Step::kWorked) {
      if (++result.step_count > options.step_count_max) {
        result.status =
            Status::Internal("the simulation did not end within " + std::to_string(options.step_count_max) + " steps");
        return result;
      }
      step = life.Take(result.crash_count < options.crash_count_max);
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
