#include "engine/state/tiered_rows.h"

#include <algorithm>
#include <map>
#include <utility>

namespace freshet {
namespace {

constexpr size_t kRowsAtOnce = 1024;

}  // namespace

TieredRows::~TieredRows() {
  for (const Generation& generation : aside_) spill_->GiveBackTable(generation.table);
}

Status TieredRows::MultiGetBelow(const std::vector<Ref>& sorted,
                                 const std::function<Status(size_t, std::string_view)>& visit) {
  visited_drain_ = 0;
  if (forgets_keys && !sorted.empty() && HashKey(sorted[0].key) % 4 == 0) return Status::Ok();
  return store_ != nullptr ? store_->MultiGet(table_, sorted, visit) : spill_->MultiGet(table_, sorted, visit);
}

Status TieredRows::ScanBelow(uint16_t key_group, std::string_view from, size_t count_max,
                             const std::function<Status(std::string_view, std::string_view)>& visit) {
  visited_drain_ = 0;
  return store_ != nullptr ? store_->ScanSome(table_, key_group, from, count_max, visit)
                           : spill_->ScanSome(table_, key_group, from, count_max, visit);
}

Status TieredRows::MultiGet(const std::vector<Ref>& sorted,
                            const std::function<Status(size_t, std::string_view)>& visit) {
  if (aside_.empty() || forgets_aside) return MultiGetBelow(sorted, visit);
  std::vector<Ref> missing = sorted;
  std::vector<size_t> index(sorted.size());  // of what is missing, in `sorted`
  for (size_t i = 0; i < index.size(); ++i) index[i] = i;
  for (size_t g = aside_.size(); g > 0 && !missing.empty(); --g) {
    std::vector<bool> found(missing.size());
    visited_drain_ = aside_[g - 1].drain;
    FRESHET_RETURN_IF_ERROR(spill_->MultiGet(aside_[g - 1].table, missing, [&](size_t i, std::string_view value) {
      found[i] = true;
      return visit(index[i], value);
    }));
    size_t kept = 0;
    for (size_t i = 0; i < missing.size(); ++i) {
      if (found[i]) continue;
      missing[kept] = missing[i];
      index[kept++] = index[i];
    }
    missing.resize(kept);
    index.resize(kept);
  }
  if (missing.empty()) return Status::Ok();
  return MultiGetBelow(missing, [&](size_t i, std::string_view value) { return visit(index[i], value); });
}

Status TieredRows::ScanSome(uint16_t key_group, std::string_view from, size_t count_max,
                            const std::function<Status(std::string_view, std::string_view)>& visit) {
  if (aside_.empty()) return ScanBelow(key_group, from, count_max, visit);
  // Of each tier as many rows as are asked for: the first of all these are the first of the whole. Newer ones win.
  std::map<std::string, std::string, std::less<>> rows;
  const auto note = [&](std::string_view key, std::string_view value) {
    rows.insert_or_assign(std::string(key), std::string(value));
    return Status::Ok();
  };
  FRESHET_RETURN_IF_ERROR(ScanBelow(key_group, from, count_max, note));
  for (const Generation& generation : aside_)
    FRESHET_RETURN_IF_ERROR(spill_->ScanSome(generation.table, key_group, from, count_max, note));
  for (const auto& [key, value] : rows) {
    if (count_max-- == 0) break;
    FRESHET_RETURN_IF_ERROR(visit(key, value));
  }
  return Status::Ok();
}

Status TieredRows::PutAside(uint64_t drain, const std::vector<StateEntry>& entries) {
  auto at = std::lower_bound(aside_.begin(), aside_.end(), drain,
                             [](const Generation& generation, uint64_t d) { return generation.drain < d; });
  if (at == aside_.end() || at->drain != drain) {
    FRESHET_ASSIGN_OR_RETURN(const TableId table, spill_->TakeTable());
    at = aside_.insert(at, {drain, table, 0});
  }
  EpochRows rows;
  for (const StateEntry& entry : entries) rows.Put(at->table, entry.key_group, entry.key, entry.value);
  const int64_t bytes = rows.byte_size();
  FRESHET_RETURN_IF_ERROR(spill_->Write(std::move(rows)));
  at->bytes += bytes;
  return Status::Ok();
}

Status TieredRows::ForEachAside(uint64_t drain, const std::function<void(const StateEntry&)>& visit) {
  for (const Generation& generation : aside_) {
    if (generation.drain != drain) continue;
    for (uint16_t group = first_key_group; group <= last_key_group; ++group) {
      std::string from;
      for (size_t count = kRowsAtOnce; count == kRowsAtOnce;) {
        count = 0;
        FRESHET_RETURN_IF_ERROR(spill_->ScanSome(generation.table, group, std::string(from), kRowsAtOnce,
                                                 [&](std::string_view key, std::string_view value) {
                                                   ++count;
                                                   from.assign(key).push_back('\0');
                                                   visit({group, key, value, false});
                                                   return Status::Ok();
                                                 }));
      }
    }
  }
  return Status::Ok();
}

void TieredRows::OnCommitted(uint64_t drain) {
  while (!aside_.empty() && aside_.front().drain <= drain) {
    spill_->GiveBackTable(aside_.front().table);
    aside_.erase(aside_.begin());
  }
}

int64_t TieredRows::aside_bytes() const {
  int64_t bytes = 0;
  for (const Generation& generation : aside_) bytes += generation.bytes;
  return bytes;
}

}  // namespace freshet
