#pragma once

#include <cstdint>
#include <optional>

#include "engine/base/bytes.h"
#include "engine/base/status.h"
#include "operators/outlier/sorted_window.h"

namespace freshet {

struct RecentTailOptions {
  int history = 4000;           ///< scores remembered, 50 to 65,535
  int warmup = 200;             ///< scores before the first p-value, 20 to history
  double exclude_below = 1e-6;  ///< scores with a smaller p-value are not remembered; 0 remembers all
};

/// The scale on which `anomaly` compares its kinds of evidence: a tail probability by the last `history` scores alone.
/// It follows a series that changes sooner than TailCalibrator does, which is what evidence needs; but p < 1e-4 comes
/// two to ten times too often (short pasts know neither bursts nor a wandering score), so what is reported as p-value
/// goes through a TailCalibrator afterwards.
///
/// In the bulk the value is the rank among the last `history` scores, ties counted half. Above the 96 % quantile t (at
/// least the top 20 scores) it is the share above t times the tail of a generalised Pareto distribution fitted to the
/// excesses (peaks over threshold, as in SPOT: Siffer et al., KDD 2017), refitted every 64 scores by
/// probability-weighted moments (Hosking and Wallis 1987). Threshold and scale follow the history; the shape, which 160
/// excesses cannot tell, is the mean of some 1,000 fits, drawn to 0 (an exponential tail) while there are few. A score
/// with p below `exclude_below` is an anomaly and is not remembered, lest it hide the next one; after 50 such in a row
/// the scores themselves have changed, and all are remembered until one is usual again. A NaN score gives none and is
/// not remembered. Scores are held as floats. Deterministic; a plain value of at most 8 bytes a remembered score; not
/// thread-safe.
class RecentTail {
 public:
  static Status Validate(const RecentTailOptions& options);
  /// REQUIRES: Validate(options).ok().
  explicit RecentTail(const RecentTailOptions& options = {});

  bool ready() const { return window_.size() >= static_cast<size_t>(options_.warmup); }
  /// None until ready and for NaN; else in [1e-12, 1].
  std::optional<double> PValue(double score) const;
  /// Remembers a score unless it is an anomaly.
  void Learn(double score) { Learn(score, PValue(score)); }
  /// PValue, then Learn.
  std::optional<double> PValueAndLearn(double score) {
    const std::optional<double> p = PValue(score);
    Learn(score, p);
    return p;
  }
  size_t memory_bytes() const { return sizeof *this + window_.memory_bytes(); }

  void Encode(ByteSink& sink) const;
  Status Decode(ByteSource& source);

 private:
  void Learn(double score, std::optional<double> p);
  void Refit();

  RecentTailOptions options_;
  SortedWindow<float> window_;
  // The fitted tail: P(score > x) = share (1 + shape (x - start) / scale)^(-1 / shape) for x > start.
  double start_ = 0;
  double share_ = 0;
  double shape_ = 0;
  double scale_ = 0;  // 0: no spread in the tail, ranks only
  double shape_mean_ = 0;
  uint32_t fit_count_ = 0;
  uint32_t since_fit_ = 0;
  uint32_t anomaly_run_ = 0;
};

}  // namespace freshet
