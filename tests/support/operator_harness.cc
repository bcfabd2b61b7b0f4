#include "tests/support/operator_harness.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include "engine/flow/divide_rows.h"
#include "engine/plan/yaml_reader.h"
#include "engine/state/table_layout.h"
#include "engine/state/table_numbers.h"

namespace freshet::testing {
namespace {

std::string CellText(const Column& column, int32_t row) {
  if (column.IsNull(row)) return "null";
  char text[64];
  switch (column.type()) {
    case TypeId::kBool:
      return column.BoolAt(row) ? "true" : "false";
    case TypeId::kInt64:
    case TypeId::kTimestamp:
      return std::to_string(column.int64s()[row]);
    case TypeId::kFloat64:
      std::snprintf(text, sizeof text, "%.17g", column.float64s()[row]);
      return text;
    case TypeId::kListFloat64: {
      std::string list = "[";
      for (const double v : column.ListAt(row)) {
        std::snprintf(text, sizeof text, "%.17g,", v);
        list += text;
      }
      return list + "]";
    }
    default:
      return "'" + std::string(column.StringAt(row)) + "'";
  }
}

}  // namespace

std::vector<std::string> RowTexts(const Batch& batch) {
  std::vector<std::string> texts;
  for (int32_t i = 0; i < batch.row_count(); ++i) {
    const int32_t row = batch.has_selection() ? batch.selection().indices.as<int32_t>()[i] : i;
    std::string text = "@" + std::to_string(batch.time(row).us) + " wm " + std::to_string(batch.row_watermark(row).us);
    for (int c = 0; c < batch.column_count(); ++c)
      text += " " + batch.schema()->field(c).name + "=" + CellText(batch.column(c), row);
    texts.push_back(std::move(text));
  }
  return texts;
}

BoundNode::BoundNode(const NodeDescriptor& descriptor, const std::string& yaml, const Schema& input)
    : BoundNode(descriptor, yaml, std::vector<const Schema*>{&input}) {}

BoundNode::BoundNode(const NodeDescriptor& descriptor, const std::string& yaml,
                     const std::vector<const Schema*>& inputs, const std::function<void(BindContext*)>& adjust)
    : diagnostics_(std::make_shared<Diagnostics>()) {
  const auto value = ReadYaml(std::make_shared<const SourceText>(SourceText{"test.yaml", yaml}), diagnostics_.get());
  if (!value || diagnostics_->has_errors()) return;
  const OptionsNode options = OptionsNode::Make(&*value, &descriptor.options, {}, diagnostics_.get());
  BindContext bind;
  bind.pipeline_name = "test";
  bind.node_id = "node";
  bind.inputs = inputs;
  bind.input_names = {"input"};
  for (size_t i = 1; i < inputs.size(); ++i) bind.input_names.push_back("input" + std::to_string(i + 1));
  bind.diagnostics = diagnostics_.get();
  bind.env = Env::Posix();
  bind.node_span = value->span();
  if (adjust) adjust(&bind);
  bound_ = descriptor.make_operator(options, bind);
  if (diagnostics_->has_errors()) bound_.reset();
}

std::string BoundNode::diagnostics() const { return diagnostics_->Render(); }

namespace {

/// One table's part of what was committed.
class HarnessRows final : public CommittedRows {
 public:
  HarnessRows(const HarnessCheckpoint::Rows* rows, std::string table, int64_t* scanned)
      : rows_(rows), table_(std::move(table)), scanned_(scanned) {}

  Status MultiGet(const std::vector<Ref>& sorted,
                  const std::function<Status(size_t, std::string_view)>& visit) override {
    for (size_t i = 0; i < sorted.size(); ++i) {
      const auto at = rows_->find({table_, sorted[i].key_group, std::string(sorted[i].key)});
      if (at != rows_->end()) FRESHET_RETURN_IF_ERROR(visit(i, at->second.value));
    }
    return Status::Ok();
  }
  Status ScanSome(uint16_t key_group, std::string_view from, size_t count_max,
                  const std::function<Status(std::string_view, std::string_view)>& visit) override {
    for (auto at = rows_->lower_bound({table_, key_group, std::string(from)});
         at != rows_->end() && at->first.table == table_ && at->first.key_group == key_group && count_max > 0;
         ++at, --count_max, ++*scanned_)
      FRESHET_RETURN_IF_ERROR(visit(at->first.key, at->second.value));
    return Status::Ok();
  }

 private:
  const HarnessCheckpoint::Rows* const rows_;
  const std::string table_;
  int64_t* const scanned_;
};

}  // namespace

struct OperatorHarness::Lane final : OpenContext, StateContext, TableLayouts {
  Lane(int index_, const Options& options_, const HarnessCheckpoint::Rows* committed_, int64_t* rows_scanned_)
      : index(index_), options(options_), committed(committed_), rows_scanned(rows_scanned_) {}

  StateContext& state() override { return *this; }
  NodeCounters& counters() override { return node_counters; }
  Env& env() override { return options.env != nullptr ? *options.env : *Env::Posix(); }
  const std::string& pipeline_name() const override { return pipeline; }
  const std::string& node_id() const override { return node; }
  int32_t batch_row_count_max() const override { return options.batch_row_count_max; }
  std::string_view extra() const override {
    return options.restore != nullptr ? std::string_view(options.restore->extra) : std::string_view();
  }

  std::optional<std::string> StoredFingerprint(const std::string& table) const override {
    if (options.restore == nullptr) return std::nullopt;
    const auto at = options.restore->fingerprints.find(table);
    return at == options.restore->fingerprints.end() ? std::nullopt : std::optional(at->second);
  }
  void TakeStored(const std::string& table) override { taken.insert(table); }

  Status Adopt(std::unique_ptr<StateTable> table) override {
    tables.push_back(std::move(table));
    StateTable& t = *tables.back();
    const bool evicts = options.evict && t.options().evictable;
    if (evicts || dynamic_cast<KeyGroupNumbers*>(&t) != nullptr) {
      auto rows = std::make_unique<HarnessRows>(committed, t.name(), rows_scanned);
      rows->first_key_group = FirstKeyGroup(index, options.lanes);
      rows->last_key_group = static_cast<uint16_t>(FirstKeyGroup(index + 1, options.lanes) - 1);
      t.AttachCommitted(std::move(rows));
    }
    if (options.restore == nullptr) return Status::Ok();
    const auto fingerprint = options.restore->fingerprints.find(t.name());
    if (fingerprint != options.restore->fingerprints.end() && fingerprint->second != t.options().fingerprint &&
        taken.count(t.name()) == 0)
      return Status::InvalidArgument("the state was written for `" + fingerprint->second + "`");
    for (const auto& [id, row] : options.restore->rows) {
      if (id.table != t.name() || LaneOfKeyGroup(id.key_group, options.lanes) != index) continue;
      if (evicts && row.codec == t.options().codec && taken.count(t.name()) == 0)
        t.LeaveInStore(0);
      else
        FRESHET_RETURN_IF_ERROR(t.RestoreEntry(id.key_group, id.key, row.value, row.codec));
    }
    return Status::Ok();
  }

  const int index;
  const Options& options;
  const HarnessCheckpoint::Rows* const committed;
  int64_t* const rows_scanned;
  const std::string pipeline = "test";
  const std::string node = "node";
  NodeCounters node_counters;
  std::set<std::string> taken;   // tables of which rows of another layout are read
  std::unique_ptr<Operator> op;  // before the tables, so that these go first, as in a cell
  std::vector<std::unique_ptr<StateTable>> tables;
  std::vector<std::vector<Batch>> outputs;
};

class OperatorHarness::LaneEmitter final : public Emitter {
 public:
  LaneEmitter(OperatorHarness& harness, Lane& lane) : harness_(harness), lane_(lane) {}
  ~LaneEmitter() override { harness_.emits_per_call_max_ = std::max(harness_.emits_per_call_max_, emitted_); }
  void Emit(Batch batch, PortIndex port) override {
    if (batch.empty()) return;
    ++emitted_;
    const OutputPort& declared = harness_.bound_.outputs.at(static_cast<size_t>(port));
    if (!(*batch.schema() == *declared.schema))
      harness_.Check(Status::Internal("emitted " + batch.schema()->ToString() + " where " +
                                      declared.schema->ToString() + " is declared"));
    for (int c = 0; c < batch.column_count(); ++c)
      if (batch.column(c).type() != declared.schema->field(c).type ||
          batch.column(c).length() != batch.physical_row_count())
        harness_.Check(Status::Internal("column `" + declared.schema->field(c).name + "` is not what the schema says"));
    harness_.batch_rows_max_ = std::max(harness_.batch_rows_max_, batch.row_count());
    if (port == 0) lane_.node_counters.out += batch.row_count();
    lane_.outputs[static_cast<size_t>(port)].push_back(std::move(batch));
  }

 private:
  OperatorHarness& harness_;
  Lane& lane_;
  int emitted_ = 0;
};

OperatorHarness::OperatorHarness(const BoundOperator& bound, Options options) : bound_(bound), options_(options) {
  if (options_.evict && options_.restore != nullptr) committed_ = options_.restore->rows;
  for (int i = 0; i < options_.lanes; ++i) {
    lanes_.push_back(std::make_unique<Lane>(i, options_, &committed_, &rows_scanned_));
    Lane& lane = *lanes_.back();
    lane.outputs.resize(bound.outputs.size());
    if (i == 0 && options_.restore != nullptr) {
      lane.node_counters = options_.restore->counters;
      lane.node_counters.held = 0;
      lane.node_counters.panes_open = 0;
    }
    lane.op = bound.instantiate();
    Check(lane.op->Open(lane));
  }
}

OperatorHarness::~OperatorHarness() {
  for (auto& lane : lanes_) lane->op->Close();
}

void OperatorHarness::Check(Status status) {
  if (status_.ok() && !status.ok()) status_ = std::move(status);
}

std::vector<Batch> OperatorHarness::Divide(const Batch& batch, InputIndex input) {
  const bool apart = !bound_.input_keys.empty();
  const KeyCodec codec(*batch.schema(), apart ? bound_.input_keys[static_cast<size_t>(input)] : *bound_.key);
  EncodedKeys keys;
  keys.Encode(codec, batch);
  std::vector<uint8_t> lane_of;
  FindLanes(keys, batch.row_count(), options_.lanes, &lane_of);
  if (combiner_ == nullptr && bound_.make_combiner) combiner_ = bound_.make_combiner();
  if (combiner_ != nullptr && combiner_->Wants())
    if (const auto combined = combiner_->Combine(batch, keys))
      return DivideCombined(batch, combined, lane_of, options_.lanes);
  return DivideRows(batch, lane_of, options_.lanes);
}

void OperatorHarness::Feed(const Batch& batch, InputIndex input) {
  if (batch.empty()) return;
  const std::vector<Batch> parts = lanes_.size() == 1 ? std::vector<Batch>{batch} : Divide(batch, input);
  for (size_t i = 0; i < lanes_.size() && status_.ok(); ++i) {
    Lane& lane = *lanes_[i];
    const Batch& part = parts[i];
    if (part.empty()) continue;
    lane.node_counters.in += RowsMeant(part);
    pre_aggregated_ += RowsMeant(part) - part.row_count();
    LaneEmitter emitter(*this, lane);
    Check(lane.op->ProcessBatch(input, bound_.accepts_selection ? part : part.Dense(), emitter));
  }
}

void OperatorHarness::Watermark(EventTime now) {
  for (auto& lane : lanes_) {
    for (bool more = true; more && status_.ok();) {
      LaneEmitter emitter(*this, *lane);
      auto progress = lane->op->OnWatermark(now, emitter);
      Check(progress.status());
      more = progress.ok() && *progress == Progress::kMore;
    }
  }
}

void OperatorHarness::Clock(EventTime now) {
  for (auto& lane : lanes_) {
    for (bool more = true; more && status_.ok();) {
      LaneEmitter emitter(*this, *lane);
      auto progress = lane->op->OnClock(now, emitter);
      Check(progress.status());
      more = progress.ok() && *progress == Progress::kMore;
    }
  }
}

void OperatorHarness::End() {
  Watermark(EventTime::Max());
  for (auto& lane : lanes_) {
    for (bool more = true; more && status_.ok();) {
      LaneEmitter emitter(*this, *lane);
      auto progress = lane->op->OnEnd(emitter);
      Check(progress.status());
      more = progress.ok() && *progress == Progress::kMore;
    }
  }
}

void OperatorHarness::Snapshot(HarnessCheckpoint* checkpoint) {
  for (auto& lane : lanes_) {
    for (auto& table : lane->tables) Drain(*table, checkpoint);
    ByteSink extra;
    Check(lane->op->SnapshotExtra(extra));
    if (lanes_.size() == 1)
      checkpoint->extra = extra.Take();
    else if (extra.size() > 0)
      Check(Status::Internal("an operator with lanes may keep state in tables only"));
  }
  checkpoint->counters = counters();
  ++drains_;
  for (auto& lane : lanes_) {
    for (auto& table : lane->tables) {
      if (!options_.evict || !table->options().evictable) continue;
      table->OnCommitted(drains_);
      evicted_bytes_ += table->EvictClean(INT64_MAX / 2);
    }
  }
}

void OperatorHarness::Drain(StateTable& table, HarnessCheckpoint* checkpoint) {
  checkpoint->fingerprints[table.name()] = table.options().fingerprint;
  const std::vector<HarnessCheckpoint::Rows*> targets = {&checkpoint->rows, &committed_};
  table.DrainDirty([&](const StateEntry& e) {
    const HarnessCheckpoint::Id id{table.name(), e.key_group, std::string(e.key)};
    for (HarnessCheckpoint::Rows* rows : targets) {
      if (e.erased)
        rows->erase(id);
      else
        (*rows)[id] = {table.options().codec, std::string(e.value)};
    }
  });
  Check(table.drain_status());
}

void OperatorHarness::Obey(Command& command) {
  for (auto& lane : lanes_) lane->op->OnCommand(command);
}

const std::vector<Batch>& OperatorHarness::output(int lane, PortIndex port) const {
  return lanes_[static_cast<size_t>(lane)]->outputs[static_cast<size_t>(port)];
}

NodeCounters OperatorHarness::counters() const {
  static constexpr int64_t NodeCounters::*kFields[] = {
      &NodeCounters::in,           &NodeCounters::out,           &NodeCounters::filtered,   &NodeCounters::rejected,
      &NodeCounters::late,         &NodeCounters::dead,          &NodeCounters::held,       &NodeCounters::skipped,
      &NodeCounters::absorbed,     &NodeCounters::late_panes,    &NodeCounters::matched,    &NodeCounters::unmatched,
      &NodeCounters::panes_opened, &NodeCounters::panes_emitted, &NodeCounters::panes_open, &NodeCounters::panes_empty,
      &NodeCounters::nulled};
  NodeCounters sum;
  for (const auto& lane : lanes_)
    for (const auto field : kFields) sum.*field += lane->node_counters.*field;
  return sum;
}

int64_t OperatorHarness::state_keys() const {
  int64_t keys = 0;
  for (const auto& lane : lanes_)
    for (const auto& table : lane->tables) keys += table->size();
  return keys;
}

int64_t OperatorHarness::state_bytes() const {
  int64_t bytes = 0;
  for (const auto& lane : lanes_)
    for (const auto& table : lane->tables) bytes += table->memory_bytes();
  return bytes;
}

std::string ConservationFault(const NodeCounters& c, NodeClass node_class) {
  const auto differs = [](const char* law, int64_t left, int64_t right) {
    return left == right ? std::string()
                         : std::string(law) + ": " + std::to_string(left) + " != " + std::to_string(right);
  };
  switch (node_class) {
    case NodeClass::kRowWise:
      return differs("in = out + filtered + rejected + late + dead + held", c.in,
                     c.out + c.filtered + c.rejected + c.late + c.dead + c.held);
    case NodeClass::kStateful: {
      const std::string rows =
          differs("in = absorbed + late + dead + held", c.in, c.absorbed + c.late + c.dead + c.held);
      return !rows.empty() ? rows
                           : differs("panes opened = emitted + open + empty", c.panes_opened,
                                     c.panes_emitted + c.panes_open + c.panes_empty);
    }
    case NodeClass::kExpanding:
      return differs("in = matched + unmatched + dead", c.in, c.matched + c.unmatched + c.dead);
    default:
      return "";
  }
}

}  // namespace freshet::testing
