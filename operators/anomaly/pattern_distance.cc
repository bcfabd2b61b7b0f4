#include "operators/anomaly/pattern_distance.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

namespace freshet {
namespace {

constexpr size_t kRunCountMin = 50;

/// The fifth smallest: candidates become rare soon, so that this is one comparison a value.
double FifthSmallest(const float* d, size_t count) {
  std::array<float, PatternDistance::kNeighbour> best;
  best.fill(std::numeric_limits<float>::infinity());
  for (size_t i = 0; i < count; ++i) {
    if (!(d[i] < best.back())) continue;
    size_t at = best.size() - 1;
    for (; at > 0 && d[i] < best[at - 1]; --at) best[at] = best[at - 1];
    best[at] = d[i];
  }
  return std::sqrt(static_cast<double>(best.back()));
}

}  // namespace

void PatternDistance::Append(float x) {
  // A window that slides through a buffer of twice its length and is copied back when it reaches the end.
  if (ring_.size() < 2 * history_ && first_ + filled_ == ring_.size()) {
    ring_.push_back(x);
  } else if (first_ + filled_ < ring_.size()) {
    ring_[first_ + filled_] = x;
  } else {
    std::memmove(ring_.data(), ring_.data() + first_ + 1, (filled_ - 1) * sizeof(float));
    first_ = 0;
    ring_[filled_ - 1] = x;
    return;
  }
  if (filled_ == history_)
    ++first_;
  else
    ++filled_;
}

PatternDistance::Distances PatternDistance::Push(double value) {
  Append(static_cast<float>(value));
  return Measure(values() + filled_);
}

PatternDistance::Distances PatternDistance::Instead(const std::array<float, kLong>& run) {
  return Measure(run.data() + run.size());
}

PatternDistance::Distances PatternDistance::Measure(const float* end) {
  Distances result{std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::quiet_NaN()};
  const float* v = values();
  const size_t n = filled_;
  // Run e ends at value e; the newest ends at n - 1, and what ends at n - 1 - length or before does not overlap it.
  if (n < kShort + kShort + kRunCountMin) return result;
  const size_t ends = n - kShort;  // runs that end at kShort - 1 .. ends - 1
  short_.resize(ends);
  long_.resize(ends);
  const float a = end[-4], b = end[-3], c = end[-2], d = end[-1];
  for (size_t e = kShort - 1; e < ends; ++e) {
    const float p = v[e - 3] - a, q = v[e - 2] - b, r = v[e - 1] - c, s = v[e] - d;
    short_[e] = (p * p + q * q) + (r * r + s * s);
  }
  result.short_run = FifthSmallest(short_.data() + kShort - 1, ends - (kShort - 1));
  if (n < kLong + kLong + kRunCountMin) return result;
  const float f = end[-8], g = end[-7], h = end[-6], i = end[-5];
  const size_t long_ends = n - kLong;
  for (size_t e = kLong - 1; e < long_ends; ++e) {
    const float p = v[e - 7] - f, q = v[e - 6] - g, r = v[e - 5] - h, s = v[e - 4] - i;
    long_[e] = short_[e] + ((p * p + q * q) + (r * r + s * s));
  }
  result.long_run = FifthSmallest(long_.data() + kLong - 1, long_ends - (kLong - 1));
  return result;
}

void PatternDistance::Encode(ByteSink& sink) const {
  sink.PutVarint(filled_);
  sink.PutBytes({reinterpret_cast<const char*>(values()), filled_ * sizeof(float)});
}

bool PatternDistance::Decode(ByteSource& source) {
  const uint64_t count = source.GetVarint();
  if (count > history_ || source.remaining() / sizeof(float) < count) return false;
  const std::string_view bytes = source.GetBytes(count * sizeof(float));
  ring_.resize(count);
  if (count > 0) std::memcpy(ring_.data(), bytes.data(), bytes.size());
  first_ = 0;
  filled_ = count;
  return std::all_of(ring_.begin(), ring_.end(), [](float x) { return std::isfinite(x); });
}

}  // namespace freshet
