#pragma once

#include <memory>
#include <span>
#include <vector>

#include "operators/outlier/outlier_model.h"
#include "operators/outlier/season_clock.h"
#include "operators/outlier/sorted_window.h"

namespace freshet {

/// Rosner's critical values lambda for a stage with m values left, at a two-sided family level `significance`
/// (Technometrics 1983, equation 2.5): (m - 1) t / sqrt(m (m - 2 + t^2)), t Student's quantile of 1 - significance / 2m
/// with m - 2 degrees of freedom. Indexed by m up to `size`; infinite below 3.
std::vector<double> RosnerCriticalValues(int size, double significance);

/// The generalised extreme studentised deviate test of sorted values: up to `outliers_max` times the value furthest
/// from the centre is taken away; the outliers are those before the last stage whose deviation is critical.
struct GesdOutcome {
  size_t first = 0, last = 0;      ///< values [first, last) are no outliers
  std::vector<double> deviations;  ///< R of each stage; only if asked for
};
/// `robust`: centre and scale are median and MAD / 0.6745, as in S-H-ESD (Hochenbaum, Vallis and Kejariwal 2017), else
/// mean and standard deviation. `critical` as RosnerCriticalValues gives it, at least as long as the values.
GesdOutcome Gesd(std::span<const double> sorted, int outliers_max, std::span<const double> critical, bool robust,
                 bool keep_deviations = false);

struct GesdOptions {
  int window = 500;            ///< values remembered, 20 to 20,000
  double share_max = 0.1;      ///< of the window that may be outliers, in (0, 0.49]
  double significance = 0.05;  ///< of the test that the window holds no outlier, in (0, 0.5]
  double threshold = 0;        ///< half width of the band in standard deviations; 0: Rosner's critical value
  SeasonClock season = {};     ///< with a period, its phase's median is taken off first
  /// RosnerCriticalValues(window, significance), shared by all keys; made by the model where absent.
  std::shared_ptr<const std::vector<double>> critical = nullptr;
};

/// Seasonal hybrid ESD as a stream: from each value the median of the last eight of its phase is taken off; the window
/// of such residuals is tested with median and MAD, and what remains of it without its outliers gives mean and standard
/// deviation. So past outliers, up to `share_max`, neither widen the band nor have to be clamped; more than that is a
/// change, and learnt.
///
/// score is (x - expected) / s; p_value Student's t with the kept values' degrees of freedom, exact on normal noise.
/// Warm after 20 residuals; with a season after three values of the phase.
/// Memory: 250 bytes a key, 16 a value of the window, 72 a phase; time: O(window) a row.
class GesdModel final : public OutlierModel {
 public:
  static Status Validate(const GesdOptions& options);
  /// REQUIRES: Validate(options).ok().
  explicit GesdModel(const GesdOptions& options = {});

  using OutlierModel::Learn;
  OutlierVerdict Score(const OutlierInput& in) const override;
  void Learn(const OutlierInput& in, const OutlierVerdict& before) override;
  size_t memory_bytes() const override;
  void Encode(ByteSink& sink) const override;
  Status Decode(ByteSource& source) override;

 private:
  static constexpr size_t kPhaseDepth = 8;
  struct Phase {
    double values[kPhaseDepth];
    uint32_t count = 0;  // ever seen
  };
  /// What the season expects: 0 without one, NaN while it is unknown.
  double Usual(const OutlierInput& in) const;

  GesdOptions options_;
  SortedWindow<double> residuals_;
  std::vector<Phase> phases_;  // empty without a season
};

}  // namespace freshet
