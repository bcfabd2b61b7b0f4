#include "engine/flow/source_driver.h"

#include <algorithm>

namespace freshet {

SourceDriver::SourceDriver(Env* env, SourceCell* cell, const NodeSpec* node)
    : env_(env),
      cell_(cell),
      node_(node),
      spec_(std::get<SourceNode>(node->kind)),
      bound_(spec_.bound),
      credits_(std::make_shared<CreditPool>(spec_.credit_rows, spec_.credit_bytes)),
      left_(spec_.limit) {}

Status SourceDriver::Open(std::unique_ptr<Source> open) {
  SourceOpenContext context;
  context.env = env_;
  context.restored = cell_->restored_partitions();
  if (left_ >= 0) left_ = std::max<int64_t>(0, left_ - cell_->records_read());
  source_ = std::move(open);
  if (source_) {
    source_->Resume();
  } else {
    source_ = bound_.make_source();
    FRESHET_RETURN_IF_ERROR(source_->Open(context).WithNode(node_->id));
  }
  open_ = true;
  return Status::Ok();
}

SourceDriver::Outcome SourceDriver::Give(SourceItem* item, SourceItem::Kind kind) {
  item->kind = kind;
  item->ticket = next_ticket_++;
  std::vector<std::string> partitions = source_->Partitions();
  if (partitions.size() != partitions_told_) {
    partitions_told_ = partitions.size();
    item->partitions = std::move(partitions);
  }
  if (kind == SourceItem::Kind::kEnd || kind == SourceItem::Kind::kStopped) done_ = true;
  return kind == SourceItem::Kind::kBlock && !item->chunk.finished ? Outcome::kChunk : Outcome::kSignal;
}

void SourceDriver::RequestStop() {
  stop_ = true;
  if (source_) source_->Interrupt();
  credits_->WakeAll();
}

SourceDriver::Outcome SourceDriver::Step(SourceItem* item, Status* error) {
  if (done_) return Outcome::kDone;
  *item = SourceItem();
  if (stop_ || left_ == 0) return Give(item, SourceItem::Kind::kStopped);
  const CreditPool::Available available = credits_->available();
  if (!available.any()) {
    quiet_since_us_ = -1;
    return Outcome::kNoCredit;
  }
  PollBudget budget{available.rows, available.bytes};
  if (left_ >= 0) budget.rows = std::min(budget.rows, left_);
  Result<PollOutcome> polled = source_->Poll(budget, &item->chunk);
  if (!polled.ok()) {
    *error = std::move(polled).status().WithNode(node_->id);
    if (error->retry() == RetryHint::kLater) {
      retry_wait_us_ = std::min<int64_t>(retry_wait_us_ * 2, 30000000);
      return Outcome::kRetry;
    }
    done_ = true;
    return Outcome::kDone;
  }
  retry_wait_us_ = 20000;
  switch (*polled) {
    case PollOutcome::kChunk: {
      RawChunk& chunk = item->chunk;
      const int64_t rows = std::max<int64_t>(1, chunk.finished ? chunk.finished->row_count : chunk.row_count_hint);
      read_meter_.AddBytes(chunk.size, 0);
      item->hold = credits_->Take(rows, std::max<int64_t>(1, chunk.size));
      if (left_ >= 0 && (chunk.finished || chunk.size > 0 || chunk.numbers[1] > 0))
        left_ = std::max<int64_t>(0, left_ - rows);
      quiet_since_us_ = -1;
      idle_told_ = false;
      const std::lock_guard lock(progress_mutex_);
      progress_ = source_->ProgressRatio();
      break;
    }
    case PollOutcome::kNothing: {
      const int64_t now = env_->SteadyMicros();
      if (quiet_since_us_ < 0) quiet_since_us_ = now;
      if (!bound_.bounded && !idle_told_ && now - quiet_since_us_ >= spec_.time.idle.us) {
        idle_told_ = true;
        return Give(item, SourceItem::Kind::kIdle);
      }
      return Outcome::kNothing;
    }
    case PollOutcome::kEnd:
      return Give(item, SourceItem::Kind::kEnd);
  }
  if (item->chunk.finished) item->block = std::move(*item->chunk.finished);
  return Give(item, SourceItem::Kind::kBlock);
}

std::optional<double> SourceDriver::progress() const {
  const std::lock_guard lock(progress_mutex_);
  return progress_;
}

void SourceDriver::Close() {
  if (source_) source_->Close();
}

}  // namespace freshet
