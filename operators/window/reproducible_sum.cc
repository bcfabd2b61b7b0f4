#include "operators/window/reproducible_sum.h"

#include <cmath>

namespace freshet {
namespace {

/// A 256-bit integer in two's complement, lowest word first.
struct Wide {
  uint64_t words[4] = {0, 0, 0, 0};

  bool negative() const { return (words[3] >> 63) != 0; }
  /// Adds v * 2^(64 * from), sign extended.
  void Add(Int128 v, int from) {
    const uint64_t fill = v < 0 ? ~uint64_t{0} : 0;
    const uint64_t parts[4] = {static_cast<uint64_t>(v), static_cast<uint64_t>(v >> 64), fill, fill};
    Uint128 carry = 0;
    for (int i = from; i < 4; ++i) {
      carry += Uint128{words[i]} + parts[i - from];
      words[i] = static_cast<uint64_t>(carry);
      carry >>= 64;
    }
  }
  void Negate() {
    for (uint64_t& w : words) w = ~w;
    Add(1, 0);
  }
  int HighestBit() const {
    for (int i = 3; i >= 0; --i)
      if (words[i] != 0) return 64 * i + 63 - std::countl_zero(words[i]);
    return -1;
  }
  bool AnyBelow(int bit) const {
    for (int i = 0; i < bit / 64; ++i)
      if (words[i] != 0) return true;
    return bit % 64 != 0 && (words[bit / 64] << (64 - bit % 64)) != 0;
  }
  bool Bit(int bit) const { return ((words[bit / 64] >> (bit % 64)) & 1) != 0; }
  /// 64 bits from `bit` upwards.
  uint64_t From(int bit) const {
    const int word = bit / 64;
    const int shift = bit % 64;
    uint64_t v = words[word] >> shift;
    if (shift != 0 && word < 3) v |= words[word + 1] << (64 - shift);
    return v;
  }
};

/// Rounds to nearest even, 53 bits, and takes the result away from `v`.
double TakeDouble(Wide& v, int exponent) {
  const bool negative = v.negative();
  if (negative) v.Negate();
  const int top = v.HighestBit();
  if (top < 0) return 0;
  const int shift = top > 52 ? top - 52 : 0;
  uint64_t mantissa = v.From(shift) & ((uint64_t{1} << 53) - 1);
  if (shift > 0 && v.Bit(shift - 1) && (v.AnyBelow(shift - 1) || (mantissa & 1) != 0)) ++mantissa;
  // mantissa * 2^shift in two words of 64 bits, taken off.
  const Uint128 moved = Uint128{mantissa} << (shift % 64);
  Wide part;
  part.Add(static_cast<Int128>(static_cast<uint64_t>(moved)), shift / 64);
  if (shift / 64 < 3) part.Add(static_cast<Int128>(static_cast<uint64_t>(moved >> 64)), shift / 64 + 1);
  part.Negate();
  for (int i = 0; i < 4; ++i) v.Add(static_cast<Int128>(part.words[i]), i);
  if (negative) v.Negate();
  const double magnitude = std::ldexp(static_cast<double>(mantissa), shift + exponent);
  return negative ? -magnitude : magnitude;
}

}  // namespace

void ReproducibleSum::AddSpecial(double x) {
  special_ |= std::isnan(x) ? kNan : x > 0 ? kPlusInfinity : kMinusInfinity;
}

void ReproducibleSum::RaiseTop(int32_t top) {
  const int64_t steps = int64_t{top} - top_;
  for (int i = 2; i >= 0; --i) bins_[i] = i >= steps ? bins_[i - steps] : 0;
  top_ = top;
}

void ReproducibleSum::AddElsewhere(int32_t place, Int128 low, Int128 high) {
  if (low == 0 && high == 0) return;
  if (place + 1 > top_) RaiseTop(place + 1);
  const int32_t depth = top_ - (place + 1);
  if (depth < 3) bins_[depth] += high;
  if (depth < 2) bins_[depth + 1] += low;
}

void ReproducibleSum::AddSquare(double x) {
  ++count_;
  if (!std::isfinite(x)) return AddSpecial(x * x);
  int exponent = 0;
  const double fraction = std::frexp(std::fabs(x), &exponent);
  const auto mantissa = static_cast<uint64_t>(std::ldexp(fraction, 53));
  if (mantissa == 0) return;
  const Uint128 square = Uint128{mantissa} * mantissa;
  const int32_t at = 2 * (exponent - 53) + kGridOffset;
  const int32_t place = at >> 6;
  const int32_t shift = at & 63;
  const Uint128 low = (square & ~uint64_t{0}) << shift;
  const Uint128 high = ((square >> 64) << shift) + (low >> 64);
  const Int128 digits[3] = {static_cast<Int128>(high >> 64), static_cast<Int128>(static_cast<uint64_t>(high)),
                            static_cast<Int128>(static_cast<uint64_t>(low))};
  if (place + 2 > top_) RaiseTop(place + 2);
  const int32_t depth = top_ - (place + 2);
  for (int32_t i = 0; i + depth < 3; ++i) bins_[i + depth] += digits[i];
}

void ReproducibleSum::Merge(const ReproducibleSum& other) {
  count_ += other.count_;
  special_ |= other.special_;
  if (other.top_ == kNoTop) return;
  if (other.top_ > top_) RaiseTop(other.top_);
  const int32_t depth = top_ - other.top_;
  for (int32_t i = 0; i + depth < 3; ++i) bins_[i + depth] += other.bins_[i];
}

void ReproducibleSum::ValuePair(double* high, double* low) const {
  *low = 0;
  if (special_ != 0) {
    const bool both = special_ == (kPlusInfinity | kMinusInfinity);
    *high = (special_ & kNan) != 0 || both ? std::numeric_limits<double>::quiet_NaN()
            : special_ == kPlusInfinity    ? std::numeric_limits<double>::infinity()
                                           : -std::numeric_limits<double>::infinity();
    return;
  }
  *high = 0;
  if (top_ == kNoTop) return;
  Wide sum;
  for (int i = 0; i < 3; ++i) sum.Add(bins_[i], 2 - i);
  const int exponent = 64 * (top_ - 2) - kGridOffset;
  *high = TakeDouble(sum, exponent);
  *low = TakeDouble(sum, exponent);
}

double ReproducibleSum::Value() const {
  double high = 0;
  double low = 0;
  ValuePair(&high, &low);
  return high;
}

void ReproducibleSum::Encode(ByteSink& sink) const {
  sink.PutVarint(static_cast<uint64_t>(count_));
  sink.PutU8(static_cast<uint8_t>(special_ | (top_ == kNoTop ? 0 : 8)));
  if (top_ == kNoTop) return;
  sink.PutU32(static_cast<uint32_t>(top_));
  for (const Int128 bin : bins_) {
    sink.PutU64(static_cast<uint64_t>(bin));
    sink.PutU64(static_cast<uint64_t>(bin >> 64));
  }
}

bool ReproducibleSum::Decode(ByteSource& source) {
  *this = ReproducibleSum();
  count_ = static_cast<int64_t>(source.GetVarint());
  const uint8_t flags = source.GetU8();
  special_ = flags & 7;
  if ((flags & 8) != 0) {
    top_ = static_cast<int32_t>(source.GetU32());
    for (Int128& bin : bins_) {
      const uint64_t low = source.GetU64();
      bin = static_cast<Int128>(Uint128{source.GetU64()} << 64 | low);
    }
  }
  // Beyond these no double has digits: such bytes are not ours, and would overflow later.
  return source.ok() && (flags & ~0xf) == 0 && count_ >= 0 && (top_ == kNoTop || (top_ > -64 && top_ < 64));
}

}  // namespace freshet
