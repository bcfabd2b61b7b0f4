#include "engine/flow/tbb_runtime.h"

#include <deque>
#include <mutex>

#include "engine/base/cpu.h"
#include "engine/base/event.h"
#include "engine/base/hand_over.h"
#include "engine/base/log.h"
#include "engine/base/queue.h"
#include "engine/flow/coordinator.h"
#include "engine/flow/delivery_threads.h"
#include "engine/flow/tbb_runtime_graph.h"

namespace freshet {
namespace {

/// How often in a row a source's cell may run before all else that waits for a worker.
constexpr int kTurnRuns = 8;
/// Chunks that may wait for each worker before a source's own thread decodes too.
constexpr int64_t kChunksPerWorker = 2;
/// How often a paused source looks whether it may go on.
constexpr int64_t kPausedWaitUs = 20000;
/// How soon a source that waits for slower inputs looks again.
constexpr int64_t kHeldWaitUs = 1000;

/// What asks for a cell's next run. At most one is in the graph at a time: `due` and `running` are bits of one word,
/// and who finds neither set puts the message.
class Turn {
 public:
  /// True: the caller puts a message for the cell.
  bool Ask() { return state_.fetch_or(kDue, std::memory_order_acq_rel) == 0; }
  void Begin() { state_.exchange(kRunning, std::memory_order_acq_rel); }
  /// True: it was asked for meanwhile, and the caller puts a message for the cell.
  bool End() {
    int running = kRunning;
    if (state_.compare_exchange_strong(running, 0, std::memory_order_acq_rel)) {
      runs_ = 0;
      return false;
    }
    state_.exchange(kDue, std::memory_order_acq_rel);
    return true;
  }
  /// After End was true: the cell has run often enough for others to come first.
  bool over() {
    if (++runs_ < kTurnRuns) return false;
    runs_ = 0;
    return true;
  }

 private:
  static constexpr int kDue = 1;
  static constexpr int kRunning = 2;
  std::atomic<int> state_{0};
  int runs_ = 0;  // by whoever runs the cell
};

}  // namespace

class TbbRuntime::Impl final : public Carrier {
 public:
  explicit Impl(const Options& options)
      : options_(options), arena_(options.arena ? options.arena : std::make_shared<TbbArena>(options.concurrency)) {}

  ~Impl() override {
    StopNow();
    if (job_) Finish();
  }

  Status Start(GraphSpec spec) {
    JobOptions options = options_.job;
    options.decoder_count = arena_->concurrency();
    FRESHET_ASSIGN_OR_RETURN(job_, Job::Make(std::move(spec), options, this));
    deliveries_.emplace(job_.get());
    coordinator_.emplace(job_.get(), options_.job, this, &*deliveries_);
    if (job_->already_finished()) {
      if (job_->sinks().empty()) return Status::Ok();
      deliveries_->Start();
      coordinator_->Start(true);
      return Status::Ok();
    }
    job_->on_change = [this] { coordinator_->Notify(); };
    BuildGraph();
    StartThreads();
    return Status::Ok();
  }

  // Carrier. Send is called inside the sender's body, so the port may be used directly.
  void Send(Envelope envelope) override {
    const auto edge = static_cast<size_t>(envelope.edge);
    const EdgePlan& plan = job_->plan().edges[edge];
    under_way_[static_cast<size_t>(plan.to)].fetch_add(1, std::memory_order_relaxed);
    CellNode& to = *nodes_[static_cast<size_t>(plan.to)];
    if (port_of_edge_[edge] == kDirect) {
      to.Put(std::move(envelope));
    } else {
      HandOver(&to);
      nodes_[static_cast<size_t>(plan.from)]->Emit(port_of_edge_[edge], std::move(envelope));
    }
  }
  void CountMove() override { coordinator_->CountMove(); }
  void Nudge(int cell) override {
    if (dead_) return;
    CellNode& node = *nodes_[static_cast<size_t>(cell)];
    Turn* const turn = turns_[static_cast<size_t>(cell)].get();
    if (turn == nullptr || turn->Ask()) node.Put(Envelope());
  }

  void RequestStop() {
    if (!coordinator_->RequestStop()) return;
    for (auto& driver : job_->drivers()) driver->RequestStop();
    coordinator_->Notify();
  }
  void StopNow() {
    if (!job_) return;
    coordinator_->StopNow();
    for (auto& driver : job_->drivers()) driver->RequestStop();
    deliveries_->Interrupt();
  }
  void RequestCheckpoint() { coordinator_->RequestCheckpoint(); }
  bool Wait(Duration timeout) {
    return (job_->already_finished() && job_->sinks().empty()) || coordinator_->WaitOver(timeout);
  }

  JobReport Finish() {
    if (!joined_ && coordinator_->started()) {
      joined_ = true;
      coordinator_->Join();
      if (job_->already_finished()) return FinishLeftovers();
      for (auto& driver : job_->drivers()) driver->RequestStop();
      coordinator_->WakeSleepers();
      for (std::thread& t : source_threads_) t.join();
      for (auto& thread : sink_threads_) {
        if (!thread) continue;
        thread->stop = true;
        thread->event.Notify();
        thread->thread.join();
      }
      deliveries_->Join();
      // Everything that was sent is taken: bodies of this graph have run when this returns.
      graph_->CloseAndWait();
      for (const auto& decoding : decoding_) TakenOver(decoding.get());
      dead_ = true;
      // The nudge for the last commit may have come after its thread had stopped.
      for (auto& thread : sink_threads_)
        if (thread) thread->cell->Run();
      JobReport report = MakeFinalReport();
      {
        const std::lock_guard lock(report_mutex_);
        final_report_ = std::move(report);
      }
      for (auto& cell : job_->cells()) cell->Detach();
      nodes_.clear();
      graph_.reset();
      job_->DetachAndClose();
    }
    return final_report_ ? *final_report_ : Report();
  }

  /// Of a run that found everything processed, but not everything sent.
  JobReport FinishLeftovers() {
    deliveries_->Join();
    JobReport report = job_->Report();
    for (SinkCell* sink : job_->sinks())
      if (report.status.ok()) report.status = sink->Finish();
    {
      const std::lock_guard lock(report_mutex_);
      final_report_ = report;
    }
    job_->DetachAndClose();
    return report;
  }

  JobReport Report() const {
    {
      const std::lock_guard lock(report_mutex_);
      if (final_report_) return *final_report_;
    }
    JobReport report = job_->Report();
    AddQueues(&report);
    if (report.status.ok()) report.status = coordinator_->status();
    return report;
  }
  Job& job() { return *job_; }
  int64_t body_count() const { return body_count_.load(); }
  TbbArena& arena() { return *arena_; }

 private:
  struct SinkThread {
    SinkCell* cell = nullptr;
    SpmcQueue<Envelope>
        queue;  // pushed by a serial node's body, from whichever worker runs it: one token keeps the order
    Event event;
    std::atomic<bool> stop{false};
    std::thread thread;
  };
  struct Decoding {
    SourceDriver* driver = nullptr;
    MpmcQueue<SourceItem> chunks;
    std::atomic<int64_t> chunk_count{0};
    MpmcQueue<Decoder*> idle_decoders;
    std::vector<std::unique_ptr<Decoder>> decoders;
    std::mutex mutex;
  };
  static constexpr size_t kDirect = SIZE_MAX;

  void BuildGraph() {
    const GraphPlan& plan = job_->plan();
    graph_ = std::make_unique<TbbGraph>(arena_);
    graph_->Build([&] {
      port_of_edge_.resize(plan.edges.size());
      under_way_.resize(plan.cells.size());
      std::vector<size_t> port_count(plan.cells.size());
      for (size_t e = 0; e < plan.edges.size(); ++e)
        port_of_edge_[e] = port_count[static_cast<size_t>(plan.edges[e].from)]++;
      for (size_t e = 0; e < plan.edges.size(); ++e)
        if (port_count[static_cast<size_t>(plan.edges[e].from)] > TbbGraph::kPortCountMax) port_of_edge_[e] = kDirect;
      sink_threads_.resize(plan.cells.size());
      for (const CellPlan& cell : plan.cells) {
        Cell* target = &job_->cell(cell.id);
        SinkThread* sink_thread = nullptr;
        if (auto* sink = dynamic_cast<SinkCell*>(target); sink != nullptr && sink->blocking()) {
          sink_threads_[static_cast<size_t>(cell.id)] = std::make_unique<SinkThread>();
          sink_thread = sink_threads_[static_cast<size_t>(cell.id)].get();
          sink_thread->cell = sink;
        }
        turns_.push_back(dynamic_cast<SourceCell*>(target) != nullptr ? std::make_unique<Turn>() : nullptr);
        nodes_.push_back(
            graph_->AddCell(port_count[static_cast<size_t>(cell.id)], [this, target, sink_thread](const Envelope& e) {
              body_count_.fetch_add(1, std::memory_order_relaxed);
              if (sink_thread != nullptr) {
                sink_thread->queue.Push(e);
                sink_thread->event.Notify();
              } else if (Turn* turn = turns_[static_cast<size_t>(target->id())].get()) {
                RunInTurn(*target, *turn);
              } else {
                Hand(*target, e);
              }
            }));
      }
      for (size_t e = 0; e < plan.edges.size(); ++e)
        if (port_of_edge_[e] != kDirect)
          graph_->Connect(*nodes_[static_cast<size_t>(plan.edges[e].from)], port_of_edge_[e],
                          *nodes_[static_cast<size_t>(plan.edges[e].to)]);
      for (auto& driver : job_->drivers()) AddDecodeNode(*driver);
    });
  }

  /// A source's cell: it is not sent anything, only asked to run.
  void RunInTurn(Cell& cell, Turn& turn) noexcept {
    turn.Begin();
    Hand(cell, Envelope());
    if (!turn.End()) return;
    CellNode& node = *nodes_[static_cast<size_t>(cell.id())];
    if (turn.over())
      graph_->PutBehind(node);
    else
      node.Put(Envelope());
  }

  /// Gives a cell its next message, or a nudge.
  void Hand(Cell& cell, Envelope e) noexcept {
    if (e.edge >= 0) {
      under_way_[static_cast<size_t>(cell.id())].fetch_sub(1, std::memory_order_relaxed);
      coordinator_->CountMove();
    }
    cell.Work(std::move(e));
  }

  /// Parallel: any free worker takes the next chunk. The source cell puts the blocks back in order by ticket.
  void AddDecodeNode(SourceDriver& driver) {
    auto decoding = std::make_unique<Decoding>();
    decoding->driver = &driver;
    Decoding* d = decoding.get();
    decoding_.push_back(std::move(decoding));
    graph_->AddDecoding([this, d] {
      TakenOver(d);
      SourceItem item;
      PopPushed(d->chunks, item);
      d->chunk_count.fetch_sub(1, std::memory_order_relaxed);
      DecodeItem(*d, item);
      d->driver->cell().Push(std::move(item));
      coordinator_->CountMove();
      HandOver(d);
      Nudge(d->driver->cell().id());
    });
  }

  /// All that can be done to an item away from its cell.
  void DecodeItem(Decoding& d, SourceItem& item) noexcept {
    const int64_t began_us = options_.job.env->SteadyMicros();
    if (item.kind == SourceItem::Kind::kBlock && !item.chunk.finished) {
      Decoder* decoder = nullptr;
      if (!d.idle_decoders.TryPop(decoder)) {
        std::unique_ptr<Decoder> fresh = d.driver->bound().make_decoder();
        decoder = fresh.get();
        const std::lock_guard lock(d.mutex);
        d.decoders.push_back(std::move(fresh));
      }
      decoder->Decode(item.chunk, &item.block);
      d.idle_decoders.Push(decoder);
    }
    d.driver->cell().Prepare(&item);
    d.driver->decode_meter().AddBusyShared(options_.job.env->SteadyMicros() - began_us);
  }

  /// To a worker, or where those are busy, and where the only one would but change places with this thread, decoded
  /// here, while what was read is still in the cache.
  void Dispatch(size_t index, SourceItem item) {
    Decoding& decoding = *decoding_[index];
    const int workers = arena_->concurrency();
    if (workers == 1 || decoding.chunk_count.load(std::memory_order_relaxed) >= kChunksPerWorker * workers) {
      DecodeItem(decoding, item);
      SourceCell& cell = decoding.driver->cell();
      cell.Push(std::move(item));
      Nudge(cell.id());
      return;
    }
    decoding.chunk_count.fetch_add(1, std::memory_order_relaxed);
    decoding.chunks.Push(std::move(item));
    HandOver(&decoding);
    graph_->Decode(index);
  }

  void StartThreads() {
    graph_->KeepOpen();
    deliveries_->Start();
    for (auto& thread : sink_threads_)
      if (thread) thread->thread = std::thread([this, t = thread.get()] { SinkLoop(*t); });
    for (size_t i = 0; i < job_->drivers().size(); ++i) source_threads_.emplace_back([this, i] { SourceLoop(i); });
    coordinator_->Start(false);
  }

  void SinkLoop(SinkThread& t) {
    for (;;) {
      Envelope e;
      bool any = false;
      while (t.queue.TryPop(e)) {
        Hand(*t.cell, std::move(e));
        any = true;
      }
      if (any) continue;
      if (t.stop) return;
      t.event.Wait(1000000);
    }
  }

  void SourceLoop(size_t index) {
    SourceDriver& driver = *job_->drivers()[index];
    ActivityMeter& meter = driver.read_meter();
    Env* env = options_.job.env;
    while (!coordinator_->stop_now()) {
      if ((job_->paused() || job_->outbox_full()) && !coordinator_->stop_requested()) {
        driver.Hold();
        meter.BeginBlocked(env->SteadyMicros());
        coordinator_->Sleep(kPausedWaitUs);
        meter.EndBlocked(env->SteadyMicros());
        continue;
      }
      if (job_->memory().sources_wait() && !coordinator_->stop_requested()) {
        driver.Hold();
        meter.BeginBlocked(env->SteadyMicros());
        job_->memory().WaitForRoom(kPausedWaitUs);
        meter.EndBlocked(env->SteadyMicros());
        continue;
      }
      SourceItem item;
      Status error;
      // Time on the core: waiting for the outside is no work.
      const int64_t began_us = ThreadCpuMicros();
      const SourceDriver::Outcome outcome = driver.Step(&item, &error);
      meter.AddBusy(ThreadCpuMicros() - began_us);
      switch (outcome) {
        case SourceDriver::Outcome::kChunk:
        case SourceDriver::Outcome::kSignal:
          Dispatch(index, std::move(item));
          break;
        case SourceDriver::Outcome::kNoCredit:
          meter.BeginBlocked(env->SteadyMicros());
          driver.credits().WaitAvailable(100000);
          meter.EndBlocked(env->SteadyMicros());
          break;
        case SourceDriver::Outcome::kHeld:
          coordinator_->Sleep(kHeldWaitUs);
          break;
        case SourceDriver::Outcome::kQueued:
          break;
        case SourceDriver::Outcome::kNothing:
          coordinator_->Sleep(driver.source().retry_after_us());
          break;
        case SourceDriver::Outcome::kLinger:
          coordinator_->Sleep(driver.linger_us());
          break;
        case SourceDriver::Outcome::kRetry:
          Log(LogLevel::kWarning, "source failed, trying again", {{"error", error.ToString()}});
          coordinator_->Sleep(driver.retry_wait_us());
          break;
        case SourceDriver::Outcome::kDone:
          if (!error.ok()) job_->OnFailure(driver.cell().id(), std::move(error));
          return;
      }
    }
  }

  /// What is on its way to a cell, and what waits for a decoder.
  void AddQueues(JobReport* report) const {
    for (size_t c = 0; c < under_way_.size(); ++c) {
      NodeReport& node = report->nodes[static_cast<size_t>(job_->plan().cells[c].nodes[0])];
      node.queued += under_way_[c].load(std::memory_order_relaxed);
    }
    for (const auto& d : decoding_)
      report->nodes[static_cast<size_t>(d->driver->cell().plan().nodes[0])].queued +=
          d->chunk_count.load(std::memory_order_relaxed);
  }

  JobReport MakeFinalReport() {
    JobReport report = job_->Report();
    if (report.status.ok()) report.status = coordinator_->status();
    for (SinkCell* sink : job_->sinks()) {
      if (report.finished && report.status.ok()) report.status = sink->Finish();
      std::string summary = sink->Summary();
      if (!summary.empty())
        report.sink_summaries.emplace_back(job_->spec().nodes[static_cast<size_t>(sink->plan().nodes[0])].id,
                                           std::move(summary));
    }
    AddLateReport(*job_, &report);
    return report;
  }

  const Options options_;
  const std::shared_ptr<TbbArena> arena_;
  std::unique_ptr<Job> job_;
  std::optional<DeliveryThreads> deliveries_;
  std::optional<Coordinator> coordinator_;
  std::unique_ptr<TbbGraph> graph_;
  std::vector<CellNode*> nodes_;              ///< per cell
  std::vector<std::unique_ptr<Turn>> turns_;  ///< per cell; null: not a source's
  std::vector<size_t> port_of_edge_;
  std::deque<std::atomic<int64_t>> under_way_;  ///< per cell: messages sent to it that it has not taken
  std::vector<std::unique_ptr<Decoding>> decoding_;
  std::vector<std::unique_ptr<SinkThread>> sink_threads_;
  std::vector<std::thread> source_threads_;
  std::atomic<bool> dead_{false};
  std::atomic<int64_t> body_count_{0};
  bool joined_ = false;
  mutable std::mutex report_mutex_;
  std::optional<JobReport> final_report_;
};

TbbRuntime::TbbRuntime(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TbbRuntime::~TbbRuntime() = default;

Result<std::unique_ptr<TbbRuntime>> TbbRuntime::Start(GraphSpec spec, const Options& options) {
  auto impl = std::make_unique<Impl>(options);
  FRESHET_RETURN_IF_ERROR(impl->Start(std::move(spec)));
  return std::unique_ptr<TbbRuntime>(new TbbRuntime(std::move(impl)));
}

void TbbRuntime::RequestStop() { impl_->RequestStop(); }
void TbbRuntime::StopNow() { impl_->StopNow(); }
bool TbbRuntime::Wait(Duration timeout) { return impl_->Wait(timeout); }
JobReport TbbRuntime::Finish() { return impl_->Finish(); }
JobReport TbbRuntime::Report() const { return impl_->Report(); }
void TbbRuntime::RequestCheckpoint() { impl_->RequestCheckpoint(); }
Job& TbbRuntime::job() { return impl_->job(); }
int64_t TbbRuntime::body_count() const { return impl_->body_count(); }
int TbbRuntime::OccupyArena(std::shared_ptr<std::atomic<bool>> release, std::shared_ptr<std::atomic<int>> started) {
  return impl_->arena().Occupy(release, started);
}

}  // namespace freshet
