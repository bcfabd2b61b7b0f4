#pragma once

#include <cstdint>

#include "operators/outlier/outlier_model.h"
#include "operators/outlier/outside_run.h"

namespace freshet {

struct EwmaZScoreOptions {
  double alpha = 0.05;      ///< weight of the newest value, in (0, 0.5]
  double threshold = 3;     ///< half width of the band and start of the clamp, in standard deviations, > 0
  double stddev_floor = 0;  ///< smallest standard deviation, in the metric's unit, >= 0
};

/// z-score against exponentially weighted mean and variance (West 1979; Finch 2009): d = x - m; m += a d;
/// v = (1 - a)(v + a d^2), scored with m and v from before the value.
///
/// Warm after 3 / alpha values; until 1 / alpha, values weigh equally. A value beyond the threshold enters as the
/// band's edge, so that it moves the model boundedly; after 1 / alpha such values on the same side running the level
/// has changed, and they enter in full until one is inside. The standard deviation is at least `stddev_floor` and a
/// millionth of |mean|: on a constant series any visible change is extreme, the series itself is not.
/// p_value is Student's t tail with the model's effective sample size, (2 - alpha) / alpha, as degrees of freedom: a
/// normal tail would alarm three times too often at 1e-4. It needs no history, so it exists as soon as the score does;
/// for noise that is not normal feed |score| to a TailCalibrator and prefer its p-value once it is warm.
/// Memory: 64 bytes a key.
class EwmaZScore final : public OutlierModel {
 public:
  static Status Validate(const EwmaZScoreOptions& options);
  /// REQUIRES: Validate(options).ok().
  explicit EwmaZScore(const EwmaZScoreOptions& options = {}) : options_(options) {}

  bool ready() const { return static_cast<double>(count_) >= 3 / options_.alpha; }
  using OutlierModel::Learn;
  OutlierVerdict Score(const OutlierInput& in) const override;
  void Learn(const OutlierInput& in, const OutlierVerdict& before) override;
  size_t memory_bytes() const override { return sizeof *this; }
  void Encode(ByteSink& sink) const override;
  Status Decode(ByteSource& source) override;

 private:
  double Stddev() const;

  EwmaZScoreOptions options_;
  int64_t count_ = 0;
  double mean_ = 0;
  double variance_ = 0;
  OutsideRun outside_;
};

}  // namespace freshet
