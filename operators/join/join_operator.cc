#include "operators/join/join_operator.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "engine/batch/batch_codec.h"
#include "engine/batch/column_builder.h"

namespace freshet {

struct JoinOperator::Output {
  Output(const JoinPlan& plan, bool of_late, int32_t capacity)
      : plan(plan),
        late(of_late),
        capacity(capacity),
        times(AllocateBuffer(int64_t{8} * capacity)),
        watermarks(AllocateBuffer(int64_t{8} * capacity)) {
    for (const Field& field : schema()->fields()) columns.emplace_back(field.type, capacity);
  }
  const SchemaRef& schema() const { return late ? plan.late : plan.output; }
  bool full() const { return count == capacity; }

  void AppendPair(const JoinRow& left, const JoinRow* right, int64_t time_us, int64_t watermark_us) {
    AppendValues(0, left, false);
    if (right != nullptr)
      AppendValues(1, *right, false);
    else
      AppendNulls(1);
    Stamp(time_us, watermark_us);
  }
  void AppendLate(int side, const JoinRow& row) {
    const auto joined = static_cast<size_t>(plan.output->size());
    AppendValues(side, row, true);
    AppendNulls(1 - side);
    columns[joined].AppendString(plan.input_names[static_cast<size_t>(side)]);
    columns[joined + 1].AppendString(row.after_idle ? "after_idle" : "late");
    if (plan.reach.tumbling())
      columns[joined + 2].AppendInt64(plan.reach.Last(row.time_us) + 1);
    else
      columns[joined + 2].AppendNull();
    columns[joined + 3].AppendInt64((row.watermark_us - row.time_us) / 1000);
    Stamp(row.time_us, row.watermark_us);
  }
  Batch Finish() {
    std::vector<Column> finished;
    for (ColumnBuilder& builder : columns) finished.push_back(builder.Finish());
    RowMeta meta;
    meta.times = times;
    meta.watermarks = watermarks;
    return Batch(schema(), std::move(finished), count, std::move(meta));
  }

 private:
  /// `keys`: the right side's key goes into the left side's columns.
  void AppendValues(int side, const JoinRow& row, bool keys) {
    const auto s = static_cast<size_t>(side);
    std::vector<ColumnBuilder*> into;
    for (const int place : plan.places[s]) into.push_back(place < 0 ? nullptr : &columns[static_cast<size_t>(place)]);
    for (size_t i = 0; keys && side == 1 && i < plan.keys[1].columns().size(); ++i)
      into[static_cast<size_t>(plan.keys[1].columns()[i])] =
          &columns[static_cast<size_t>(plan.places[0][static_cast<size_t>(plan.keys[0].columns()[i])])];
    ByteSource source(row.values);
    ok = DecodeRow(source, *plan.inputs[s], into) && ok;
    key_filled = keys && side == 1;
  }
  void AppendNulls(int side) {
    const auto s = static_cast<size_t>(side);
    for (size_t c = 0; c < plan.places[s].size(); ++c) {
      const bool is_key =
          side == 0 && key_filled &&
          std::count(plan.keys[0].columns().begin(), plan.keys[0].columns().end(), static_cast<int>(c)) > 0;
      if (plan.places[s][c] >= 0 && !is_key) columns[static_cast<size_t>(plan.places[s][c])].AppendNull();
    }
  }
  void Stamp(int64_t time_us, int64_t watermark_us) {
    times.as<int64_t>()[count] = time_us;
    watermarks.as<int64_t>()[count++] = watermark_us;
  }

 public:
  const JoinPlan& plan;
  const bool late;
  const int32_t capacity;
  int32_t count = 0;
  bool ok = true;
  bool key_filled = false;
  std::vector<ColumnBuilder> columns;
  BufferRef times;
  BufferRef watermarks;
};

Status JoinOperator::Open(OpenContext& ctx) {
  counters_ = &ctx.counters();
  row_count_max_ = ctx.batch_row_count_max();
  FRESHET_ASSIGN_OR_RETURN(table_, ctx.state().OpenKeyed<JoinRows>("rows", {1, plan_->fingerprint}));
  table_->ForEach([&](std::string_view key, JoinRows& rows) {
    rows.hash = HashKey(key);
    const std::string* stored = table_->StoredKey(rows.hash, key);
    for (uint8_t side = 0; side < 2; ++side) {
      for (size_t i = 0; i < rows.sides[side].size(); ++i) Schedule(rows, stored, side, rows.sides[side].at(i));
      for (const JoinRow& row : rows.late[side])
        Push({row.watermark_us, row.time_us, row.ordinal, &rows, stored, side, Kind::kLate});
      counters_->held += static_cast<int64_t>(rows.late[side].size());
    }
  });
  return Status::Ok();
}

void JoinOperator::Push(Event event) {
  heap_.push_back(event);
  std::push_heap(heap_.begin(), heap_.end(), Later);
}

void JoinOperator::Schedule(JoinRows& rows, const std::string* key, uint8_t side, const JoinRow& row) {
  if (!row.probed && !row.null_key) Push({row.time_us, row.time_us, row.ordinal, &rows, key, side, Kind::kProbe});
  Push({plan_->reach.Last(row.time_us), row.time_us, row.ordinal, &rows, key, side, Kind::kExpire});
}

Status JoinOperator::ProcessBatch(InputIndex input, const Batch& in, Emitter&) {
  if (!in.has_times()) return Status::Internal("a join got rows without event time");
  const auto side = static_cast<uint8_t>(input);
  const KeyCodec& codec = plan_->keys[side];
  keys_.Encode(codec, in);
  ByteSink values;
  for (int32_t i = 0; i < in.row_count(); ++i) {
    JoinRow row;
    row.time_us = in.time(i).us;
    row.watermark_us = in.row_watermark(i).us;
    row.ordinal = in.ordinal(i).value;
    for (const int column : codec.columns()) row.null_key = row.null_key || in.column(column).IsNull(i);
    const bool late = row.time_us < std::max(row.watermark_us, closed_.us);
    counters_->absorbed += !late;
    // A null equals nothing: only a left row whose absence of a partner is to be told is kept.
    if (!late && row.null_key && !(plan_->left_outer && side == 0)) continue;
    values.Clear();
    EncodeRow(in, i, values);
    row.values = std::string(values.bytes());
    JoinRows& rows = table_->FindOrCreate(keys_.hash(i), keys_.key(i));
    rows.hash = keys_.hash(i);
    const std::string* key = table_->StoredKey(rows.hash, keys_.key(i));
    if (late) {
      ++counters_->held;
      row.after_idle = in.after_idle(i) || row.time_us >= row.watermark_us;
      row.watermark_us = std::max(row.watermark_us, closed_.us);
      Push({row.watermark_us, row.time_us, row.ordinal, &rows, key, side, Kind::kLate});
      rows.late[side].push_back(std::move(row));
    } else {
      Schedule(rows, key, side, row);
      rows.sides[side].Insert(std::move(row));
    }
  }
  return Status::Ok();
}

bool JoinOperator::InOrder(const Event& a, const Event& b) {
  const bool a_late = a.kind == Kind::kLate, b_late = b.kind == Kind::kLate;
  if (a_late != b_late) return b_late;
  if (a_late && a.time_us != b.time_us) return a.time_us < b.time_us;
  if (const int order = a.key->compare(*b.key); order != 0) return order < 0;
  return std::tie(a.kind, a.side, a.time_us, a.ordinal) < std::tie(b.kind, b.side, b.time_us, b.ordinal);
}

bool JoinOperator::NextMoment(EventTime now) {
  if (heap_.empty() || heap_.front().moment >= now.us) return false;
  firing_.clear();
  firing_at_ = 0;
  const int64_t moment = heap_.front().moment;
  while (!heap_.empty() && heap_.front().moment == moment) {
    std::pop_heap(heap_.begin(), heap_.end(), Later);
    firing_.push_back(heap_.back());
    heap_.pop_back();
  }
  std::sort(firing_.begin(), firing_.end(), InOrder);
  return true;
}

Result<Progress> JoinOperator::OnWatermark(EventTime now, Emitter& out) {
  ending_ = now == EventTime::Max();
  std::unique_ptr<Output> made;
  while (true) {
    if (firing_at_ == firing_.size()) {
      if (!NextMoment(now)) break;
      continue;
    }
    const Event& event = firing_[firing_at_];
    const bool late = event.kind == Kind::kLate;
    if (made != nullptr && made->count > 0 && made->late != late) break;
    if (made == nullptr || made->late != late) made = std::make_unique<Output>(*plan_, late, row_count_max_);
    if (!Do(event, *made)) break;
    ++firing_at_;
  }
  if (made != nullptr && !made->ok) return Status::DataLoss("a row kept by a join cannot be read");
  if (made != nullptr && made->count > 0) out.Emit(made->Finish(), made->late ? 1 : 0);
  if (firing_at_ < firing_.size() || (!heap_.empty() && heap_.front().moment < now.us)) return Progress::kMore;
  closed_ = now;
  return Progress::kDone;
}

bool JoinOperator::Do(const Event& event, Output& out) {
  table_->BeforeChange(event.rows->hash, *event.key);
  switch (event.kind) {
    case Kind::kProbe:
      return Probe(event, out);
    case Kind::kExpire:
      return Expire(event, out);
    case Kind::kLate:
      return Dismiss(event, out);
  }
  return true;
}

void JoinOperator::Touch(const Event& event) {
  if (event.rows->empty())
    table_->Erase(event.rows->hash, *event.key);
  else
    table_->MarkDirty(event.rows->hash, *event.key);
}

bool JoinOperator::Probe(const Event& event, Output& out) {
  JoinSide& others = event.rows->sides[1 - event.side];
  JoinRow* row =
      event.rows->sides[event.side].Find(event.time_us, event.ordinal, [](const JoinRow& r) { return !r.probed; });
  if (row == nullptr) return true;
  const int64_t last = std::min(plan_->reach.Last(event.time_us), std::max(event.time_us, event.rows->probed_until));
  for (size_t i = std::max(partner_, others.FirstFrom(plan_->reach.First(event.time_us)));
       i < others.size() && others.at(i).time_us <= last; ++i) {
    JoinRow& other = others.at(i);
    if (!other.probed) continue;
    if (out.full()) {
      partner_ = i;
      return false;
    }
    const JoinRow& left = event.side == 0 ? *row : other;
    const JoinRow& right = event.side == 0 ? other : *row;
    row->matched = other.matched = true;
    out.AppendPair(left, &right, std::max(left.time_us, right.time_us),
                   std::min(left.watermark_us, right.watermark_us));
  }
  partner_ = 0;
  row->probed = true;
  Touch(event);
  return true;
}

bool JoinOperator::Expire(const Event& event, Output& out) {
  JoinSide& side = event.rows->sides[event.side];
  if (plan_->left_outer && event.side == 0) {
    JoinRow* row = side.Find(event.time_us, event.ordinal, [](const JoinRow& r) { return !r.matched && !r.told; });
    if (row != nullptr) {
      if (out.full()) return false;
      out.AppendPair(*row, nullptr, event.moment, row->watermark_us);
      row->told = true;
    }
  }
  // The end of the input is no passing of time: what it found alone may still meet rows of an input that grows.
  while (!ending_ && side.size() > 0 && plan_->reach.Last(side.at(0).time_us) <= event.moment) {
    const JoinRow& front = side.at(0);
    if (plan_->left_outer && event.side == 0 && !front.matched && !front.told) break;
    side.PopFront();
  }
  Touch(event);
  return true;
}

bool JoinOperator::Dismiss(const Event& event, Output& out) {
  auto& rows = event.rows->late[event.side];
  const auto row = std::find_if(rows.begin(), rows.end(), [&](const JoinRow& r) {
    return r.time_us == event.time_us && r.ordinal == event.ordinal;
  });
  if (row == rows.end()) return true;
  if (out.full()) return false;
  out.AppendLate(event.side, *row);
  rows.erase(row);
  --counters_->held;
  ++counters_->late;
  Touch(event);
  return true;
}

}  // namespace freshet
