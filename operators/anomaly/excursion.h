#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "engine/base/bytes.h"

namespace freshet {

/// A spike is one event, but stays among the last values and in the means for rows: without care it is told again and
/// again by what looks at more than the newest value. This follows a series that has left its usual values until it is
/// back, at most `kRowsMax` rows later; then these rows were an excursion. Longer ones are where the series is now.
///
/// It begins with a value that is odd by itself, and goes on while values are odd or nearer to the last odd one than to
/// the last usual one: so a new level, whose values are odd only at first, is none. Deterministic; not thread-safe.
class Excursion {
 public:
  static constexpr size_t kRowsMax = 7;

  /// The next value. Whether it ends an excursion: the `rows()` before it were one, and `usual()` was the value before
  /// those. REQUIRES: finite.
  bool Ends(double x, bool is_odd) {
    const bool away = count_ > 0 && !(std::abs(x - usual_) < std::abs(x - values_[count_ - 1]));
    if (is_odd || away) {
      // Where no usual value was seen, there is nothing to come back to; what has lasted is no excursion.
      if (!has_usual_ || count_ == kRowsMax) {
        count_ = 0;
        has_usual_ = false;
      } else {
        values_[count_++] = x;
      }
      return false;
    }
    const bool ends = count_ > 0;
    rows_ = count_;
    before_ = usual_;
    count_ = 0;
    usual_ = x;
    has_usual_ = true;
    return ends;
  }
  // Of the excursion that has just ended:
  size_t rows() const { return rows_; }
  double value(size_t i) const { return values_[i]; }  ///< the oldest first
  double usual() const { return before_; }

  void Encode(ByteSink& sink) const {
    sink.PutBool(has_usual_);
    sink.PutF64(usual_);
    sink.PutU8(static_cast<uint8_t>(count_));
    for (size_t i = 0; i < count_; ++i) sink.PutF64(values_[i]);
  }
  bool Decode(ByteSource& source) {
    has_usual_ = source.GetBool();
    usual_ = source.GetF64();
    count_ = source.GetU8();
    if (count_ > kRowsMax) return false;
    for (size_t i = 0; i < count_; ++i) values_[i] = source.GetF64();
    return source.ok();
  }

 private:
  bool has_usual_ = false;
  double usual_ = 0;
  size_t count_ = 0;  // odd values under way
  std::array<double, kRowsMax> values_{};
  size_t rows_ = 0;
  double before_ = 0;
};

}  // namespace freshet
