#pragma once

#include "engine/base/bytes.h"
#include "engine/base/status.h"
#include "operators/outlier/outlier_verdict.h"
#include "operators/outlier/sorted_window.h"

namespace freshet {

struct RollingMadOptions {
  int window = 101;        ///< values remembered, 5 to 65,535
  int warmup = 20;         ///< values before the first verdict, 5 to window
  double threshold = 3.5;  ///< half width of the band, in robust standard deviations, > 0
  double unit = 0;         ///< smallest step that matters, in the metric's unit, >= 0; 0: see RollingMad
};

/// Robust z-score against the median and the median absolute deviation of the last values (Iglewicz and Hoaglin 1993):
/// 0.6745 (x - median) / MAD, from the window before the value.
///
/// Where the MAD is small the scale falls back: at least IQR / 1.349; if that is 0 too (more than half of the values
/// alike) at least one unit: `unit`, or, where not given, 1 if every value of the window is a whole number, else a
/// millionth of |median|. Half of the window must be replaced before an outlying run moves the median, so nothing is
/// clamped.
/// p_value is Student's t tail with 0.37 (n - 1) degrees of freedom, as a MAD is 37 % as efficient as a standard
/// deviation on normal noise; for other noise feed |score| to a TailCalibrator and prefer its p-value once it is warm.
/// NaN is missing: no verdict, nothing learned. An infinity scores kOutlierScoreMax and is not learned.
/// A plain value of at most 16 bytes a value; not thread-safe.
class RollingMad {
 public:
  static Status Validate(const RollingMadOptions& options);
  /// REQUIRES: Validate(options).ok().
  explicit RollingMad(const RollingMadOptions& options = {})
      : options_(options), window_(static_cast<size_t>(options.window)) {}

  bool ready() const { return window_.size() >= static_cast<size_t>(options_.warmup); }
  OutlierVerdict Score(double x) const;
  void Learn(double x);
  OutlierVerdict ScoreAndLearn(double x) {
    const OutlierVerdict verdict = Score(x);
    Learn(x);
    return verdict;
  }
  size_t memory_bytes() const { return sizeof *this + window_.memory_bytes(); }

  void Encode(ByteSink& sink) const;
  Status Decode(ByteSource& source);

 private:
  double Quantile(double q) const;
  double MedianDeviation(double median) const;
  double Scale(double median) const;

  RollingMadOptions options_;
  SortedWindow<double> window_;
  int64_t fractional_ = 0;  // values of the window that are not whole numbers
};

}  // namespace freshet
