#include "engine/flow/overflow_queue.h"

#include <algorithm>

namespace freshet {

int64_t OverflowQueue::RowsOf(const RawChunk& chunk) {
  return std::max<int64_t>(1, chunk.finished ? chunk.finished->row_count : chunk.row_count_hint);
}

bool OverflowQueue::Fits(const RawChunk& chunk) const {
  return chunk_count_ == 0 || (rows_ + RowsOf(chunk) <= rows_max_ && bytes_ + chunk.size <= bytes_max_);
}

/// Turns a chunk into its account.
void OverflowQueue::Drop(Entry* entry) {
  RawChunk& chunk = entry->chunk;
  auto account = std::make_shared<DecodedBlock>();
  if (chunk.finished) {
    account->record_count = chunk.finished->record_count;
    account->line_count = chunk.finished->line_count;
  } else {
    account->record_count = chunk.row_count_hint;
    if (chunk.bytes)
      account->line_count = std::count(chunk.bytes.as<char>(), chunk.bytes.as<char>() + chunk.size, '\n');
  }
  account->skipped = account->record_count;
  account->dropped = account->record_count;
  chunk.finished = std::move(account);
  chunk.bytes = {};
  chunk.size = 0;
  chunk.row_count_hint = 0;
  entry->dropped = true;
}

/// Adds an account to one of the same partition at `last` or before it, with no chunk between them.
bool OverflowQueue::TryMerge(size_t last, const RawChunk& dropped) {
  for (size_t i = last + 1; i-- > 0 && entries_[i].dropped;) {
    RawChunk& into = entries_[i].chunk;
    if (into.partition != dropped.partition) continue;
    DecodedBlock& block = *into.finished;
    block.record_count += dropped.finished->record_count;
    block.line_count += dropped.finished->line_count;
    block.skipped += dropped.finished->skipped;
    block.dropped += dropped.finished->dropped;
    into.position_after = dropped.position_after;
    into.partition_end = into.partition_end || dropped.partition_end;
    return true;
  }
  return false;
}

void OverflowQueue::DropOldest() {
  const auto oldest = std::find_if(entries_.begin(), entries_.end(), [](const Entry& e) { return !e.dropped; });
  rows_ -= RowsOf(oldest->chunk);
  bytes_ -= oldest->chunk.size;
  --chunk_count_;
  Drop(&*oldest);
  const auto at = static_cast<size_t>(oldest - entries_.begin());
  if (at > 0 && TryMerge(at - 1, oldest->chunk)) entries_.erase(oldest);
}

void OverflowQueue::Add(RawChunk chunk) {
  if (policy_ == OnOverflow::kDropOldest) {
    while (!Fits(chunk)) DropOldest();
  } else if (!Fits(chunk)) {
    Entry entry{std::move(chunk)};
    Drop(&entry);
    if (entries_.empty() || !TryMerge(entries_.size() - 1, entry.chunk)) entries_.push_back(std::move(entry));
    return;
  }
  rows_ += RowsOf(chunk);
  bytes_ += chunk.size;
  ++chunk_count_;
  entries_.push_back({std::move(chunk)});
}

RawChunk OverflowQueue::Pop() {
  Entry entry = std::move(entries_.front());
  entries_.pop_front();
  if (!entry.dropped) {
    rows_ -= RowsOf(entry.chunk);
    bytes_ -= entry.chunk.size;
    --chunk_count_;
  }
  return std::move(entry.chunk);
}

}  // namespace freshet
