#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/flow/cell.h"
#include "engine/flow/sink_cell.h"
#include "engine/flow/source_cell.h"
#include "engine/flow/source_driver.h"
#include "engine/flow/state_fit.h"
#include "engine/metrics/metrics.h"

namespace freshet {

/// Sources that stay open between two runs of a pipeline, by node id.
using OpenSources = std::map<std::string, std::unique_ptr<Source>>;

/// A checkpoint that memory asks for comes at the earliest so long after the last commit.
inline constexpr int64_t kEarlyCheckpointGapUs = 100000;

struct JobOptions {
  Env* env = nullptr;
  /// Where state lives; empty: nowhere (a run that cannot be restored). Ignored when `store` is given.
  std::string state_directory;
  CheckpointStore* store = nullptr;  ///< for tests and simulations; not owned
  SpillStore* spill = nullptr;       ///< the same: an empty one; null: in RocksDB, if there is a `memory_limit`
  Duration checkpoint_every = Duration::Seconds(10);
  Duration checkpoint_timeout = Duration::Seconds(600);  ///< from the barrier's start; then the epoch is given up
  Duration stop_patience = Duration::Seconds(10);  ///< how long a stop waits for a checkpoint or an output that fails
  int checkpoint_keep = 2;  ///< copies of the state kept in STATE/kept, one every `keep_every`; 0: none
  Duration keep_every = Duration::Seconds(600);
  int lane_count = 1;
  int decoder_count = 1;  ///< how many chunks of a source may be decoded at once; for the report
  Duration linger;        ///< how long rows of a source that never ends wait for more (source_driver.h)
  int32_t batch_row_count_max = kBatchRowCountMax;
  int64_t edge_budget_bytes = kEdgeBudgetBytes;
  int64_t memory_limit = 0;  ///< bytes of state in memory; 0: no limit
  bool fresh = false;        ///< --fresh: forget state, replace output
  /// For crash tests: called when an epoch is prepared everywhere and not durable yet, on the committing thread.
  std::function<void(Epoch)> before_commit;
  /// A job takes the sources over that it finds here, and puts those here that stay open when it closes. Not owned; may
  /// be null.
  OpenSources* open_sources = nullptr;
  bool drain = false;  ///< a stop ends the input: windows close, the state is finished (SEMANTICS.md §3.1)
};

/// What a run came to; also a consistent picture while it runs.
struct NodeReport {
  std::string id;
  std::string type;
  NodeClass node_class = NodeClass::kRowWise;
  NodeCounters counters;
  EventTime watermark = EventTime::Min();
  int64_t queued = 0;
  int64_t blocked_count = 0;  ///< times that it, or a lane of it, began to wait for room behind it
  int64_t state_bytes = 0;
  int64_t state_keys = 0;
  int64_t pre_aggregated = 0;  ///< of its rows in this run: those that came as part of another (combiner.h)
  /// One per lane, and per helper of the node (sorter, gather; a source's thread and decoders).
  std::vector<Activity> activity;
  std::string law;                         ///< "" or the broken equation
  std::string waiting_for;                 ///< "" or why a sink cannot write now; it tries again
  std::optional<DeliveryCounts> delivery;  ///< of a network sink
};
/// Distributions over the checkpoints of a run. Thread-safe.
struct CheckpointFigures {
  Histogram duration_us;  ///< barrier to durable
  Histogram bytes;        ///< keys and values that went to the store
};
struct JobReport {
  std::vector<NodeReport> nodes;
  Epoch restored;
  Epoch committed;
  int64_t checkpoint_count = 0;
  int64_t checkpoint_skipped_count = 0;  ///< put off because the store was busy
  int64_t checkpoint_failed_count = 0;   ///< given up: the disk was full, a sink could not prepare, it took too long
  std::string checkpoint_last_error;     ///< of the last one given up
  bool paused = false;                   ///< sources rest until a checkpoint succeeds again
  int64_t checkpoint_last_us = 0;        ///< duration of the last one, barrier to durable
  int64_t checkpoint_last_wall_us = 0;   ///< when it became durable
  int64_t checkpoint_last_rows = 0;
  int64_t memory_limit = 0;          ///< bytes of state in memory; 0: no limit
  int64_t memory_used = 0;           ///< by state, and by checkpoints that are being written
  int64_t memory_peak = 0;           ///< the most that was used in this run
  int64_t memory_dropped_bytes = 0;  ///< of keys that left memory so far
  int64_t memory_spilled_bytes = 0;  ///< written to the spill store
  int64_t checkpoint_last_bytes = 0;
  std::shared_ptr<const CheckpointFigures> checkpoints;
  int64_t running_us = 0;  ///< since the job was made
  bool finished = false;   ///< all input came and everything is committed
  Status status;
  std::vector<std::string> warnings;
  std::vector<std::pair<std::string, std::string>> sink_summaries;
  std::vector<std::pair<std::string, std::vector<Batch>>> late_samples;
  std::optional<double> progress;  ///< share of bounded input read
  int64_t quiet_us = 0;            ///< for how long all sources that have not ended have been polled and had nothing
};

class Job;
class OperatorCell;
/// Adds late samples and, where more than 1 % of a source's rows (and at least 100) were older than their watermark,
/// the warning of SEMANTICS.md §2.3 to a report. Only when nothing runs any more.
void AddLateReport(const Job& job, JobReport* report);

/// One run of a pipeline: the graph's cells, the checkpoint coordinator and what restores them. Runtimes move the
/// messages.
///
/// Epochs: BeginEpoch asks the sources for barriers; when every cell that has not ended has answered, TakeReady gives
/// the epoch, CommitReady makes it durable. Cells that have ended answer with what they had at their end. When all
/// cells have ended, a last epoch marks the state finished.
///
/// An epoch that cannot be committed is given up: what it held goes into the next one (of two values for one key the
/// newer wins), sinks get Abort, and nothing is lost. One that failed for want of room also pauses the sources until
/// one succeeds. A slow one still waits for all cells, so that there is never a second barrier behind it.
class Job final : public CellListener {
 public:
  /// Plans, opens the store, restores. `carrier` must outlive the job.
  static Result<std::unique_ptr<Job>> Make(GraphSpec spec, const JobOptions& options, Carrier* carrier);
  ~Job() override;

  const GraphSpec& spec() const { return spec_; }
  const GraphPlan& plan() const { return plan_; }
  Cell& cell(int id) { return *cells_[static_cast<size_t>(id)]; }
  std::vector<std::unique_ptr<Cell>>& cells() { return cells_; }
  const std::vector<std::unique_ptr<Cell>>& cells() const { return cells_; }
  std::vector<std::unique_ptr<SourceDriver>>& drivers() { return drivers_; }
  /// Whether a stop ends the input from now on (JobOptions::drain).
  void SetDrain(bool drain);
  const std::vector<SinkCell*>& sinks() const { return sinks_; }
  /// Cells that were told of the last commit and want a nudge: sinks, and those that keep state.
  const std::vector<int>& cells_to_nudge() const { return cells_to_nudge_; }
  /// What bounds the state in memory. Sources are not polled while it says that they wait; an epoch should begin when
  /// it asks for one.
  MemoryBudget& memory() { return memory_; }
  /// The state says that everything was processed before, and the sources have no more (SEMANTICS.md §3.2, §3.3).
  /// `sinks()` are then those with rows that have not left yet; there are no other cells.
  bool already_finished() const { return already_finished_; }
  const Manifest& restored_manifest() const { return restored_manifest_; }
  /// Records that the sources had read at the restored epoch.
  int64_t records_restored() const { return records_restored_; }

  /// Starts an epoch unless one is under way or no source is left to send a barrier. Returns the cells to nudge.
  std::vector<int> BeginEpoch(bool final_one);
  bool epoch_under_way() const;
  /// A complete epoch waits for CommitReady, or the run has ended and the last one does.
  bool commit_ready() const;
  /// Makes it durable or gives it up. Not on an arena thread: it waits for the disk. On success `sinks()` have
  /// PostCommit and want a nudge. Fails only if trying again cannot help.
  Status CommitReady();
  bool all_ended() const;
  /// After CommitReady gave its epoch up: how long to leave the outside alone before the next attempt; else 0.
  int64_t retry_wait_us() const { return retry_wait_us_.load(); }
  /// Sources are not to be polled: checkpoints fail.
  bool paused() const { return paused_.load(); }
  /// The same, while so much waits for a receiver that it must not become more.
  bool outbox_full() const;
  /// Why the last epoch was given up, if no later one was committed.
  Status last_failure() const;
  /// Makes a copy of the newest committed epoch; see CheckpointStore::CopyTo. Any thread.
  Status CopyStateTo(const std::string& directory);
  /// A command for one of the nodes: it goes with the next barrier, and a checkpoint is asked for. Its outcome is
  /// settled by that epoch's commit, or by the end of the job. Any thread.
  void Submit(std::shared_ptr<Command> command);
  /// The tables of the newest committed epoch, and where their rows can be read (only read). Any thread, as long as the
  /// job is there.
  Result<std::vector<Manifest::Table>> ReadCommitted(CheckpointStore** store) const;
  /// Gives the epoch under way up if it has taken longer than `checkpoint_timeout`: it counts as failed from now on,
  /// and a stop does not wait for it any more. The cells have to answer it all the same before the next one begins.
  void GiveUpSlowEpoch();
  /// Rows wait for an epoch before they may leave; true until the next one begins.
  bool checkpoint_wanted() const { return checkpoint_wanted_.load(); }
  bool finished() const { return finished_.load(); }
  /// All source cells have stopped or ended after a stop request.
  bool sources_at_rest() const;
  /// What a stop still waits for, for a message: nodes that an epoch waits for, or sources that go on.
  std::string AwaitedByStop() const;

  Status failure() const;
  bool failed() const { return has_failed_.load(); }
  /// Called after the listener got something that may need the coordinator's attention.
  std::function<void()> on_change;

  JobReport Report() const;
  /// What would become of the state if the job went on as another pipeline (a reload). Any thread, while it runs.
  std::vector<NodeFit> CheckFit(const GraphSpec& spec) const;
  void DetachAndClose();

  void OnSnapshot(Epoch epoch, CellSnapshot snapshot) override;
  void OnEnded(CellSnapshot snapshot) override;
  void OnFailure(int cell, Status status) override;
  void OnCheckpointWanted() override;

 private:
  Job(GraphSpec spec, const JobOptions& options, Carrier* carrier);
  Status Open();
  /// Of a finished state: whether a source has input behind its positions, or never ends, or is not known there.
  Result<bool> HasMoreInput();
  void FinishSinksAgain();
  Status MakeCells();
  void ConnectGates();
  void CheckComplete();
  /// What the rows of epochs that are not durable yet take; under the lock.
  void AccountRows(int64_t committing_bytes);
  void StartEpoch();
  void TakeSnapshot(CellSnapshot* snapshot);
  std::string CellsWaitedFor() const;
  /// Under the lock. The only two ends of an epoch.
  void EpochCommitted(const Manifest& manifest);
  void EpochGivenUp(Status why, EpochRows rows);
  void NoteFailure(Status why);
  void HoldBackState(EpochRows* rows);
  Status CheckLaws(const std::vector<NodeCounters>& counters) const;
  std::vector<NodeCounters> SumCounters() const;
  /// Rows that the inputs of a node have sent by all that is counted.
  int64_t RowsSentTo(const NodeSpec& node, const std::vector<NodeCounters>& counters) const;
  Status ReadRowsBefore();
  void KeepCopy();
  NodeClass ClassOf(int node) const;

  GraphSpec spec_;
  const JobOptions options_;
  GraphPlan plan_;
  CellEnvironment environment_;
  std::unique_ptr<CheckpointStore> owned_store_;
  std::unique_ptr<SpillStore> spill_;
  TableDirectory tables_;
  Manifest restored_manifest_;
  bool already_finished_ = false;
  std::vector<std::unique_ptr<Cell>> cells_;
  std::vector<std::unique_ptr<SourceDriver>> drivers_;
  std::vector<std::unique_ptr<SkewGate>> gates_;
  std::vector<SinkCell*> sinks_;
  std::vector<int> cells_to_nudge_;
  std::vector<OperatorCell*> stateful_;
  MemoryBudget memory_;
  CommandQueue commands_;

  mutable std::mutex mutex_;
  Epoch next_epoch_{1};
  bool under_way_ = false;
  bool complete_ = false;
  Epoch epoch_;
  std::set<int> waiting_for_;
  std::vector<bool> ended_;
  size_t ended_count_ = 0;
  EpochRows rows_;                ///< of the epoch under way
  std::vector<EpochRows> parts_;  ///< of cells, in the order in which they came; go into rows_ when all are there
  int64_t accounted_rows_bytes_ = 0;
  EpochRows next_rows_;                                                   ///< of cells that ended after answering it
  EpochRows held_back_;                                                   ///< only with a planted mistake
  std::vector<std::vector<std::pair<int, NodeCounters>>> cell_counters_;  ///< as of the epoch under way
  std::vector<std::vector<std::pair<int, NodeCounters>>> next_cell_counters_;  ///< of cells ended since
  int64_t began_us_ = 0;
  Epoch committed_;
  std::vector<Manifest::Table> committed_tables_;
  int64_t records_restored_ = 0;
  std::vector<int64_t> rows_before_;  ///< per node: rows its inputs had sent when it was not there yet to take them
  Status given_up_;                   ///< why the epoch under way will not be committed; OK: it will
  bool slow_ = false;                 ///< because it takes too long; that has been said
  std::set<int> took_part_;           ///< cells whose state is in rows_
  std::set<int> ended_since_;         ///< cells whose last state is in next_rows_
  std::set<int> unprepared_;          ///< sinks that have ended and have to prepare again
  Status last_failure_;
  int failures_in_a_row_ = 0;
  bool types_put_ = false;  ///< the types of the nodes are in rows_, or committed
  int64_t kept_us_ = 0;     ///< when the last copy was kept, or the job began
  std::atomic<int64_t> retry_wait_us_{0};
  std::atomic<bool> paused_{false};
  JobReport totals_;  ///< checkpoint figures only
  const std::shared_ptr<CheckpointFigures> checkpoints_ = std::make_shared<CheckpointFigures>();
  const int64_t made_us_;
  std::atomic<bool> finished_{false};
  std::atomic<bool> checkpoint_wanted_{false};
  std::atomic<bool> has_failed_{false};
  Status failure_;
};

}  // namespace freshet
