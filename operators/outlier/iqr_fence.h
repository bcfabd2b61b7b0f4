#pragma once

#include <vector>

#include "operators/outlier/outlier_model.h"
#include "operators/outlier/outside_run.h"
#include "operators/outlier/value_window.h"

namespace freshet {

struct IqrFenceOptions {
  int window = 101;          ///< values remembered, 8 to 65,535
  int warmup = 20;           ///< values before the first verdict, 8 to window
  double threshold = 1.5;    ///< interquartile ranges between a quartile and its fence, > 0
  bool adjust_skew = false;  ///< fences of the adjusted boxplot
};

/// Tukey's fences (1977) over the last values: outside [Q1 - k IQR, Q3 + k IQR] is unusual. With `adjust_skew` the
/// fences are those of the adjusted boxplot (Hubert and Vandervieren 2008), e^(-4 MC) and e^(3 MC) times as far, where
/// MC is the medcouple, a robust skewness in [-1, 1]; it is computed on at most 101 evenly spaced order statistics and
/// anew for every 8 values.
///
/// score is k times the way from the median to the fence: linear on each side, and |score| > k is outside. p_value
/// takes a fence for what it is on normal noise, 0.6745 + 1.349 k standard deviations, with Student's t tail as in
/// RollingMad. A value outside enters as the fence, up to a quarter of a window running on one side.
/// Memory: 200 bytes a key and 16 a value.
class IqrFence final : public OutlierModel {
 public:
  static Status Validate(const IqrFenceOptions& options);
  /// REQUIRES: Validate(options).ok().
  explicit IqrFence(const IqrFenceOptions& options = {}) : options_(options), window_(options.window) {}

  using OutlierModel::Learn;
  OutlierVerdict Score(const OutlierInput& in) const override;
  void Learn(const OutlierInput& in, const OutlierVerdict& before) override;
  size_t memory_bytes() const override { return sizeof *this + window_.memory_bytes(); }
  void Encode(ByteSink& sink) const override;
  Status Decode(ByteSource& source) override;

 private:
  IqrFenceOptions options_;
  ValueWindow window_;
  OutsideRun outside_;
  uint32_t since_skew_ = 0;
  double skew_ = 0;  // medcouple
};

/// The medcouple of sorted values (Brys, Hubert and Struyf 2004), by looking at all pairs.
double Medcouple(const std::vector<double>& sorted);

}  // namespace freshet
