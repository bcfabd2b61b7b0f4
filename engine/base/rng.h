#pragma once

#include <cmath>
#include <cstdint>

namespace freshet {

/// One step of SplitMix64 (Steele, Lea, Flood 2014): a good 64-bit mixer, used to seed and to derive per-id randomness.
constexpr uint64_t Mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

/// xoshiro256** (Blackman, Vigna 2018). The same seed gives the same sequence on every platform; distributions are our
/// own because those of the standard library differ between implementations. A plain value: copy it to snapshot it.
class Rng {
 public:
  explicit Rng(uint64_t seed = 0) {
    for (auto& word : state_) {
      seed += 0x9e3779b97f4a7c15ULL;
      word = Mix64(seed);
    }
  }
  uint64_t Next() {
    const uint64_t result = Rotate(state_[1] * 5, 7) * 9;
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = Rotate(state_[3], 45);
    return result;
  }
  /// Uniform in [0, 1), 53 bits.
  double NextDouble() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }
  /// Uniform in [0, n). REQUIRES: n > 0. (Lemire's multiply-shift; the bias is below n / 2^64.)
  uint64_t Below(uint64_t n) { return static_cast<uint64_t>((static_cast<unsigned __int128>(Next()) * n) >> 64); }
  /// Standard normal by the polar method (Marsaglia, Bray 1964); draws an even, varying number of words.
  double NextNormal() {
    for (;;) {
      const double u = 2 * NextDouble() - 1;
      const double v = 2 * NextDouble() - 1;
      const double s = u * u + v * v;
      if (s > 0 && s < 1) return u * std::sqrt(-2 * std::log(s) / s);
    }
  }
  /// Exponential with mean 1.
  double NextExponential() { return -std::log1p(-NextDouble()); }

  template <class Sink>
  void Encode(Sink& sink) const {
    for (uint64_t word : state_) sink.PutU64(word);
  }
  template <class Source>
  void Decode(Source& source) {
    for (uint64_t& word : state_) word = source.GetU64();
  }

 private:
  static constexpr uint64_t Rotate(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }
  uint64_t state_[4];
};

}  // namespace freshet
