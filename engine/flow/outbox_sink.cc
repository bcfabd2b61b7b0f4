#include "engine/flow/outbox_sink.h"

#include <algorithm>

#include "engine/base/bytes.h"
#include "engine/base/log.h"
#include "engine/base/stable_id.h"
#include "engine/base/units.h"
#include "engine/flow/cell.h"
#include "engine/flow/planted_bugs.h"

namespace freshet {
namespace {

constexpr uint8_t kCommittedVersion = 2;  // 1: counts of the time before the outbox
constexpr size_t kParcelBytesMax = 256 << 10;

/// The identity of a row of an alert. A user's own columns of these names may hold anything.
std::string EagerId(const Batch& batch, int id_column, int state_column, int32_t row) {
  std::string id;
  if (batch.column(id_column).IsValid(row)) id = batch.column(id_column).StringAt(row);
  id += '-';
  if (batch.column(state_column).IsValid(row)) id += batch.column(state_column).StringAt(row);
  const bool plain = std::all_of(id.begin(), id.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  return plain && id.size() <= 255 ? id : StableId(id);
}

}  // namespace

OutboxSink::OutboxSink(std::unique_ptr<NetworkSink> network, OutboxOptions options)
    : network_(std::move(network)), options_(std::move(options)) {}

Status OutboxSink::Open(const SinkOpenContext& ctx) {
  context_ = ctx;
  FRESHET_RETURN_IF_ERROR(network_->Open(ctx));
  OutboxStore* store = ctx.outbox;
  if (store == nullptr) {
    own_store_ = NewMemoryOutbox();
    store = own_store_.get();
  }
  outbox_ = std::make_unique<Outbox>(store, ctx.node_id);
  const uint64_t seed = options_.seed != 0 ? options_.seed : static_cast<uint64_t>(ctx.env->WallMicros());
  backoff_ = Backoff(options_.backoff, seed);
  next_prune_us_ = ctx.env->SteadyMicros() + kPruneEveryUs;
  next_epoch_ = {ctx.restored_epoch.number + 1};
  committed_ = ctx.restored_epoch;
  if (ctx.restored_epoch.number > 0) {
    ByteSource source(ctx.committed);
    const uint8_t version = source.GetU8();
    ordinal_ = source.GetU64();
    const auto second = static_cast<int64_t>(source.GetU64());
    if (version == 1)
      ordinal_ += static_cast<uint64_t>(second);  // sent and dropped
    else
      repeated_count_ = second;
    if (version > kCommittedVersion || !source.ok())
      return Status::DataLoss("what the checkpoint says of this sink cannot be read");
  }
  return Recover(ctx.restored_epoch);
}

Status OutboxSink::Recover(Epoch restored) {
  FRESHET_ASSIGN_OR_RETURN(totals_, outbox_->ReadTotals());
  if (!IsPlanted(PlantedBug::kKeepUncommitted)) FRESHET_RETURN_IF_ERROR(outbox_->EraseOnCommitFrom(ordinal_));
  for (const DeliverMode mode : {DeliverMode::kOnCommit, DeliverMode::kEager}) {
    uint64_t from = 0;
    for (;;) {
      FRESHET_ASSIGN_OR_RETURN(const auto waiting, outbox_->ScanWaiting(mode, from, UINT64_MAX, kScanCount));
      for (const Outbox::Waiting& w : waiting) {
        AddBacklog(1);
        waiting_rows_ += w.parcel.row_count;
        if (mode == DeliverMode::kOnCommit) rows_.held += w.parcel.row_count;
        from = w.number + 1;
      }
      if (waiting.size() < kScanCount) break;
    }
    sendable_[IndexOf(mode)] = mode == DeliverMode::kOnCommit ? ordinal_ : from;
  }
  // Eager rows of epochs that were not committed come again, and find themselves.
  int64_t refused_unclaimed = 0;
  std::string after;
  for (;;) {
    FRESHET_ASSIGN_OR_RETURN(const auto rows, outbox_->ScanKnown(after, kScanCount));
    Outbox::Changes changes;
    for (const auto& [id, known] : rows) {
      Outbox::Known now = known;
      if (now.epoch > restored.number) {
        // Its row may come again at any time from here on: it must be known then, however long the outage was.
        now.epoch = Outbox::kUnclaimed;
        if (known.epoch != Outbox::kUnclaimed || known.unclaimed_at == Outbox::kUnclaimed)
          now.unclaimed_at = restored.number;
        now.written_wall_us = context_.env->WallMicros();
      }
      if (now.epoch != known.epoch || now.unclaimed_at != known.unclaimed_at) outbox_->PutKnown(id, now, &changes);
      const bool claimed = now.epoch != Outbox::kUnclaimed;
      if (claimed && now.fate == Outbox::Fate::kWaiting) ++rows_.held;
      if (!claimed && now.fate == Outbox::Fate::kRefused) ++refused_unclaimed;
      after = id;
    }
    if (!changes.empty()) FRESHET_RETURN_IF_ERROR(outbox_->Write(changes, false));
    if (rows.size() < kScanCount) break;
  }
  rows_.dead = totals_.refused - refused_unclaimed + repeated_count_;
  rows_.out = static_cast<int64_t>(ordinal_) - rows_.dead - rows_.held;
  return Prune();
}

bool OutboxSink::IsEager(const Batch& batch) {
  for (const auto& [schema, eager] : known_schemas_)
    if (schema == batch.schema()) return eager;
  const bool eager = std::any_of(options_.eager_schemas.begin(), options_.eager_schemas.end(),
                                 [&](const SchemaRef& schema) { return *schema == *batch.schema(); });
  known_schemas_.emplace_back(batch.schema(), eager);
  return eager;
}

Status OutboxSink::Write(const Batch& batch, int64_t) {
  FRESHET_RETURN_IF_ERROR(IsEager(batch) ? WriteEager(batch) : WriteOnCommit(batch));
  ordinal_ += static_cast<uint64_t>(batch.row_count());
  HoldBack(batch);
  return Status::Ok();
}

Status OutboxSink::WriteEager(const Batch& batch) {
  if (!rows_taken_) FRESHET_RETURN_IF_ERROR(TakeEager(batch));
  rows_taken_ = true;
  if (!to_write_eager_.empty())
    FRESHET_RETURN_IF_ERROR(outbox_->Write(to_write_eager_, !IsPlanted(PlantedBug::kEagerUnsynced)));
  rows_taken_ = false;
  const auto count = static_cast<int64_t>(to_write_eager_.size() / 2);
  to_write_eager_.clear();
  if (count == 0) return Status::Ok();
  {
    const std::lock_guard lock(mutex_);
    rows_.held += count;
    waiting_rows_ += count;
    AddBacklog(count);
    sendable_[IndexOf(DeliverMode::kEager)] += static_cast<uint64_t>(count);
  }
  if (on_work) on_work();
  return Status::Ok();
}

/// Finds out which rows are new, and prepares them; claims and counts the others.
Status OutboxSink::TakeEager(const Batch& batch) {
  const std::optional<int> id_column = batch.schema()->Find("alert_id");
  const std::optional<int> state_column = batch.schema()->Find("state");
  if (!id_column || !state_column) return Status::Internal("eager rows without alert_id and state");
  const int64_t now_us = context_.env->WallMicros();
  Outbox::Changes added;
  Outbox::Changes claims;
  std::set<std::string> fresh;
  NodeCounters claimed;
  int64_t repeated = 0;
  const std::lock_guard lock(mutex_);  // against Settle, which changes what is known
  const uint64_t first_number = sendable_[IndexOf(DeliverMode::kEager)];
  for (int32_t row = 0; row < batch.row_count(); ++row) {
    std::string id = EagerId(batch, *id_column, *state_column, row);
    FRESHET_ASSIGN_OR_RETURN(std::optional<Outbox::Known> known, outbox_->FindKnown(id));
    if (fresh.count(id) != 0 || (known && known->epoch != Outbox::kUnclaimed)) {
      ++repeated;
    } else if (known) {
      known->epoch = next_epoch_.number;
      fresh.insert(id);
      outbox_->PutKnown(id, *known, &claims);
      ++(known->fate == Outbox::Fate::kWaiting     ? claimed.held
         : known->fate == Outbox::Fate::kDelivered ? claimed.out
                                                   : claimed.dead);
    } else {
      Outbox::Waiting waiting{DeliverMode::kEager, first_number + added.size() / 2, {id, {}, 1}};
      network_->AppendRow(batch, row, true, &waiting.parcel.payload);
      fresh.insert(id);
      outbox_->PutWaiting(waiting, &added);
      outbox_->PutKnown(id, {next_epoch_.number, Outbox::Fate::kWaiting, now_us}, &added);
    }
  }
  if (!claims.empty()) {
    // Whether a claim that failed is there is not known, so this call cannot be repeated: the run has to start again.
    const Status status = outbox_->Write(claims, false);
    if (!status.ok()) return Status::Io(status.message());
    unsynced_ = true;
  }
  rows_.held += claimed.held;
  rows_.out += claimed.out;
  rows_.dead += claimed.dead + repeated;
  repeated_count_ += repeated;
  to_write_eager_ = std::move(added);
  if (repeated > 0)
    Log(LogLevel::kWarning, "rows with the alert_id and state of an earlier row are not sent",
        {{"node", context_.node_id}, {"rows", std::to_string(repeated)}});
  return Status::Ok();
}

Status OutboxSink::WriteOnCommit(const Batch& batch) {
  if (!rows_taken_) TakeOnCommit(batch);
  rows_taken_ = true;
  if (!to_write_.empty()) {
    FRESHET_RETURN_IF_ERROR(outbox_->Write(to_write_, false));
    unsynced_ = true;
    to_write_.clear();
  }
  rows_taken_ = false;
  {
    const std::lock_guard lock(mutex_);
    rows_.held += batch.row_count();
    waiting_rows_ += batch.row_count();
  }
  if (context_.request_checkpoint) context_.request_checkpoint();
  return Status::Ok();
}

void OutboxSink::TakeOnCommit(const Batch& batch) {
  for (int32_t row = 0; row < batch.row_count(); ++row) {
    Parcel& parcel = open_.parcel;
    if (parcel.row_count == 0) {
      open_.number = ordinal_ + static_cast<uint64_t>(row);
      ByteSink id;
      id.PutString(context_.pipeline_name);
      id.PutString(context_.node_id);
      id.PutU64(open_.number);
      parcel.id = StableId(id.bytes());
    }
    network_->AppendRow(batch, row, parcel.row_count == 0, &parcel.payload);
    ++parcel.row_count;
    if (parcel.row_count >= options_.parcel_row_count_max || parcel.payload.size() >= kParcelBytesMax) CloseParcel();
  }
}

void OutboxSink::CloseParcel() {
  if (open_.parcel.row_count == 0) return;
  outbox_->PutWaiting(open_, &to_write_);
  ++open_epoch_parcels_;
  open_ = {};
}

void OutboxSink::HoldBack(const Batch& batch) {
  // Rows made out of state hold their cell's egress budget; kept, it would stop the barriers as well.
  if (!batch.hold() || EgressBudget::Owns(batch.hold())) return;
  const std::lock_guard lock(mutex_);
  if (full_) held_back_.push_back(batch.hold());
}

void OutboxSink::AddBacklog(int64_t parcels) {
  backlog_ += parcels;
  full_ = backlog_ >= options_.waiting_count_max;
}

Result<std::string> OutboxSink::PrepareCommit(Epoch epoch) {
  CloseParcel();
  if (unsynced_ || !to_write_.empty()) {
    outbox_->PutPrepared(epoch, &to_write_);
    FRESHET_RETURN_IF_ERROR(outbox_->Write(to_write_, !IsPlanted(PlantedBug::kPrepareUnsynced)));
    to_write_.clear();
    unsynced_ = false;
  }
  next_epoch_ = {epoch.number + 1};
  ByteSink sink;
  sink.PutU8(kCommittedVersion);
  sink.PutU64(ordinal_);
  const std::lock_guard lock(mutex_);
  sink.PutU64(static_cast<uint64_t>(repeated_count_));
  prepared_.push_back({epoch, ordinal_, std::exchange(open_epoch_parcels_, 0)});
  if (IsPlanted(PlantedBug::kSendPrepared)) {
    sendable_[IndexOf(DeliverMode::kOnCommit)] = ordinal_;
    AddBacklog(std::exchange(prepared_.back().parcel_count, 0));
  }
  return sink.Take();
}

Status OutboxSink::Commit(Epoch epoch) {
  {
    const std::lock_guard lock(mutex_);
    while (!prepared_.empty() && prepared_.front().epoch <= epoch) {
      sendable_[IndexOf(DeliverMode::kOnCommit)] = prepared_.front().ordinal;
      AddBacklog(prepared_.front().parcel_count);
      prepared_.pop_front();
    }
    committed_ = epoch;
  }
  if (on_work) on_work();
  return Status::Ok();
}

/// Its rows belong to the next epoch now.
Status OutboxSink::Abort(Epoch epoch) {
  const std::lock_guard lock(mutex_);
  for (auto it = prepared_.begin(); it != prepared_.end(); ++it) {
    if (it->epoch != epoch) continue;
    const int64_t count = it->parcel_count;
    it = prepared_.erase(it);
    (it != prepared_.end() ? it->parcel_count : open_epoch_parcels_) += count;
    if (count > 0 && context_.request_checkpoint) context_.request_checkpoint();
    break;
  }
  return Status::Ok();
}

Status OutboxSink::Finish() {
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      if (backlog_ == 0) return Status::Ok();
      if (failing_ || interrupted_) break;
    }
    FRESHET_ASSIGN_OR_RETURN(const Step step, DeliverStep());
    if (!step.worked) break;
  }
  return Status::Unavailable(FormatCount(counts().waiting) + " rows for " + network_->target() +
                             " wait in the outbox; the next run sends them");
}

std::string OutboxSink::Summary() const {
  const DeliveryCounts c = counts();
  std::string text = "sent " + FormatCount(c.sent) + " rows to " + network_->target();
  if (c.retried > 0) text += ", " + FormatCount(c.retried) + " retries";
  if (c.refused > 0) {
    text += ", " + FormatCount(c.refused) + " rows not accepted";
    if (c.refused > c.repeated && !context_.dead_letter_path.empty()) text += " (in " + context_.dead_letter_path + ")";
  }
  if (c.waiting > 0) text += "; " + FormatCount(c.waiting) + " rows wait in the outbox for the next run";
  return text;
}

bool OutboxSink::has_work() const {
  const std::lock_guard lock(mutex_);
  return backlog_ > 0;
}

bool OutboxSink::settled(bool patient) const {
  const std::lock_guard lock(mutex_);
  return backlog_ == 0 || interrupted_ || (patient ? gave_up_ : failing_);
}

void OutboxSink::Interrupt() {
  interrupted_ = true;
  network_->Interrupt();
  if (on_work) on_work();
}

DeliveryCounts OutboxSink::counts() const {
  const std::lock_guard lock(mutex_);
  DeliveryCounts c;
  c.sent = totals_.sent;
  c.waiting = waiting_rows_;
  c.refused = totals_.refused + repeated_count_;
  c.repeated = repeated_count_;
  c.retried = retried_count_;
  return c;
}

void OutboxSink::FillCounters(NodeCounters* counters) const {
  const std::lock_guard lock(mutex_);
  counters->out = rows_.out;
  counters->dead = rows_.dead;
  counters->held = rows_.held;
}

}  // namespace freshet
