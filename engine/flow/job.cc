#include "engine/flow/job.h"

#include <algorithm>
#include <map>

#include "engine/base/log.h"
#include "engine/base/units.h"
#include "engine/flow/dead_letter_file.h"
#include "engine/flow/operator_cell.h"
#include "engine/flow/planted_bugs.h"
#include "engine/flow/state_check.h"

namespace freshet {
namespace {

constexpr int64_t kRetryWaitMinUs = 50000;
constexpr int64_t kRetryWaitMaxUs = 10000000;
constexpr size_t kWaitedForShown = 3;
constexpr size_t kKeptNameDigits = 12;  // so that names are in order of time

/// Whether a checkpoint that the store refused so may go through later. A crash of the simulator's may not.
bool MayCommitLater(const Status& status) {
  return status.retry() == RetryHint::kLater || status.code() == StatusCode::kIo;
}

/// Every unread `dead_letter` output gets a file in the state directory (SEMANTICS.md §8.5).
void AddDeadLetterSinks(GraphSpec* spec, const std::string& state_directory) {
  if (state_directory.empty()) return;
  const size_t node_count = spec->nodes.size();
  for (size_t n = 0; n < node_count; ++n) {
    PortIndex port = -1;
    if (std::holds_alternative<SourceNode>(spec->nodes[n].kind)) port = 1;
    if (const auto* op = std::get_if<OperatorNode>(&spec->nodes[n].kind))
      for (size_t p = 1; p < op->bound.outputs.size(); ++p)
        if (op->bound.outputs[p].name == "dead_letter") port = static_cast<PortIndex>(p);
    const PortRef ref{static_cast<int>(n), port};
    const bool used = std::any_of(spec->nodes.begin(), spec->nodes.end(), [&](const NodeSpec& other) {
      return std::find(other.inputs.begin(), other.inputs.end(), ref) != other.inputs.end();
    });
    if (port < 0 || used) continue;
    NodeSpec sink;
    sink.id = spec->nodes[n].id + ".dead_letter";
    sink.type = "dead_letter_file";
    sink.inputs = {ref};
    SinkNode kind;
    kind.bound.blocking = true;
    kind.bound.restartable = true;
    const std::string path = state_directory + "/dead_letter/" + spec->nodes[n].id + ".ndjson";
    kind.bound.make_sink = [path] { return NewDeadLetterFile(path); };
    sink.kind = std::move(kind);
    spec->nodes.push_back(std::move(sink));
  }
}

/// One warning for each sink that is gone while rows wait for it.
Status WarnOfLeftovers(const GraphSpec& spec, OutboxStore* outbox, std::vector<std::string>* warnings) {
  if (outbox == nullptr) return Status::Ok();
  FRESHET_ASSIGN_OR_RETURN(const auto counts, CountWaitingBySink(*outbox));
  for (const auto& [id, count] : counts) {
    const bool there = std::any_of(spec.nodes.begin(), spec.nodes.end(), [&wanted = id](const NodeSpec& node) {
      const auto* sink = std::get_if<SinkNode>(&node.kind);
      return sink != nullptr && node.id == wanted && sink->bound.make_network_sink;
    });
    if (there) continue;
    warnings->push_back(FormatCount(count) + " requests wait in the outbox for `" + id +
                        "`, which the pipeline does not have any more: give a sink that id to send them, or start over "
                        "with --fresh");
    Log(LogLevel::kWarning, warnings->back());
  }
  return Status::Ok();
}

int64_t PortRows(const NodeSpec& node, const NodeCounters& counters, PortIndex port) {
  if (port == 0) return counters.out;
  if (std::holds_alternative<SourceNode>(node.kind)) return counters.dead;
  const std::string& name = std::get<OperatorNode>(node.kind).bound.outputs[static_cast<size_t>(port)].name;
  if (name == "late") return counters.late;
  if (name == "rejected") return counters.rejected;
  if (name == "dead_letter") return counters.dead;
  return -1;
}

}  // namespace

Job::Job(GraphSpec spec, const JobOptions& options, Carrier* carrier)
    : spec_(std::move(spec)), options_(options), memory_(options.memory_limit), made_us_(options.env->SteadyMicros()) {
  memory_.on_pressure = [this] {
    if (on_change) on_change();
  };
  environment_.memory = &memory_;
  environment_.env = options.env;
  environment_.spec = &spec_;
  environment_.carrier = carrier;
  environment_.listener = this;
  environment_.tables = &tables_;
  environment_.batch_row_count_max = options.batch_row_count_max;
  environment_.edge_budget_bytes = options.edge_budget_bytes;
  environment_.fresh_forced = options.fresh;
  environment_.state_directory = options.state_directory;
}

Job::~Job() { DetachAndClose(); }

Result<std::unique_ptr<Job>> Job::Make(GraphSpec spec, const JobOptions& options, Carrier* carrier) {
  AddDeadLetterSinks(&spec, options.state_directory);
  std::unique_ptr<Job> job(new Job(std::move(spec), options, carrier));
  FRESHET_RETURN_IF_ERROR(job->Open());
  return job;
}

Status Job::Open() {
  environment_.store = options_.store;
  if (environment_.store == nullptr && !options_.state_directory.empty()) {
    FRESHET_ASSIGN_OR_RETURN(owned_store_, OpenRocksDbStore(options_.env, options_.state_directory, options_.fresh));
    environment_.store = owned_store_.get();
  }
  if (environment_.store != nullptr) {
    FRESHET_ASSIGN_OR_RETURN(const std::optional<Manifest> manifest, environment_.store->Load());
    if (manifest && manifest->finished) {
      bool restartable = true;
      for (const NodeSpec& node : spec_.nodes)
        if (const auto* sink = std::get_if<SinkNode>(&node.kind)) restartable = restartable && sink->bound.restartable;
      restored_manifest_ = *manifest;
      if (!restartable || owned_store_ == nullptr) {
        already_finished_ = true;
        FinishSinksAgain();
        return Status::Ok();
      }
      // Only sinks that keep nothing: a new generation starts over.
      owned_store_.reset();
      FRESHET_ASSIGN_OR_RETURN(owned_store_, OpenRocksDbStore(options_.env, options_.state_directory, true));
      environment_.store = owned_store_.get();
    } else if (manifest) {
      restored_manifest_ = *manifest;
      environment_.restored = manifest->epoch;
      tables_.Load(*manifest);
    }
  }
  if (environment_.restored.number > 0) FRESHET_RETURN_IF_ERROR(CheckNodeTypes(spec_, *environment_.store));
  kept_us_ = options_.env->SteadyMicros();
  if (environment_.store != nullptr)
    FRESHET_RETURN_IF_ERROR(WarnOfLeftovers(spec_, environment_.store->outbox(), &totals_.warnings));
  committed_ = environment_.restored;
  committed_tables_ = restored_manifest_.tables;
  next_epoch_ = {environment_.restored.number + 1};
  plan_ = PlanGraph(spec_, options_.lane_count);
  environment_.plan = &plan_;
  FRESHET_RETURN_IF_ERROR(ReadRowsBefore());
  return MakeCells();
}

void Job::FinishSinksAgain() {
  // The run before may have died after its last commit and before a sink gave its output a name. Output that has been
  // moved away since is no reason to fail: everything was written.
  environment_.restored = restored_manifest_.epoch;
  plan_ = PlanGraph(spec_, options_.lane_count);
  environment_.plan = &plan_;
  for (const CellPlan& plan : plan_.cells) {
    if (plan.kind != CellKind::kSink) continue;
    auto cell = std::make_unique<SinkCell>(environment_, plan);
    Status status = cell->Open();
    if (status.ok() && cell->outbox() != nullptr && cell->outbox()->has_work()) {
      sinks_.push_back(cell.get());  // the runtime sends what waits
      cells_.push_back(std::move(cell));
      continue;
    }
    if (status.ok()) status = cell->Finish();
    if (!status.ok())
      Log(LogLevel::kWarning, "the output of the finished run is not as it was left", {{"reason", status.ToString()}});
    cell->Close();
  }
}

Status Job::MakeCells() {
  for (const CellPlan& plan : plan_.cells) {
    switch (plan.kind) {
      case CellKind::kSource: {
        auto cell = std::make_unique<SourceCell>(environment_, plan);
        drivers_.push_back(
            std::make_unique<SourceDriver>(options_.env, cell.get(), &spec_.nodes[static_cast<size_t>(plan.nodes[0])]));
        cells_.push_back(std::move(cell));
        break;
      }
      case CellKind::kSink: {
        auto cell = std::make_unique<SinkCell>(environment_, plan);
        sinks_.push_back(cell.get());
        cells_.push_back(std::move(cell));
        break;
      }
      case CellKind::kGather:
        cells_.push_back(std::make_unique<GatherCell>(environment_, plan));
        break;
      default:
        cells_.push_back(std::make_unique<OperatorCell>(environment_, plan));
        break;
    }
  }
  ended_.assign(cells_.size(), false);
  cell_counters_.resize(cells_.size());
  next_cell_counters_.resize(cells_.size());
  for (auto& cell : cells_)
    FRESHET_RETURN_IF_ERROR(cell->Open().WithNode(spec_.nodes[static_cast<size_t>(cell->plan().nodes[0])].id));
  for (auto& cell : cells_) {
    auto* const op = dynamic_cast<OperatorCell*>(cell.get());
    if (op != nullptr && op->wants_commits()) stateful_.push_back(op);
    if ((op != nullptr && op->wants_commits()) || dynamic_cast<SinkCell*>(cell.get()) != nullptr)
      cells_to_nudge_.push_back(cell->id());
  }
  for (auto& driver : drivers_) {
    std::unique_ptr<Source> open;
    if (options_.open_sources != nullptr)
      if (auto found =
              options_.open_sources->extract(spec_.nodes[static_cast<size_t>(driver->cell().plan().nodes[0])].id))
        open = std::move(found.mapped());
    FRESHET_RETURN_IF_ERROR(driver->Open(std::move(open)));
  }
  ConnectGates();
  SetDrain(options_.drain);
  return Status::Ok();
}

void Job::SetDrain(bool drain) {
  for (const auto& driver : drivers_) driver->set_drain(drain);
}

void Job::ConnectGates() {
  std::vector<const SourceCell*> sources;
  for (const auto& driver : drivers_) sources.push_back(&driver->cell());
  gates_ = MakeSkewGates(spec_, sources);
  for (const auto& driver : drivers_) {
    for (const auto& gate : gates_)
      if (gate->Covers(driver->cell())) driver->AddGate(gate.get());
  }
}

/// Begins to collect; under the lock.
void Job::StartEpoch() {
  under_way_ = true;
  complete_ = false;
  given_up_ = Status::Ok();
  checkpoint_wanted_ = false;
  epoch_ = next_epoch_;
  next_epoch_ = {next_epoch_.number + 1};
  began_us_ = options_.env->SteadyMicros();
  rows_ = std::move(next_rows_);
  next_rows_ = EpochRows();
  waiting_for_.clear();
  for (size_t c = 0; c < cells_.size(); ++c) {
    if (!ended_[c])
      waiting_for_.insert(static_cast<int>(c));
    else if (!next_cell_counters_[c].empty())
      cell_counters_[c] = next_cell_counters_[c];
  }
  for (SinkCell* sink : sinks_) {
    if (unprepared_.count(sink->id()) == 0) continue;
    waiting_for_.insert(sink->id());
    sink->PostPrepare(epoch_);
    environment_.carrier->Nudge(sink->id());
  }
  took_part_ = std::move(ended_since_);
  ended_since_.clear();
  took_part_.insert(waiting_for_.begin(), waiting_for_.end());
}

std::vector<int> Job::BeginEpoch(bool final_one) {
  std::vector<int> nudged;
  const std::lock_guard lock(mutex_);
  if (under_way_ || has_failed_ || ended_count_ == cells_.size()) return nudged;
  bool any_source = false;
  for (const auto& driver : drivers_) any_source = any_source || !ended_[static_cast<size_t>(driver->cell().id())];
  if (!any_source) return nudged;
  StartEpoch();
  const std::shared_ptr<const CommandList> commands = commands_.TakeForBarrier();
  for (const auto& driver : drivers_) {
    if (ended_[static_cast<size_t>(driver->cell().id())]) continue;
    driver->cell().RequestBarrier({epoch_, final_one, commands});
    nudged.push_back(driver->cell().id());
  }
  return nudged;
}

bool Job::epoch_under_way() const {
  const std::lock_guard lock(mutex_);
  return under_way_;
}
bool Job::commit_ready() const {
  const std::lock_guard lock(mutex_);
  return complete_;
}
bool Job::all_ended() const {
  const std::lock_guard lock(mutex_);
  return ended_count_ == cells_.size();
}

bool Job::sources_at_rest() const {
  return std::all_of(drivers_.begin(), drivers_.end(),
                     [](const auto& d) { return d->cell().stopped() || d->cell().finished(); });
}

/// A cell's answer to the epoch under way; under the lock.
void Job::TakeSnapshot(CellSnapshot* snapshot) {
  rows_.Merge(std::move(snapshot->rows));
  AccountRows(0);
  cell_counters_[static_cast<size_t>(snapshot->cell)] = snapshot->counters;
  if (!snapshot->failure.ok() && given_up_.ok()) given_up_ = snapshot->failure;
}

void Job::OnSnapshot(Epoch epoch, CellSnapshot snapshot) {
  {
    const std::lock_guard lock(mutex_);
    if (!under_way_ || epoch != epoch_ || waiting_for_.erase(snapshot.cell) == 0) return;
    TakeSnapshot(&snapshot);
    if (snapshot.failure.ok()) unprepared_.erase(snapshot.cell);
    CheckComplete();
    if (!complete_) return;
  }
  if (on_change) on_change();
}

void Job::AccountRows(int64_t committing_bytes) {
  const int64_t bytes = rows_.allocated_bytes() + next_rows_.allocated_bytes() + committing_bytes;
  memory_.Add(bytes - accounted_rows_bytes_, bytes - accounted_rows_bytes_);
  accounted_rows_bytes_ = bytes;
}

void Job::OnEnded(CellSnapshot snapshot) {
  {
    const std::lock_guard lock(mutex_);
    const auto c = static_cast<size_t>(snapshot.cell);
    ended_[c] = true;
    ++ended_count_;
    if (under_way_ && waiting_for_.erase(snapshot.cell) > 0) {
      TakeSnapshot(&snapshot);
    } else {
      next_rows_.Merge(std::move(snapshot.rows));
      ended_since_.insert(snapshot.cell);
    }
    if (!snapshot.failure.ok()) unprepared_.insert(snapshot.cell);
    next_cell_counters_[c] = std::move(snapshot.counters);
    CheckComplete();
    if (!complete_) return;
  }
  if (on_change) on_change();
}

void Job::CheckComplete() {
  if (!under_way_) {
    if (ended_count_ != cells_.size() || finished_) return;
    StartEpoch();  // the last one: nobody is left to send a barrier through
  }
  complete_ = waiting_for_.empty();
}

void Job::GiveUpSlowEpoch() {
  const std::lock_guard lock(mutex_);
  if (!under_way_ || complete_ || !given_up_.ok()) return;
  if (options_.env->SteadyMicros() - began_us_ <= options_.checkpoint_timeout.us) return;
  given_up_ = Status::Unavailable("it took longer than " + FormatDuration(options_.checkpoint_timeout) +
                                  " (`settings.checkpoint.timeout`); " + CellsWaitedFor() + " had not reached it");
}

std::string Job::CellsWaitedFor() const {
  std::set<std::string> ids;
  for (const int cell : waiting_for_)
    ids.insert("`" + spec_.nodes[static_cast<size_t>(cells_[static_cast<size_t>(cell)]->plan().nodes[0])].id + "`");
  std::string text;
  size_t shown = 0;
  for (const std::string& id : ids) {
    if (++shown > kWaitedForShown) return text + " and " + std::to_string(ids.size() - kWaitedForShown) + " more";
    text += (text.empty() ? "" : ", ") + id;
  }
  return text;
}

void Job::OnFailure(int, Status status) {
  {
    const std::lock_guard lock(mutex_);
    if (!has_failed_) failure_ = std::move(status);
    has_failed_ = true;
  }
  if (on_change) on_change();
}

void Job::OnCheckpointWanted() {
  if (!checkpoint_wanted_.exchange(true) && on_change) on_change();
}

Status Job::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

std::vector<NodeCounters> Job::SumCounters() const {
  std::vector<NodeCounters> sums(spec_.nodes.size());
  for (const auto& cell : cell_counters_)
    for (const auto& [node, counters] : cell) AddCounters(&sums[static_cast<size_t>(node)], counters);
  return sums;
}

NodeClass Job::ClassOf(int node) const {
  const NodeSpec& spec = spec_.nodes[static_cast<size_t>(node)];
  if (std::holds_alternative<SourceNode>(spec.kind)) return NodeClass::kSource;
  if (const auto* op = std::get_if<OperatorNode>(&spec.kind)) return op->bound.node_class;
  return NodeClass::kSink;
}

int64_t Job::RowsSentTo(const NodeSpec& node, const std::vector<NodeCounters>& counters) const {
  int64_t sent = 0;
  for (const PortRef& input : node.inputs)
    sent +=
        PortRows(spec_.nodes[static_cast<size_t>(input.node)], counters[static_cast<size_t>(input.node)], input.port);
  return sent;
}

/// A node that is new, or reads from another one than before, has not had what its inputs sent until then.
Status Job::ReadRowsBefore() {
  rows_before_.assign(spec_.nodes.size(), 0);
  if (environment_.store == nullptr || environment_.restored.number == 0) return Status::Ok();
  std::vector<NodeCounters> counters(spec_.nodes.size());
  for (size_t n = 0; n < counters.size(); ++n) {
    FRESHET_ASSIGN_OR_RETURN(const auto bytes,
                             environment_.store->Get(kEngineTable, 0, EngineKey("counters", spec_.nodes[n].id)));
    if (!bytes) continue;
    ByteSource source(*bytes);
    if (!DecodeCounters(source, &counters[n])) return Status::DataLoss("the counters in the checkpoint cannot be read");
  }
  for (size_t n = 0; n < counters.size(); ++n)
    if (std::holds_alternative<SourceNode>(spec_.nodes[n].kind)) records_restored_ += counters[n].in;
  for (size_t n = 0; n < counters.size(); ++n)
    if (!spec_.nodes[n].inputs.empty()) rows_before_[n] = RowsSentTo(spec_.nodes[n], counters) - counters[n].in;
  return Status::Ok();
}

Status Job::CheckLaws(const std::vector<NodeCounters>& counters) const {
  for (size_t n = 0; n < spec_.nodes.size(); ++n) {
    const NodeSpec& node = spec_.nodes[n];
    const std::string law = CheckConservation(ClassOf(static_cast<int>(n)), counters[n]);
    if (!law.empty()) return Status::Internal("rows are not accounted for: " + law).WithNode(node.id);
    if (node.inputs.empty()) continue;
    const int64_t sent = RowsSentTo(node, counters) - rows_before_[n];
    if (sent != counters[n].in)
      return Status::Internal("rows are not accounted for: " + std::to_string(sent) + " were sent to it, " +
                              std::to_string(counters[n].in) + " came in")
          .WithNode(node.id);
  }
  return Status::Ok();
}

Status Job::CommitReady() {
  EpochRows rows;
  Manifest manifest;
  Status status;
  {
    const std::lock_guard lock(mutex_);
    if (!complete_) return Status::Ok();
    manifest.epoch = epoch_;
    status = given_up_;
    if (status.ok()) {
      const std::vector<NodeCounters> sums = SumCounters();
      FRESHET_RETURN_IF_ERROR(CheckLaws(sums));
      for (size_t n = 0; n < sums.size(); ++n) {
        ByteSink sink;
        EncodeCounters(sums[n], sink);
        rows_.Put(kEngineTable, 0, EngineKey("counters", spec_.nodes[n].id), sink.bytes());
        if (!types_put_) rows_.Put(kEngineTable, 0, EngineKey("type", spec_.nodes[n].id), spec_.nodes[n].type);
      }
      types_put_ = true;
      manifest.program_version = FRESHET_VERSION;
      manifest.pipeline_name = spec_.pipeline_name;
      manifest.committed_wall_us = options_.env->WallMicros();
      manifest.finished = ended_count_ == cells_.size() && next_rows_.empty() && unprepared_.empty();
      manifest.tables = tables_.tables();
      totals_.checkpoint_last_rows = static_cast<int64_t>(rows_.count());
      totals_.checkpoint_last_bytes = rows_.byte_size();
    }
    rows = std::move(rows_);
    rows_ = EpochRows();
    AccountRows(rows.allocated_bytes());
  }
  const bool sinks_first = IsPlanted(PlantedBug::kSinkCommitsEarly) && status.ok();
  if (status.ok()) {
    if (options_.before_commit) options_.before_commit(manifest.epoch);
    if (IsPlanted(PlantedBug::kCommitPositionsFirst)) HoldBackState(&rows);
    if (sinks_first)
      for (SinkCell* sink : sinks_) sink->PostCommit(manifest.epoch, true);
    if (environment_.store != nullptr) status = environment_.store->Commit(manifest, std::move(rows));
    if (!status.ok() && !MayCommitLater(status)) return status;
  }
  const bool committed = status.ok();
  {
    const std::lock_guard lock(mutex_);
    under_way_ = false;
    complete_ = false;
    if (committed)
      EpochCommitted(manifest);
    else
      EpochGivenUp(std::move(status), std::move(rows));
    AccountRows(0);
    for (SinkCell* sink : sinks_)
      if (took_part_.count(sink->id()) > 0 && !sinks_first) sink->PostCommit(manifest.epoch, committed);
    // After one that was given up too: with all cells ended nothing else would bring the last epoch up again.
    if (!finished_) CheckComplete();
  }
  if (committed) KeepCopy();
  return Status::Ok();
}

void Job::Submit(std::shared_ptr<Command> command) {
  commands_.Add(std::move(command));
  OnCheckpointWanted();
}

Result<std::vector<Manifest::Table>> Job::ReadCommitted(CheckpointStore** store) const {
  if (environment_.store == nullptr) return Status::Unsupported("this pipeline keeps no state");
  const std::lock_guard lock(mutex_);
  *store = environment_.store;
  return committed_tables_;
}

Status Job::CopyStateTo(const std::string& directory) {
  if (environment_.store == nullptr) return Status::Unsupported("this pipeline keeps no state");
  FRESHET_RETURN_IF_ERROR(options_.env->MakeDirectories(DirectoryOf(directory)));
  return environment_.store->CopyTo(directory);
}

/// Every `keep_every` a copy, the oldest ones beyond `checkpoint_keep` go. A copy that fails is no reason to stop.
void Job::KeepCopy() {
  const int64_t now_us = options_.env->SteadyMicros();
  if (owned_store_ == nullptr || options_.checkpoint_keep <= 0 || now_us - kept_us_ < options_.keep_every.us) return;
  kept_us_ = now_us;
  const std::string kept = options_.state_directory + "/kept";
  std::string name = std::to_string(committed_.number);
  name.insert(0, kKeptNameDigits - std::min(kKeptNameDigits, name.size()), '0');
  Status status = CopyStateTo(kept + "/" + name);
  if (Result<std::vector<std::string>> names = options_.env->List(kept); status.ok() && names.ok())
    for (size_t i = 0; i + static_cast<size_t>(options_.checkpoint_keep) < names->size(); ++i)
      if (Status removed = options_.env->RemoveTree(kept + "/" + (*names)[i]); !removed.ok()) status = removed;
  if (!status.ok()) Log(LogLevel::kWarning, "no copy of the state was kept", {{"reason", status.ToString()}});
}

void Job::EpochCommitted(const Manifest& manifest) {
  committed_ = manifest.epoch;
  committed_tables_ = manifest.tables;
  for (OperatorCell* cell : stateful_) cell->PostCommit(manifest.epoch);
  commands_.OnCommitted();
  ++totals_.checkpoint_count;
  totals_.checkpoint_last_us = options_.env->SteadyMicros() - began_us_;
  totals_.checkpoint_last_wall_us = options_.env->WallMicros();
  checkpoints_->duration_us.Observe(totals_.checkpoint_last_us);
  checkpoints_->bytes.Observe(totals_.checkpoint_last_bytes);
  if (manifest.finished) finished_ = true;
  if (failures_in_a_row_ > 0)
    Log(LogLevel::kInfo, "checkpoints succeed again: the pipeline goes on",
        {{"pipeline", spec_.pipeline_name}, {"failed", std::to_string(failures_in_a_row_)}});
  failures_in_a_row_ = 0;
  last_failure_ = Status::Ok();
  retry_wait_us_ = 0;
  paused_ = false;
}

void Job::EpochGivenUp(Status why, EpochRows rows) {
  if (IsPlanted(PlantedBug::kDropAbandonedEpoch)) rows = EpochRows();
  rows.Merge(std::move(next_rows_));
  rows.Compact();
  next_rows_ = std::move(rows);
  // Whose last answer this epoch had must give it again.
  for (const SinkCell* sink : sinks_)
    if (took_part_.count(sink->id()) > 0 && ended_[static_cast<size_t>(sink->id())] &&
        ended_since_.count(sink->id()) == 0)
      unprepared_.insert(sink->id());
  if (commands_.awaits_commit()) checkpoint_wanted_ = true;  // somebody waits for it
  const bool slow = !given_up_.ok() && given_up_.code() == StatusCode::kUnavailable;
  if (given_up_.ok() && why.code() == StatusCode::kUnavailable) {
    ++totals_.checkpoint_skipped_count;  // the store is merging: it asks for a moment
    retry_wait_us_ = kRetryWaitMinUs;
    return;
  }
  ++totals_.checkpoint_failed_count;
  totals_.checkpoint_last_error = why.ToString();
  if (failures_in_a_row_++ == 0)
    Log(LogLevel::kWarning,
        slow ? "a checkpoint was given up and is tried again"
             : "a checkpoint failed: the pipeline pauses until one succeeds, nothing is lost",
        {{"pipeline", spec_.pipeline_name}, {"reason", why.ToString()}});
  last_failure_ = std::move(why);
  if (!slow) paused_ = true;
  retry_wait_us_ = std::min(kRetryWaitMaxUs, kRetryWaitMinUs << std::min(failures_in_a_row_, 8));
}

Status Job::last_failure() const {
  const std::lock_guard lock(mutex_);
  return last_failure_;
}

void Job::HoldBackState(EpochRows* rows) {
  // The planted mistake: positions are durable at once, the state that belongs to them one epoch later.
  EpochRows now = std::move(held_back_);
  held_back_ = EpochRows();
  for (const EpochRows::Row& row : rows->Sorted()) {
    const std::string_view key = row.key().substr(4);
    const auto table =
        static_cast<TableId>(static_cast<uint8_t>(row.key()[0]) << 8 | static_cast<uint8_t>(row.key()[1]));
    const auto group =
        static_cast<uint16_t>(static_cast<uint8_t>(row.key()[2]) << 8 | static_cast<uint8_t>(row.key()[3]));
    EpochRows& into = table == kEngineTable ? now : held_back_;
    if (row.erased())
      into.Erase(table, group, key);
    else
      into.Put(table, group, key, row.value());
  }
  *rows = std::move(now);
}

JobReport Job::Report() const {
  JobReport report;
  {
    const std::lock_guard lock(mutex_);
    report = totals_;
    report.committed = committed_;
    report.restored = environment_.restored;
    report.status = failure_;
  }
  report.paused = paused_;
  report.finished = finished_;
  report.memory_limit = memory_.limit();
  report.memory_used = memory_.used();
  report.memory_dropped_bytes = memory_.dropped();
  report.checkpoints = checkpoints_;
  const int64_t now_us = options_.env->SteadyMicros();
  report.running_us = now_us - made_us_;
  std::map<int, size_t> at;
  for (size_t n = 0; n < spec_.nodes.size(); ++n) {
    NodeReport node;
    node.id = spec_.nodes[n].id;
    node.type = spec_.nodes[n].type;
    node.node_class = ClassOf(static_cast<int>(n));
    node.watermark = EventTime::Max();
    report.nodes.push_back(std::move(node));
  }
  for (const auto& cell : cells_) {
    const Cell::Published published = cell->published();
    for (const auto& [n, counters] : published.counters)
      AddCounters(&report.nodes[static_cast<size_t>(n)].counters, counters);
    const std::vector<Activity> activity = cell->activity();
    for (size_t element = 0; element < cell->plan().nodes.size(); ++element) {
      const int n = cell->plan().nodes[element];
      NodeReport& node = report.nodes[static_cast<size_t>(n)];
      node.activity.push_back(activity[element]);
      EventTime watermark = published.watermark;
      if (const auto* source = dynamic_cast<const SourceCell*>(cell.get())) watermark = source->watermark();
      node.watermark = std::min(node.watermark, watermark);
      if (const auto* sink = dynamic_cast<const SinkCell*>(cell.get()); sink != nullptr && sink->outbox() != nullptr)
        node.delivery = sink->outbox()->counts();
      if (n != cell->plan().nodes[0]) continue;
      node.queued += published.queued;
      node.blocked_count += published.blocked_count;
      node.state_bytes += published.state_bytes;
      node.state_keys += published.state_keys;
      if (!published.waiting_for.empty()) node.waiting_for = published.waiting_for;
    }
  }
  for (const auto& driver : drivers_) {
    NodeReport& node = report.nodes[static_cast<size_t>(driver->cell().plan().nodes[0])];
    node.activity.push_back(driver->read_meter().Read(now_us));
    node.activity.push_back(driver->decode_meter().Read(now_us));
    node.activity.back().worker_count = std::max(1, options_.decoder_count);
  }
  for (NodeReport& node : report.nodes) node.law = CheckConservation(node.node_class, node.counters);
  double progress = 0;
  bool known = !drivers_.empty();
  for (const auto& driver : drivers_) {
    const std::optional<double> p = driver->progress();
    known = known && p.has_value();
    progress += p.value_or(0) / static_cast<double>(drivers_.size());
  }
  if (known) report.progress = progress;
  report.quiet_us = INT64_MAX;
  for (const auto& driver : drivers_)
    if (!driver->done()) report.quiet_us = std::min(report.quiet_us, driver->quiet_us());
  return report;
}

void AddLateReport(const Job& job, JobReport* report) {
  for (const auto& cell : job.cells()) {
    const NodeSpec& node = job.spec().nodes[static_cast<size_t>(cell->plan().nodes[0])];
    if (const auto* operators = dynamic_cast<const OperatorCell*>(cell.get());
        operators != nullptr && !operators->late_samples().empty())
      report->late_samples.emplace_back(node.id, operators->late_samples());
    const auto* source = dynamic_cast<const SourceCell*>(cell.get());
    if (source == nullptr) continue;
    if (source->time_stage().too_late()) report->warnings.push_back(source->LateWarning());
  }
}

std::vector<NodeFit> Job::CheckFit(const GraphSpec& spec) const {
  if (environment_.store == nullptr) return {};
  Manifest manifest;
  {
    const std::lock_guard lock(mutex_);
    manifest.epoch = committed_;
  }
  // What the checkpoint at the end of this run will hold, which may be more than the last one did.
  manifest.tables = tables_.tables();
  return CheckStateFit(spec, manifest, options_.env, environment_.store);
}

void Job::DetachAndClose() {
  for (auto& cell : cells_) cell->Detach();
  for (auto& driver : drivers_) {
    if (options_.open_sources != nullptr)
      if (std::unique_ptr<Source> open = driver->TakeOpenSource())
        (*options_.open_sources)[spec_.nodes[static_cast<size_t>(driver->cell().plan().nodes[0])].id] = std::move(open);
    driver->Close();
  }
  for (auto& cell : cells_) cell->Close();
  commands_.OnOver();
}

}  // namespace freshet
