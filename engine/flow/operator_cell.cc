#include "engine/flow/operator_cell.h"

#include <algorithm>

#include "engine/flow/operator_state.h"

namespace freshet {
namespace {

const char* ScopeOf(CellKind kind) {
  switch (kind) {
    case CellKind::kSorter:
      return "sorter.";
    case CellKind::kMerge:
      return "merge.";
    case CellKind::kArrival:
      return "arrival.";
    default:
      return "";
  }
}

SchemaRef PortSchema(const GraphSpec& spec, const PortRef& ref) {
  const NodeSpec& from = spec.nodes[static_cast<size_t>(ref.node)];
  if (const auto* source = std::get_if<SourceNode>(&from.kind))
    return ref.port == 0 ? source->bound.schema : DeadLetterSchema();
  return std::get<OperatorNode>(from.kind).bound.outputs[static_cast<size_t>(ref.port)].schema;
}

}  // namespace

class OperatorCell::ElementContext final : public OpenContext {
 public:
  ElementContext(OperatorCell& cell, size_t element) : cell_(cell), element_(element) {}
  StateContext& state() override { return *cell_.elements_[element_].state; }
  NodeCounters& counters() override { return cell_.elements_[element_].counters; }
  Env& env() override { return *cell_.environment_.env; }
  const std::string& pipeline_name() const override { return cell_.environment_.spec->pipeline_name; }
  const std::string& node_id() const override { return cell_.node_of(element_).id; }
  int32_t batch_row_count_max() const override { return cell_.environment_.batch_row_count_max; }

 private:
  OperatorCell& cell_;
  size_t element_;
};

class OperatorCell::ElementEmitter final : public Emitter {
 public:
  ElementEmitter(OperatorCell& cell, size_t element) : cell_(cell), element_(element) {}
  void Emit(Batch batch, PortIndex port) override {
    if (status_.ok() && !batch.empty()) status_ = cell_.EmitFrom(element_, port, std::move(batch));
  }
  Status TakeStatus() { return std::move(status_); }

 private:
  OperatorCell& cell_;
  size_t element_;
  Status status_;
};

OperatorCell::OperatorCell(const CellEnvironment& environment, const CellPlan& plan) : Cell(environment, plan) {
  for (size_t i = 0; i < plan.nodes.size(); ++i) {
    Element element;
    element.node = plan.nodes[i];
    const NodeSpec& spec = environment.spec->nodes[static_cast<size_t>(element.node)];
    if (const auto* op = std::get_if<OperatorNode>(&spec.kind)) element.bound = &op->bound;
    element.counts_in = i > 0 || plan.counts_in;
    elements_.push_back(std::move(element));
  }
}

OperatorCell::~OperatorCell() = default;

const NodeSpec& OperatorCell::node_of(size_t element) const {
  return environment_.spec->nodes[static_cast<size_t>(elements_[element].node)];
}

std::string OperatorCell::StateScope() const { return ScopeOf(plan_.kind) + node_of(0).id; }

std::unique_ptr<Operator> OperatorCell::MakeOperator(int element) {
  const NodeSpec& node = node_of(static_cast<size_t>(element));
  if (plan_.kind == CellKind::kSorter) {
    const SchemaRef schema = PortSchema(*environment_.spec, node.inputs[0]);
    const BoundOperator* bound = elements_[static_cast<size_t>(element)].bound;
    return NewEventTimeSorter(schema, LateSchema(*schema), bound != nullptr && bound->judges_moments,
                              bound != nullptr && bound->takes_late);
  }
  if (plan_.kind == CellKind::kArrival) return NewArrivals();
  if (const auto* source = std::get_if<SourceNode>(&node.kind); source != nullptr && plan_.kind == CellKind::kMerge)
    return NewInputMerge({source->bound.schema}, true);
  if (plan_.kind == CellKind::kMerge) {
    std::vector<SchemaRef> schemas;
    for (const PortRef& input : node.inputs) schemas.push_back(PortSchema(*environment_.spec, input));
    return NewInputMerge(std::move(schemas));
  }
  return elements_[static_cast<size_t>(element)].bound->instantiate();
}

Status OperatorCell::RestoreCounters(Element& element) {
  if (plan_.lane != 0 || (plan_.kind != CellKind::kSource && plan_.kind != CellKind::kChain)) return Status::Ok();
  const std::string& id = environment_.spec->nodes[static_cast<size_t>(element.node)].id;
  FRESHET_ASSIGN_OR_RETURN(const std::string bytes, RestoredEngineRow(EngineKey("counters", id)));
  if (bytes.empty()) return Status::Ok();
  ByteSource source(bytes);
  if (!DecodeCounters(source, &element.counters))
    return Status::DataLoss("the counters in the checkpoint cannot be read");
  element.counters.held = 0;
  element.counters.panes_open = 0;
  return Status::Ok();
}

Status OperatorCell::OpenElement(size_t i) {
  Element& element = elements_[i];
  FRESHET_RETURN_IF_ERROR(RestoreCounters(element));
  element.state = std::make_unique<OperatorState>(environment_, plan_, i == 0 ? StateScope() : node_of(i).id);
  if (element.bound == nullptr && plan_.kind == CellKind::kSource) return Status::Ok();
  FRESHET_RETURN_IF_ERROR(element.state->LoadExtra(EngineKey("extra", i == 0 ? StateScope() : node_of(i).id)));
  element.op = MakeOperator(static_cast<int>(i));
  ElementContext context(*this, i);
  return std::move(element.op->Open(context)).WithNode(node_of(i).id);
}

Status OperatorCell::Open() {
  FRESHET_RETURN_IF_ERROR(RestoreTime());
  for (size_t i = 0; i < elements_.size(); ++i) FRESHET_RETURN_IF_ERROR(OpenElement(i));
  if (plan_.stamps_ordinals) {
    stamped_.resize(elements_[0].bound->outputs.size());
    for (size_t p = 0; p < stamped_.size(); ++p) {
      FRESHET_ASSIGN_OR_RETURN(const std::string bytes,
                               RestoredEngineRow(EngineKey("ordinal", node_of(0).id + "/" + std::to_string(p))));
      if (!bytes.empty()) stamped_[p] = ByteSource(bytes).GetI64();
    }
  }
  for (InputIndex i = 0; i < plan_.input_count; ++i)
    if (input_watermark(i) > EventTime::Min()) HandleInputWatermark(i, input_watermark(i));
  ShedMemory();  // what was restored counts from the beginning
  Publish();
  return Status::Ok();
}

void OperatorCell::Close() noexcept {
  for (Element& element : elements_)
    if (element.op) element.op->Close();
}

bool OperatorCell::wants_commits() const {
  return std::any_of(elements_.begin(), elements_.end(),
                     [](const Element& e) { return e.state != nullptr && e.state->has_tables(); });
}

void OperatorCell::Run() noexcept {
  TakeCommit();
  const bool had_ended = ended_;
  Cell::Run();
  if (ended_ && !had_ended)
    for (Element& element : elements_)
      if (element.state) element.state->OnEnded();
  ShedMemory();
}

void OperatorCell::TakeCommit() {
  const uint64_t committed = committed_.load(std::memory_order_acquire);
  if (committed == committed_known_) return;
  committed_known_ = committed;
  for (Element& element : elements_)
    if (element.state) element.state->OnCommitted(committed);
}

void OperatorCell::AccountMemory() {
  int64_t bytes = 0, unclean = 0, aside = 0;
  for (const Element& element : elements_) {
    if (!element.state) continue;
    aside += element.state->aside_bytes();
    bytes += element.state->memory_bytes();
    unclean += element.state->unclean_bytes();
  }
  bytes += open_snapshot_bytes();
  unclean += open_snapshot_bytes();
  environment_.memory->Add(bytes - accounted_bytes_, unclean - accounted_unclean_);
  if (aside != accounted_aside_) environment_.memory->AddAside(aside - accounted_aside_);
  accounted_bytes_ = bytes;
  accounted_unclean_ = unclean;
  accounted_aside_ = aside;
}

void OperatorCell::ShedMemory() {
  if (failed_ || !wants_commits()) return;
  AccountMemory();
  // A pass over the table is worth its while when there is something to find.
  int64_t droppable = 0;
  for (const Element& element : elements_)
    if (element.state) droppable += element.state->droppable_bytes();
  if (droppable >= accounted_bytes_ / 8 && environment_.memory->BytesToDrop(droppable) > 0) {
    for (Element& element : elements_)
      if (element.state) element.state->Evict();
    AccountMemory();
  }
  if (environment_.memory->BytesToPutAside(accounted_unclean_) > 0) {
    for (Element& element : elements_)
      if (element.state) element.state->PutAside();
    AccountMemory();
  }
  used_when_shed_ = environment_.memory->used();
}

void OperatorCell::ShedMemoryMidway() {
  if (failed_ || !wants_commits()) return;
  AccountMemory();
  const MemoryBudget& memory = *environment_.memory;
  used_when_shed_ = std::min(used_when_shed_, memory.used());
  if (memory.used() >= used_when_shed_ + memory.limit() / 128) ShedMemory();
}

Status OperatorCell::ProcessElement(size_t i, InputIndex input, const Batch& batch) {
  if (batch.empty()) return Status::Ok();
  Element& element = elements_[i];
  if (element.counts_in) {
    element.counters.in += RowsMeant(batch);
    meter(i).AddBytes(batch.ByteSize(), 0);
  }
  ElementEmitter emitter(*this, i);
  const size_t metered = SwitchMeter(i);
  const bool selection_ok =
      element.bound != nullptr && element.bound->accepts_selection && plan_.kind != CellKind::kSorter;
  Status status = element.op->ProcessBatch(input, selection_ok ? batch : batch.Dense(), emitter);
  SwitchMeter(metered);
  FRESHET_RETURN_IF_ERROR(std::move(status).WithNode(node_of(i).id));
  return emitter.TakeStatus();
}

Batch OperatorCell::Stamp(Batch batch, PortIndex port) {
  int64_t& next = stamped_[static_cast<size_t>(port)];
  RowMeta meta = batch.meta();
  meta.ordinals = {};
  meta.first_ordinal = Ordinal::Of(0, static_cast<uint64_t>(next - meta.offset));
  next += batch.row_count();
  return batch.WithMeta(std::move(meta));
}

Status OperatorCell::EmitFrom(size_t i, PortIndex port, Batch batch) {
  Element& element = elements_[i];
  const bool main = port == 0;
  const int64_t bytes = batch.ByteSize();
  if (main && (plan_.counts_out || i > 0)) {
    element.counters.out += batch.row_count();
    meter(i).AddBytes(0, bytes);
  }
  if (!batch.hold()) batch = batch.WithHold(outlets_.budget()->Take(outlets_.budget(), bytes));
  if (i == 0 && plan_.stamps_ordinals &&
      element.bound->outputs[static_cast<size_t>(port)].order == OutputOrder::kByTime)
    batch = Stamp(batch.Dense(), port);
  if (main && i + 1 < elements_.size()) return ProcessElement(i + 1, 0, batch);
  const bool late =
      !main && (plan_.kind == CellKind::kSorter || element.bound->outputs[static_cast<size_t>(port)].name == "late");
  if (late && late_sample_rows_ < kLateSampleCount && !outlets_.connected(static_cast<int>(i), port)) {
    const Batch dense = batch.Dense();
    const int32_t take = std::min(dense.row_count(), kLateSampleCount - late_sample_rows_);
    late_samples_.push_back(dense.Slice(0, take).Detached());
    late_sample_rows_ += take;
  }
  outlets_.SendRows(static_cast<int>(i), port, batch, exchange_sequence_);
  return Status::Ok();
}

Status OperatorCell::HandleBatch(InputIndex input, const Batch& batch, uint64_t exchange_sequence) {
  exchange_sequence_ = exchange_sequence;
  const auto at_once = [&] { return elements_[0].state ? elements_[0].state->rows_at_once() : batch.row_count(); };
  if (batch.row_count() <= at_once() || batch.meta().partials) {
    FRESHET_RETURN_IF_ERROR(ProcessElement(0, input, batch));
  } else {  // of large values, the keys of a batch may be more than memory holds; combined rows are few
    const Batch dense = batch.Dense();
    for (int32_t from = 0; from < dense.row_count();) {
      const int32_t count = std::min(at_once(), dense.row_count() - from);
      FRESHET_RETURN_IF_ERROR(ProcessElement(0, input, dense.Slice(from, count)));
      from += count;
      ShedMemoryMidway();
    }
  }
  if (exchange_sequence > 0) outlets_.SendMarks(exchange_sequence);
  return Status::Ok();
}

void OperatorCell::HandleInputWatermark(InputIndex input, EventTime now) {
  elements_[0].op->OnInputWatermark(input, now);
}

Result<Progress> OperatorCell::HandleWatermark(EventTime now) {
  ElementEmitter emitter(*this, 0);
  FRESHET_ASSIGN_OR_RETURN(const Progress progress, elements_[0].op->OnWatermark(now, emitter));
  FRESHET_RETURN_IF_ERROR(emitter.TakeStatus());
  // What one watermark has to do may be more than all other messages together.
  if (progress == Progress::kMore) ShedMemoryMidway();
  return progress;
}

Result<Progress> OperatorCell::HandleEnd() {
  ElementEmitter emitter(*this, 0);
  FRESHET_ASSIGN_OR_RETURN(const Progress progress, elements_[0].op->OnEnd(emitter));
  FRESHET_RETURN_IF_ERROR(emitter.TakeStatus());
  return progress;
}

Result<Progress> OperatorCell::HandleClock(EventTime now) {
  ElementEmitter emitter(*this, 0);
  FRESHET_ASSIGN_OR_RETURN(const Progress progress, elements_[0].op->OnClock(now, emitter));
  FRESHET_RETURN_IF_ERROR(emitter.TakeStatus());
  return progress;
}

void OperatorCell::ObeyCommands() {
  if (commands() == nullptr || plan_.kind != CellKind::kChain) return;
  for (const std::shared_ptr<Command>& command : *commands())
    for (size_t i = 0; i < elements_.size(); ++i) {
      if (!elements_[i].op || node_of(i).id != command->node_id) continue;
      command->Reach();
      elements_[i].op->OnCommand(*command);
    }
}

Status OperatorCell::Snapshot(CellSnapshot* snapshot) {
  ObeyCommands();
  for (size_t i = 0; i < elements_.size(); ++i) {
    Element& element = elements_[i];
    snapshot->counters.emplace_back(element.node, element.counters);
    if (!element.op) continue;
    FRESHET_RETURN_IF_ERROR(element.state->BeginDrain(snapshot_epoch(), &snapshot->rows));
    ByteSink extra;
    FRESHET_RETURN_IF_ERROR(element.op->SnapshotExtra(extra));
    if (extra.size() == 0) continue;
    if (plan_.lane_count > 1) return Status::Internal("an operator with lanes may keep state in tables only");
    snapshot->rows.Put(kEngineTable, 0, EngineKey("extra", i == 0 ? StateScope() : node_of(i).id), extra.bytes());
  }
  for (size_t p = 0; p < stamped_.size(); ++p) {
    ByteSink sink;
    sink.PutI64(stamped_[p]);
    snapshot->rows.Put(kEngineTable, 0, EngineKey("ordinal", node_of(0).id + "/" + std::to_string(p)), sink.bytes());
  }
  return Status::Ok();
}

Result<bool> OperatorCell::SnapshotSome(CellSnapshot*) {
  const auto count_max = static_cast<size_t>(environment_.batch_row_count_max);
  for (Element& element : elements_) {
    if (!element.state) continue;
    FRESHET_ASSIGN_OR_RETURN(const bool over, element.state->DrainSome(count_max));
    if (!over) return false;
  }
  return true;
}

void OperatorCell::FillPublished(Published* published) const {
  for (const Element& element : elements_) {
    published->counters.emplace_back(element.node, element.counters);
    if (!element.state) continue;
    published->state_bytes += element.state->memory_bytes();
    published->state_keys += element.state->key_count();
  }
}

}  // namespace freshet
