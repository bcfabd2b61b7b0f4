#include "engine/flow/tbb_runtime.h"

#include <oneapi/tbb/flow_graph.h>
#include <oneapi/tbb/task_arena.h>

#include <deque>
#include <future>
#include <mutex>

#include "engine/base/cpu.h"
#include "engine/base/event.h"
#include "engine/base/hand_over.h"
#include "engine/base/log.h"
#include "engine/base/queue.h"
#include "engine/flow/coordinator.h"
#include "engine/flow/delivery_threads.h"

namespace freshet {
namespace {

namespace flow = oneapi::tbb::flow;

template <size_t... I>
auto EnvelopeTuple(std::index_sequence<I...>) -> std::tuple<decltype((void)I, Envelope())...>;
template <size_t N>
using Envelopes = decltype(EnvelopeTuple(std::make_index_sequence<N>()));

/// What oneTBB is given to run, lambdas and nodes, goes to another thread too: made and destroyed is handed over here.
const char kMadeForTbb = 0;

/// Runs `f` in the arena, perhaps on another thread, and waits for it.
template <class F>
void RunIn(oneapi::tbb::task_arena& arena, F&& f) {
  const auto body = [&f] {
    TakenOver(&kMadeForTbb);
    f();
    HandOver(&kMadeForTbb);
  };
  HandOver(&kMadeForTbb);
  arena.execute(body);
  TakenOver(&kMadeForTbb);
}

/// A cell as a node of the graph. Its output ports are joined by edges to the nodes it sends to.
class CellNode {
 public:
  virtual ~CellNode() = default;
  virtual flow::receiver<Envelope>& input() = 0;
  virtual bool Put(Envelope envelope) = 0;
  virtual void Connect(size_t port, flow::receiver<Envelope>& to) = 0;
  /// From inside the body only: keeps the order (LIBRARIES.md, oneTBB).
  virtual void Emit(size_t port, Envelope envelope) = 0;
};

/// Serial and queueing: one body at a time, messages in the order of their arrival, output sent inside the body.
template <size_t N, class Body>
class CellNodeOf final : public CellNode {
 public:
  using Node = flow::multifunction_node<Envelope, Envelopes<N>, flow::queueing>;
  CellNodeOf(flow::graph& graph, Body body)
      : node_(graph, flow::serial, [this, body](const Envelope& e, typename Node::output_ports_type&) noexcept {
          TakenOver(&kMadeForTbb);
          TakenOver(this);
          body(e);
          HandOver(this);  // to the next body, and to whoever waits for the graph
        }) {
    std::apply([&](auto&... ports) { ports_ = {&ports...}; }, node_.output_ports());
  }
  flow::receiver<Envelope>& input() override { return node_; }
  bool Put(Envelope envelope) override {
    HandOver(this);
    return node_.try_put(envelope);
  }
  void Connect(size_t port, flow::receiver<Envelope>& to) override { flow::make_edge(*ports_[port], to); }
  void Emit(size_t port, Envelope envelope) override { ports_[port]->try_put(envelope); }

 private:
  Node node_;
  using Port = std::tuple_element_t<0, typename Node::output_ports_type>;
  std::vector<Port*> ports_;
};

/// Cells with more receivers than this (many lanes) put into them directly, from inside the same serial body: the order
/// is the same, and a node type with hundreds of ports costs minutes of compiling.
constexpr size_t kPortCountMax = 8;
/// How often in a row a source's cell may run before all else that waits for a worker.
constexpr int kTurnRuns = 8;
/// Chunks that may wait for each worker before a source's own thread decodes too.
constexpr int64_t kChunksPerWorker = 2;
/// How often a paused source looks whether it may go on.
constexpr int64_t kPausedWaitUs = 20000;
/// How soon a source that waits for slower inputs looks again.
constexpr int64_t kHeldWaitUs = 1000;

template <class Body>
std::unique_ptr<CellNode> MakeCellNode(flow::graph& graph, size_t ports, Body body) {
  if (ports <= 1 || ports > kPortCountMax) return std::make_unique<CellNodeOf<1, Body>>(graph, body);
  if (ports <= 3) return std::make_unique<CellNodeOf<3, Body>>(graph, body);
  return std::make_unique<CellNodeOf<kPortCountMax, Body>>(graph, body);
}

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

class TbbArena::Impl {
 public:
  explicit Impl(int concurrency) : concurrency_(concurrency), arena_(concurrency, 1) {
    RunIn(arena_, [this] {
      kept_open_ = std::make_unique<flow::graph>();
      kept_open_->reserve_wait();
    });
    // Not before the owner is inside is the arena anybody else's: if it were full by then, oneTBB would hand its wait
    // to a thread that is inside, and one that waits for its own graph there would be nested below one that never ends.
    std::promise<void> inside;
    const std::future<void> entered = inside.get_future();
    owner_ = std::thread([this, inside = std::move(inside)]() mutable {
      arena_.execute([&] {
        inside.set_value();
        kept_open_->wait_for_all();
      });
    });
    entered.wait();
    usher_ = std::thread([this] { Usher(); });
  }
  ~Impl() {
    over_ = true;
    waiting_event_.Notify();
    usher_.join();
    kept_open_->release_wait();
    owner_.join();
    RunIn(arena_, [this] { kept_open_.reset(); });
  }
  int concurrency() const { return concurrency_; }
  oneapi::tbb::task_arena& arena() { return arena_; }
  /// A message for the cell, behind all that waits for the arena now. A worker that puts it itself would take it next,
  /// before what others sent and before what it has sent downstream: a source that never pauses would have it for good.
  void PutBehind(flow::graph& graph, CellNode& node) {
    graph.reserve_wait();
    waiting_.Push({&graph, &node});
    waiting_event_.Notify();
  }

 private:
  struct Waiting {
    flow::graph* graph = nullptr;
    CellNode* node = nullptr;
  };
  /// From a thread outside of the arena a message goes to the end of its queue.
  void Usher() {
    while (!over_) {
      Waiting next;
      while (waiting_.TryPop(next)) {
        next.node->Put(Envelope());
        next.graph->release_wait();
      }
      waiting_event_.Wait(1000000);
    }
  }

  const int concurrency_;
  oneapi::tbb::task_arena arena_;
  std::unique_ptr<flow::graph> kept_open_;  ///< an empty graph that never ends: what the owner waits for
  std::thread owner_;
  MpmcQueue<Waiting> waiting_;
  Event waiting_event_;
  std::atomic<bool> over_{false};
  std::thread usher_;
};

TbbArena::TbbArena(int concurrency)
    : impl_(std::make_unique<Impl>(std::max(1, concurrency > 0 ? concurrency : AvailableCores()))) {}
TbbArena::~TbbArena() = default;
int TbbArena::concurrency() const { return impl_->concurrency(); }

class TbbRuntime::Impl final : public Carrier {
 public:
  explicit Impl(const Options& options)
      : options_(options),
        shared_(options.arena ? options.arena : std::make_shared<TbbArena>(options.concurrency)),
        arena_(shared_->impl_->arena()) {}

  ~Impl() override {
    StopNow();
    if (job_) Finish();
  }

  Status Start(GraphSpec spec) {
    JobOptions options = options_.job;
    options.decoder_count = shared_->concurrency();
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
      graph_->release_wait();
      RunIn(arena_, [&] { graph_->wait_for_all(); });
      for (const auto& node : nodes_) TakenOver(node.get());
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
      RunIn(arena_, [&] {
        decode_nodes_.clear();
        nodes_.clear();
        graph_.reset();
      });
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
  int OccupyArena(const std::shared_ptr<std::atomic<bool>>& release, const std::shared_ptr<std::atomic<int>>& started) {
    for (int i = 0; i < shared_->concurrency(); ++i) {
      HandOver(&kMadeForTbb);
      arena_.enqueue([release, started] {
        TakenOver(&kMadeForTbb);
        started->fetch_add(1);
        while (!release->load()) std::this_thread::yield();
      });
    }
    return shared_->concurrency();
  }

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
  using Token = int;
  using DecodeNode = flow::function_node<Token, flow::continue_msg, flow::queueing>;

  void BuildGraph() {
    const GraphPlan& plan = job_->plan();
    RunIn(arena_, [&] {
      graph_ = std::make_unique<flow::graph>();
      port_of_edge_.resize(plan.edges.size());
      under_way_.resize(plan.cells.size());
      std::vector<size_t> port_count(plan.cells.size());
      for (size_t e = 0; e < plan.edges.size(); ++e)
        port_of_edge_[e] = port_count[static_cast<size_t>(plan.edges[e].from)]++;
      for (size_t e = 0; e < plan.edges.size(); ++e)
        if (port_count[static_cast<size_t>(plan.edges[e].from)] > kPortCountMax) port_of_edge_[e] = kDirect;
      sink_threads_.resize(plan.cells.size());
      for (const CellPlan& cell : plan.cells) {
        Cell* target = &job_->cell(cell.id);
        std::unique_ptr<CellNode> node;
        SinkThread* sink_thread = nullptr;
        if (auto* sink = dynamic_cast<SinkCell*>(target); sink != nullptr && sink->blocking()) {
          sink_threads_[static_cast<size_t>(cell.id)] = std::make_unique<SinkThread>();
          sink_thread = sink_threads_[static_cast<size_t>(cell.id)].get();
          sink_thread->cell = sink;
        }
        turns_.push_back(dynamic_cast<SourceCell*>(target) != nullptr ? std::make_unique<Turn>() : nullptr);
        node = MakeCellNode(*graph_, port_count[static_cast<size_t>(cell.id)],
                            [this, target, sink_thread](const Envelope& e) noexcept {
                              body_count_.fetch_add(1, std::memory_order_relaxed);
                              if (sink_thread != nullptr) {
                                sink_thread->queue.Push(e);
                                sink_thread->event.Notify();
                              } else if (Turn* turn = turns_[static_cast<size_t>(target->id())].get()) {
                                RunInTurn(*target, *turn);
                              } else {
                                Hand(*target, e);
                              }
                            });
        nodes_.push_back(std::move(node));
      }
      for (size_t e = 0; e < plan.edges.size(); ++e)
        if (port_of_edge_[e] != kDirect)
          nodes_[static_cast<size_t>(plan.edges[e].from)]->Connect(
              port_of_edge_[e], nodes_[static_cast<size_t>(plan.edges[e].to)]->input());
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
      shared_->impl_->PutBehind(*graph_, node);
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
    auto node = std::make_unique<DecodeNode>(*graph_, flow::unlimited, [this, d](Token) noexcept {
      TakenOver(&kMadeForTbb);
      TakenOver(d);
      SourceItem item;
      PopPushed(d->chunks, item);
      d->chunk_count.fetch_sub(1, std::memory_order_relaxed);
      DecodeItem(*d, item);
      d->driver->cell().Push(std::move(item));
      coordinator_->CountMove();
      HandOver(d);
      Nudge(d->driver->cell().id());
      return flow::continue_msg();
    });
    decode_nodes_.push_back(std::move(node));
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
    const int workers = shared_->concurrency();
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
    decode_nodes_[index]->try_put(0);
  }

  void StartThreads() {
    graph_->reserve_wait();
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
  const std::shared_ptr<TbbArena> shared_;
  oneapi::tbb::task_arena& arena_;
  std::unique_ptr<Job> job_;
  std::optional<DeliveryThreads> deliveries_;
  std::optional<Coordinator> coordinator_;
  std::unique_ptr<flow::graph> graph_;
  std::vector<std::unique_ptr<CellNode>> nodes_;
  std::vector<std::unique_ptr<Turn>> turns_;  ///< per cell; null: not a source's
  std::vector<size_t> port_of_edge_;
  std::deque<std::atomic<int64_t>> under_way_;  ///< per cell: messages sent to it that it has not taken
  std::vector<std::unique_ptr<DecodeNode>> decode_nodes_;
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
  return impl_->OccupyArena(release, started);
}

}  // namespace freshet
