#pragma once

#include <cstdint>

#include "operators/outlier/outlier_model.h"
#include "operators/outlier/outside_run.h"

namespace freshet {

struct RatioOutlierOptions {
  double alpha = 0.02;   ///< weight of the newest row, in (0, 0.5]
  double threshold = 3;  ///< half width of the band, as a normal score, > 0
};

/// How likely a ratio k / n is, given the ratios before it and how many it is of. The value is the ratio, `of` its n.
/// The share is Beta distributed (Jeffreys' prior), with what is known discounted by 1 - alpha each row; shares of
/// different rows differ by more than chance with intraclass correlation rho, from the moments of the last 4 / alpha
/// rows. So the next k is beta-binomial, with both uncertainties, and 1 of 2 is no news where 1000 of 2000 is.
/// A row counts for n / (1 + (n - 1) rho) trials, so that one large row does not outweigh all others.
///
/// p_value is two-sided with mid-p (distributions.h), score the normal score of it, signed; expected and band are
/// ratios. Warm after 20 rows. A ratio outside the band enters as the band's edge, up to 1 / alpha running on one side.
/// Missing: an n that is not above 0, a finite value outside [0, 1]. k is the nearest whole number to value * n.
/// Memory: 96 bytes a key.
class RatioOutlier final : public OutlierModel {
 public:
  static Status Validate(const RatioOutlierOptions& options);
  /// REQUIRES: Validate(options).ok().
  explicit RatioOutlier(const RatioOutlierOptions& options = {}) : options_(options) {}

  using OutlierModel::Learn;
  OutlierVerdict Score(const OutlierInput& in) const override;
  void Learn(const OutlierInput& in, const OutlierVerdict& before) override;
  size_t memory_bytes() const override { return sizeof *this; }
  void Encode(ByteSink& sink) const override;
  Status Decode(ByteSource& source) override;

  double correlation() const;  ///< rho

 private:
  RatioOutlierOptions options_;
  OutsideRun outside_;
  int64_t count_ = 0;
  double hits_ = 0;     // discounted effective successes
  double misses_ = 0;   // discounted effective failures
  double excess_ = 0;   // discounted, weighted correlations of single rows
  double weights_ = 0;  // their weights
};

}  // namespace freshet
