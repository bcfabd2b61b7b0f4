#pragma once

#include <cstdint>
#include <vector>

#include "operators/outlier/outlier_model.h"
#include "operators/outlier/season_clock.h"

namespace freshet {

struct HoltWintersOptions {
  double alpha = 0.2;     ///< weight of the newest value in the level, in (0, 1)
  double beta = 0.05;     ///< of the newest step in the trend, in [0, 1)
  double gamma = 0.1;     ///< of the newest value in its season, in [0, 1)
  double damping = 0.98;  ///< of the trend a step, in (0, 1]
  double threshold = 3;   ///< half width of the band, in standard deviations, > 0
  double clip = 2;        ///< Huber's k: errors beyond this many standard deviations enter as that many, > 0
  /// With a step, time counts in steps, so gaps are forecast over; else a row is a step. With a period there is a
  /// season of additive terms, one a phase.
  SeasonClock season = {};
};

/// Additive Holt-Winters smoothing with a damped trend, made robust as by Gelper, Fried and Croux (Journal of
/// Forecasting 2010): the one-step error enters clipped at k times the scale (Huber's psi), and the scale is smoothed
/// by a bounded rho (Tukey's biweight, k = 2), so one wild value moves both boundedly, while a lasting shift is
/// followed: the scale may grow by 4 % a row.
///
///   e = x - (l + S_h b + s),  S_h = d + ... + d^h over the h steps since the last row
///   v = (1 - w) v + w rho(e / sigma_h) v,  w = 0.05;  e clipped at k sigma_h
///   l = l + S_h b + alpha e;  b = d^h b + alpha beta e;  s = s + gamma e
///
/// sigma_h^2 = v (1 + sum over j < h of (alpha (1 + beta S_j))^2): the longer the gap, the wider the band.
/// Starts from 20 rows, or, with a season, from what two periods show (at most 4 rows a phase): the median slope of
/// pairs (Theil and Sen; with a season of pairs a period apart), medians of phases (of two values far apart the one
/// that fits the neighbours), MAD of what remains. p_value is Student's t with 30 degrees of freedom, about what a
/// scale over 39 values is worth. Memory: 200 bytes a key and 8 a phase; while it starts 16 a row.
class HoltWinters final : public OutlierModel {
 public:
  static Status Validate(const HoltWintersOptions& options);
  /// REQUIRES: Validate(options).ok().
  explicit HoltWinters(const HoltWintersOptions& options = {}) : options_(options) {}

  using OutlierModel::Learn;
  OutlierVerdict Score(const OutlierInput& in) const override;
  void Learn(const OutlierInput& in, const OutlierVerdict& before) override;
  size_t memory_bytes() const override;
  void Encode(ByteSink& sink) const override;
  Status Decode(ByteSource& source) override;

  /// Begins here instead of by its first rows; `seasons` one a phase. For tests against other programs.
  void StartFrom(double level, double trend, std::vector<double> seasons, double variance, int64_t last_us);

 private:
  struct Early {
    int64_t local_us;
    double x;
  };
  struct Forecast {
    double level, trend, season, sigma;
  };
  int64_t StepsTo(int64_t local_us) const;
  /// From the state to a moment; season NaN where its phase was never seen.
  Forecast Ahead(int64_t local_us) const;
  bool EarlyEnough() const;
  void Start();

  HoltWintersOptions options_;
  bool started_ = false;
  std::vector<Early> early_;
  int64_t last_us_ = 0;  // local
  double level_ = 0, trend_ = 0, variance_ = 0;
  std::vector<double> seasons_;  // NaN: never seen; empty without a season
};

}  // namespace freshet
