// How a job comes to its cells: which state it goes on from, if any, and what is made of the pipeline.
#include <algorithm>

#include "engine/base/log.h"
#include "engine/base/units.h"
#include "engine/flow/dead_letter_file.h"
#include "engine/flow/job.h"
#include "engine/flow/operator_cell.h"
#include "engine/flow/state_check.h"

namespace freshet {
namespace {

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
    const bool finished = manifest && manifest->finished;
    bool more = false;
    if (finished) {
      FRESHET_ASSIGN_OR_RETURN(more, HasMoreInput());
      if (more)
        Log(LogLevel::kInfo, "there is new input behind a finished run: the pipeline goes on from its positions",
            {{"pipeline", spec_.pipeline_name}, {"epoch", std::to_string(manifest->epoch.number)}});
    }
    if (finished && !more) {
      bool restartable = true;
      for (const NodeSpec& node : spec_.nodes)
        if (const auto* sink = std::get_if<SinkNode>(&node.kind)) restartable = restartable && sink->bound.restartable;
      if (!restartable || owned_store_ == nullptr) {
        already_finished_ = true;
        // What is there is still asked for, while the runtime sends what waits.
        restored_manifest_ = *manifest;
        committed_ = manifest->epoch;
        committed_tables_ = manifest->tables;
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
      environment_.restored_finished = manifest->finished;
      tables_.Load(*manifest);
    }
  }
  environment_.spill = options_.spill;
  if (options_.memory_limit > 0 && options_.spill == nullptr) {
    const std::string directory = options_.state_directory.empty() ? "" : options_.state_directory + "/spill";
    if (!directory.empty()) FRESHET_RETURN_IF_ERROR(options_.env->RemoveTree(directory));
    spill_ = NewRocksDbSpill(options_.env, directory);
    environment_.spill = spill_.get();
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

Result<bool> Job::HasMoreInput() {
  for (const NodeSpec& node : spec_.nodes) {
    const auto* source = std::get_if<SourceNode>(&node.kind);
    if (source == nullptr) continue;
    if (!source->bound.bounded) return true;
    FRESHET_ASSIGN_OR_RETURN(const auto row, environment_.store->Get(kEngineTable, 0, EngineKey("source", node.id)));
    if (!row) return true;
    SourceOpenContext context;
    context.env = options_.env;
    FRESHET_ASSIGN_OR_RETURN(context.restored, DecodePositions(*row));
    const std::unique_ptr<Source> asked = source->bound.make_source();
    Result<bool> more = asked->HasMore(context);
    asked->Close();
    if (!more.ok()) return std::move(more).status().WithNode(node.id);
    if (*more) return true;
  }
  return false;
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
        drivers_.push_back(std::make_unique<SourceDriver>(
            options_.env, cell.get(), &spec_.nodes[static_cast<size_t>(plan.nodes[0])], options_.linger));
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
