#include "engine/flow/tbb_runtime_graph.h"

#include <oneapi/tbb/flow_graph.h>
#include <oneapi/tbb/task_arena.h>

#include <atomic>
#include <future>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/base/cpu.h"
#include "engine/base/event.h"
#include "engine/base/hand_over.h"
#include "engine/base/queue.h"

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

/// What other nodes of the graph are told of one.
class TbbCellNode : public CellNode {
 public:
  virtual flow::receiver<Envelope>& input() = 0;
  virtual void Connect(size_t port, flow::receiver<Envelope>& to) = 0;
};

/// Serial and queueing: one body at a time, messages in the order of their arrival, output sent inside the body.
template <size_t N>
class CellNodeOf final : public TbbCellNode {
 public:
  using Node = flow::multifunction_node<Envelope, Envelopes<N>, flow::queueing>;
  CellNodeOf(flow::graph& graph, std::function<void(const Envelope&)> body)
      : node_(graph, flow::serial,
              [this, body = std::move(body)](const Envelope& e, typename Node::output_ports_type&) noexcept {
                TakenOver(&kMadeForTbb);
                TakenOver(this);
                body(e);
                HandOver(this);  // to the next body, and to whoever waits for the graph
              }) {
    std::apply([&](auto&... ports) { ports_ = {&ports...}; }, node_.output_ports());
  }
  flow::receiver<Envelope>& input() override { return node_; }
  void Put(Envelope envelope) override {
    HandOver(this);
    node_.try_put(envelope);
  }
  void Connect(size_t port, flow::receiver<Envelope>& to) override { flow::make_edge(*ports_[port], to); }
  void Emit(size_t port, Envelope envelope) override { ports_[port]->try_put(envelope); }

 private:
  Node node_;
  using Port = std::tuple_element_t<0, typename Node::output_ports_type>;
  std::vector<Port*> ports_;
};

std::unique_ptr<TbbCellNode> MakeCellNode(flow::graph& graph, size_t ports, std::function<void(const Envelope&)> body) {
  constexpr size_t kMax = TbbGraph::kPortCountMax;
  if (ports <= 1 || ports > kMax) return std::make_unique<CellNodeOf<1>>(graph, std::move(body));
  if (ports <= 3) return std::make_unique<CellNodeOf<3>>(graph, std::move(body));
  return std::make_unique<CellNodeOf<kMax>>(graph, std::move(body));
}

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
  /// See TbbGraph.
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
int TbbArena::Occupy(const std::shared_ptr<std::atomic<bool>>& release,
                     const std::shared_ptr<std::atomic<int>>& started) {
  for (int i = 0; i < concurrency(); ++i) {
    HandOver(&kMadeForTbb);
    impl_->arena().enqueue([release, started] {
      TakenOver(&kMadeForTbb);
      started->fetch_add(1);
      while (!release->load()) std::this_thread::yield();
    });
  }
  return concurrency();
}

class TbbGraph::Impl {
 public:
  using Token = int;
  using DecodeNode = flow::function_node<Token, flow::continue_msg, flow::queueing>;

  explicit Impl(std::shared_ptr<TbbArena> arena) : arena_(std::move(arena)) {
    RunIn(workers(), [this] { graph_ = std::make_unique<flow::graph>(); });
  }
  ~Impl() {
    RunIn(workers(), [this] {
      decode_nodes_.clear();
      nodes_.clear();
      graph_.reset();
    });
  }
  oneapi::tbb::task_arena& workers() { return arena_->impl_->arena(); }

  const std::shared_ptr<TbbArena> arena_;
  std::unique_ptr<flow::graph> graph_;
  std::vector<std::unique_ptr<TbbCellNode>> nodes_;
  std::vector<std::unique_ptr<DecodeNode>> decode_nodes_;
};

TbbGraph::TbbGraph(std::shared_ptr<TbbArena> arena) : impl_(std::make_unique<Impl>(std::move(arena))) {}
TbbGraph::~TbbGraph() = default;

void TbbGraph::Build(const std::function<void()>& f) { RunIn(impl_->workers(), f); }

CellNode* TbbGraph::AddCell(size_t port_count, std::function<void(const Envelope&)> body) {
  impl_->nodes_.push_back(MakeCellNode(*impl_->graph_, port_count, std::move(body)));
  return impl_->nodes_.back().get();
}

void TbbGraph::Connect(CellNode& from, size_t port, CellNode& to) {
  static_cast<TbbCellNode&>(from).Connect(port, static_cast<TbbCellNode&>(to).input());
}

void TbbGraph::AddDecoding(std::function<void()> body) {
  impl_->decode_nodes_.push_back(std::make_unique<Impl::DecodeNode>(*impl_->graph_, flow::unlimited,
                                                                    [body = std::move(body)](Impl::Token) noexcept {
                                                                      TakenOver(&kMadeForTbb);
                                                                      body();
                                                                      return flow::continue_msg();
                                                                    }));
}

void TbbGraph::Decode(size_t index) { impl_->decode_nodes_[index]->try_put(0); }

void TbbGraph::PutBehind(CellNode& node) { impl_->arena_->impl_->PutBehind(*impl_->graph_, node); }

void TbbGraph::KeepOpen() { impl_->graph_->reserve_wait(); }

void TbbGraph::CloseAndWait() {
  impl_->graph_->release_wait();
  RunIn(impl_->workers(), [this] { impl_->graph_->wait_for_all(); });
  for (const auto& node : impl_->nodes_) TakenOver(node.get());
}

}  // namespace freshet
