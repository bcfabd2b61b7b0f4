#include "operators/join/join_operator.h"

#include <algorithm>
#include <string_view>
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
    meta.times = ShrinkBuffer(times, int64_t{8} * count);
    meta.watermarks = ShrinkBuffer(watermarks, int64_t{8} * count);
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
  const auto loaded_bytes = [](std::string_view value) {
    JoinRows rows;
    ByteSource source(value);
    if (!rows.Decode(source, JoinRows::kCodec)) return int64_t{0};
    return std::max<int64_t>(rows.bytes() - static_cast<int64_t>(value.size()), 0);
  };
  FRESHET_ASSIGN_OR_RETURN(
      table_, ctx.state().OpenKeyed<JoinRows>("rows", {JoinRows::kCodec, plan_->fingerprint, true, loaded_bytes}));
  SetEvictionHooks();
  return ReadStored();
}

void JoinOperator::Hasten(JoinRows& rows, std::string_view key, JoinPlace place) {
  if (!schedule_.Has(rows, place)) schedule_.Set({place, &rows, table_->StoredKey(rows.hash, key)});
}

void JoinOperator::Reschedule(JoinRows& rows, const std::string& key) {
  if (rows.empty()) {
    schedule_.Remove(rows);
    rows_bytes_ -= rows.bytes();
    table_->Erase(rows.hash, key);
    return;
  }
  JoinPlace place = rows.NextAction(plan_->reach, plan_->left_outer);
  // The end of the input is no passing of time: what it found alone may still meet rows of an input that grows.
  if (!ending_) place = std::min(place, rows.NextForgetting(plan_->reach, false));
  if (place == JoinPlace::Never())
    schedule_.Remove(rows);
  else
    schedule_.Set({place, &rows, &key});
}

Status JoinOperator::ProcessBatch(InputIndex input, const Batch& in, Emitter&) {
  if (!in.has_times()) return Status::Internal("a join got rows without event time");
  const auto side = static_cast<size_t>(input);
  const KeyCodec& codec = plan_->keys[side];
  keys_.Encode(codec, in);
  FRESHET_RETURN_IF_ERROR(table_->LoadMissing(keys_, in.row_count()));
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
    rows_bytes_ -= rows.bytes();
    JoinPlace place{row.null_key ? plan_->reach.Last(row.time_us) : row.time_us, JoinPlace::kOnTime};
    if (late) {
      ++counters_->held;
      row.after_idle = in.after_idle(i) || row.time_us >= row.watermark_us;
      row.watermark_us = std::max(row.watermark_us, closed_.us);
      place = JoinPlace::OfLate(row.watermark_us, row.time_us);
      rows.InsertLate(side, std::move(row));
    } else {
      rows.sides[side].Insert(std::move(row));
    }
    rows_bytes_ += rows.bytes();
    Hasten(rows, keys_.key(i), place);
  }
  pace_.RowsCame(in.row_count());
  AccountMemory();
  return Status::Ok();
}

Result<Progress> JoinOperator::OnWatermark(EventTime now, Emitter& out) {
  ending_ = now == EventTime::Max();
  std::unique_ptr<Output> made;
  bool more = false;
  bool brought = false;
  while (!more) {
    if (AwayIsNext(now)) {
      more = std::exchange(brought, true);  // memory is looked after between two calls
      if (!more) FRESHET_RETURN_IF_ERROR(BringBack(now));
      continue;
    }
    if (schedule_.empty() || schedule_.first().place.moment >= now.us) break;
    const Due due = schedule_.first();
    if (due.place.turn != JoinPlace::kForget && (made == nullptr || made->late != due.place.late())) {
      more = made != nullptr && made->count > 0;
      if (more) break;
      made = std::make_unique<Output>(*plan_, due.place.late(), row_count_max_);
    }
    more = !Do(due, made.get());
  }
  if (made != nullptr && !made->ok) return Status::DataLoss("a row kept by a join cannot be read");
  if (made != nullptr && made->count > 0) out.Emit(made->Finish(), made->late ? 1 : 0);
  AccountMemory();
  if (more) return Progress::kMore;
  closed_ = now;
  back_through_.reset();
  FRESHET_RETURN_IF_ERROR(SweepStored(now));
  return Progress::kDone;
}

bool JoinOperator::Do(const Due& due, Output* out) {
  JoinRows& rows = *due.rows;
  if (ending_ && due.place.turn == JoinPlace::kForget) {
    Reschedule(rows, *due.key);
    return true;
  }
  table_->MarkDirty(rows.hash, *due.key);
  const int64_t bytes = rows.bytes();
  bool done = true;
  if (due.place.late())
    done = Dismiss(rows, due.place, *out);
  else if (due.place.turn == JoinPlace::kOnTime)
    done = Probe(rows, due.place.moment, *out) && Tell(rows, due.place.moment, *out);
  if (done) Forget(rows, due.place.moment);
  rows_bytes_ += rows.bytes() - bytes;
  if (done) Reschedule(rows, *due.key);
  return done;
}

bool JoinOperator::Probe(JoinRows& rows, int64_t moment, Output& out) {
  for (size_t side = 0; side < 2; ++side) {
    for (JoinRow* row = rows.sides[side].NextUnprobed(); row != nullptr && row->time_us <= moment;
         row = rows.sides[side].NextUnprobed()) {
      if (!Meet(rows, side, *row, out)) return false;
      partner_ = 0;
      row->probed = true;
    }
  }
  return true;
}

bool JoinOperator::Meet(JoinRows& rows, size_t side, JoinRow& row, Output& out) {
  JoinSide& others = rows.sides[1 - side];
  const int64_t last = std::min(plan_->reach.Last(row.time_us), std::max(row.time_us, rows.probed_until));
  for (size_t i = std::max(partner_, others.FirstFrom(plan_->reach.First(row.time_us)));
       i < others.size() && others.at(i).time_us <= last; ++i) {
    JoinRow& other = others.at(i);
    if (!other.probed) continue;
    if (out.full()) {
      partner_ = i;
      return false;
    }
    const JoinRow& left = side == 0 ? row : other;
    const JoinRow& right = side == 0 ? other : row;
    row.matched = other.matched = true;
    out.AppendPair(left, &right, std::max(left.time_us, right.time_us),
                   std::min(left.watermark_us, right.watermark_us));
  }
  return true;
}

bool JoinOperator::Tell(JoinRows& rows, int64_t moment, Output& out) {
  if (!plan_->left_outer) return true;
  for (JoinRow* row = rows.sides[0].NextUntold(); row != nullptr; row = rows.sides[0].NextUntold()) {
    const int64_t last = plan_->reach.Last(row->time_us);
    if (last > moment) break;
    if (out.full()) return false;
    out.AppendPair(*row, nullptr, last, row->watermark_us);
    row->told = true;
  }
  return true;
}

bool JoinOperator::Dismiss(JoinRows& rows, JoinPlace place, Output& out) {
  for (size_t side = 0; side < 2; ++side) {
    while (rows.late != nullptr && (*rows.late)[side].size() > 0) {
      const JoinRow& row = (*rows.late)[side].at(0);
      if (JoinPlace::OfLate(row.watermark_us, row.time_us) != place) break;
      if (out.full()) return false;
      out.AppendLate(static_cast<int>(side), row);
      rows.PopLate(side);
      --counters_->held;
      ++counters_->late;
    }
  }
  return true;
}

void JoinOperator::Forget(JoinRows& rows, int64_t moment) {
  if (ending_) return;
  for (size_t side = 0; side < 2; ++side) {
    while (rows.sides[side].size() > 0) {
      const JoinRow& front = rows.sides[side].at(0);
      const int64_t last = plan_->reach.Last(front.time_us);
      if (last > moment && last >= closed_.us) break;
      if (plan_->left_outer && side == 0 && !front.matched && !front.told) break;
      rows.sides[side].PopFront();
    }
  }
}

// ---- keys that are not in memory
// -------------------------------------------------------------------------------------

namespace {
/// No more than this share of the keys that are away come back at once, however few they are: memory may have room for
/// less.
constexpr size_t kShareBack = 8;
constexpr size_t kKeysBackMin = 64;
/// Rounds over the store begin a part of the reach apart.
constexpr int64_t kSweepsPerReach = 4;
}  // namespace

void JoinOperator::SetEvictionHooks() {
  EvictionHooks<JoinRows> hooks;
  hooks.on_load = [this](uint32_t hash, const std::string& key, JoinRows& rows) -> Result<bool> {
    rows.hash = hash;
    rows_bytes_ += rows.bytes();
    if (const JoinPlace place = rows.NextAction(plan_->reach, plan_->left_outer); place != JoinPlace::Never())
      away_.erase({place, key});
    Reschedule(rows, key);
    return true;
  };
  hooks.on_evict = [this](uint32_t, const std::string& key, JoinRows& rows) {
    if (back_through_ && rows.scheduled_at != JoinRows::kUnscheduled) {
      const JoinPlace due = schedule_.PlaceOf(rows);
      if (std::tie(due, key) <= std::tie(back_through_->first, back_through_->second)) return false;
    }
    if (const JoinPlace place = rows.NextAction(plan_->reach, plan_->left_outer); place != JoinPlace::Never())
      away_.emplace(place, key);
    schedule_.Remove(rows);
    rows_bytes_ -= rows.bytes();
    return true;
  };
  hooks.after_pass = [this] {
    schedule_.Shrink();
    AccountMemory();
  };
  table_->SetEvictionHooks(std::move(hooks));
}

Status JoinOperator::ReadStored() {
  FRESHET_RETURN_IF_ERROR(ForEachStored(table_, [&](std::string_view key, JoinRows& rows) {
    counters_->held += static_cast<int64_t>(rows.late_count());
    rows.hash = HashKey(key);
    if (table_->Find(rows.hash, key) == &rows) {
      rows_bytes_ += rows.bytes();
      Reschedule(rows, *table_->StoredKey(rows.hash, key));
    } else if (const JoinPlace place = rows.NextAction(plan_->reach, plan_->left_outer); place != JoinPlace::Never()) {
      away_.emplace(place, key);
    }
  }));
  AccountMemory();
  return Status::Ok();
}

bool JoinOperator::AwayIsNext(EventTime now) const {
  if (away_.empty() || away_.begin()->first.moment >= now.us) return false;
  if (schedule_.empty()) return true;
  const Due& first = schedule_.first();
  return std::tie(away_.begin()->first, away_.begin()->second) < std::tie(first.place, *first.key);
}

Status JoinOperator::BringBack(EventTime now) {
  size_t most = std::max(kKeysBackMin, std::min(away_.size() / kShareBack, static_cast<size_t>(row_count_max_)));
  most = std::min(most, static_cast<size_t>(table_->keys_back_at_once()));
  std::vector<Away> slice;
  while (!away_.empty() && slice.size() < most && away_.begin()->first.moment < now.us)
    slice.push_back(std::move(away_.extract(away_.begin()).value()));
  back_through_ = slice.back();
  std::vector<std::string_view> keys;
  for (const Away& away : slice) keys.push_back(away.second);
  return table_->LoadMissing(keys);
}

Status JoinOperator::SweepStored(EventTime now) {
  if (ending_) return Status::Ok();
  const size_t count = pace_.Take();
  if (now.us >= next_sweep_us_ && table_->has_evicted()) {
    const int64_t apart = std::max(plan_->reach.length_us() / kSweepsPerReach, Duration::Seconds(1).us);
    if (__builtin_add_overflow(now.us, apart, &next_sweep_us_)) next_sweep_us_ = EventTime::Max().us;
    if (!sweep_) sweep_.emplace(table_->committed_rows());
  }
  if (!sweep_) return Status::Ok();
  const auto judge = [&](std::string_view key, std::string_view value) -> Result<bool> {
    if (table_->Resident(HashKey(key), key)) return true;
    JoinRows rows;
    FRESHET_RETURN_IF_ERROR(table_->DecodeValue(value, JoinRows::kCodec, &rows));
    if (rows.NextAction(plan_->reach, plan_->left_outer) != JoinPlace::Never() ||
        rows.NextForgetting(plan_->reach, true).moment >= now.us)
      return true;
    return table_->NoteShell(key);
  };
  bool over = false;
  FRESHET_RETURN_IF_ERROR(sweep_->Next(count, judge, &over));
  if (over) sweep_.reset();
  return Status::Ok();
}

}  // namespace freshet
