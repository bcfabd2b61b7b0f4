#include "engine/flow/job.h"

#include <algorithm>

#include "engine/base/log.h"
#include "engine/base/units.h"
#include "engine/flow/operator_cell.h"
#include "engine/flow/planted_bugs.h"

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

/// Begins to collect; under the lock.
void Job::StartEpoch() {
  under_way_ = true;
  complete_ = false;
  given_up_ = Status::Ok();
  slow_ = false;
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
  if (!any_source) {
    commands_.Close();
    return nudged;
  }
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
  // A cell waits meanwhile: its rows are put together by the coordinator.
  parts_.push_back(std::move(snapshot->rows));
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
  int64_t bytes = rows_.allocated_bytes() + next_rows_.allocated_bytes() + committing_bytes;
  for (const EpochRows& part : parts_) bytes += part.allocated_bytes();
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
  slow_ = true;
  NoteFailure(given_up_);
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

std::string Job::AwaitedByStop() const {
  {
    const std::lock_guard lock(mutex_);
    if (under_way_ && !waiting_for_.empty())
      return "checkpoint " + std::to_string(epoch_.number) + " waits for " + CellsWaitedFor();
  }
  for (const auto& driver : drivers_)
    if (const SourceCell& cell = driver->cell(); !cell.stopped() && !cell.finished())
      return "what was read by `" + spec_.nodes[static_cast<size_t>(cell.plan().nodes[0])].id + "` is not processed";
  return "the last checkpoint is not written";
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
    for (EpochRows& part : parts_) rows_.Merge(std::move(part));
    parts_.clear();
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

bool Job::outbox_full() const {
  return std::any_of(sinks_.begin(), sinks_.end(),
                     [](const SinkCell* sink) { return sink->outbox() != nullptr && sink->outbox()->full(); });
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
  if (given_up_.ok() && why.code() == StatusCode::kUnavailable) {
    ++totals_.checkpoint_skipped_count;  // the store is merging: it asks for a moment
    retry_wait_us_ = kRetryWaitMinUs;
    return;
  }
  if (!slow_) NoteFailure(std::move(why));
  retry_wait_us_ = std::min(kRetryWaitMaxUs, kRetryWaitMinUs << std::min(failures_in_a_row_, 8));
}

void Job::NoteFailure(Status why) {
  ++totals_.checkpoint_failed_count;
  totals_.checkpoint_last_error = why.ToString();
  if (failures_in_a_row_++ == 0)
    Log(LogLevel::kWarning,
        slow_ ? "a checkpoint was given up and is tried again"
              : "a checkpoint failed: the pipeline pauses until one succeeds, nothing is lost",
        {{"pipeline", spec_.pipeline_name}, {"reason", why.ToString()}});
  last_failure_ = std::move(why);
  if (!slow_) paused_ = true;
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

}  // namespace freshet
