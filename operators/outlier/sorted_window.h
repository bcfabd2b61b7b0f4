#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "engine/base/bytes.h"

namespace freshet {

/// The last `size_max` values of a stream, in arrival order and sorted. A replacement moves only the sorted values
/// between the old and the new one, which for some thousands is cheaper than any tree. Grows by doubling.
/// T is float or double, never NaN. Not thread-safe.
template <class T>
class SortedWindow {
 public:
  /// REQUIRES: size_max > 0.
  explicit SortedWindow(size_t size_max) : size_max_(size_max) {}

  size_t size() const { return sorted_.size(); }
  size_t size_max() const { return size_max_; }
  bool full() const { return size() == size_max_; }
  /// i-th smallest.
  T operator[](size_t i) const { return sorted_[i]; }
  /// All, the smallest first. Valid until the next change.
  std::span<const T> sorted() const { return sorted_; }
  /// How many are below x.
  size_t Below(T x) const { return Find<false>(x); }
  /// How many are below or equal to x.
  size_t UpTo(T x) const { return Find<true>(x); }
  /// REQUIRES: full().
  T Oldest() const { return arrived_[next_]; }
  /// Values from the oldest to the newest.
  template <class F>
  void ForEach(F visit) const {
    for (size_t i = 0; i < arrived_.size(); ++i) visit(arrived_[(next_ + i) % arrived_.size()]);
  }

  void Clear() {
    arrived_.clear();
    sorted_.clear();
    next_ = 0;
  }
  /// Adds x; drops the oldest when full.
  void Push(T x) {
    if (!full()) {
      arrived_.push_back(x);
      sorted_.insert(sorted_.begin() + static_cast<ptrdiff_t>(UpTo(x)), x);
      return;
    }
    const size_t from = Below(arrived_[next_]);
    arrived_[next_] = x;
    next_ = next_ + 1 == size_max_ ? 0 : next_ + 1;
    size_t to = Below(x);
    T* s = sorted_.data();
    if (to > from) {
      --to;  // the gap left by the old value lies below
      std::memmove(s + from, s + from + 1, (to - from) * sizeof(T));
    } else {
      std::memmove(s + to + 1, s + to, (from - to) * sizeof(T));
    }
    s[to] = x;
  }
  /// Count (varint), then the values from the oldest to the newest.
  void Encode(ByteSink& sink) const {
    sink.PutVarint(size());
    ForEach([&](T x) { sink.PutBytes({reinterpret_cast<const char*>(&x), sizeof x}); });
  }
  /// False if the bytes are not such values, or more than fit.
  bool Decode(ByteSource& source) {
    const uint64_t count = source.GetVarint();
    if (count > size_max_ || source.remaining() / sizeof(T) < count) return false;
    Clear();
    for (uint64_t i = 0; i < count; ++i) {
      T x;
      std::memcpy(&x, source.GetBytes(sizeof x).data(), sizeof x);
      if (std::isnan(x)) return false;
      Push(x);
    }
    return source.ok();
  }
  size_t memory_bytes() const { return (arrived_.capacity() + sorted_.capacity()) * sizeof(T); }

 private:
  // Halving without branches: the position is data, not a jump to be guessed.
  template <bool kOrEqual>
  size_t Find(T x) const {
    const T* base = sorted_.data();
    size_t count = sorted_.size();
    if (count == 0) return 0;
    while (count > 1) {
      const size_t half = count / 2;
      const T probe = base[half - 1];
      base += half * static_cast<size_t>(kOrEqual ? probe <= x : probe < x);
      count -= half;
    }
    return static_cast<size_t>(base - sorted_.data()) + static_cast<size_t>(kOrEqual ? *base <= x : *base < x);
  }

  size_t size_max_;
  size_t next_ = 0;  // the oldest, once full
  std::vector<T> arrived_;
  std::vector<T> sorted_;
};

}  // namespace freshet
