#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "engine/base/bytes.h"
#include "operators/outlier/sorted_window.h"

namespace freshet {

/// The last values of a series and their robust statistics: 16 bytes a value. Only finite values go in.
class ValueWindow {
 public:
  explicit ValueWindow(int size) : values_(static_cast<size_t>(size)) {}
  size_t size() const { return values_.size(); }
  void Push(double x);
  /// Linear between order statistics (Hyndman and Fan's type 7). REQUIRES: size() > 0.
  double Quantile(double q) const;
  /// The median distance to `centre`, which should be the median. REQUIRES: size() > 0.
  double MedianDeviation(double centre) const;
  /// MAD / 0.6745 or IQR / 1.349, whichever is larger; where that is small, at least `unit`, or, if unit is 0, one if
  /// all values are whole numbers alike, else a millionth of |median|.
  double RobustScale(double median, double unit) const;
  /// What a scale may not be below; `spread` is the scale without it.
  double Floor(double spread, double median, double unit) const;
  const SortedWindow<double>& values() const { return values_; }
  size_t memory_bytes() const { return values_.memory_bytes(); }

  /// Count (varint), then the values from the oldest to the newest.
  void Encode(ByteSink& sink) const;
  /// False if the bytes are not such values, or more than fit.
  bool Decode(ByteSource& source);

 private:
  SortedWindow<double> values_;
  int64_t fractional_ = 0;  // values that are not whole numbers
};

/// Ratios of robust scales to a normal's standard deviation.
inline constexpr double kNormalMad = 0.6745;
inline constexpr double kNormalIqr = 1.349;
/// How many values' worth of a standard deviation one value is to a MAD or an IQR, on normal noise.
inline constexpr double kMadEfficiency = 0.37;

}  // namespace freshet
