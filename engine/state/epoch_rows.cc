#include <algorithm>
#include <cstring>

#include "engine/state/checkpoint_store.h"
#include "engine/state/row_format.h"

namespace freshet {
namespace {

constexpr size_t kChunkBytesMax = 1 << 20;
constexpr int64_t kCompactBytesMin = 1 << 20;

uint64_t PrefixOf(std::string_view key) {
  uint64_t prefix = 0;
  std::memcpy(&prefix, key.data(), std::min(key.size(), sizeof prefix));
  return __builtin_bswap64(prefix);
}

}  // namespace

void EpochRows::Put(TableId table, uint16_t key_group, std::string_view key, std::string_view value) {
  Add(table, key_group, key, &value);
}

void EpochRows::Erase(TableId table, uint16_t key_group, std::string_view key) { Add(table, key_group, key, nullptr); }

void EpochRows::Add(TableId table, uint16_t key_group, std::string_view key, const std::string_view* value) {
  const size_t key_size = kRowKeyPrefixBytes + key.size();
  const size_t framed_size = value != nullptr ? kFrameBytes + value->size() : 0;
  char* data = Allocate(key_size + framed_size);
  data[0] = static_cast<char>(table >> 8);
  data[1] = static_cast<char>(table);
  data[2] = static_cast<char>(key_group >> 8);
  data[3] = static_cast<char>(key_group);
  if (!key.empty()) std::memcpy(data + kRowKeyPrefixBytes, key.data(), key.size());
  if (value != nullptr) {
    const uint32_t checksum = RowChecksum({data, key_size}, *value);
    std::memcpy(data + key_size, &checksum, sizeof checksum);
    if (!value->empty()) std::memcpy(data + key_size + kFrameBytes, value->data(), value->size());
  }
  Row row;
  row.prefix_ = PrefixOf({data, key_size});
  row.data_ = data;
  row.key_size_ = static_cast<uint32_t>(key_size);
  row.framed_size_ = static_cast<uint32_t>(framed_size);
  sorted_ = sorted_ && (rows_.empty() || rows_.back() < row);
  rows_.push_back(row);
  byte_size_ += static_cast<int64_t>(key_size + framed_size);
}

void EpochRows::Reserve(size_t count) {
  const size_t needed = rows_.size() + count;
  if (needed > rows_.capacity()) rows_.reserve(std::max(needed, 2 * rows_.capacity()));
}

std::string EpochRows::ErasedGroups::begin() const { return EncodeRowKey(table, first, {}); }
std::string EpochRows::ErasedGroups::end() const { return RowKeyAfter(table, last); }

void EpochRows::EraseGroups(TableId table, uint16_t first, uint16_t last) {
  DropRowsIn({table, first, last});
  erased_groups_.push_back({table, first, last});
}

void EpochRows::DropRowsIn(const ErasedGroups& range) {
  std::erase_if(rows_, [&](const Row& row) {
    const bool inside = TableOfRowKey(row.key()) == range.table && KeyGroupOfRowKey(row.key()) >= range.first &&
                        KeyGroupOfRowKey(row.key()) <= range.last;
    if (inside) byte_size_ -= int64_t{row.key_size_} + row.framed_size_;
    return inside;
  });
}

void EpochRows::Merge(EpochRows&& other) {
  if (other.empty()) return;
  if (empty()) {
    *this = std::move(other);
    return;
  }
  for (const ErasedGroups& range : other.erased_groups_) {
    DropRowsIn(range);
    erased_groups_.push_back(range);
  }
  if (other.rows_.empty()) return;
  sorted_ = sorted_ && other.sorted_ && (rows_.empty() || rows_.back() < other.rows_.front());
  rows_.insert(rows_.end(), other.rows_.begin(), other.rows_.end());
  for (auto& chunk : other.chunks_) chunks_.push_back(std::move(chunk));
  byte_size_ += other.byte_size_;
  allocated_bytes_ += other.allocated_bytes_;
  EpochRows().Swap(other);
}

const std::vector<EpochRows::Row>& EpochRows::Sorted() {
  if (sorted_) return rows_;
  // Table and key group are half of the prefix and short numbers differ behind it, so rows of one prefix are many:
  // there the next eight bytes stand beside each row, and hardly a comparison has to go and look at the key.
  struct Place {
    uint64_t next;
    Row row;
    bool operator<(const Place& other) const { return next != other.next ? next < other.next : row < other.row; }
  };
  std::stable_sort(rows_.begin(), rows_.end(), [](const Row& a, const Row& b) { return a.prefix_ < b.prefix_; });
  std::vector<Place> run;
  for (size_t begin = 0, end = 0; begin < rows_.size(); begin = end) {
    run.clear();
    for (; end < rows_.size() && rows_[end].prefix_ == rows_[begin].prefix_; ++end) {
      const std::string_view key = rows_[end].key();
      run.push_back({PrefixOf(key.substr(std::min(key.size(), sizeof(uint64_t)))), rows_[end]});
    }
    if (run.size() == 1) continue;
    std::stable_sort(run.begin(), run.end());
    for (size_t i = 0; i < run.size(); ++i) rows_[begin + i] = run[i].row;
  }
  size_t kept = 0;
  for (size_t i = 0; i < rows_.size(); ++i) {
    if (i + 1 < rows_.size() && rows_[i].key() == rows_[i + 1].key()) {
      byte_size_ -= int64_t{rows_[i].key_size_} + rows_[i].framed_size_;
      continue;
    }
    rows_[kept++] = rows_[i];
  }
  rows_.resize(kept);
  sorted_ = true;
  return rows_;
}

void EpochRows::Compact() {
  if (allocated_bytes_ < kCompactBytesMin) return;
  (void)Sorted();
  if (allocated_bytes_ < 2 * byte_size_) return;
  EpochRows kept;
  kept.rows_.reserve(rows_.size());
  for (Row row : rows_) {
    const size_t bytes = size_t{row.key_size_} + row.framed_size_;
    char* const data = kept.Allocate(bytes);
    std::memcpy(data, row.data_, bytes);
    row.data_ = data;
    kept.rows_.push_back(row);
  }
  kept.byte_size_ = byte_size_;
  kept.erased_groups_ = std::move(erased_groups_);
  Swap(kept);
}

char* EpochRows::Allocate(size_t bytes) {
  allocated_bytes_ += static_cast<int64_t>(bytes);
  if (bytes > free_bytes_) {
    if (bytes > kChunkBytesMax / 4) {  // a large value gets a chunk of its own
      chunks_.emplace_back(new char[bytes]);
      return chunks_.back().get();
    }
    const size_t chunk_bytes = std::max(bytes, next_chunk_bytes_);
    next_chunk_bytes_ = std::min(next_chunk_bytes_ * 2, kChunkBytesMax);
    chunks_.emplace_back(new char[chunk_bytes]);
    free_ = chunks_.back().get();
    free_bytes_ = chunk_bytes;
  }
  char* const at = free_;
  free_ += bytes;
  free_bytes_ -= bytes;
  return at;
}

void EpochRows::Swap(EpochRows& other) noexcept {
  std::swap(rows_, other.rows_);
  std::swap(erased_groups_, other.erased_groups_);
  std::swap(chunks_, other.chunks_);
  std::swap(free_, other.free_);
  std::swap(free_bytes_, other.free_bytes_);
  std::swap(next_chunk_bytes_, other.next_chunk_bytes_);
  std::swap(byte_size_, other.byte_size_);
  std::swap(allocated_bytes_, other.allocated_bytes_);
  std::swap(sorted_, other.sorted_);
}

}  // namespace freshet
