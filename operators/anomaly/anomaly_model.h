#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/status.h"
#include "operators/anomaly/alarm_gate.h"
#include "operators/anomaly/series_scorer.h"
#include "operators/isolation_forest/rolling_forest.h"
#include "operators/outlier/tail_calibrator.h"

namespace freshet {

struct AnomalyOptions {
  int metrics = 1;  ///< 1 to kForestFeaturesMax
  SeriesScorerOptions series;
  AlarmGateOptions gate;
  double max_p = 1e-3;  ///< a row is unusual when its p-value is below this
  int persist_k = 1;    ///< an anomaly when at least k of the last n rows are unusual, this one among them
  int persist_n = 1;    ///< 1 to 64
  uint64_t seed = 1;    ///< of the forest
};

/// What the model says about one row. Numbers are NaN until warm.
struct AnomalyVerdict {
  double score = SeriesVerdict::kNone;  ///< 0 to 8
  std::optional<double> p_value;        ///< P(a usual row scores as high), from the scores' own past
  bool is_anomaly = false;
  double alarm_score = 0;  ///< non-zero only where an alarm starts
  int metric = 0;          ///< the one with the strongest evidence; -1: their combination
  SeriesVerdict lead;      ///< of that metric (of the first one for a combination)
};

/// The composed detector behind `anomaly`: one SeriesScorer per metric, for several metrics also one isolation forest
/// over their standardised residuals, the scores combined as SeriesScorer combines its evidence, calibrated once more,
/// then persistence; and an AlarmGate for alarms. A row in which all metrics are missing says nothing and teaches
/// nothing. Deterministic, a plain value, not thread-safe.
class AnomalyModel {
 public:
  static Status Validate(const AnomalyOptions& options);
  /// REQUIRES: Validate(options).ok().
  explicit AnomalyModel(const AnomalyOptions& options);
  /// `x` holds a value for each metric; NaN is missing. `n`, where given (not null), holds how many trials each ratio
  /// is of: a ratio of few is drawn towards its expectation as if `kRatioPrior` more trials had shown that.
  AnomalyVerdict ScoreAndLearn(EventTime time, const double* x, const double* n);
  static constexpr double kRatioPrior = 20;
  size_t memory_bytes() const;

  void Encode(ByteSink& sink) const;
  Status Decode(ByteSource& source);

 private:
  double ScoreTogether(const std::vector<SeriesVerdict>& verdicts, const double* x);

  AnomalyOptions options_;
  std::vector<SeriesScorer> series_;
  std::vector<double> expected_;  // of the row before, for ratios
  std::optional<RollingForest> forest_;
  std::optional<TailCalibrator> forest_tail_;
  TailCalibrator tail_;
  AlarmGate gate_;
  uint64_t unusual_ = 0;  // bit i: i rows ago
  int wake_ = 0;          // rows that still hold a stray one among their last values
  int stray_run_ = 0;
};

}  // namespace freshet
