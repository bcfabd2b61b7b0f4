#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/status.h"
#include "engine/batch/key_codec.h"
#include "engine/flow/activity.h"
#include "engine/flow/combiner.h"
#include "engine/flow/graph.h"
#include "engine/flow/message.h"
#include "engine/flow/operator.h"
#include "engine/state/checkpoint_store.h"
#include "engine/state/memory_budget.h"
#include "engine/state/spill_store.h"

namespace freshet {

/// How a runtime carries messages. Send is called by the cell that owns the edge, in edge order; Nudge from any thread.
class Carrier {
 public:
  virtual ~Carrier() = default;
  virtual void Send(Envelope envelope) = 0;
  /// Asks that the cell's Run be called soon.
  virtual void Nudge(int cell) = 0;
  /// A step of work that sends nothing, such as a slice of a snapshot: who waits for a stop sees that there is
  /// progress.
  virtual void CountMove() {}
};

/// What a cell hands to the checkpoint coordinator when it is aligned at a barrier, or for good at its end.
struct CellSnapshot {
  int cell = -1;
  EpochRows rows;
  std::vector<std::pair<int, NodeCounters>> counters;  ///< (node index, this cell's share)
  /// A sink could not prepare its output now: the epoch is to be given up and the sink to be asked again.
  Status failure;
};

/// Takes snapshots and failures; the coordinator. Thread-safe.
class CellListener {
 public:
  virtual ~CellListener() = default;
  virtual void OnSnapshot(Epoch epoch, CellSnapshot snapshot) = 0;
  /// The cell has seen the end of all its inputs and will send nothing more.
  virtual void OnEnded(CellSnapshot snapshot) = 0;
  virtual void OnFailure(int cell, Status status) = 0;
  /// Rows wait for the next checkpoint before they can leave.
  virtual void OnCheckpointWanted() {}
};

/// Table numbers of the run: known ones from the manifest, new ones as operators open tables. Thread-safe.
class TableDirectory {
 public:
  void Load(const Manifest& manifest);
  /// The number of a table; fails when its codec or fingerprint does not fit what is in the checkpoint. `*stored` is
  /// the codec of its rows there, 0 if it has none; from now on it has the table's own. `takes_layout`: rows of another
  /// fingerprint are read.
  Result<TableId> Resolve(const std::string& node_id, const StateTable& table, uint16_t* stored,
                          bool takes_layout = false);
  /// Of the table's rows in the checkpoint; none if it has none there.
  std::optional<std::string> StoredFingerprint(const std::string& node_id, const std::string& table) const;
  std::vector<Manifest::Table> tables() const;

 private:
  mutable std::mutex mutex_;
  std::vector<Manifest::Table> tables_;
  std::vector<Manifest::Table> restored_;
};

/// What all cells of a job share. Outlives them.
struct CellEnvironment {
  Env* env = nullptr;
  const GraphSpec* spec = nullptr;
  const GraphPlan* plan = nullptr;
  Carrier* carrier = nullptr;
  CellListener* listener = nullptr;
  CheckpointStore* store = nullptr;  ///< may be null: nothing is kept
  TableDirectory* tables = nullptr;
  MemoryBudget* memory = nullptr;  ///< never null once cells are made
  SpillStore* spill = nullptr;     ///< where keys go that no checkpoint has and that do not fit; may be null
  Epoch restored;                  ///< 0: fresh start
  bool restored_finished = false;  ///< all input had ended then, and there is more now
  bool fresh_forced = false;
  std::string state_directory;  ///< may be empty
  int32_t batch_row_count_max = kBatchRowCountMax;
  int64_t edge_budget_bytes = kEdgeBudgetBytes;
};

/// Keys of the engine's own rows (table 0, key group 0): "extra/NODE/CELL", "counters/NODE", "source/NODE",
/// "sink/NODE".
std::string EngineKey(const char* what, const std::string& node_id);
void EncodeCounters(const NodeCounters& counters, ByteSink& sink);
bool DecodeCounters(ByteSource& source, NodeCounters* counters);
void AddCounters(NodeCounters* to, const NodeCounters& from);
/// The law of SEMANTICS.md §4 for one node; "" if it holds, else the equation with its numbers.
std::string CheckConservation(NodeClass node_class, const NodeCounters& counters);

/// Bytes made out of state that have not been consumed downstream yet; shared by the batches that carry them.
class EgressBudget {
 public:
  EgressBudget(Carrier* carrier, int cell, int64_t limit) : carrier_(carrier), cell_(cell), limit_(limit) {}
  Batch::Hold Take(std::shared_ptr<EgressBudget> self, int64_t bytes);
  /// Whether a batch's hold is of such a budget; else it is a source's credit.
  static bool Owns(const Batch::Hold& hold);
  bool exhausted() const { return in_flight_.load(std::memory_order_acquire) >= limit_; }
  /// No nudges any more: the graph is going away.
  void Detach() { carrier_.store(nullptr); }

 private:
  struct Held;
  std::atomic<Carrier*> carrier_;
  const int cell_;
  const int64_t limit_;
  std::atomic<int64_t> in_flight_{0};
};

/// The sending side of a cell: its links, sequence numbers and the exchange. One thread.
class Outlets {
 public:
  Outlets(const CellEnvironment& environment, const CellPlan& plan);
  /// Rows of one port of one chain element, to every link of it.
  void SendRows(int element, PortIndex port, const Batch& batch, uint64_t exchange_sequence);
  bool connected(int element, PortIndex port) const;
  /// Where rows of this port go if they are divided over lanes and nobody else reads them; else null.
  struct OnlyExchange {
    const LinkPlan* link;
    const KeyCodec* codec;
    Combiner* combiner;
    int lane_count() const { return static_cast<int>(link->edges.size()); }
  };
  /// `combiner` is null where rows are not combined; it is thread-safe.
  std::optional<OnlyExchange> only_exchange(int element, PortIndex port) const;
  /// What SendRows would make of a batch there, made elsewhere: one part per lane, those with rows with their
  /// positions.
  void SendParts(const OnlyExchange& exchange, std::vector<Batch> parts);
  /// The same for rows of which some belong together; `lane_of` per row. Groups with a row that is late by its own
  /// watermark go as rows.
  void SendCombined(const OnlyExchange& exchange, const Batch& batch,
                    const std::shared_ptr<const CombinedRows>& combined, const std::vector<uint8_t>& lane_of);
  /// Watermark, idle, barrier, end: on every edge.
  void SendAll(const Message& message);
  void SendMarks(uint64_t exchange_sequence);
  std::shared_ptr<EgressBudget> budget() const { return budget_; }
  /// Rows that did not leave because another one stood for them, per node that they were for.
  const std::vector<std::pair<int, int64_t>>& pre_aggregated() const { return pre_aggregated_; }

 private:
  struct Exchange {
    KeyCodec codec;
    EncodedKeys keys;
    std::unique_ptr<Combiner> combiner;  ///< may be null
    uint64_t sequence = 0;
  };
  void Send(int edge, Message message, uint64_t exchange_sequence = 0);
  void SendExchanged(const LinkPlan& link, Exchange& exchange, const Batch& batch);

  Carrier* carrier_;
  const CellPlan* plan_;
  std::vector<uint64_t> sequences_;  // per edge of the plan, by edge id; only own edges are used
  std::vector<std::unique_ptr<Exchange>> exchanges_;
  std::vector<uint8_t> lane_of_;
  std::vector<std::pair<int, int64_t>> pre_aggregated_;
  std::shared_ptr<EgressBudget> budget_;
  // planted bug: one message kept back to be sent after its successor
  std::unique_ptr<Envelope> swapped_;
};

/// One step of the running graph: inputs merged and aligned, messages dispatched, snapshots taken. A plain class that
/// knows no thread: a runtime calls Deliver and Run, never concurrently for one cell.
///
/// Protocol, as seen by subclasses: HandleBatch / HandleWatermark / HandleEnd … one at a time; a handler that returns
/// kMore is called again before any other message is taken, as long as the egress budget lasts.
class Cell {
 public:
  Cell(const CellEnvironment& environment, const CellPlan& plan);
  virtual ~Cell() = default;
  Cell(const Cell&) = delete;
  Cell& operator=(const Cell&) = delete;

  int id() const { return plan_.id; }
  const CellPlan& plan() const { return plan_; }
  /// Opens operators and restores their state. Before any Deliver.
  virtual Status Open() = 0;
  /// Appends a message. Checks its sequence number: a gap is a bug of the runtime and fails the job.
  void Deliver(Envelope envelope);
  /// Works while there is something to do and the egress budget allows. noexcept: errors go to the listener.
  virtual void Run() noexcept;
  /// Deliver and Run, with an eye on the clock: what a runtime with real time calls.
  void Work(Envelope envelope) noexcept;
  virtual void Close() noexcept {}
  void Detach() { outlets_.budget()->Detach(); }

  /// A consistent copy for metrics. Any thread.
  struct Published {
    std::vector<std::pair<int, NodeCounters>> counters;
    std::vector<std::pair<int, int64_t>> pre_aggregated;  ///< as in Outlets
    EventTime watermark = EventTime::Min();
    int64_t queued = 0;
    int64_t blocked_count = 0;  ///< times it began to wait for room behind it
    int64_t state_bytes = 0;
    int64_t state_keys = 0;
    bool ended = false;
    std::string waiting_for;  ///< the error that an attempt to come may overcome; empty: nothing
  };
  virtual Published published() const;
  /// Where the time of the chain's elements went. Any thread.
  std::vector<Activity> activity() const;
  bool failed() const { return failed_; }

 protected:
  virtual Status HandleBatch(InputIndex input, const Batch& batch, uint64_t exchange_sequence) = 0;
  virtual void HandleInputWatermark(InputIndex, EventTime) {}
  virtual void HandleMark(InputIndex, uint64_t) {}
  virtual Result<Progress> HandleWatermark(EventTime now) = 0;
  virtual Result<Progress> HandleEnd() = 0;
  virtual Result<Progress> HandleClock(EventTime) { return Progress::kDone; }
  /// Called after every message: work that output space allows (gathers). kMore: again.
  virtual Result<Progress> Pump() { return Progress::kDone; }
  /// Fills counters, and rows as far as it takes no time; `snapshot` stays where it is until SnapshotSome is through.
  virtual Status Snapshot(CellSnapshot* snapshot) = 0;
  /// Some more of the rows that stood there when Snapshot was called, about as much work as a batch. True: that is all.
  /// Other messages may have been handled meanwhile.
  virtual Result<bool> SnapshotSome(CellSnapshot* snapshot) {
    (void)snapshot;
    return true;
  }
  virtual void FillPublished(Published* published) const = 0;
  virtual void ForwardBarrier(const Barrier& barrier) { outlets_.SendAll(barrier); }
  virtual void ForwardWatermark(EventTime time) { outlets_.SendAll(Watermark{time, cause_}); }

  void Fail(Status status);
  void Publish();
  /// Takes up where the inputs stood in event time at the restored epoch: before any message, so that no watermark
  /// falls and nothing opens again what was closed. Inputs that the checkpoint does not know join there.
  Status RestoreTime();
  /// The committed value of one of the engine's own rows; empty if none.
  Result<std::string> RestoredEngineRow(const std::string& key) const;
  /// From now on time counts for this element of the chain; returns the one it counted for before.
  size_t SwitchMeter(size_t element);
  ActivityMeter& meter(size_t element) { return meters_[element]; }
  /// The barrier being completed; its epoch is 0 at the end of input.
  Epoch snapshot_epoch() const { return barrier_open_ ? barrier_.epoch : Epoch{}; }
  /// What the barrier being completed orders; null: nothing.
  const CommandList* commands() const { return barrier_open_ ? barrier_.commands.get() : nullptr; }
  /// Rows of a snapshot that is not complete yet.
  int64_t open_snapshot_bytes() const {
    return open_snapshot_ == nullptr ? 0 : open_snapshot_->snapshot.rows.allocated_bytes();
  }
  EventTime input_watermark(InputIndex i) const { return inputs_[static_cast<size_t>(i)].watermark; }

  const CellEnvironment& environment_;
  const CellPlan& plan_;
  Outlets outlets_;
  bool failed_ = false;
  bool ended_ = false;
  bool waiting_ = false;  ///< no message is taken: a call to the outside has to be repeated first (sinks)
  int64_t blocked_count_ = 0;
  Batch::Hold cause_;  ///< the hold of the message that is being worked on; goes on with the watermarks it gives

 private:
  struct Input {
    EventTime watermark = EventTime::Min();
    EventTime before_end = EventTime::Min();  ///< its watermark, but for the one of its end, which is never stored
    uint64_t next_sequence = 0;
    bool idle = false;
    bool ended = false;
    bool at_barrier = false;
  };
  enum class Continuation : uint8_t { kNone, kWatermark, kClock, kEnd, kPump };

  Status Step(bool* blocked);
  Status Process(Envelope& envelope);
  Status Continue();
  /// For cells with timers of the wall clock: it is time to look.
  void LookAtClock();
  void MergeWatermark();
  /// When every input that has not ended is idle.
  void ForwardIdleIfAll();
  Status CompleteBarrierIfAligned();
  Status FinishIfEnded();
  Status TakeSnapshot(CellSnapshot* snapshot);
  /// A piece of the open snapshot, if there is one; complete, it goes to the listener.
  Status ContinueSnapshot();
  Status FinishSnapshot();
  void SnapshotTime(CellSnapshot* snapshot) const;
  std::string TimeKey() const;
  /// The output that an input reads, by node and port: the same one after an edit of the pipeline.
  std::vector<std::string> InputNames() const;

  std::deque<Envelope> inbox_;
  std::deque<Envelope> parked_;
  std::vector<Input> inputs_;
  std::vector<ActivityMeter> meters_;  // per element of the chain
  size_t metered_ = 0;
  int64_t mark_us_ = -1;  // since when time counts for `metered_`; -1: not at work
  bool blocked_ = false;
  Continuation continuation_ = Continuation::kNone;
  EventTime merged_ = EventTime::Min();
  EventTime merged_before_end_ = EventTime::Min();
  EventTime target_ = EventTime::Min();
  EventTime clock_ = EventTime::Min();
  bool barrier_open_ = false;
  bool idle_sent_ = false;
  Barrier barrier_;
  struct OpenSnapshot {
    Epoch epoch;
    CellSnapshot snapshot;
  };
  std::unique_ptr<OpenSnapshot> open_snapshot_;
  bool snapshot_nudged_ = false;  ///< a nudge for the next piece is on its way
  Epoch misaligned_;              ///< planted mistake: the last epoch whose first barrier was taken for all
  mutable std::mutex published_mutex_;
  Published published_;
};

}  // namespace freshet
