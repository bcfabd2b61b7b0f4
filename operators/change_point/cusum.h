#pragma once

#include "operators/change_point/standardizer.h"

namespace freshet {

struct CusumOptions {
  double slack = 0.5;    ///< k: half of the shift to be found soonest, in standard deviations, > 0
  double threshold = 8;  ///< h, > 0
  bool adapt = false;    ///< `threshold` is for normal noise: stretch it for the noise there is, see TailExponent
};

/// h of a two-sided cumulative sum that gives one false alarm in `rows` on standard normal noise, by Siegmund's
/// approximation (1985): one side (e^(2kb) - 2kb - 1) / 2k^2 rows, b = h + 1.166. REQUIRES: k > 0, rows >= 10.
double CusumThreshold(double slack, double rows);

/// Two-sided cumulative sums (Page 1954) of self-standardised values: up = max(0, up + z - k), down likewise, a change
/// at h. It began where the sum last left 0, and its size is the mean since then less the mean of all before. After a
/// change, and at first, 30 rows say nothing; what is known of the noise's shape stays.
/// Memory: 220 bytes a key.
class Cusum final : public ChangeDetector {
 public:
  static Status Validate(const CusumOptions& options);
  /// REQUIRES: Validate(options).ok().
  explicit Cusum(const CusumOptions& options = {})
      : options_(options), up_tail_(options.slack), down_tail_(options.slack) {}

  std::optional<Change> Add(EventTime time, double x) override;
  size_t memory_bytes() const override { return sizeof *this; }
  void Encode(ByteSink& sink) const override;
  Status Decode(ByteSource& source) override;

 private:
  struct Side {
    double sum = 0;
    SinceMoment since;
  };
  bool Step(Side* side, TailExponent* tail, EventTime time, double x, double z, double level);

  CusumOptions options_;
  SelfStartingStandardizer standard_;
  Side up_, down_;
  TailExponent up_tail_, down_tail_;
};

}  // namespace freshet
