#pragma once

#include <cstdint>

#include "operators/outlier/outlier_model.h"
#include "operators/outlier/outside_run.h"

namespace freshet {

struct CountOutlierOptions {
  double alpha = 0.02;         ///< weight of the newest value, in (0, 0.5]
  double threshold = 3;        ///< half width of the band, as a normal score, > 0
  bool overdispersed = false;  ///< negative binomial: the noise may be wider than a Poisson's
  bool exposure = false;       ///< a value is a count within `of` hours, requests, …; else each within one
};

/// How likely a count is, given the counts before it. The rate per exposure is Gamma distributed, with what is known
/// discounted by 1 - alpha each row (the power steady model of Smith, JRSS B 1979; Jeffreys' prior), so the next count
/// is negative binomial, which already allows for a rate that is only estimated. With `overdispersed` its variance is
/// larger by phi mean^2, phi from the moments of the last 4 / alpha prediction errors, never below 0.
///
/// p_value is two-sided with mid-p (distributions.h), score the normal score of it, signed; the band is where |score|
/// <= threshold. So there is no standard deviation to be misled by: 3 where 0.1 is usual is no 30 sigma.
/// Warm after 10 counts, with dispersion after 50. A count outside the band enters as the band's edge, up to 1 / alpha
/// running on one side. A negative value is no count, and an exposure that is not above 0 no exposure: missing.
/// Memory: 104 bytes a key.
class CountOutlier final : public OutlierModel {
 public:
  static Status Validate(const CountOutlierOptions& options);
  /// REQUIRES: Validate(options).ok().
  explicit CountOutlier(const CountOutlierOptions& options = {}) : options_(options) {}

  using OutlierModel::Learn;
  OutlierVerdict Score(const OutlierInput& in) const override;
  void Learn(const OutlierInput& in, const OutlierVerdict& before) override;
  size_t memory_bytes() const override { return sizeof *this; }
  void Encode(ByteSink& sink) const override;
  Status Decode(ByteSource& source) override;

  double dispersion() const;  ///< phi

 private:
  double Exposure(const OutlierInput& in) const { return options_.exposure ? in.of : 1; }

  CountOutlierOptions options_;
  OutsideRun outside_;
  int64_t count_ = 0;
  double sum_ = 0;       // discounted counts
  double exposure_ = 0;  // discounted exposure
  double excess_ = 0;    // discounted squared errors beyond a Poisson's
  double squares_ = 0;   // discounted squared means
};

}  // namespace freshet
