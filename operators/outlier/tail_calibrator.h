#pragma once

#include <cstdint>
#include <optional>

#include "engine/base/bytes.h"
#include "engine/base/status.h"
#include "operators/outlier/sorted_window.h"
#include "operators/outlier/tail_peaks.h"

namespace freshet {

struct TailCalibratorOptions {
  int history = 4000;           ///< scores remembered, 50 to 65,535
  int warmup = 200;             ///< scores before the first p-value, 20 to history
  int stride = 4;               ///< a full history takes one score of so many, at least 1
  int peaks = 512;              ///< of the highest scores remembered beyond that, 50 to 65,535
  double exclude_below = 1e-6;  ///< scores with a smaller p-value are not remembered; 0 remembers all
};

/// For scores that wander slowly, as those of models do whose parts stay while the data moves away from them: a short
/// memory in the bulk, which follows them, and a long one of the peaks, which knows how far they go.
inline TailCalibratorOptions ForWanderingScores() {
  TailCalibratorOptions options;
  options.stride = 1;
  options.peaks = 2048;
  return options;
}

/// Turns a detector's score (higher is stranger) into P(a usual score is at least as high), from the scores' own past.
///
/// In the bulk the p-value is the rank in the history, ties counted half: all scores until `history` are there, from
/// then on one of `stride`, so that 4,000 speak for 16,000 rows. Scores above the history's 98 % quantile are kept for
/// longer (512 of them are those of some 25,000 rows), and there the p-value is the rank among these, and a fitted tail
/// beyond the highest of them: see TailPeaks. So p = 1e-3 comes from what was seen, not from a formula.
/// (With a tail fitted to the last 4,000 scores alone, p < 1e-4 came 1.7 times too often on normal noise, 3 on a season
/// and 10 on bursts: the scores of a learning forest wander, and a short past knows neither that nor the last burst.
/// The price: a tail that has become lighter is believed after some 25,000 rows; a heavier one at once.)
/// A score with p below `exclude_below` is an anomaly and is not remembered, lest it hide the next one (from 1e-4 on,
/// as is often done, the tail of clean noise would lose its own end and alarms would come three times too often); after
/// 50 such in a row the scores themselves have changed, and all are remembered until one is usual again. A NaN score
/// gives none and is not remembered. Scores are held as floats. Deterministic; a plain value of at most 8 bytes a
/// remembered score and 12 a peak; not thread-safe.
class TailCalibrator {
 public:
  static Status Validate(const TailCalibratorOptions& options);
  /// REQUIRES: Validate(options).ok().
  explicit TailCalibrator(const TailCalibratorOptions& options = {});

  bool ready() const { return window_.size() >= static_cast<size_t>(options_.warmup); }
  /// None until ready and for NaN. Never rises with the score.
  std::optional<TailProbability> Probability(double score) const;
  /// The middle of Probability, in [1e-12, 1].
  std::optional<double> PValue(double score) const;
  /// Remembers a score unless it is an anomaly.
  void Learn(double score) { Learn(score, PValue(score)); }
  /// PValue, then Learn.
  std::optional<double> PValueAndLearn(double score) {
    const std::optional<double> p = PValue(score);
    Learn(score, p);
    return p;
  }
  size_t memory_bytes() const { return sizeof *this + window_.memory_bytes() + peaks_.memory_bytes(); }

  void Encode(ByteSink& sink) const;
  /// Reads codec 1 too, which has no peaks: those of its history are taken.
  Status Decode(ByteSource& source);

 private:
  void Learn(double score, std::optional<double> p);
  float Threshold() const;
  void TakePeaksOfHistory();

  TailCalibratorOptions options_;
  SortedWindow<float> window_;
  TailPeaks peaks_;
  uint32_t skipped_ = 0;  // scores since the last that went into the full window
  uint32_t since_fit_ = 0;
  uint32_t anomaly_run_ = 0;
};

}  // namespace freshet
