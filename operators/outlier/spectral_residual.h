#pragma once

#include <complex>
#include <cstdint>
#include <span>
#include <vector>

#include "operators/outlier/outlier_model.h"
#include "operators/outlier/outside_run.h"

namespace freshet {

struct SpectralResidualOptions {
  int window = 128;      ///< values looked at, the newest among them: a power of two from 32 to 1,024
  double threshold = 3;  ///< for the score, and half width of the band in standard deviations, > 0
};

/// The saliency of each value: the inverse transform of the log spectrum less its mean over three neighbouring
/// frequencies, with the phases as they are (Hou and Zhang 2007). REQUIRES: a power of two of values.
std::vector<double> SpectralSaliency(std::span<const double> values);

/// Spectral residual (Ren et al., KDD 2019): a value is strange if its saliency S in the window that ends with it lies
/// above the mean of the 21 before: score = S / mean - 1, not below 0. As in the paper five foreseen values stand
/// behind it, here foreseen from the values before it: with it, a spike would be taken for the start of a slope and the
/// five be what stands out. It finds what breaks the pattern of a window, of whatever shape the pattern is.
///
/// The method itself has no expectation and no direction: expected is the paper's own extrapolation from the values
/// before (the last but four plus five times the mean slope), the band its usual error, smoothed, and the score is
/// signed by the side. It has no distribution either: p_value comes from calibration alone. A value outside the band
/// enters as its edge, for half a window running. Warm once the window is full. Memory: 180 bytes a key and 8 a value
/// of the window; time: two transforms of the window a row.
class SpectralResidual final : public OutlierModel {
 public:
  static Status Validate(const SpectralResidualOptions& options);
  /// REQUIRES: Validate(options).ok().
  explicit SpectralResidual(const SpectralResidualOptions& options = {}) : options_(options) {}

  using OutlierModel::Learn;
  OutlierVerdict Score(const OutlierInput& in) const override;
  void Learn(const OutlierInput& in, const OutlierVerdict& before) override;
  size_t memory_bytes() const override { return sizeof *this + values_.capacity() * sizeof(double); }
  void Encode(ByteSink& sink) const override;
  Status Decode(ByteSource& source) override;

 private:
  size_t Past() const;  // values kept
  std::vector<double> InOrder() const;

  SpectralResidualOptions options_;
  OutsideRun outside_;
  std::vector<double> values_;  // a ring
  uint32_t next_ = 0;           // the oldest, once full
  double error_ = 0;            // smoothed |x - expected|
};

}  // namespace freshet
