#include <algorithm>
#include <iterator>
#include <map>

#include "engine/batch/column_builder.h"
#include "engine/flow/operator_cell.h"
#include "engine/flow/planted_bugs.h"

namespace freshet {

Batch PickRows(const SchemaRef& schema, const std::vector<std::pair<Batch, int32_t>>& rows) {
  const auto count = static_cast<int32_t>(rows.size());
  std::vector<Column> columns;
  for (int c = 0; c < schema->size(); ++c) {
    ColumnBuilder builder(schema->field(c).type, count);
    for (const auto& [batch, row] : rows) builder.AppendFrom(batch.column(c), row);
    columns.push_back(builder.Finish());
  }
  RowMeta meta;
  meta.times = AllocateBuffer(int64_t{8} * count);
  meta.watermarks = AllocateBuffer(int64_t{8} * count);
  meta.ordinals = AllocateBuffer(int64_t{8} * count);
  for (int32_t i = 0; i < count; ++i) {
    const auto& [batch, row] = rows[static_cast<size_t>(i)];
    meta.times.as<int64_t>()[i] = batch.time(row).us;
    meta.watermarks.as<int64_t>()[i] = batch.row_watermark(row).us;
    meta.ordinals.as<uint64_t>()[i] = batch.ordinal(row).value;
  }
  return Batch(schema, std::move(columns), count, std::move(meta));
}

namespace {
/// Of a node with several outputs by time each has a gather, and a lane one budget for all of them. Were rows that wait
/// in a gather to count against it, one lane might wait for room behind this gather and another behind that one, for
/// ever: each gather lacks what the other's lane has not sent.
bool SharesLanes(const GraphSpec& spec, int node) {
  const auto& outputs = std::get<OperatorNode>(spec.nodes[static_cast<size_t>(node)].kind).bound.outputs;
  int read = 0;
  for (size_t p = 0; p < outputs.size(); ++p) {
    if (outputs[p].order != OutputOrder::kByTime) continue;
    const PortRef port{node, static_cast<PortIndex>(p)};
    read += std::any_of(spec.nodes.begin(), spec.nodes.end(), [&](const NodeSpec& other) {
      return std::find(other.inputs.begin(), other.inputs.end(), port) != other.inputs.end();
    });
  }
  return read > 1;
}
}  // namespace

/// What has come from one lane and waits for the others.
struct GatherCell::Lane {
  uint64_t marked = 0;
  std::map<uint64_t, std::vector<Batch>> by_sequence;  // input order
  std::deque<std::pair<Batch, EncodedKeys>> queue;     // by time
  int32_t cursor = 0;
};

GatherCell::GatherCell(const CellEnvironment& environment, const CellPlan& plan)
    : Cell(environment, plan),
      port_(std::get<OperatorNode>(environment.spec->nodes[static_cast<size_t>(plan.nodes[0])].kind)
                .bound.outputs[static_cast<size_t>(plan.gathered_port)]),
      node_(environment.spec->nodes[static_cast<size_t>(plan.nodes[0])]),
      codec_(*port_.schema, port_.key_columns) {
  for (int i = 0; i < plan.input_count; ++i) lanes_.push_back(std::make_unique<Lane>());
}

GatherCell::~GatherCell() = default;

Status GatherCell::Open() {
  FRESHET_RETURN_IF_ERROR(RestoreTime());
  if (!plan_.stamps_ordinals) return Status::Ok();
  FRESHET_ASSIGN_OR_RETURN(
      const std::string bytes,
      RestoredEngineRow(EngineKey("ordinal", node_.id + "/" + std::to_string(plan_.gathered_port))));
  if (!bytes.empty()) next_ordinal_ = ByteSource(bytes).GetI64();
  return Status::Ok();
}

Status GatherCell::HandleBatch(InputIndex input, const Batch& batch, uint64_t exchange_sequence) {
  Lane& lane = *lanes_[static_cast<size_t>(input)];
  if (port_.order == OutputOrder::kInputOrder) {
    if (exchange_sequence == 0) return Status::Internal("rows without an exchange number reached a gather");
    lane.by_sequence[exchange_sequence].push_back(batch);
    return Status::Ok();
  }
  lane.queue.emplace_back();
  lane.queue.back().first = SharesLanes(*environment_.spec, plan_.nodes[0]) ? batch.Detached() : batch;
  lane.queue.back().second.Encode(codec_, batch);
  return Status::Ok();
}

void GatherCell::HandleMark(InputIndex input, uint64_t sequence) {
  lanes_[static_cast<size_t>(input)]->marked = sequence;
}

Result<Progress> GatherCell::Pump() {
  return port_.order == OutputOrder::kInputOrder ? PumpInputOrder() : PumpByTime();
}

namespace {
/// Which row of `parts`, end to end, comes next: in the order of their positions, equal ones in the order of the parts.
/// Positions are small numbers, mostly each there once: then every row has a place of its own and nothing is sorted.
std::vector<int32_t> OrderByPosition(const std::vector<Batch>& parts) {
  uint32_t last = 0;
  size_t count = 0;
  for (const Batch& part : parts) {
    for (int32_t row = 0; row < part.row_count(); ++row) last = std::max(last, part.position(row));
    count += static_cast<size_t>(part.row_count());
  }
  std::vector<int32_t> places(size_t{last} + 1, -1);
  std::vector<int32_t> order;
  order.reserve(count);
  int32_t at = 0;
  bool once = true;
  for (const Batch& part : parts)
    for (int32_t row = 0; row < part.row_count(); ++row, ++at)
      once = std::exchange(places[part.position(row)], at) < 0 && once;
  if (once) {
    for (const int32_t place : places)
      if (place >= 0) order.push_back(place);
    return order;
  }
  std::vector<uint32_t> positions;
  positions.reserve(count);
  for (const Batch& part : parts)
    for (int32_t row = 0; row < part.row_count(); ++row) positions.push_back(part.position(row));
  for (int32_t i = 0; i < static_cast<int32_t>(count); ++i) order.push_back(i);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return positions[static_cast<size_t>(a)] < positions[static_cast<size_t>(b)];
  });
  return order;
}
}  // namespace

Progress GatherCell::PumpInputOrder() {
  uint64_t complete = UINT64_MAX;
  for (const auto& lane : lanes_) complete = std::min(complete, lane->marked);
  if (IsPlanted(PlantedBug::kGatherBeforeMarks)) complete = lanes_[0]->marked;
  for (; next_sequence_ <= complete; ++next_sequence_) {
    std::vector<Batch> parts;
    for (const auto& lane : lanes_) {
      const auto found = lane->by_sequence.find(next_sequence_);
      if (found == lane->by_sequence.end()) continue;
      std::move(found->second.begin(), found->second.end(), std::back_inserter(parts));
      lane->by_sequence.erase(found);
    }
    if (parts.empty()) continue;
    const std::vector<int32_t> order = OrderByPosition(parts);
    // One concatenation and one permutation: typed copies instead of a value at a time.
    Batch ordered = ConcatBatches(parts);
    if (!std::is_sorted(order.begin(), order.end()))
      ordered = ordered.Take(order.data(), static_cast<int32_t>(order.size()));
    RowMeta meta = ordered.meta();
    meta.positions = {};
    outlets_.SendRows(0, 0, ordered.WithMeta(std::move(meta)), 0);
  }
  return Progress::kDone;
}

namespace {
/// A row's moment and event time.
std::pair<EventTime, EventTime> PlaceOf(const Batch& batch, int32_t row) {
  const EventTime time = batch.time(row);
  return {std::max(time, batch.row_watermark(row)), time};
}
}  // namespace

GatherCell::Lane* GatherCell::SmallestHead() {
  Lane* best = nullptr;
  for (const auto& lane : lanes_) {
    if (lane->queue.empty()) continue;
    if (best == nullptr) {
      best = lane.get();
      continue;
    }
    const auto& [batch, keys] = lane->queue.front();
    const auto& [best_batch, best_keys] = best->queue.front();
    const auto place = PlaceOf(batch, lane->cursor);
    const auto best_place = PlaceOf(best_batch, best->cursor);
    if (place < best_place || (place == best_place && keys.key(lane->cursor) < best_keys.key(best->cursor)))
      best = lane.get();
  }
  return best;
}

void GatherCell::EmitByTime(std::vector<std::pair<Batch, int32_t>>& rows) {
  if (rows.empty()) return;
  Batch batch = PickRows(port_.schema, rows);
  rows.clear();
  RowMeta meta = batch.meta();
  meta.ordinals = {};
  meta.first_ordinal = Ordinal::Of(0, static_cast<uint64_t>(next_ordinal_));
  next_ordinal_ += batch.row_count();
  batch = batch.WithMeta(std::move(meta));
  outlets_.SendRows(0, 0, batch.WithHold(outlets_.budget()->Take(outlets_.budget(), batch.ByteSize())), 0);
}

Progress GatherCell::PumpByTime() {
  std::vector<std::pair<Batch, int32_t>> rows;
  while (static_cast<int32_t>(rows.size()) < environment_.batch_row_count_max) {
    Lane* head = SmallestHead();
    if (head == nullptr) break;
    const Batch& batch = head->queue.front().first;
    const EventTime moment = PlaceOf(batch, head->cursor).first;
    // A lane without rows may still send some at or after its own watermark.
    bool settled = true;
    for (size_t i = 0; i < lanes_.size(); ++i)
      settled = settled && (!lanes_[i]->queue.empty() || input_watermark(static_cast<InputIndex>(i)) > moment);
    if (!settled) break;
    rows.emplace_back(batch, head->cursor);
    if (++head->cursor == batch.row_count()) {
      head->queue.pop_front();
      head->cursor = 0;
    }
  }
  const bool full = static_cast<int32_t>(rows.size()) == environment_.batch_row_count_max;
  EmitByTime(rows);
  return full ? Progress::kMore : Progress::kDone;
}

Result<Progress> GatherCell::HandleWatermark(EventTime) { return Pump(); }
Result<Progress> GatherCell::HandleEnd() { return Pump(); }

/// Lanes with several live inputs may stand at different times at a barrier: an input that was idle let one of them go
/// on before it heard of its return, and another one not. Rows that then wait for the slower lanes leave as they are,
/// since nothing is kept over a barrier; all of them are beyond what has been promised.
void GatherCell::Release() {
  std::vector<std::pair<Batch, int32_t>> rows;
  while (Lane* head = SmallestHead()) {
    rows.emplace_back(head->queue.front().first, head->cursor);
    if (++head->cursor == head->queue.front().first.row_count()) {
      head->queue.pop_front();
      head->cursor = 0;
    }
    if (static_cast<int32_t>(rows.size()) == environment_.batch_row_count_max) EmitByTime(rows);
  }
  EmitByTime(rows);
}

Status GatherCell::Snapshot(CellSnapshot* snapshot) {
  if (plan_.lanes_may_differ) Release();
  for (const auto& lane : lanes_)
    if (!lane->queue.empty() || !lane->by_sequence.empty()) return Status::Internal("a gather held rows at a barrier");
  if (!plan_.stamps_ordinals) return Status::Ok();
  ByteSink sink;
  sink.PutI64(next_ordinal_);
  snapshot->rows.Put(kEngineTable, 0, EngineKey("ordinal", node_.id + "/" + std::to_string(plan_.gathered_port)),
                     sink.bytes());
  return Status::Ok();
}

void GatherCell::FillPublished(Published*) const {}

}  // namespace freshet
