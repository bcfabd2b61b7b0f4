#pragma once

#include "operators/outlier/outlier_model.h"
#include "operators/outlier/value_window.h"

namespace freshet {

struct RollingMadOptions {
  int window = 101;        ///< values remembered, 5 to 65,535
  int warmup = 20;         ///< values before the first verdict, 5 to window
  double threshold = 3.5;  ///< half width of the band, in robust standard deviations, > 0
  double unit = 0;         ///< smallest step that matters, in the metric's unit, >= 0; 0: see ValueWindow
};

/// Robust z-score against the median and the median absolute deviation of the last values (Iglewicz and Hoaglin 1993):
/// 0.6745 (x - median) / MAD, from the window before the value.
///
/// Where the MAD is small the scale falls back, see ValueWindow::RobustScale. Half of the window must be replaced
/// before an outlying run moves the median, so nothing is clamped.
/// p_value is Student's t tail with 0.37 (n - 1) degrees of freedom, as a MAD is 37 % as efficient as a standard
/// deviation on normal noise; for other noise feed |score| to a TailCalibrator and prefer its p-value once it is warm.
/// Memory: 170 bytes a key and 16 a value.
class RollingMad final : public OutlierModel {
 public:
  static Status Validate(const RollingMadOptions& options);
  /// REQUIRES: Validate(options).ok().
  explicit RollingMad(const RollingMadOptions& options = {}) : options_(options), window_(options.window) {}

  bool ready() const { return window_.size() >= static_cast<size_t>(options_.warmup); }
  using OutlierModel::Learn;
  OutlierVerdict Score(const OutlierInput& in) const override;
  void Learn(const OutlierInput& in, const OutlierVerdict& before) override;
  size_t memory_bytes() const override { return sizeof *this + window_.memory_bytes(); }
  void Encode(ByteSink& sink) const override;
  Status Decode(ByteSource& source) override;

 private:
  RollingMadOptions options_;
  ValueWindow window_;
};

}  // namespace freshet
