#pragma once

#include <fast_float/fast_float.h>

#include <cmath>
#include <cstdint>
#include <cstring>

/// Readers of JSON numbers, for bytes behind which at least 64 more can be read. They take only what every reader
/// agrees on and give null for the rest (wrong grammar, more than 18 digits, far exponents): then the DOM shall judge.
/// What follows the number is the caller's to check.
namespace freshet {

/// `size` digits, 1 to 8, in the low bytes of a word, the first in the lowest. False if one is none. Pairs, quads and
/// eights are joined by multiplication (Langdale, Lemire).
inline bool DigitsInWord(uint64_t bytes, int64_t size, uint64_t* value) {
  bytes = (bytes ^ 0x3030303030303030ULL) << ((8 - size) * 8);
  if ((((bytes + 0x7676767676767676ULL) | bytes) & 0x8080808080808080ULL) != 0) return false;
  bytes = bytes * 10 + (bytes >> 8);
  *value = (((bytes & 0x000000ff000000ffULL) * 0x000f424000000064ULL) +
            (((bytes >> 16) & 0x000000ff000000ffULL) * 0x0000271000000001ULL)) >>
           32;
  return true;
}

/// The digits at `p`, at most 8, as a number. Eight bytes at once: the first byte that is no digit is found by a carry
/// into its top bit (later bytes may be wrong, but do not count), then pairs, quads and eights are joined by
/// multiplication (Langdale, Lemire).
inline int ReadEightDigits(const char* p, uint64_t* value) {
  uint64_t bytes = 0;
  std::memcpy(&bytes, p, 8);
  bytes ^= 0x3030303030303030ULL;
  const uint64_t other = ((bytes + 0x7676767676767676ULL) | bytes) & 0x8080808080808080ULL;
  const int count = other != 0 ? __builtin_ctzll(other) >> 3 : 8;
  if (count == 0) {
    *value = 0;
    return 0;
  }
  bytes <<= (8 - count) * 8;
  bytes = bytes * 10 + (bytes >> 8);
  *value = (((bytes & 0x000000ff000000ffULL) * 0x000f424000000064ULL) +
            (((bytes >> 16) & 0x000000ff000000ffULL) * 0x0000271000000001ULL)) >>
           32;
  return count;
}

/// A run of digits appended to `*value`, as far as the total stays within 18; null beyond that.
inline const char* ReadDigits(const char* p, uint64_t* value, int* digits) {
  static constexpr uint64_t kPowers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
  for (;;) {
    uint64_t part = 0;
    const int count = ReadEightDigits(p, &part);
    *digits += count;
    if (*digits > 18) return nullptr;
    *value = *value * kPowers[count] + part;
    p += count;
    if (count < 8) return p;
  }
}

/// An integer without fraction and exponent. Null if there is none or it has a leading zero.
inline const char* ReadJsonInteger(const char* p, int64_t* value) {
  const bool negative = *p == '-';
  p += negative ? 1 : 0;
  const bool zero = *p == '0';
  uint64_t magnitude = 0;
  int digits = 0;
  p = ReadDigits(p, &magnitude, &digits);
  if (p == nullptr || digits == 0 || (zero && digits > 1)) return nullptr;
  *value = negative ? -static_cast<int64_t>(magnitude) : static_cast<int64_t>(magnitude);
  return p;
}

/// All of the `size` bytes at `p`, 1 to 8, as digits. False if one is none.
inline bool ReadDigitsExactly(const char* p, int64_t size, uint64_t* value) {
  uint64_t bytes = 0;
  std::memcpy(&bytes, p, 8);
  return DigitsInWord(bytes, size, value);
}

/// The integer that is all of [p, end); like ReadJsonInteger, without looking for the end.
inline bool ReadWholeInteger(const char* p, const char* end, int64_t* value) {
  static constexpr uint64_t kPowers[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
  const int64_t size = end - p;
  uint64_t magnitude = 0;
  if (static_cast<uint64_t>(size - 1) < 8 && (*p != '0' || size == 1) && ReadDigitsExactly(p, size, &magnitude))
      [[likely]] {
    *value = static_cast<int64_t>(magnitude);
    return true;
  }
  uint64_t rest = 0;
  if (static_cast<uint64_t>(size - 9) < 8 && *p != '0' && ReadDigitsExactly(p, 8, &magnitude) &&
      ReadDigitsExactly(p + 8, size - 8, &rest)) {
    *value = static_cast<int64_t>(magnitude * kPowers[size - 8] + rest);
    return true;
  }
  return size > 0 && ReadJsonInteger(p, value) == end;
}

/// The parts of a number: mantissa · 10^exponent, and whether it is written as an integer.
struct JsonNumberParts {
  uint64_t mantissa = 0;
  int exponent = 0;
  bool negative = false;
  bool integral = true;
};

inline const char* ReadJsonNumberParts(const char* p, JsonNumberParts* parts) {
  parts->negative = *p == '-';
  p += parts->negative ? 1 : 0;
  const bool zero = *p == '0';
  int digits = 0;
  p = ReadDigits(p, &parts->mantissa, &digits);
  if (p == nullptr || digits == 0 || (zero && digits > 1)) return nullptr;
  if (*p == '.') {
    parts->integral = false;
    const int before = digits;
    p = ReadDigits(p + 1, &parts->mantissa, &digits);
    if (p == nullptr || digits == before) return nullptr;
    parts->exponent = before - digits;
  }
  if (*p == 'e' || *p == 'E') {
    parts->integral = false;
    ++p;
    const bool down = *p == '-';
    p += *p == '-' || *p == '+' ? 1 : 0;
    uint64_t exponent = 0;
    const int count = ReadEightDigits(p, &exponent);
    if (count == 0 || count > 2) return nullptr;
    p += count;
    parts->exponent += down ? -static_cast<int>(exponent) : static_cast<int>(exponent);
  }
  return p;
}

inline const char* SkipJsonNumber(const char* p) {
  JsonNumberParts parts;
  return ReadJsonNumberParts(p, &parts);
}

/// The nearest double. A mantissa below 2^53 scaled by an exact power of ten is rounded once (Clinger 1990); others go
/// to fast_float.
inline constexpr double kPowersOfTen[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                          1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
inline const char* ReadJsonNumber(const char* p, double* value) {
  JsonNumberParts parts;
  const char* const end = ReadJsonNumberParts(p, &parts);
  if (end == nullptr) return nullptr;
  if (parts.integral) {
    const auto integer = static_cast<int64_t>(parts.mantissa);
    *value = static_cast<double>(parts.negative ? -integer : integer);
  } else if (parts.mantissa < (uint64_t{1} << 53) && parts.exponent >= -22 && parts.exponent <= 22) {
    const auto mantissa = static_cast<double>(parts.mantissa);
    const double size =
        parts.exponent < 0 ? mantissa / kPowersOfTen[-parts.exponent] : mantissa * kPowersOfTen[parts.exponent];
    *value = parts.negative ? -size : size;
  } else if (const auto r = fast_float::from_chars(p, end, *value);
             r.ec != std::errc() || r.ptr != end || !std::isfinite(*value)) {
    return nullptr;
  }
  return end;
}

/// The number that is all of [p, end); like ReadJsonNumber, without looking for the end. Up to eight characters with or
/// without a point need one word.
inline bool ReadWholeNumber(const char* p, const char* end, double* value) {
  const int64_t size = end - p;
  if (static_cast<uint64_t>(size - 1) < 8) [[likely]] {
    uint64_t bytes = 0;
    std::memcpy(&bytes, p, 8);
    const uint64_t other = bytes ^ 0x2e2e2e2e2e2e2e2eULL;
    // The lowest byte that is zero: none below it borrows.
    const uint64_t points = (other - 0x0101010101010101ULL) & ~other & 0x8080808080808080ULL;
    const int64_t point = points != 0 ? __builtin_ctzll(points) >> 3 : 8;
    uint64_t mantissa = 0;
    if (point < size) {
      const uint64_t before = (uint64_t{1} << (point * 8)) - 1;
      const int64_t after = size - 1 - point;
      if (point > 0 && after > 0 && (*p != '0' || point == 1) &&
          DigitsInWord((bytes & before) | ((bytes >> 8) & ~before), size - 1, &mantissa)) {
        *value = static_cast<double>(mantissa) / kPowersOfTen[after];
        return true;
      }
    } else if ((*p != '0' || size == 1) && DigitsInWord(bytes, size, &mantissa)) {
      *value = static_cast<double>(mantissa);
      return true;
    }
  }
  return size > 0 && ReadJsonNumber(p, value) == end;
}

}  // namespace freshet
