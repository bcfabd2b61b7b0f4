#include "engine/flow/sink_cell.h"

namespace freshet {

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
      counters_.in = counters_.out + counters_.dead;
    }
  }
  last_epoch_ = environment_.restored;
  sink_ = sink_node_.bound.make_sink();
  FRESHET_RETURN_IF_ERROR(sink_->Open(context).WithNode(node_.id));
  Publish();
  return Status::Ok();
}

void SinkCell::Close() noexcept {
  if (sink_) sink_->Close();
}

void SinkCell::PostCommit(Epoch epoch, bool committed) {
  const std::lock_guard lock(posted_mutex_);
  posted_.emplace_back(epoch, committed);
}

void SinkCell::Run() noexcept {
  std::vector<std::pair<Epoch, bool>> posted;
  {
    const std::lock_guard lock(posted_mutex_);
    posted.swap(posted_);
  }
  for (const auto& [epoch, committed] : posted) {
    if (failed_) break;
    if (Status status = committed ? sink_->Commit(epoch) : sink_->Abort(epoch); !status.ok()) Fail(std::move(status));
  }
  Cell::Run();
}

Status SinkCell::HandleBatch(InputIndex, const Batch& batch, uint64_t) {
  if (batch.empty()) return Status::Ok();
  meter(0).AddBytes(batch.ByteSize(), 0);
  FRESHET_RETURN_IF_ERROR(sink_->Write(batch.Dense(), counters_.out));
  if (plan_.counts_in) counters_.in += batch.row_count();
  counters_.out += batch.row_count();
  return Status::Ok();
}

Status SinkCell::Snapshot(CellSnapshot* snapshot) {
  const Epoch epoch = snapshot_epoch().number > 0 ? snapshot_epoch() : Epoch{last_epoch_.number + 1};
  last_epoch_ = epoch;
  FRESHET_ASSIGN_OR_RETURN(const std::string prepared, sink_->PrepareCommit(epoch));
  snapshot->rows.Put(kEngineTable, 0, EngineKey("sink", node_.id), prepared);
  snapshot->counters.emplace_back(plan_.nodes[0], counters_);
  return Status::Ok();
}

void SinkCell::FillPublished(Published* published) const {
  published->counters.emplace_back(plan_.nodes[0], counters_);
}

}  // namespace freshet
