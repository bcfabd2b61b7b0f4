#include "engine/flow/sink_cell.h"

#include <algorithm>
#include <utility>

#include "engine/base/log.h"

namespace freshet {
namespace {
constexpr int64_t kRetryWaitMinUs = 50000;
constexpr int64_t kRetryWaitMaxUs = 5000000;
}  // namespace

SinkCell::SinkCell(const CellEnvironment& environment, const CellPlan& plan)
    : Cell(environment, plan),
      node_(environment.spec->nodes[static_cast<size_t>(plan.nodes[0])]),
      sink_node_(std::get<SinkNode>(node_.kind)) {}

Status SinkCell::Open() {
  SinkOpenContext context;
  context.env = environment_.env;
  context.pipeline_name = environment_.spec->pipeline_name;
  context.node_id = node_.id;
  context.fresh_forced = environment_.fresh_forced;
  if (environment_.store != nullptr && environment_.restored.number > 0) {
    FRESHET_ASSIGN_OR_RETURN(const auto committed,
                             environment_.store->Get(kEngineTable, 0, EngineKey("sink", node_.id)));
    FRESHET_ASSIGN_OR_RETURN(const auto counters,
                             environment_.store->Get(kEngineTable, 0, EngineKey("counters", node_.id)));
    // A sink that the checkpoint does not know is new: it starts empty, as at a fresh start.
    if (committed) {
      context.committed = *committed;
      context.restored_epoch = environment_.restored;
    }
    if (counters) {
      ByteSource source(*counters);
      if (!DecodeCounters(source, &counters_)) return Status::DataLoss("the counters in the checkpoint cannot be read");
      counters_.held = 0;
    }
  }
  last_epoch_ = environment_.restored;
  FRESHET_RETURN_IF_ERROR(MakeSink(&context).WithNode(node_.id));
  FRESHET_RETURN_IF_ERROR(sink_->Open(context).WithNode(node_.id));
  Publish();
  return Status::Ok();
}

Status SinkCell::MakeSink(SinkOpenContext* context) {
  if (!sink_node_.bound.make_network_sink) {
    sink_ = sink_node_.bound.make_sink();
    return Status::Ok();
  }
  if (environment_.store != nullptr) {
    context->outbox = environment_.store->outbox();
    if (context->outbox == nullptr) return Status::Internal("the store has no outbox");
  }
  context->request_checkpoint = [listener = environment_.listener] { listener->OnCheckpointWanted(); };
  if (!environment_.state_directory.empty())
    context->dead_letter_path = environment_.state_directory + "/dead_letter/" + node_.id + ".ndjson";
  auto sink = std::make_unique<OutboxSink>(sink_node_.bound.make_network_sink(), sink_node_.bound.outbox);
  outbox_ = sink.get();
  sink_ = std::move(sink);
  return Status::Ok();
}

void SinkCell::Close() noexcept {
  if (sink_) sink_->Close();
}

void SinkCell::PostCommit(Epoch epoch, bool committed) {
  Post({committed ? Posted::Kind::kCommit : Posted::Kind::kAbort, epoch});
}

void SinkCell::PostPrepare(Epoch epoch) { Post({Posted::Kind::kPrepare, epoch}); }

void SinkCell::Post(Posted posted) {
  const std::lock_guard lock(posted_mutex_);
  posted_.push_back(posted);
}

Status SinkCell::waiting_for() const {
  const std::lock_guard lock(posted_mutex_);
  return waiting_for_;
}

void SinkCell::Run() noexcept {
  if (waiting_ && environment_.env->SteadyMicros() < retry_at_us_) return;
  waiting_ = false;
  if (held_ && !failed_ && !Passed(WriteHeld())) return;
  while (!failed_) {
    std::optional<Posted> posted;
    {
      const std::lock_guard lock(posted_mutex_);
      if (!posted_.empty()) posted = posted_.front();
    }
    if (!posted) break;
    if (!Passed(DoPosted(*posted))) return;
    const std::lock_guard lock(posted_mutex_);
    posted_.pop_front();
  }
  Cell::Run();
}

bool SinkCell::Passed(Status status) {
  if (status.retry() == RetryHint::kLater) {
    if (retry_wait_us_ == 0)
      Log(LogLevel::kWarning, "output cannot be written: the pipeline waits and tries again",
          {{"node", node_.id}, {"error", status.message()}});
    retry_wait_us_ = std::clamp(retry_wait_us_ * 2, kRetryWaitMinUs, kRetryWaitMaxUs);
    retry_at_us_ = environment_.env->SteadyMicros() + retry_wait_us_;
    waiting_ = true;
    {
      const std::lock_guard lock(posted_mutex_);
      waiting_for_ = std::move(status).WithNode(node_.id);
    }
    Publish();
    return false;
  }
  if (std::exchange(retry_wait_us_, 0) != 0) {
    const std::lock_guard lock(posted_mutex_);
    waiting_for_ = Status::Ok();
    if (status.ok()) Log(LogLevel::kInfo, "output is written again", {{"node", node_.id}});
  }
  if (!status.ok()) Fail(std::move(status));
  return true;
}

Status SinkCell::DoPosted(const Posted& posted) {
  switch (posted.kind) {
    case Posted::Kind::kCommit:
      return sink_->Commit(posted.epoch);
    case Posted::Kind::kAbort:
      return sink_->Abort(posted.epoch);
    case Posted::Kind::kPrepare:
      break;
  }
  CellSnapshot snapshot;
  snapshot.cell = plan_.id;
  FRESHET_RETURN_IF_ERROR(Prepare(posted.epoch, &snapshot));
  environment_.listener->OnSnapshot(posted.epoch, std::move(snapshot));
  return Status::Ok();
}

Status SinkCell::HandleBatch(InputIndex, const Batch& batch, uint64_t) {
  if (batch.empty()) return Status::Ok();
  meter(0).AddBytes(batch.ByteSize(), 0);
  held_ = batch.Dense();
  (void)Passed(WriteHeld());
  return Status::Ok();
}

Status SinkCell::WriteHeld() {
  FRESHET_RETURN_IF_ERROR(sink_->Write(*held_, counters_.out));
  if (plan_.counts_in) counters_.in += held_->row_count();
  if (outbox_ == nullptr) counters_.out += held_->row_count();
  held_.reset();
  return Status::Ok();
}

Status SinkCell::Snapshot(CellSnapshot* snapshot) {
  const Epoch epoch = snapshot_epoch().number > 0 ? snapshot_epoch() : Epoch{last_epoch_.number + 1};
  return Prepare(epoch, snapshot);
}

Status SinkCell::Prepare(Epoch epoch, CellSnapshot* snapshot) {
  last_epoch_ = epoch;
  Result<std::string> prepared = sink_->PrepareCommit(epoch);
  if (prepared.ok()) {
    snapshot->rows.Put(kEngineTable, 0, EngineKey("sink", node_.id), *prepared);
  } else if (prepared.status().retry() == RetryHint::kLater) {
    snapshot->failure = std::move(prepared).status().WithNode(node_.id);
  } else {
    return std::move(prepared).status();
  }
  if (outbox_ != nullptr) outbox_->FillCounters(&counters_);
  snapshot->counters.emplace_back(plan_.nodes[0], counters_);
  return Status::Ok();
}

/// What has left since the cell last ran is counted too.
Cell::Published SinkCell::published() const {
  Published p = Cell::published();
  if (outbox_ != nullptr)
    for (auto& [node, counters] : p.counters) {
      outbox_->FillCounters(&counters);
      if (plan_.counts_in) counters.in = counters.out + counters.dead + counters.held;
    }
  return p;
}

void SinkCell::FillPublished(Published* published) const {
  published->counters.emplace_back(plan_.nodes[0], counters_);
  const Status waiting = waiting_for();
  if (!waiting.ok()) published->waiting_for = waiting.message();
}

}  // namespace freshet
