#include "operators/isolation_forest/category_rarity.h"

#include <algorithm>
#include <cmath>

#include "engine/base/rng.h"

namespace freshet {
namespace {

constexpr double kTotalMax = 4096;
constexpr size_t kCountsMax = 8192;

/// FNV-1a, mixed. Stands in state: frozen.
uint64_t HashOf(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return Mix64(hash);
}

}  // namespace

double CategoryRarity::BitsAndLearn(std::string_view category) {
  const uint64_t hash = HashOf(category);
  auto at = std::lower_bound(counts_.begin(), counts_.end(), hash,
                             [](const Count& count, uint64_t h) { return count.hash < h; });
  const bool known = at != counts_.end() && at->hash == hash;
  const double bits = std::log2((total_ + 1) / ((known ? at->rows : 0) + 0.5));
  if (!known) at = counts_.insert(at, {hash, 0});
  at->rows += 1;
  total_ += 1;
  if (total_ < kTotalMax) return bits;
  total_ = 0;
  for (Count& count : counts_) count.rows /= 2;
  std::erase_if(counts_, [](const Count& count) { return count.rows < 0.5; });
  for (const Count& count : counts_) total_ += count.rows;
  return bits;
}

void CategoryRarity::Encode(ByteSink& sink) const {
  sink.PutVarint(counts_.size());
  for (const Count& count : counts_) {
    sink.PutU64(count.hash);
    sink.PutF64(count.rows);
  }
  sink.PutF64(total_);
}

bool CategoryRarity::Decode(ByteSource& source) {
  const uint64_t size = source.GetVarint();
  if (size > kCountsMax || source.remaining() / 16 < size) return false;
  counts_.resize(size);
  for (Count& count : counts_) {
    count.hash = source.GetU64();
    count.rows = source.GetF64();
  }
  total_ = source.GetF64();
  return source.ok() &&
         std::is_sorted(counts_.begin(), counts_.end(), [](const Count& a, const Count& b) { return a.hash < b.hash; });
}

}  // namespace freshet
