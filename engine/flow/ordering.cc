// Two steps of the engine's own that put rows in order before an operator sees them: the event-time sorter
// (SEMANTICS.md §2.5) and the merge of bounded inputs (§1.3). Both keep waiting rows in a declared table, a row of it
// per batch held.
#include <algorithm>
#include <deque>
#include <map>
#include <set>

#include "engine/batch/batch_codec.h"
#include "engine/batch/column_builder.h"
#include "engine/flow/operator_cell.h"
#include "engine/state/table_layout.h"

namespace freshet {
namespace {

/// A batch kept until its rows are due.
struct HeldBatch {
  Batch batch;
  uint8_t input = 0;
  int32_t consumed = 0;  ///< rows already released from its front (merge only)
  std::string bytes;     ///< as restored, until the operator has decoded it
  void Encode(ByteSink& sink) const {
    sink.PutU8(input);
    sink.PutU32(static_cast<uint32_t>(consumed));
    EncodeBatch(batch, sink);
  }
  bool Decode(ByteSource& source, uint16_t) {
    input = source.GetU8();
    consumed = static_cast<int32_t>(source.GetU32());
    bytes = source.GetBytes(source.remaining());
    return source.ok();
  }
};

std::string ChunkKey(uint64_t number) {
  std::string key(8, '\0');
  for (int i = 0; i < 8; ++i) key[static_cast<size_t>(i)] = static_cast<char>(number >> (56 - 8 * i));
  return key;
}

/// The table of held batches, by number.
class Hold {
 public:
  Status Open(StateContext& state, const std::vector<SchemaRef>& schemas) {
    const RowLayout layout = {"", schemas, ""};
    const std::vector<StoredColumns> stored = TakeStoredRows(state, "held", layout);
    FRESHET_ASSIGN_OR_RETURN(table_, state.OpenKeyed<HeldBatch>("held", {1, layout.Fingerprint()}));
    Status status;
    table_->ForEach([&](std::string_view key, HeldBatch& held) {
      uint64_t number = 0;
      for (char c : key) number = number << 8 | static_cast<uint8_t>(c);
      ByteSource source(held.bytes);
      const size_t input = held.input;
      if (input >= schemas.size() || !(stored.empty() ? DecodeBatch(source, schemas[input], &held.batch)
                                                      : stored[input].Decode(source, &held.batch)))
        status = Status::DataLoss("rows waiting in the checkpoint cannot be read");
      held.bytes.clear();
      if (!stored.empty()) table_->MarkDirty(HashKey(key), key);
      order_[number] = &held;
      next_ = std::max(next_, number + 1);
    });
    return status;
  }
  uint64_t Add(Batch batch, InputIndex input) {
    const std::string key = ChunkKey(next_);
    HeldBatch& held = table_->FindOrCreate(HashKey(key), key);
    held.batch = batch.Detached();
    held.input = static_cast<uint8_t>(input);
    order_[next_] = &held;
    return next_++;
  }
  HeldBatch& at(uint64_t number) { return *order_.at(number); }
  void BeforeChange(uint64_t number) {
    if (!table_->draining()) return;
    const std::string key = ChunkKey(number);
    table_->BeforeChange(HashKey(key), key);
  }
  void Changed(uint64_t number) {
    const std::string key = ChunkKey(number);
    table_->MarkDirty(HashKey(key), key);
  }
  void Drop(uint64_t number) {
    const std::string key = ChunkKey(number);
    table_->Erase(HashKey(key), key);
    order_.erase(number);
  }
  std::map<uint64_t, HeldBatch*>& order() { return order_; }

 private:
  KeyedTable<HeldBatch>* table_ = nullptr;
  std::map<uint64_t, HeldBatch*> order_;
  uint64_t next_ = 0;
};

/// Holds rows until the watermark passes them and lets them go sorted by (event time, ordinal). Rows older than their
/// own watermark leave at once on port 1, and so do, where moments are judged once, rows that are no newer than the
/// newest one that an end of the input has let go. With `passes_late` late rows go on like the others, at their own row
/// watermarks.
class EventTimeSorter final : public Operator {
 public:
  EventTimeSorter(SchemaRef schema, SchemaRef late_schema, bool judges_moments, bool passes_late)
      : schema_(std::move(schema)),
        late_schema_(std::move(late_schema)),
        judges_moments_(judges_moments),
        passes_late_(passes_late) {}

  Status Open(OpenContext& ctx) override {
    counters_ = &ctx.counters();
    row_count_max_ = ctx.batch_row_count_max();
    FRESHET_RETURN_IF_ERROR(hold_.Open(ctx.state(), {schema_}));
    std::set<std::pair<uint64_t, int32_t>> behind;
    if (!ctx.state().extra().empty()) {
      ByteSource source(ctx.state().extra());
      released_.us = source.GetI64();
      for (uint64_t n = source.GetVarint(); n > 0 && source.ok(); --n) {
        const uint64_t number = source.GetU64();
        behind.insert({number, static_cast<int32_t>(source.GetU32())});
      }
      if (judges_moments_ && source.remaining() > 0) ended_.us = source.GetI64();
      if (!source.ok()) return Status::DataLoss("the order of the rows waiting in the checkpoint cannot be read");
    }
    std::vector<uint64_t> done;
    for (auto& [number, held] : hold_.order()) {
      for (int32_t row = 0; row < held->batch.row_count(); ++row)
        if (PlaceOf(held->batch, row) >= released_.us || behind.count({number, row}) > 0) Add(number, held->batch, row);
      if (left_[number] == 0) done.push_back(number);
    }
    for (uint64_t number : done) hold_.Drop(number);
    return Status::Ok();
  }

  Status ProcessBatch(InputIndex, const Batch& in, Emitter& out) override {
    std::vector<int32_t> on_time, late;
    for (int32_t row = 0; row < in.row_count(); ++row)
      ((in.time(row) < in.row_watermark(row) && !passes_late_) || IsAfterEnd(in, row) ? late : on_time).push_back(row);
    if (!late.empty()) EmitLate(in, late, out);
    if (on_time.empty()) return Status::Ok();
    const Batch kept = late.empty() ? in : in.Take(on_time.data(), static_cast<int32_t>(on_time.size()));
    const uint64_t number = hold_.Add(kept, 0);
    for (int32_t row = 0; row < kept.row_count(); ++row) Add(number, kept, row);
    return Status::Ok();
  }

  Result<Progress> OnWatermark(EventTime now, Emitter& out) override {
    std::vector<std::pair<Batch, int32_t>> rows;
    std::vector<uint64_t> done;
    while (!heap_.empty() && heap_.front().time_us < now.us && static_cast<int32_t>(rows.size()) < row_count_max_) {
      std::pop_heap(heap_.begin(), heap_.end(), Later);
      const Entry entry = heap_.back();
      heap_.pop_back();
      if (now == EventTime::Max()) ended_.us = std::max(ended_.us, entry.time_us);
      rows.emplace_back(hold_.at(entry.number).batch, entry.row);
      if (--left_[entry.number] == 0) done.push_back(entry.number);
    }
    if (!rows.empty()) {
      counters_->held -= static_cast<int64_t>(rows.size());
      out.Emit(PickRows(schema_, rows));
    }
    rows.clear();
    for (uint64_t number : done) {
      left_.erase(number);
      hold_.Drop(number);
    }
    if (!heap_.empty() && heap_.front().time_us < now.us) return Progress::kMore;
    // With nothing held it tells nothing; so the end of an input that grows later does not stay in it.
    released_ = heap_.empty() ? EventTime::Min() : std::max(released_, now);
    return Progress::kDone;
  }

  /// Of a held batch, the rows from `released_` on still wait. So do rows behind it that came since: of a partition
  /// that joined late, or of an input that grew after its end. They are few, and listed. What an end let go stands
  /// behind them, if there was one and moments are judged once.
  Status SnapshotExtra(ByteSink& sink) override {
    sink.PutI64(released_.us);
    const auto is_behind = [&](const Entry& e) { return e.time_us < released_.us; };
    sink.PutVarint(static_cast<uint64_t>(std::count_if(heap_.begin(), heap_.end(), is_behind)));
    for (const Entry& entry : heap_) {
      if (!is_behind(entry)) continue;
      sink.PutU64(entry.number);
      sink.PutU32(static_cast<uint32_t>(entry.row));
    }
    if (judges_moments_ && ended_ > EventTime::Min()) sink.PutI64(ended_.us);
    return Status::Ok();
  }

 private:
  struct Entry {
    int64_t time_us;
    uint64_t ordinal;
    uint64_t number;
    int32_t row;
  };
  static bool Later(const Entry& a, const Entry& b) {
    if (a.time_us != b.time_us) return a.time_us > b.time_us;
    if (a.ordinal != b.ordinal) return a.ordinal > b.ordinal;
    return std::pair(a.number, a.row) > std::pair(b.number, b.row);
  }

  void Add(uint64_t number, const Batch& batch, int32_t row) {
    heap_.push_back({PlaceOf(batch, row), batch.ordinal(row).value, number, row});
    std::push_heap(heap_.begin(), heap_.end(), Later);
    ++left_[number];
    ++counters_->held;
  }

  /// When the row goes on. A row that is late does so when all have come that are late by the same watermark.
  static int64_t PlaceOf(const Batch& batch, int32_t row) {
    return std::max(batch.time(row), batch.row_watermark(row)).us;
  }

  bool IsAfterEnd(const Batch& in, int32_t row) const {
    return judges_moments_ && in.time(row) <= ended_ && ended_ > EventTime::Min();
  }

  void EmitLate(const Batch& in, const std::vector<int32_t>& rows, Emitter& out) {
    const auto count = static_cast<int32_t>(rows.size());
    counters_->late += count;
    const Batch late = in.Take(rows.data(), count);
    ColumnBuilder reason(TypeId::kString, count), lateness(TypeId::kInt64, count);
    for (int32_t i = 0; i < count; ++i) {
      const bool after_end = late.time(i) >= late.row_watermark(i);
      reason.AppendString(after_end ? "after_end" : LateReasonOf(late, i));
      lateness.AppendInt64(((after_end ? ended_ : late.row_watermark(i)).us - late.time(i).us) / 1000);
    }
    out.Emit(
        late.WithAppended(late_schema_, {reason.Finish(), NullColumn(TypeId::kTimestamp, count), lateness.Finish()}),
        1);
  }

  const SchemaRef schema_;
  const SchemaRef late_schema_;
  Hold hold_;
  std::vector<Entry> heap_;
  std::map<uint64_t, int64_t> left_;
  EventTime released_ = EventTime::Min();
  const bool judges_moments_;
  const bool passes_late_;
  EventTime ended_ = EventTime::Min();  // the newest row that an end let go
  NodeCounters* counters_ = nullptr;
  int32_t row_count_max_ = 0;
};

/// Merges bounded inputs, or the partitions of a `by_time` source, by (place, input index); rows of one input keep
/// their order. The result is a function of the inputs alone, whatever their timing.
///
/// A row's moment is its event time, or its own row watermark if it is late: no watermark message before it has passed
/// that. Its place is the smallest moment of it and all rows after it in its input. A row goes on once the watermark
/// `now` of every input has passed its place: rows still to come have moments from `now` on, so places below `now` are
/// known, and no row that is on time stays behind the watermark it belongs before. (By event time that only rises, an
/// on-time row behind a newer one would be held past the closing of its window; by row watermark, a sorted row, whose
/// own is older than the messages before it, would have a place that depends on how rows were cut into batches.)
class InputMerge final : public Operator {
 public:
  InputMerge(std::vector<SchemaRef> schemas, bool by_partition)
      : schemas_(std::move(schemas)), by_partition_(by_partition), inputs_(by_partition ? 0 : schemas_.size()) {}

  Status Open(OpenContext& ctx) override {
    counters_ = &ctx.counters();
    row_count_max_ = ctx.batch_row_count_max();
    FRESHET_RETURN_IF_ERROR(hold_.Open(ctx.state(), schemas_));
    for (auto& [number, held] : hold_.order())
      Enqueue(IndexOf(held->input, held->batch), number, held->batch, held->consumed);
    return Status::Ok();
  }

  Status ProcessBatch(InputIndex input, const Batch& in, Emitter&) override {
    Enqueue(IndexOf(input, in), hold_.Add(in, input), in, 0);
    return Status::Ok();
  }

  Result<Progress> OnWatermark(EventTime now, Emitter& out) override {
    std::vector<std::pair<Batch, int32_t>> rows;
    size_t from = inputs_.size();
    std::vector<uint64_t> done;
    while (static_cast<int32_t>(rows.size()) < row_count_max_) {
      const size_t next = FirstInput();
      if (next == inputs_.size() || inputs_[next].lowest.front().moment_us >= now.us) break;
      // Inputs may have different schemas: one batch holds rows of one input.
      if (!rows.empty() && next != from && SchemaOf(next) != SchemaOf(from)) break;
      from = next;
      Input& input = inputs_[next];
      Position& head = input.queue.front();
      HeldBatch& held = hold_.at(head.number);
      if (input.lowest.front().index == input.released) input.lowest.pop_front();
      ++input.released;
      rows.emplace_back(held.batch, head.row++);
      hold_.BeforeChange(head.number);
      held.consumed = head.row;
      if (head.row == held.batch.row_count()) {
        done.push_back(head.number);
        input.queue.pop_front();
      }
    }
    for (Input& input : inputs_)
      if (!input.queue.empty() && input.queue.front().row > 0) hold_.Changed(input.queue.front().number);
    const bool any = !rows.empty();
    if (any) {
      counters_->held -= static_cast<int64_t>(rows.size());
      out.Emit(PickRows(SchemaOf(from), rows));
    }
    rows.clear();
    for (uint64_t number : done) hold_.Drop(number);
    return any ? Progress::kMore : Progress::kDone;
  }

 private:
  struct Position {
    uint64_t number;
    int32_t row;
  };
  struct Moment {
    int64_t moment_us;
    uint64_t index;  ///< of the row, counted from 0 per input and life
  };
  struct Input {
    std::deque<Position> queue;
    std::deque<Moment> lowest;  ///< rows that no later row goes below, ascending: the front is the first row's place
    uint64_t received = 0;
    uint64_t released = 0;
  };

  /// The place of a batch's rows in inputs_. A source's batch holds rows of one partition.
  size_t IndexOf(InputIndex input, const Batch& batch) const {
    return by_partition_ ? batch.ordinal(0).partition() : static_cast<size_t>(input);
  }
  const SchemaRef& SchemaOf(size_t index) const { return schemas_[by_partition_ ? 0 : index]; }
  void Enqueue(size_t index, uint64_t number, const Batch& batch, int32_t from) {
    if (index >= inputs_.size()) inputs_.resize(index + 1);
    Input& input = inputs_[index];
    for (int32_t row = from; row < batch.row_count(); ++row) {
      const int64_t moment = std::max(batch.time(row), batch.row_watermark(row)).us;
      while (!input.lowest.empty() && input.lowest.back().moment_us > moment) input.lowest.pop_back();
      input.lowest.push_back({moment, input.received++});
    }
    input.queue.push_back({number, from});
    counters_->held += batch.row_count() - from;
  }
  size_t FirstInput() const {
    size_t best = inputs_.size();
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (inputs_[i].queue.empty()) continue;
      if (best == inputs_.size() || inputs_[i].lowest.front().moment_us < inputs_[best].lowest.front().moment_us)
        best = i;
    }
    return best;
  }

  const std::vector<SchemaRef> schemas_;
  const bool by_partition_;
  std::vector<Input> inputs_;
  Hold hold_;
  NodeCounters* counters_ = nullptr;
  int32_t row_count_max_ = 0;
};

/// Passes rows on. Its cell gives the batches of several live inputs one numbering, by arrival.
class Arrivals final : public Operator {
 public:
  Status Open(OpenContext&) override { return Status::Ok(); }
  Status ProcessBatch(InputIndex, const Batch& in, Emitter& out) override {
    out.Emit(in);
    return Status::Ok();
  }
};

}  // namespace

std::unique_ptr<Operator> NewEventTimeSorter(SchemaRef schema, SchemaRef late_schema, bool judges_moments,
                                             bool passes_late) {
  return std::make_unique<EventTimeSorter>(std::move(schema), std::move(late_schema), judges_moments, passes_late);
}
std::unique_ptr<Operator> NewInputMerge(std::vector<SchemaRef> schemas, bool by_partition) {
  return std::make_unique<InputMerge>(std::move(schemas), by_partition);
}
std::unique_ptr<Operator> NewArrivals() { return std::make_unique<Arrivals>(); }

}  // namespace freshet
