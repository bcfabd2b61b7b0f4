#include "operators/window/distinct_set.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "engine/base/rng.h"

namespace freshet {

uint64_t TextFingerprint(std::string_view text) {
  uint64_t h = Mix64(text.size());
  while (!text.empty()) {
    uint64_t word = 0;
    const size_t n = std::min<size_t>(8, text.size());
    std::memcpy(&word, text.data(), n);
    h = Mix64(std::rotl(h, 23) ^ word);
    text.remove_prefix(n);
  }
  return h;
}

void DistinctSet::Add(uint64_t fingerprint) {
  if (!exact()) return AddToRegisters(fingerprint);
  if (!Insert(fingerprint)) return;
  if (++count_ > kExactMax) Estimate();
}

bool DistinctSet::Insert(uint64_t fingerprint) {
  if (fingerprint == 0) {
    const bool is_new = !has_zero_;
    has_zero_ = true;
    return is_new;
  }
  if (2 * (count_ + 1) > slots_.size()) Grow(std::max<size_t>(8, 2 * slots_.size()));
  const size_t mask = slots_.size() - 1;
  for (size_t i = Mix64(fingerprint) & mask;; i = (i + 1) & mask) {
    if (slots_[i] == fingerprint) return false;
    if (slots_[i] != 0) continue;
    slots_[i] = fingerprint;
    return true;
  }
}

void DistinctSet::Grow(size_t slots) {
  std::vector<uint64_t> old(slots);
  old.swap(slots_);
  const size_t mask = slots - 1;
  for (const uint64_t v : old) {
    if (v == 0) continue;
    size_t i = Mix64(v) & mask;
    while (slots_[i] != 0) i = (i + 1) & mask;
    slots_[i] = v;
  }
}

void DistinctSet::Estimate() {
  registers_.assign(size_t{1} << kIndexBits, 0);
  if (has_zero_) AddToRegisters(0);
  for (const uint64_t v : slots_)
    if (v != 0) AddToRegisters(v);
  slots_ = {};
  has_zero_ = false;
  count_ = 0;
}

void DistinctSet::AddToRegisters(uint64_t fingerprint) {
  const uint64_t h = Mix64(fingerprint);
  const auto rank = static_cast<uint8_t>(std::countl_zero((h << kIndexBits) | (uint64_t{1} << (kIndexBits - 1))) + 1);
  uint8_t& r = registers_[h >> (64 - kIndexBits)];
  r = std::max(r, rank);
}

void DistinctSet::Merge(const DistinctSet& other) {
  if (other.exact()) {
    if (other.has_zero_) Add(0);
    for (const uint64_t v : other.slots_)
      if (v != 0) Add(v);
    return;
  }
  if (exact()) Estimate();
  for (size_t i = 0; i < registers_.size(); ++i) registers_[i] = std::max(registers_[i], other.registers_[i]);
}

int64_t DistinctSet::Count() const {
  if (exact()) return static_cast<int64_t>(count_);
  // Summed by rank, so that the result does not hang on the order of the registers.
  std::array<int32_t, 64> of_rank{};
  for (const uint8_t r : registers_) ++of_rank[r];
  double sum = 0;
  for (int rank = 63; rank >= 0; --rank) sum += of_rank[static_cast<size_t>(rank)] * std::ldexp(1.0, -rank);
  const auto m = static_cast<double>(registers_.size());
  const double raw = 0.7213 / (1 + 1.079 / m) * m * m / sum;
  const double estimate = raw <= 2.5 * m && of_rank[0] > 0 ? m * std::log(m / of_rank[0]) : raw;
  return std::max(static_cast<int64_t>(std::llround(estimate)), static_cast<int64_t>(kExactMax) + 1);
}

void DistinctSet::Encode(ByteSink& sink) const {
  sink.PutBool(exact());
  if (!exact()) return sink.PutBytes({reinterpret_cast<const char*>(registers_.data()), registers_.size()});
  sink.PutVarint(count_);
  sink.PutBool(has_zero_);
  for (const uint64_t v : slots_)
    if (v != 0) sink.PutU64(v);
}

bool DistinctSet::Decode(ByteSource& source) {
  *this = DistinctSet();
  if (!source.GetBool()) {
    const std::string_view bytes = source.GetBytes(size_t{1} << kIndexBits);
    registers_.assign(bytes.begin(), bytes.end());
    const bool in_range = std::all_of(registers_.begin(), registers_.end(), [](uint8_t r) { return r < 64; });
    return source.ok() && in_range;
  }
  const uint64_t count = source.GetVarint();
  if (count > kExactMax) return false;
  const bool zero = source.GetBool();
  if (zero && count > 0) Add(0);
  for (uint64_t i = zero ? 1 : 0; i < count; ++i) Add(source.GetU64());
  return source.ok() && exact() && count_ == count;
}

}  // namespace freshet
