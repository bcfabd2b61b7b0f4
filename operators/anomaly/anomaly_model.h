#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/status.h"
#include "operators/anomaly/age_curve.h"
#include "operators/anomaly/alarm_budget.h"
#include "operators/anomaly/alarm_gate.h"
#include "operators/anomaly/hard_rule.h"
#include "operators/anomaly/series_scorer.h"
#include "operators/isolation_forest/rolling_forest.h"
#include "operators/outlier/severity.h"
#include "operators/outlier/tail_calibrator.h"

namespace freshet {

/// From `at_us` on a metric is another: it was defined anew, or its source was. -1: all metrics.
struct SeriesBreak {
  int64_t at_us = 0;
  int metric = -1;
};

struct AnomalyOptions {
  int metrics = 1;  ///< 1 to kForestFeaturesMax
  SeriesScorerOptions series;
  bool by_age = false;  ///< expect what the same age has shown, and watch the difference
  AlarmGateOptions gate;
  std::optional<AlarmBudgetOptions> budget;  ///< decides where alarms start, instead of `gate`
  std::vector<HardRuleOptions> rules;        ///< at most one of a kind
  std::vector<SeriesBreak> breaks;           ///< by time
  double max_p = 1e-3;                       ///< a row is unusual when its p-value is below this
  int persist_k = 1;  ///< an anomaly when at least k of the last n rows are unusual, this one among them
  int persist_n = 1;  ///< 1 to 64
  uint64_t seed = 1;  ///< of the forest
};

/// One row as the model sees it.
struct AnomalyInput {
  EventTime time;
  const double* x = nullptr;  ///< a value for each metric; NaN is missing
  /// Where not null: how many trials each ratio is of. A ratio of few is drawn towards its expectation as if
  /// `kRatioPrior` more trials had shown that.
  const double* n = nullptr;
  int64_t zone_us = 0;                   ///< local time minus UTC
  double age_s = SeriesVerdict::kNone;   ///< REQUIRES by_age to matter
  double impact = SeriesVerdict::kNone;  ///< share of the whole that the row stands for, 0 to 1; NaN: not known
};

/// What the model says about one row. Numbers are NaN until warm.
struct AnomalyVerdict {
  double score = SeriesVerdict::kNone;  ///< 0 to 8
  std::optional<double> p_value;        ///< P(a usual row scores as high), from the scores' own past
  bool is_anomaly = false;              ///< unusual often enough, or a rule is broken
  Severity severity = Severity::kNone;
  double alarm_score = 0;            ///< non-zero only where an alarm starts
  std::optional<double> alarm_rate;  ///< AlarmBudget::rate
  int metric = 0;      ///< the one with the strongest evidence; -1: their combination, where no one is odd alone
  SeriesVerdict lead;  ///< of that metric (of the first one for a combination)
  std::optional<int64_t> since_us;        ///< when the present run of rows that are unusual or beyond the band began
  const HardRuleOptions* rule = nullptr;  ///< the (worst) one that is broken; of the model's options
  HardRuleVerdict rule_verdict;
  int began_anew = -1;  ///< the break that this row is the first after
};

/// The composed detector behind `anomaly`: one SeriesScorer per metric, for several metrics also one isolation forest
/// over their standardised residuals, the scores combined as SeriesScorer combines its evidence, calibrated once more,
/// then persistence; and an AlarmGate or an AlarmBudget for alarms. A row in which all metrics are missing says nothing
/// and teaches nothing.
///
/// Severity is that of the p-value, a step lower where the row stands for less than `kImpactSmall` of the whole, a step
/// higher (if there is one at all) from `kImpactLarge` on, and at least that of a broken rule. error_rate
/// speaks from the first row on, drops once their metric is warm; one that begins to be broken passes for the highest
/// score where alarms start. With the first row after a break the metric's past (scorer, age curve, rules, the forest)
/// is forgotten; it says nothing until it is warm again. What was learned of alarms and of usual scores stays.
/// Deterministic, a plain value, not thread-safe.
class AnomalyModel {
 public:
  static constexpr double kImpactSmall = 0.01;
  static constexpr double kImpactLarge = 0.25;

  static Status Validate(const AnomalyOptions& options);
  /// REQUIRES: Validate(options).ok().
  explicit AnomalyModel(const AnomalyOptions& options);
  AnomalyVerdict ScoreAndLearn(const AnomalyInput& row);
  AnomalyVerdict ScoreAndLearn(EventTime time, const double* x, const double* n) {
    return ScoreAndLearn({.time = time, .x = x, .n = n});
  }
  static constexpr double kRatioPrior = 20;
  size_t memory_bytes() const;

  void Encode(ByteSink& sink) const;
  Status Decode(ByteSource& source);

 private:
  int BeginAnew(int64_t time_us);
  void Forget(int metric);
  void MakeForest();
  double ScoreTogether(const std::vector<SeriesVerdict>& verdicts, const double* x);
  SeriesVerdict ScoreOne(size_t metric, double value, const AnomalyInput& row);
  void Judge(double score, bool heard, AnomalyVerdict* verdict);
  bool ApplyRules(const AnomalyInput& row, const std::vector<SeriesVerdict>& verdicts, AnomalyVerdict* verdict);
  void Track(const AnomalyInput& row, AnomalyVerdict* verdict);

  AnomalyOptions options_;
  MetricKind kind_;
  std::vector<SeriesScorer> series_;
  std::vector<AgeCurve> curves_;  // one a metric by age, else none
  std::vector<double> expected_;  // of the row before, for ratios
  std::optional<RollingForest> forest_;
  std::optional<RecentTail> forest_tail_;
  TailCalibrator tail_;
  AlarmGate gate_;
  std::optional<AlarmBudget> budget_;
  std::vector<HardRule> rules_;
  uint64_t unusual_ = 0;  // bit i: i rows ago
  int wake_ = 0;          // rows that still hold a stray one among their last values
  double strays_ = 0;     // scores left out lately
  int64_t last_us_;       // newest row; the least number: none
  int64_t since_us_;      // of AnomalyVerdict; the least number: no run
  bool rule_broken_ = false;
};

}  // namespace freshet
