#pragma once

#include <cstddef>
#include <map>

#include "engine/base/bytes.h"
#include "operators/outlier/metric_kind.h"
#include "operators/outlier/sorted_window.h"

namespace freshet {

/// What a metric usually is at an age: views of a video fall with its age, so a young one is compared with young ones.
///
/// Ages are put into quarters of an octave (1 s to 34 years); each keeps its last 120 values. What is expected at an
/// age lies on the line between the medians of the two nearest quarters of at least 8 values, or on the line through
/// the two last ones beyond them, for up to an octave. So it works where many things of all ages share one model, and
/// also where one thing grows old alone and each age is new: then its own past is carried on. Values are compared on
/// the kind's scale: counts by twice their square root (Anscombe 1948), where their noise is 1 at any height, latencies
/// by their logarithm, others as they are. The medians make it robust: nothing is left out. Deterministic, a plain
/// value of at most 1 KB a quarter seen; not thread-safe.
class AgeCurve {
 public:
  explicit AgeCurve(MetricKind kind) : kind_(kind) {}

  /// All in the metric's unit, but `residual`, which is on the scale. NaN where the age, or what is usual at it, is not
  /// known.
  struct Expectation {
    double expected, lower, upper;  ///< lower and upper: three robust standard deviations away
    double residual;                ///< of the value
  };
  /// `age_s` in seconds. REQUIRES: value finite or NaN.
  Expectation Expect(double age_s, double value) const;
  void Learn(double age_s, double value);
  void Clear() { quarters_.clear(); }
  size_t memory_bytes() const;

  void Encode(ByteSink& sink) const;
  bool Decode(ByteSource& source);

 private:
  double Scaled(double x) const;
  double Unscaled(double s) const;

  MetricKind kind_;
  std::map<int, SortedWindow<float>> quarters_;
};

}  // namespace freshet
