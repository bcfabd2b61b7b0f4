#include "engine/flow/source_driver.h"

#include <algorithm>

namespace freshet {

namespace {
/// A poll that comes later than it was due by more than this does not count as silence.
constexpr int64_t kPollGapUs = 1000000;
/// by_time: so many chunks of the slowest partition may be under way before their times are known.
constexpr uint64_t kChunksAhead = 4;
/// A chunk of so many bytes is worth its way through the graph.
constexpr int64_t kLingerBytesMax = kChunkBytes / 4;
}  // namespace

SourceDriver::SourceDriver(Env* env, SourceCell* cell, const NodeSpec* node, Duration linger)
    : env_(env),
      cell_(cell),
      node_(node),
      spec_(std::get<SourceNode>(node->kind)),
      bound_(spec_.bound),
      credits_(std::make_shared<CreditPool>(spec_.credit_rows, spec_.credit_bytes)),
      silence_(spec_.time.idle.us),
      left_(spec_.limit),
      linger_(bound_.bounded ? Duration{} : linger) {
  if (spec_.on_overflow != OnOverflow::kBlock)
    overflow_.emplace(spec_.on_overflow, spec_.credit_rows, spec_.credit_bytes);
}

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

SourceDriver::Outcome SourceDriver::GiveChunk(SourceItem* item, RawChunk chunk) {
  item->chunk = std::move(chunk);
  const bool dropped = item->chunk.finished && item->chunk.finished->dropped > 0;
  if (!dropped) item->hold = credits_->Take(OverflowQueue::RowsOf(item->chunk), std::max<int64_t>(1, item->chunk.size));
  if (item->chunk.finished) item->block = std::move(*item->chunk.finished);
  return Give(item, SourceItem::Kind::kBlock);
}

void SourceDriver::RequestStop() {
  stop_ = true;
  if (source_) source_->Interrupt();
  credits_->Wake();
}

bool SourceDriver::HeldBySkew() const {
  return std::any_of(gates_.begin(), gates_.end(), [&](const SkewGate* gate) { return gate->Holds(*cell_); });
}

std::optional<int32_t> SourceDriver::Slowest() const {
  const std::vector<SourceCell::PartitionProgress> judged = cell_->partition_progress();
  int32_t best = -1;
  EventTime best_frontier;
  uint64_t best_under_way = 0;
  for (size_t p = 0; p < source_->Partitions().size(); ++p) {
    const Reading reading = p < readings_.size() ? readings_[p] : Reading();
    if (reading.ended) continue;
    const auto progress = p < judged.size() ? judged[p] : SourceCell::PartitionProgress();
    const uint64_t under_way = reading.chunk_count - progress.chunk_count;
    if (best >= 0 && std::pair(progress.frontier, under_way) >= std::pair(best_frontier, best_under_way)) continue;
    best = static_cast<int32_t>(p);
    best_frontier = progress.frontier;
    best_under_way = under_way;
  }
  if (best >= 0 && best_under_way >= (best_frontier == EventTime::Min() ? 1 : kChunksAhead)) return std::nullopt;
  return best;
}

bool SourceDriver::ready() const {
  if (done_) return false;
  if (overflow_ && !overflow_->empty() && (overflow_->front_is_dropped() || credits_->available().any())) return true;
  if (stop_ || left_ == 0 || input_ended_) return !overflow_ || overflow_->empty();
  return !HeldBySkew() && (!bound_.by_time || Slowest()) && (overflow_ || credits_->available().any());
}

SourceDriver::Outcome SourceDriver::Step(SourceItem* item, Status* error) {
  if (done_) return Outcome::kDone;
  *item = SourceItem();
  if (!newly_idle_.empty()) {
    item->idle = std::exchange(newly_idle_, {});
    return Give(item, SourceItem::Kind::kIdle);
  }
  const CreditPool::Available available = credits_->available();
  if (overflow_ && !overflow_->empty() && (overflow_->front_is_dropped() || available.any()))
    return GiveChunk(item, overflow_->Pop());
  const bool over = stop_ || left_ == 0;
  if (over || input_ended_) {
    // What has been read passes first.
    if (overflow_ && !overflow_->empty()) return Outcome::kNoCredit;
    item->drained = !input_ended_;
    return Give(item, input_ended_ || drain_ ? SourceItem::Kind::kEnd : SourceItem::Kind::kStopped);
  }
  const std::optional<int32_t> partition = bound_.by_time ? Slowest() : -1;
  const bool held = !partition || HeldBySkew();
  if (held || (!overflow_ && !available.any())) {
    silence_.Pause();
    return held ? Outcome::kHeld : Outcome::kNoCredit;
  }
  if (linger_us() > 0) return Outcome::kLinger;
  PollBudget budget{available.rows, available.bytes};
  if (overflow_) budget = {spec_.credit_rows, spec_.credit_bytes};
  budget.partition = *partition;
  if (left_ >= 0) budget.rows = std::min(budget.rows, left_);
  return Poll(budget, item, error);
}

void SourceDriver::Linger(const RawChunk& chunk, const PollBudget& budget) {
  const int64_t row_count = OverflowQueue::RowsOf(chunk);
  const bool whole = chunk.size >= kLingerBytesMax || row_count >= kBatchRowCountMax || chunk.size > budget.bytes / 2 ||
                     row_count > budget.rows / 2;
  if (whole || linger_.us <= 0) return;
  // A source that reads several partitions in turn comes back to each of them in time.
  const auto partition_count = static_cast<int64_t>(source_->Partitions().size());
  linger_until_us_ = env_->SteadyMicros() + linger_.us / std::max<int64_t>(1, partition_count);
}

void SourceDriver::Listen(bool heard, uint32_t partition) {
  const std::optional<std::vector<uint32_t>> quiet = source_->TakeQuiet();
  if (heard && quiet)
    silence_.Heard(partition);
  else if (heard)
    silence_.HeardAll();
  const auto note = [&](uint32_t p) {
    if (silence_.Quiet(p) && !bound_.bounded) newly_idle_.push_back(p);
  };
  if (quiet)
    for (const uint32_t p : *quiet) note(p);
  const auto count = static_cast<uint32_t>(source_->Partitions().size());
  if (!heard && (!quiet || count == 0))
    for (uint32_t p = 0; p < std::max(count, 1U); ++p) note(p);
  if (heard) {
    quiet_since_us_ = -1;
    quiet_us_ = 0;
    return;
  }
  if (quiet_since_us_ < 0) quiet_since_us_ = silence_.polled_us();
  quiet_us_ = silence_.polled_us() - quiet_since_us_;
}

SourceDriver::Outcome SourceDriver::Failed(Status status, Status* error) {
  silence_.Pause();
  *error = std::move(status).WithNode(node_->id);
  if (error->retry() == RetryHint::kLater) {
    retry_wait_us_ = std::min<int64_t>(retry_wait_us_ * 2, 30000000);
    return Outcome::kRetry;
  }
  done_ = true;
  return Outcome::kDone;
}

SourceDriver::Outcome SourceDriver::Poll(const PollBudget& budget, SourceItem* item, Status* error) {
  silence_.Poll(env_->SteadyMicros(), kPollGapUs + 2 * source_->retry_after_us());
  RawChunk chunk;
  Result<PollOutcome> polled = source_->Poll(budget, &chunk);
  if (!polled.ok()) return Failed(std::move(polled).status(), error);
  retry_wait_us_ = 20000;
  if (*polled == PollOutcome::kEnd) {
    input_ended_ = true;
    return overflow_ && !overflow_->empty() ? Outcome::kQueued : Give(item, SourceItem::Kind::kEnd);
  }
  Listen(*polled == PollOutcome::kChunk, chunk.partition);
  if (*polled == PollOutcome::kNothing) {
    if (newly_idle_.empty()) return Outcome::kNothing;
    item->idle = std::exchange(newly_idle_, {});
    return Give(item, SourceItem::Kind::kIdle);
  }
  Linger(chunk, budget);
  read_meter_.AddBytes(chunk.size, 0);
  const bool empty = chunk.finished ? chunk.finished->row_count == 0 && chunk.finished->record_count == 0
                                    : chunk.size == 0 && chunk.numbers[1] == 0;
  if (left_ >= 0 && !empty) left_ = std::max<int64_t>(0, left_ - OverflowQueue::RowsOf(chunk));
  if (bound_.by_time) {
    if (chunk.partition >= readings_.size()) readings_.resize(chunk.partition + 1);
    ++readings_[chunk.partition].chunk_count;
    readings_[chunk.partition].ended = readings_[chunk.partition].ended || chunk.partition_end;
  }
  {
    const std::lock_guard lock(progress_mutex_);
    progress_ = source_->ProgressRatio();
  }
  if (!overflow_) return GiveChunk(item, std::move(chunk));
  overflow_->Add(std::move(chunk));
  return Outcome::kQueued;
}

std::optional<double> SourceDriver::progress() const {
  const std::lock_guard lock(progress_mutex_);
  return progress_;
}

void SourceDriver::Close() {
  if (source_) source_->Close();
}

}  // namespace freshet
