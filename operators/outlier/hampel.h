#pragma once

#include "operators/outlier/outside_run.h"
#include "operators/outlier/rolling_mad.h"

namespace freshet {

struct HampelOptions {
  int window = 25;       ///< values remembered, 5 to 65,535
  double threshold = 3;  ///< half width of the band, in robust standard deviations, > 0
};

/// The recursive Hampel filter (Hampel 1974; Pearson, Neuvo, Astola and Gabbouj 2016), looking back only: the score of
/// RollingMad over a short window into which a value outside the band enters as the band's edge. So a burst shorter
/// than half a window leaves no trace, and after half a window outside on one side values enter in full.
/// Warm after 10 values. p_value as RollingMad's. Memory: 180 bytes a key and 16 a value.
class Hampel final : public OutlierModel {
 public:
  static Status Validate(const HampelOptions& options);
  /// REQUIRES: Validate(options).ok().
  explicit Hampel(const HampelOptions& options = {});

  using OutlierModel::Learn;
  OutlierVerdict Score(const OutlierInput& in) const override { return mad_.Score(in); }
  void Learn(const OutlierInput& in, const OutlierVerdict& before) override;
  size_t memory_bytes() const override { return sizeof *this - sizeof mad_ + mad_.memory_bytes(); }
  void Encode(ByteSink& sink) const override;
  Status Decode(ByteSource& source) override;

 private:
  int32_t run_max_;
  OutsideRun outside_;
  RollingMad mad_;
};

}  // namespace freshet
