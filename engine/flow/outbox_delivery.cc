// The part of OutboxSink that sends: calls of DeliverStep, on the delivery's thread.
#include "engine/base/log.h"
#include "engine/base/units.h"
#include "engine/batch/column_builder.h"
#include "engine/flow/dead_letter_file.h"
#include "engine/flow/descriptor.h"
#include "engine/flow/outbox_sink.h"
#include "engine/flow/planted_bugs.h"

namespace freshet {
namespace {

constexpr int64_t kKeepKnownUs = int64_t{24} * 3600 * 1000000;
constexpr int64_t kFullDiskWaitUs = 1000000;
constexpr int64_t kNothingToDoUs = int64_t{60} * 1000000;
constexpr size_t kReadAheadCount = 16;

bool IsPowerOfTwo(int64_t n) { return n > 0 && (n & (n - 1)) == 0; }

}  // namespace

Result<bool> OutboxSink::NextParcel(Outbox::Waiting* next) {
  for (const DeliverMode mode : {DeliverMode::kEager, DeliverMode::kOnCommit}) {
    const size_t i = IndexOf(mode);
    uint64_t sendable = 0;
    {
      const std::lock_guard lock(mutex_);
      sendable = sendable_[i];
    }
    if (ready_[i].empty() && next_number_[i] < sendable) {
      const size_t limit = options_.parcel_row_count_max > 1 ? 1 : kReadAheadCount;
      FRESHET_ASSIGN_OR_RETURN(auto found, outbox_->ScanWaiting(mode, next_number_[i], sendable, limit));
      next_number_[i] = found.empty() ? sendable : found.back().number + 1;
      for (Outbox::Waiting& waiting : found) ready_[i].push_back(std::move(waiting));
    }
    if (ready_[i].empty()) continue;
    *next = ready_[i].front();
    return true;
  }
  return false;
}

Result<OutboxSink::Step> OutboxSink::DeliverStep() {
  const int64_t now_us = context_.env->SteadyMicros();
  if (interrupted_) return Step{false, kNothingToDoUs};
  if (now_us < not_before_us_) return Step{false, not_before_us_ - now_us};
  if (unmarked_) {
    const auto [waiting, fate] = *unmarked_;
    FRESHET_RETURN_IF_ERROR(Settle(waiting, fate));
    return Step{true, 0};
  }
  Outbox::Waiting waiting;
  FRESHET_ASSIGN_OR_RETURN(const bool any, NextParcel(&waiting));
  if (!any) {
    if (now_us >= next_prune_us_) {
      next_prune_us_ = now_us + kPruneEveryUs;
      FRESHET_RETURN_IF_ERROR(Prune());
    }
    return Step{false, kNothingToDoUs};
  }
  if (waiting.parcel.id == failing_id_) {
    const std::lock_guard lock(mutex_);
    ++retried_count_;
  }
  const DeliveryResult result = network_->Send(waiting.parcel);
  switch (result.kind) {
    case DeliveryResult::Kind::kDelivered: {
      FRESHET_RETURN_IF_ERROR(Settle(waiting, Outbox::Fate::kDelivered));
      return Step{true, 0};
    }
    case DeliveryResult::Kind::kRefused:
      if (options_.fail_when_refused) return Status::InvalidArgument(result.reason);
      return GiveUp(waiting, result.reason);
    case DeliveryResult::Kind::kRetryLater:
      break;
  }
  if (interrupted_) return Step{false, kNothingToDoUs};
  return Retry(waiting, result);
}

Result<OutboxSink::Step> OutboxSink::Retry(const Outbox::Waiting& waiting, const DeliveryResult& result) {
  if (waiting.parcel.id != failing_id_) attempt_count_ = 0;
  failing_id_ = waiting.parcel.id;
  const bool exhausted = ++attempt_count_ > options_.retry_count_max;
  if (exhausted && options_.when_exhausted == OutboxOptions::WhenExhausted::kDeadLetter)
    return GiveUp(waiting, result.reason + ", " + std::to_string(attempt_count_) + " attempts");
  if (exhausted && options_.when_exhausted == OutboxOptions::WhenExhausted::kFail)
    return Status::Unavailable(result.reason + ", " + std::to_string(attempt_count_) +
                               " attempts; rows wait in the outbox for the next run");
  const Duration wait =
      result.retry_after ? backoff_.Next(*result.retry_after, options_.retry_after_max) : backoff_.Next();
  not_before_us_ = context_.env->SteadyMicros() + wait.us;
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    first = !std::exchange(failing_, true);
    gave_up_ = gave_up_ || exhausted;
  }
  Log(first ? LogLevel::kWarning : LogLevel::kDebug, "the receiver does not take rows; they wait and are tried again",
      {{"node", context_.node_id}, {"problem", result.reason}, {"wait", FormatDuration(wait)}});
  return Step{true, wait.us};
}

Result<OutboxSink::Step> OutboxSink::GiveUp(const Outbox::Waiting& waiting, const std::string& reason) {
  int64_t refused = 0;
  {
    const std::lock_guard lock(mutex_);
    refused = totals_.refused + waiting.parcel.row_count;
  }
  // The first ones and then ever fewer: a receiver that refuses everything must not fill the log.
  if (refused <= 3 || IsPowerOfTwo(refused))
    Log(LogLevel::kWarning, "rows were not accepted",
        {{"node", context_.node_id}, {"problem", reason}, {"rows", std::to_string(refused)}});
  if (Status status = WriteDeadLetter(waiting, reason); !status.ok()) {
    if (status.code() != StatusCode::kNoSpace) return status;
    not_before_us_ = context_.env->SteadyMicros() + kFullDiskWaitUs;
    return Step{false, kFullDiskWaitUs};
  }
  FRESHET_RETURN_IF_ERROR(Settle(waiting, Outbox::Fate::kRefused));
  return Step{true, 0};
}

/// The parcel is done with: marks it, counts it and goes on to the next.
Status OutboxSink::Settle(const Outbox::Waiting& waiting, Outbox::Fate fate) {
  std::vector<Batch::Hold> released;
  {
    const std::lock_guard lock(mutex_);
    const int64_t rows = waiting.parcel.row_count;
    Outbox::Totals totals = totals_;
    (fate == Outbox::Fate::kDelivered ? totals.sent : totals.refused) += rows;
    Outbox::Changes changes;
    outbox_->EraseWaiting(waiting, &changes);
    outbox_->PutTotals(totals, &changes);
    bool claimed = true;
    if (waiting.mode == DeliverMode::kEager) {
      FRESHET_ASSIGN_OR_RETURN(std::optional<Outbox::Known> known, outbox_->FindKnown(waiting.parcel.id));
      if (!known) return Status::DataLoss("a parcel of the outbox has lost its name");
      claimed = known->epoch != Outbox::kUnclaimed;
      known->fate = fate;
      if (!IsPlanted(PlantedBug::kForgetSent))
        outbox_->PutKnown(waiting.parcel.id, *known, &changes);
      else
        outbox_->EraseKnown(waiting.parcel.id, &changes);
    }
    Status status = outbox_->Write(changes, false);
    if (status.code() == StatusCode::kNoSpace) {
      unmarked_ = {waiting, fate};
      not_before_us_ = context_.env->SteadyMicros() + kFullDiskWaitUs;
      return Status::Ok();
    }
    FRESHET_RETURN_IF_ERROR(std::move(status));
    unmarked_.reset();
    totals_ = totals;
    waiting_rows_ -= rows;
    if (claimed) {
      rows_.held -= rows;
      (fate == Outbox::Fate::kDelivered ? rows_.out : rows_.dead) += rows;
    }
    AddBacklog(-1);
    if (!full_) released.swap(held_back_);
    if (failing_) Log(LogLevel::kInfo, "the receiver takes rows again", {{"node", context_.node_id}});
    failing_ = false;
    gave_up_ = false;
  }
  ready_[IndexOf(waiting.mode)].pop_front();
  failing_id_.clear();
  attempt_count_ = 0;
  backoff_.Reset();
  return Status::Ok();
}

Status OutboxSink::WriteDeadLetter(const Outbox::Waiting& waiting, const std::string& reason) {
  if (context_.dead_letter_path.empty()) return Status::Ok();
  if (!dead_letters_) {
    SinkOpenContext context;
    context.env = context_.env;
    dead_letters_ = NewDeadLetterFile(context_.dead_letter_path);
    FRESHET_RETURN_IF_ERROR(dead_letters_->Open(context));
  }
  const SchemaRef schema = DeadLetterSchema();
  std::vector<ColumnBuilder> builders;
  for (const Field& field : schema->fields()) builders.emplace_back(field.type, 1);
  builders[0].AppendString(context_.node_id);
  builders[1].AppendString("");
  builders[2].AppendInt64(0);
  builders[3].AppendInt64(static_cast<int64_t>(waiting.number));
  builders[4].AppendString(reason);
  builders[5].AppendString(waiting.parcel.payload);
  std::vector<Column> columns;
  for (ColumnBuilder& builder : builders) columns.push_back(builder.Finish());
  FRESHET_RETURN_IF_ERROR(dead_letters_->Write(Batch(schema, std::move(columns), 1, RowMeta()), 0));
  return dead_letters_->PrepareCommit(Epoch{}).status();
}

Status OutboxSink::Prune() {
  const int64_t now_us = context_.env->WallMicros();
  std::string after;
  for (;;) {
    const std::lock_guard lock(mutex_);  // against a claim
    FRESHET_ASSIGN_OR_RETURN(const auto rows, outbox_->ScanKnown(after, kScanCount));
    Outbox::Changes changes;
    for (const auto& [id, known] : rows) {
      after = id;
      const bool open = known.epoch != Outbox::kUnclaimed && known.epoch > committed_.number;
      if (!open && known.fate != Outbox::Fate::kWaiting && now_us - known.written_wall_us >= kKeepKnownUs)
        outbox_->EraseKnown(id, &changes);
    }
    if (!changes.empty()) FRESHET_RETURN_IF_ERROR(outbox_->Write(changes, false));
    if (rows.size() < kScanCount) return Status::Ok();
  }
}

}  // namespace freshet
