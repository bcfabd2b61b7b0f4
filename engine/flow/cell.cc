#include "engine/flow/cell.h"

#include <algorithm>

#include "engine/flow/planted_bugs.h"

namespace freshet {

void TableDirectory::Load(const Manifest& manifest) {
  const std::lock_guard lock(mutex_);
  tables_ = manifest.tables;
  restored_ = manifest.tables;
}

Result<TableId> TableDirectory::Resolve(const std::string& node_id, const StateTable& table, uint16_t* stored,
                                        bool takes_layout) {
  const std::lock_guard lock(mutex_);
  TableId next = 1;
  for (Manifest::Table& t : tables_) {
    next = std::max<TableId>(next, static_cast<TableId>(t.id + 1));
    if (t.node_id != node_id || t.name != table.name()) continue;
    if (t.codec > table.options().codec)
      return Status::Unsupported("its state was written by a newer version of Freshet (codec " +
                                 std::to_string(t.codec) + " of table `" + t.name +
                                 "`); use that version, or start over with --fresh");
    if (t.fingerprint != table.options().fingerprint && !takes_layout)
      return Status::InvalidArgument(
          "its options changed in a way that does not fit the state kept for it (table `" + t.name +
          "`: " + t.fingerprint + " in the checkpoint, " + table.options().fingerprint +
          " now); undo the change, rename the id to start it empty, or start over with --fresh");
    t.codec = table.options().codec;
    t.fingerprint = table.options().fingerprint;
    *stored = 0;
    for (const Manifest::Table& r : restored_)  // every lane asks
      if (r.id == t.id) *stored = r.codec;
    return t.id;
  }
  *stored = 0;
  tables_.push_back({node_id, table.name(), next, table.options().codec, table.options().fingerprint});
  return next;
}

std::optional<std::string> TableDirectory::StoredFingerprint(const std::string& node_id,
                                                             const std::string& table) const {
  const std::lock_guard lock(mutex_);
  for (const Manifest::Table& r : restored_)
    if (r.node_id == node_id && r.name == table) return r.fingerprint;
  return std::nullopt;
}

std::vector<Manifest::Table> TableDirectory::tables() const {
  const std::lock_guard lock(mutex_);
  return tables_;
}

std::string EngineKey(const char* what, const std::string& node_id) { return std::string(what) + "/" + node_id; }

namespace {
// The order is frozen: it stands in checkpoints (FORMAT.md, "counters"). New ones go to the end.
template <class C, class F>
void ForEachCounter(C& c, F&& f) {
  f(c.in), f(c.out), f(c.filtered), f(c.rejected), f(c.late), f(c.dead), f(c.held), f(c.skipped), f(c.absorbed),
      f(c.late_panes), f(c.matched), f(c.unmatched), f(c.panes_opened), f(c.panes_emitted), f(c.panes_open),
      f(c.panes_empty), f(c.nulled), f(c.dropped);
}
}  // namespace

void EncodeCounters(const NodeCounters& counters, ByteSink& sink) {
  uint8_t count = 0;
  ForEachCounter(counters, [&](int64_t) { ++count; });
  sink.PutU8(count);
  ForEachCounter(counters, [&](int64_t v) { sink.PutI64(v); });
}

bool DecodeCounters(ByteSource& source, NodeCounters* counters) {
  int left = source.GetU8();
  ForEachCounter(*counters, [&](int64_t& v) {
    if (left-- > 0) v = source.GetI64();
  });
  return source.ok();
}

void AddCounters(NodeCounters* to, const NodeCounters& from) {
  std::vector<int64_t> values;
  ForEachCounter(from, [&](int64_t v) { values.push_back(v); });
  size_t i = 0;
  ForEachCounter(*to, [&](int64_t& v) { v += values[i++]; });
}

std::string CheckConservation(NodeClass node_class, const NodeCounters& c) {
  const auto equation = [](const char* left, int64_t a, const char* right, int64_t b) {
    return a == b ? std::string()
                  : std::string(left) + " = " + std::to_string(a) + " but " + right + " = " + std::to_string(b);
  };
  switch (node_class) {
    case NodeClass::kSource:
      return equation("read", c.in, "emitted + dead + skipped + waiting", c.out + c.dead + c.skipped + c.held);
    case NodeClass::kRowWise:
      return equation("in", c.in, "out + filtered + rejected + late + dead + held",
                      c.out + c.filtered + c.rejected + c.late + c.dead + c.held);
    case NodeClass::kStateful: {
      std::string rows = equation("in", c.in, "absorbed + late + dead + held", c.absorbed + c.late + c.dead + c.held);
      return rows.empty() ? equation("panes opened", c.panes_opened, "emitted + open + dropped_empty",
                                     c.panes_emitted + c.panes_open + c.panes_empty)
                          : rows;
    }
    case NodeClass::kExpanding:
      return equation("in", c.in, "matched + unmatched + dead", c.matched + c.unmatched + c.dead);
    case NodeClass::kSink:
      return equation("in", c.in, "out + dead + held", c.out + c.dead + c.held);
  }
  return {};
}

Cell::Cell(const CellEnvironment& environment, const CellPlan& plan)
    : environment_(environment),
      plan_(plan),
      outlets_(environment, plan),
      inputs_(static_cast<size_t>(plan.input_count)),
      meters_(std::max<size_t>(1, plan.nodes.size())) {}

void Cell::Work(Envelope envelope) noexcept {
  mark_us_ = environment_.env->SteadyMicros();
  metered_ = 0;
  meters_[0].EndBlocked(mark_us_);
  Deliver(std::move(envelope));
  Run();
  SwitchMeter(0);
  if (blocked_) meters_[0].BeginBlocked(mark_us_);
  mark_us_ = -1;
}

size_t Cell::SwitchMeter(size_t element) {
  if (mark_us_ < 0) return element;
  const int64_t now = environment_.env->SteadyMicros();
  meters_[metered_].AddBusy(now - std::exchange(mark_us_, now));
  return std::exchange(metered_, element);
}

std::vector<Activity> Cell::activity() const {
  std::vector<Activity> all;
  for (const ActivityMeter& meter : meters_) all.push_back(meter.Read(environment_.env->SteadyMicros()));
  return all;
}

void Cell::Deliver(Envelope envelope) {
  if (envelope.edge < 0) {
    snapshot_nudged_ = false;
    return;
  }
  const InputIndex input = environment_.plan->edges[static_cast<size_t>(envelope.edge)].input;
  Input& in = inputs_[static_cast<size_t>(input)];
  if (envelope.sequence != in.next_sequence++) {
    Fail(Status::Internal("messages arrived out of order on edge " + std::to_string(envelope.edge) +
                          ": expected number " + std::to_string(in.next_sequence - 1) + ", got " +
                          std::to_string(envelope.sequence)));
    return;
  }
  if (!failed_) inbox_.push_back(std::move(envelope));
}

void Cell::Run() noexcept {
  if (failed_) return;
  try {
    bool blocked = false;
    bool moved = false;
    const bool was_blocked = std::exchange(blocked_, false);
    while (!failed_ && !blocked && !waiting_) {
      LookAtClock();
      if (continuation_ == Continuation::kNone && inbox_.empty()) break;
      if (Status status = Step(&blocked); !status.ok()) Fail(std::move(status));
      moved = moved || !(blocked || waiting_);
    }
    if (!failed_)
      if (Status status = ContinueSnapshot(); !status.ok()) Fail(std::move(status));
    blocked_ = blocked || waiting_;
    if (blocked_ && (moved || !was_blocked)) ++blocked_count_;  // a try in vain goes on with the same wait
    if (continuation_ == Continuation::kNone) cause_ = {};
    Publish();
  } catch (const std::bad_alloc&) {
    Fail(Status::Internal("out of memory"));
  } catch (const std::exception& e) {
    Fail(Status::Internal(std::string("unexpected exception: ") + e.what()));
  }
}

void Cell::LookAtClock() {
  if (!plan_.wants_clock || ended_ || continuation_ != Continuation::kNone) return;
  // Read once: it may be set back between two looks. It then stands still here until it is where it was.
  const EventTime now{environment_.env->WallMicros()};
  if (clock_ != EventTime::Min() && now < clock_ + Duration{kClockTickUs}) return;
  clock_ = now;
  continuation_ = Continuation::kClock;
}

Status Cell::Step(bool* blocked) {
  if (continuation_ != Continuation::kNone) {
    if (outlets_.budget()->exhausted()) {
      *blocked = true;
      return Status::Ok();
    }
    FRESHET_RETURN_IF_ERROR(Continue());
    return continuation_ == Continuation::kNone ? CompleteBarrierIfAligned() : Status::Ok();
  }
  Envelope envelope = std::move(inbox_.front());
  inbox_.pop_front();
  return Process(envelope);
}

namespace {
/// The batch with no row's watermark below `lowest`: its input joins there.
Batch JoinedAt(const Batch& batch, EventTime lowest) {
  RowMeta meta = batch.meta();
  meta.joined = std::max(meta.joined, lowest);
  meta.watermark = std::max(meta.watermark, lowest);
  if (meta.watermarks) {
    meta.watermarks = AllocateBuffer(int64_t{8} * (meta.offset + batch.row_count()));
    for (int32_t i = 0; i < batch.row_count(); ++i)
      meta.watermarks.as<int64_t>()[meta.offset + i] = std::max(batch.row_watermark(i), lowest).us;
  }
  return batch.WithMeta(std::move(meta));
}

Batch::Hold HoldOf(const Message& message) {
  if (const auto* batch = std::get_if<Batch>(&message)) return batch->empty() ? Batch::Hold() : batch->hold();
  const auto* watermark = std::get_if<Watermark>(&message);
  return watermark != nullptr ? watermark->hold : Batch::Hold();
}
}  // namespace

Status Cell::Process(Envelope& envelope) {
  const InputIndex index = environment_.plan->edges[static_cast<size_t>(envelope.edge)].input;
  Input& in = inputs_[static_cast<size_t>(index)];
  if (in.at_barrier) {
    parked_.push_back(std::move(envelope));
    return Status::Ok();
  }
  cause_ = HoldOf(envelope.message);
  if (auto* batch = std::get_if<Batch>(&envelope.message)) {
    in.idle = false;
    idle_sent_ = false;
    // Only after it was idle is an input behind the merged watermark: it joins there (SEMANTICS.md §2.4).
    if (in.watermark < merged_ && !batch->empty()) *batch = JoinedAt(*batch, merged_);
    FRESHET_RETURN_IF_ERROR(HandleBatch(index, *batch, envelope.exchange_sequence));
    continuation_ = Continuation::kPump;
    return Status::Ok();
  }
  if (auto* watermark = std::get_if<Watermark>(&envelope.message)) {
    if (watermark->time < in.watermark) return Status::Internal("a watermark went backwards");
    in.idle = false;
    idle_sent_ = false;
    in.watermark = watermark->time;
    HandleInputWatermark(index, in.watermark);
    MergeWatermark();
    return Status::Ok();
  }
  if (std::holds_alternative<Idle>(envelope.message)) {
    in.idle = true;
    MergeWatermark();
    ForwardIdleIfAll();
    return Status::Ok();
  }
  if (const auto* mark = std::get_if<Mark>(&envelope.message)) {
    HandleMark(index, mark->sequence);
    continuation_ = Continuation::kPump;
    return Status::Ok();
  }
  if (const auto* barrier = std::get_if<Barrier>(&envelope.message)) {
    if (barrier_open_ && barrier->epoch != barrier_.epoch) return Status::Internal("two barriers crossed");
    barrier_open_ = true;
    barrier_ = *barrier;
    in.at_barrier = true;
    return CompleteBarrierIfAligned();
  }
  in.ended = true;
  in.before_end = in.watermark;
  in.watermark = EventTime::Max();
  HandleInputWatermark(index, in.watermark);
  // If this was what a barrier waited for, time moves on first, as it does where the end came before the barrier: lanes
  // see them in either order, and must stand at one time at a barrier.
  const bool all_ended = std::all_of(inputs_.begin(), inputs_.end(), [](const Input& i) { return i.ended; });
  if (!all_ended) {
    MergeWatermark();
    ForwardIdleIfAll();
    return Status::Ok();
  }
  target_ = EventTime::Max();
  continuation_ = merged_ == EventTime::Max() ? Continuation::kEnd : Continuation::kWatermark;
  return Status::Ok();
}

void Cell::ForwardIdleIfAll() {
  const bool all = std::all_of(inputs_.begin(), inputs_.end(), [](const Input& i) { return i.idle || i.ended; });
  if (all && !std::exchange(idle_sent_, true)) outlets_.SendAll(Idle{});
}

void Cell::MergeWatermark() {
  EventTime lowest = EventTime::Max();
  bool any = false;
  for (const Input& in : inputs_) {
    // Lanes carry one stream: one that has told its silence already is only ahead of the others.
    if (in.ended || (in.idle && plan_.kind != CellKind::kGather)) continue;
    any = true;
    lowest = std::min(lowest, in.watermark);
  }
  if (!any || lowest <= merged_) {
    continuation_ = Continuation::kPump;
    return;
  }
  target_ = lowest;
  continuation_ = Continuation::kWatermark;
}

Status Cell::Continue() {
  switch (continuation_) {
    case Continuation::kPump: {
      FRESHET_ASSIGN_OR_RETURN(const Progress progress, Pump());
      if (progress == Progress::kDone) continuation_ = Continuation::kNone;
      return Status::Ok();
    }
    case Continuation::kWatermark: {
      // The planted mistake forgets some moments for good: at the last one nothing comes after that would make up for
      // it.
      const bool forgotten = IsPlanted(PlantedBug::kForgetTimer) &&
                             (target_.us % 5 == 0 || (target_ == EventTime::Max() && plan_.id % 3 == 1));
      const bool early = IsPlanted(PlantedBug::kWatermarkEarly) && target_ != EventTime::Max() && target_.us % 3 == 0;
      if (early && merged_ < target_) ForwardWatermark(target_);
      if (!forgotten) {
        FRESHET_ASSIGN_OR_RETURN(const Progress progress, HandleWatermark(target_));
        if (progress == Progress::kMore) {
          environment_.carrier->CountMove();
          return Status::Ok();
        }
      }
      merged_ = target_;
      if (merged_ != EventTime::Max()) merged_before_end_ = merged_;
      if (merged_ != EventTime::Max() && !early) ForwardWatermark(merged_);
      const bool all_ended = std::all_of(inputs_.begin(), inputs_.end(), [](const Input& i) { return i.ended; });
      continuation_ = all_ended ? Continuation::kEnd : Continuation::kNone;
      return Status::Ok();
    }
    case Continuation::kClock: {
      FRESHET_ASSIGN_OR_RETURN(const Progress progress, HandleClock(clock_));
      if (progress == Progress::kDone) continuation_ = Continuation::kNone;
      return Status::Ok();
    }
    case Continuation::kEnd: {
      FRESHET_ASSIGN_OR_RETURN(const Progress progress, HandleEnd());
      if (progress == Progress::kMore) return Status::Ok();
      continuation_ = Continuation::kNone;
      return FinishIfEnded();
    }
    case Continuation::kNone:
      break;
  }
  return Status::Ok();
}

Status Cell::CompleteBarrierIfAligned() {
  if (!barrier_open_) return Status::Ok();
  const bool aligned =
      std::all_of(inputs_.begin(), inputs_.end(), [](const Input& in) { return in.ended || in.at_barrier; });
  if (IsPlanted(PlantedBug::kMisalignedBarrier)) {
    if (std::exchange(misaligned_, barrier_.epoch) == barrier_.epoch) {
      barrier_open_ = false;
      for (Input& in : inputs_) in.at_barrier = false;
      return Status::Ok();
    }
  } else if (!aligned) {
    return Status::Ok();
  }
  FRESHET_RETURN_IF_ERROR(FinishSnapshot());
  open_snapshot_ = std::make_unique<OpenSnapshot>();
  open_snapshot_->epoch = barrier_.epoch;
  FRESHET_RETURN_IF_ERROR(TakeSnapshot(&open_snapshot_->snapshot));
  barrier_open_ = false;
  for (Input& in : inputs_) in.at_barrier = false;
  inbox_.insert(IsPlanted(PlantedBug::kParkedBehind) ? inbox_.end() : inbox_.begin(),
                std::make_move_iterator(parked_.begin()), std::make_move_iterator(parked_.end()));
  parked_.clear();
  ForwardBarrier(barrier_);
  return ContinueSnapshot();
}

Status Cell::ContinueSnapshot() {
  if (open_snapshot_ == nullptr) return Status::Ok();
  environment_.carrier->CountMove();
  FRESHET_ASSIGN_OR_RETURN(const bool complete, SnapshotSome(&open_snapshot_->snapshot));
  if (complete) {
    const std::unique_ptr<OpenSnapshot> done = std::move(open_snapshot_);
    environment_.listener->OnSnapshot(done->epoch, std::move(done->snapshot));
  } else if (!std::exchange(snapshot_nudged_, true)) {
    environment_.carrier->Nudge(plan_.id);
  }
  return Status::Ok();
}

Status Cell::FinishSnapshot() {
  while (open_snapshot_ != nullptr) FRESHET_RETURN_IF_ERROR(ContinueSnapshot());
  return Status::Ok();
}

Status Cell::TakeSnapshot(CellSnapshot* snapshot) {
  snapshot->cell = plan_.id;
  FRESHET_RETURN_IF_ERROR(Snapshot(snapshot));
  SnapshotTime(snapshot);
  return Status::Ok();
}

Result<std::string> Cell::RestoredEngineRow(const std::string& key) const {
  if (environment_.store == nullptr || environment_.restored.number == 0) return std::string();
  FRESHET_ASSIGN_OR_RETURN(auto value, environment_.store->Get(kEngineTable, 0, key));
  return value.value_or(std::string());
}

std::vector<std::string> Cell::InputNames() const {
  std::vector<std::string> names(inputs_.size());
  for (const CellPlan& from : environment_.plan->cells)
    for (const LinkPlan& link : from.links)
      for (const int edge : link.edges) {
        const EdgePlan& to = environment_.plan->edges[static_cast<size_t>(edge)];
        if (to.to != plan_.id) continue;
        const int node = from.nodes[static_cast<size_t>(link.element)];
        const PortIndex port = from.kind == CellKind::kGather ? from.gathered_port : link.port;
        names[static_cast<size_t>(to.input)] =
            environment_.spec->nodes[static_cast<size_t>(node)].id + "/" + std::to_string(port);
      }
  return names;
}

std::string Cell::TimeKey() const {
  std::string scope = environment_.spec->nodes[static_cast<size_t>(plan_.nodes[0])].id;
  if (plan_.kind == CellKind::kSorter) scope = "sorter." + scope;
  if (plan_.kind == CellKind::kMerge) scope = "merge." + scope;
  if (plan_.kind == CellKind::kArrival) scope = "arrival." + scope;
  if (plan_.kind == CellKind::kGather) scope = "gather." + scope + "/" + std::to_string(plan_.gathered_port);
  return EngineKey("watermark", scope);
}

namespace {
constexpr uint8_t kTimeVersion = 1;
}

/// Lanes and gathers see the same watermarks between the same barriers: one row serves any number of them.
void Cell::SnapshotTime(CellSnapshot* snapshot) const {
  if (plan_.kind == CellKind::kSink || plan_.lane > 0 || inputs_.empty()) return;
  ByteSink sink;
  sink.PutU8(kTimeVersion);
  sink.PutI64(merged_before_end_.us);
  const std::vector<std::string> names = InputNames();
  sink.PutVarint(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    const Input& in = inputs_[i];
    sink.PutString(names[i]);
    sink.PutI64((in.ended ? in.before_end : in.watermark).us);
    sink.PutBool(in.idle && !in.ended);
  }
  snapshot->rows.Put(kEngineTable, 0, TimeKey(), sink.bytes());
}

Status Cell::RestoreTime() {
  FRESHET_ASSIGN_OR_RETURN(const std::string bytes, RestoredEngineRow(TimeKey()));
  if (bytes.empty()) return Status::Ok();
  const std::vector<std::string> names = InputNames();
  ByteSource source(bytes);
  if (source.GetU8() != kTimeVersion) return Status::DataLoss("the watermarks in the checkpoint cannot be read");
  merged_.us = source.GetI64();
  merged_before_end_ = merged_;
  for (uint64_t n = source.GetVarint(); n > 0 && source.ok(); --n) {
    const std::string_view name = source.GetString();
    const EventTime watermark{source.GetI64()};
    const bool idle = source.GetBool();
    for (size_t i = 0; i < names.size(); ++i) {
      if (names[i] != name) continue;
      inputs_[i].watermark = watermark;
      inputs_[i].idle = idle;
    }
  }
  if (!source.ok()) return Status::DataLoss("the watermarks in the checkpoint cannot be read");
  idle_sent_ = std::all_of(inputs_.begin(), inputs_.end(), [](const Input& in) { return in.idle; });
  return Status::Ok();
}

Status Cell::FinishIfEnded() {
  if (ended_) return Status::Ok();
  ended_ = true;
  FRESHET_RETURN_IF_ERROR(FinishSnapshot());
  CellSnapshot snapshot;
  FRESHET_RETURN_IF_ERROR(TakeSnapshot(&snapshot));
  for (bool complete = false; !complete;) {
    FRESHET_ASSIGN_OR_RETURN(complete, SnapshotSome(&snapshot));
  }
  outlets_.SendAll(End{});
  environment_.listener->OnEnded(std::move(snapshot));
  return Status::Ok();
}

void Cell::Fail(Status status) {
  if (std::exchange(failed_, true)) return;
  inbox_.clear();
  parked_.clear();
  const std::string& node_id = environment_.spec->nodes[static_cast<size_t>(plan_.nodes[0])].id;
  environment_.listener->OnFailure(plan_.id, std::move(status).WithNode(node_id));
}

void Cell::Publish() {
  Published p;
  FillPublished(&p);
  p.pre_aggregated = outlets_.pre_aggregated();
  p.watermark = merged_;
  p.queued = static_cast<int64_t>(inbox_.size() + parked_.size());
  p.blocked_count = blocked_count_;
  p.ended = ended_;
  const std::lock_guard lock(published_mutex_);
  published_ = std::move(p);
}

Cell::Published Cell::published() const {
  const std::lock_guard lock(published_mutex_);
  return published_;
}

}  // namespace freshet
