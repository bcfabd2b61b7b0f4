#include "engine/flow/operator_cell.h"

#include <algorithm>
#include <deque>
#include <set>

#include "engine/base/log.h"
#include "engine/flow/planted_bugs.h"
#include "engine/state/table_layout.h"
#include "engine/state/table_numbers.h"
#include "engine/state/tiered_rows.h"

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

/// Half the limit divided over the keyed nodes and their lanes: a restored table may take so much, the rest of it is
/// read when it is asked for. 0: there is no limit.
int64_t RestoreShare(const CellEnvironment& environment, const CellPlan& plan) {
  const auto keyed =
      std::count_if(environment.spec->nodes.begin(), environment.spec->nodes.end(), [](const NodeSpec& node) {
        const auto* op = std::get_if<OperatorNode>(&node.kind);
        return op != nullptr && op->bound.key.has_value();
      });
  const int64_t limit = environment.memory->limit();
  return limit == 0 ? 0 : std::max<int64_t>(limit / 2 / std::max<int64_t>(keyed, 1) / plan.lane_count, 1);
}

/// Changed rows go to the spill store in pieces of this size.
constexpr int64_t kSpillPieceBytes = 1 << 20;

}  // namespace

/// The tables of one element and what was committed for it.
class OperatorCell::State final : public StateContext, public TableLayouts {
 public:
  State(const CellEnvironment& environment, const CellPlan& plan, std::string node_id)
      : environment_(environment),
        plan_(plan),
        node_id_(std::move(node_id)),
        restore_share_(RestoreShare(environment, plan)) {}

  Status LoadExtra(const std::string& key) {
    if (environment_.store == nullptr || environment_.restored.number == 0) return Status::Ok();
    FRESHET_ASSIGN_OR_RETURN(auto value, environment_.store->Get(kEngineTable, 0, key));
    if (value) extra_ = std::move(*value);
    return Status::Ok();
  }
  std::string_view extra() const override { return extra_; }
  std::optional<std::string> StoredFingerprint(const std::string& table) const override {
    return environment_.tables->StoredFingerprint(node_id_, table);
  }
  void TakeStored(const std::string& table) override { taken_.insert(table); }

  /// Seals what has changed; `rows` get it now and in calls of DrainSome.
  Status BeginDrain(Epoch epoch, EpochRows* rows) {
    ++drain_;
    if (epoch.number > 0) drains_.push_back({epoch.number, drain_});
    for (size_t i = 0; i < tables_.size(); ++i) {
      const TableId id = ids_[i];
      if (Spills(i)) {
        tables_[i]->ForgetErased();
        continue;
      }
      for (const StateTable::GroupRange& range : tables_[i]->TakeErasedGroups())
        rows->EraseGroups(id, range.first, range.last);
      tables_[i]->compares_drains = g_drains_compared.load(std::memory_order_relaxed);
      tables_[i]->forgets_to_save = IsPlanted(PlantedBug::kChangeSealed);
      const int64_t count = tables_[i]->BeginDrain([this, id, rows](const StateEntry& e) {
        if (IsPlanted(PlantedBug::kLoseDirtyKey) && ++drained_ % 7 == 0) return;
        if (IsPlanted(PlantedBug::kForgetTombstone) && e.erased) return;
        if (e.erased)
          rows->Erase(id, e.key_group, e.key);
        else
          rows->Put(id, e.key_group, e.key, e.value);
      });
      rows->Reserve(static_cast<size_t>(count));
      FRESHET_RETURN_IF_ERROR(tables_[i]->drain_status());
    }
    return Status::Ok();
  }
  /// True: the drain is over.
  Result<bool> DrainSome(size_t count_max) {
    for (const auto& table : tables_) {
      if (!table->DrainSome(count_max)) return false;
      FRESHET_RETURN_IF_ERROR(table->drain_status());
    }
    return true;
  }
  /// That epoch and all before it are durable.
  void OnCommitted(uint64_t epoch) {
    uint64_t drain = 0;
    while (!drains_.empty() && drains_.front().first <= epoch) {
      drain = drains_.front().second;
      drains_.pop_front();
    }
    if (drain == 0) return;
    for (size_t i = 0; i < tables_.size(); ++i)
      if (!Spills(i)) tables_[i]->OnCommitted(drain);  // the others count their own drains
  }
  /// The last snapshot is taken: nobody asks for a key again, so none has to wait for its commit, nor stay.
  void OnEnded() {
    for (size_t i = 0; i < tables_.size(); ++i) {
      if (Spills(i)) {
        tables_[i]->DrainDirty([](const StateEntry&) {});
        ++spills_[i];
      }
      tables_[i]->OnCommitted(Spills(i) ? spills_[i] : drain_);
    }
    spilled_ = Status::Ok();
  }
  bool has_tables() const { return !tables_.empty(); }
  int64_t memory_bytes() const {
    int64_t bytes = 0;
    for (const auto& t : tables_) bytes += t->memory_bytes();
    return bytes;
  }
  int64_t key_count() const {
    int64_t keys = 0;
    for (const auto& t : tables_) keys += t->size();
    return keys;
  }
  /// Of memory_bytes, what only a commit can make droppable. What spills can go at any time, unless that fails.
  int64_t unclean_bytes() const {
    int64_t bytes = 0;
    for (size_t i = 0; i < tables_.size(); ++i)
      if (!Spills(i) || !spilled_.ok()) bytes += tables_[i]->unclean_bytes();
    return bytes;
  }
  /// What Evict could drop now.
  int64_t droppable_bytes() const {
    int64_t bytes = 0;
    for (size_t i = 0; i < tables_.size(); ++i)
      bytes += Spills(i) ? tables_[i]->memory_bytes() : tables_[i]->memory_bytes() - tables_[i]->unclean_bytes();
    return bytes;
  }
  int64_t aside_bytes() const {
    int64_t bytes = 0;
    for (const auto& t : tables_) bytes += t->aside_bytes();
    return bytes;
  }
  /// Keys that no checkpoint has yet.
  void PutAside() {
    for (const auto& t : tables_) {
      const int64_t bytes = environment_.memory->BytesToPutAside(t->unclean_bytes());
      if (bytes == 0) continue;
      Result<int64_t> dropped = t->PutAside(bytes);
      if (dropped.ok()) environment_.memory->AddDropped(*dropped);
      NoteSpill(std::move(dropped).status());
    }
  }
  void Evict() {
    for (size_t i = 0; i < tables_.size(); ++i) {
      StateTable& table = *tables_[i];
      const int64_t bytes = environment_.memory->BytesToDrop(table.memory_bytes());
      if (bytes == 0 || table.eviction_held()) continue;
      if (Spills(i)) Spill(i);
      environment_.memory->AddDropped(table.EvictClean(bytes));
    }
  }

 protected:
  Status Adopt(std::unique_ptr<StateTable> table) override {
    uint16_t codec = 0;
    const bool taken = taken_.count(table->name()) > 0;
    FRESHET_ASSIGN_OR_RETURN(const TableId id, environment_.tables->Resolve(node_id_, *table, &codec, taken));
    StateTable* raw = table.get();
    tables_.push_back(std::move(table));
    ids_.push_back(id);
    spills_.push_back(0);
    const uint16_t first = FirstKeyGroup(plan_.lane, plan_.lane_count);
    const auto last = static_cast<uint16_t>(FirstKeyGroup(plan_.lane + 1, plan_.lane_count) - 1);
    const bool has_store = environment_.store != nullptr || environment_.spill != nullptr;
    const bool evictable = raw->options().evictable && has_store;
    if (has_store && (evictable || dynamic_cast<KeyGroupNumbers*>(raw) != nullptr)) {
      auto rows = std::make_unique<TieredRows>(environment_.store, environment_.spill, id);
      rows->first_key_group = first;
      rows->last_key_group = last;
      rows->forgets_keys = IsPlanted(PlantedBug::kForgetAway);
      rows->forgets_aside = IsPlanted(PlantedBug::kForgetAside);
      raw->AttachCommitted(std::move(rows));
    }
    if (codec == 0 || environment_.store == nullptr || environment_.restored.number == 0) return Status::Ok();
    // Rows of another codec or layout are written anew.
    const bool may_stay = evictable && codec == raw->options().codec && !taken;
    const auto& loaded_bytes = raw->options().loaded_bytes;
    int64_t loading = 0;  // values as bytes, and what the operator is going to make of them
    const Status status =
        environment_.store->Scan(id, first, last, [&](uint16_t group, std::string_view key, std::string_view value) {
          if (may_stay && loaded_bytes && restore_share_ > 0)
            loading += static_cast<int64_t>(value.size()) + loaded_bytes(value);
          if (may_stay && restore_share_ > 0 && raw->memory_bytes() + loading > restore_share_) {
            raw->LeaveInStore();
            return Status::Cancelled("the memory for state is full");
          }
          return raw->RestoreEntry(group, key, value, codec);
        });
    return status.code() == StatusCode::kCancelled ? Status::Ok() : status;
  }

 private:
  /// A table whose keys go to the spill store. No epoch drains it: what it was told to put aside is clean at once.
  bool Spills(size_t i) const {
    return environment_.store == nullptr && environment_.spill != nullptr && tables_[i]->options().evictable;
  }

  /// Writes what has changed in a table; then all of it may leave memory.
  void Spill(size_t i) {
    StateTable& table = *tables_[i];
    EpochRows rows;
    Status status;
    const auto write = [&](int64_t from_bytes) {
      if (status.ok() && rows.byte_size() >= from_bytes) status = environment_.spill->Write(std::move(rows));
    };
    for (const StateTable::GroupRange& range : table.TakeErasedGroups())
      rows.EraseGroups(ids_[i], range.first, range.last);
    table.DrainDirty([&](const StateEntry& e) {
      if (!status.ok()) return;
      if (e.erased)
        rows.Erase(ids_[i], e.key_group, e.key);
      else
        rows.Put(ids_[i], e.key_group, e.key, e.value);
      write(kSpillPieceBytes);
    });
    if (!rows.empty()) write(0);
    ++spills_[i];
    if (status.ok())
      table.OnCommitted(spills_[i]);
    else
      table.TakeBackDrain();
    NoteSpill(std::move(status));
  }

  void NoteSpill(Status status) {
    if (status.ok() != spilled_.ok())
      Log(status.ok() ? LogLevel::kInfo : LogLevel::kWarning,
          status.ok() ? "keys can be put aside again: the pipeline goes on"
                      : "keys that do not fit into memory cannot be put aside: the pipeline waits and tries again",
          {{"node", node_id_}, {"reason", status.ToString()}});
    spilled_ = std::move(status);
  }

  const CellEnvironment& environment_;
  const CellPlan& plan_;
  const std::string node_id_;
  const int64_t restore_share_;
  std::string extra_;
  std::set<std::string> taken_;                       // tables of which rows of another layout are read
  uint64_t drain_ = 0;                                // calls of BeginDrain
  std::deque<std::pair<uint64_t, uint64_t>> drains_;  // (epoch, drain) not committed yet
  std::vector<std::unique_ptr<StateTable>> tables_;
  std::vector<TableId> ids_;
  std::vector<uint64_t> spills_;  // per table: calls of Spill
  Status spilled_;                // the last one
  uint64_t drained_ = 0;
};

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
  element.state = std::make_unique<State>(environment_, plan_, i == 0 ? StateScope() : node_of(i).id);
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

void OperatorCell::ShedMemory() {
  if (failed_ || !wants_commits()) return;
  const auto account = [&] {
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
  };
  account();
  // A pass over the table is worth its while when there is something to find.
  int64_t droppable = 0;
  for (const Element& element : elements_)
    if (element.state) droppable += element.state->droppable_bytes();
  if (droppable >= accounted_bytes_ / 8 && environment_.memory->BytesToDrop(droppable) > 0) {
    for (Element& element : elements_)
      if (element.state) element.state->Evict();
    account();
  }
  if (environment_.memory->BytesToPutAside(accounted_unclean_) == 0) return;
  for (Element& element : elements_)
    if (element.state) element.state->PutAside();
  account();
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
  FRESHET_RETURN_IF_ERROR(ProcessElement(0, input, batch));
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
  if (progress == Progress::kMore) ShedMemory();
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
