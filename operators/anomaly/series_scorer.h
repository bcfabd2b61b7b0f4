#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/status.h"
#include "engine/base/time.h"
#include "operators/anomaly/excursion.h"
#include "operators/anomaly/nearest_gap.h"
#include "operators/anomaly/pattern_distance.h"
#include "operators/anomaly/recent_tail.h"
#include "operators/outlier/metric_kind.h"

namespace freshet {

struct SeriesScorerOptions {
  MetricKind kind = MetricKind::kAuto;
  int history = 4000;    ///< values remembered by each of the parts, 200 to 65,535
  bool by_hour = true;   ///< expect what the same hour of the day has shown
  bool by_week = false;  ///< and of the week; REQUIRES: by_hour
};

/// What the scorer says about one value, from the state before it. NaN until warm, or for a missing value.
struct SeriesVerdict {
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  double score = kNone;  ///< (also before the series is warm) strength of evidence, 0 to 8: log10 of the mean of 1/p
                         ///< over the kinds of evidence
  double with_echo = kNone;  ///< `score`, and what is odd only because of an excursion that is over, see below
  double expected = kNone;   ///< median of this hour of the day, or of the last values
  double lower = kNone;      ///< expected -+ three robust standard deviations of the same
  double upper = kNone;
  int evidence = -1;  ///< the strongest kind, a SeriesScorer::Evidence
};

/// Watches one series: five kinds of evidence, each turned into a tail probability by its own past, then combined.
///
///   value    the distance to the nearest value seen (within `history`)
///   pattern  the distance of the last 4 and 8 values to the nearest runs seen
///   hour     the distance of (value - median of its hour of the day) to the nearest such seen; after the first day.
///            By week: the median moves, as weeks pass, from that of the hour of the day to that of the hour of the
///            week, and is the latter alone after three
///   level    the same of exponentially smoothed values (weights 0.1 and 0.03): a level never held
///   drift    a leaky two-sided cumulative sum (Page 1954) of robust z-scores on the kind's own scale
///
/// Distances to what was seen before stay small for heavy tails, gaps, several levels and daily shapes, where z-scores
/// alarm. Evidence is s = -log10 p of each by a RecentTail, at most 8, averaged within a kind; the score is log10
/// of the mean of 10^s over kinds, a harmonic mean of p (Wilson, PNAS 2019): the strongest wins, and dependent kinds
/// are not multiplied as if they were independent.
///
/// After values that had left the usual ones and came back within 7 rows (see Excursion), `pattern` and `level` look at
/// the rows that follow as if those had stayed, as far as that is less odd: a spike is told once, not for as long as it
/// is among the last values. Where alarms start, with a silence of their own, all evidence counts: `with_echo`.
///
/// Scores begin after 100 values, but only those of a warm series are worth telling: after 200 values and, while hours
/// of the day are looked at, a day and 50 more, or 750: what a first day shows is new by nature. NaN is missing; an
/// infinity scores 8 and is not learned. Deterministic; see memory_bytes(), at most 90 bytes per value of `history`; a
/// young one is small. Not thread-safe.
class SeriesScorer {
 public:
  enum Evidence : int { kValue, kPattern, kHour, kLevel, kDrift, kEvidenceCount };

  static Status Validate(const SeriesScorerOptions& options);
  /// REQUIRES: Validate(options).ok().
  explicit SeriesScorer(const SeriesScorerOptions& options = {});
  /// `zone_us`: local time minus UTC, for the hour.
  SeriesVerdict ScoreAndLearn(EventTime time, double x, int64_t zone_us = 0);
  bool warm() const;
  /// Of the newest value learned.
  std::optional<int64_t> newest_us() const { return count_ > 0 ? std::optional<int64_t>(last_us_) : std::nullopt; }
  size_t memory_bytes() const;

  void Encode(ByteSink& sink) const;
  Status Decode(ByteSource& source);

 private:
  enum Input : int { kNearest, kShortRun, kLongRun, kHourly, kFast, kSlow, kSum, kInputCount };
  using Inputs = std::array<double, kInputCount>;

  void DecideScale();
  double Scaled(double x) const;
  bool SeesHours(const SortedWindow<float>& hour) const;
  struct Basis {
    double median, spread;
  };
  /// Of the place in the day and the week. REQUIRES: SeesHours.
  Basis SeasonBasis(int64_t local_us) const;
  Inputs Measure(EventTime time, int64_t local_us, double x);
  double Cumulate(double x);
  double Score(const Inputs& inputs, int* strongest) const;
  bool IsOdd(const Inputs& inputs) const;
  bool QuietEcho(Inputs* inputs);
  double Combine(const std::array<double, kInputCount>& evidence, int* strongest) const;
  void Expect(int64_t local_us, SeriesVerdict* verdict) const;

  SeriesScorerOptions options_;
  int64_t count_ = 0;
  int64_t first_us_ = 0;
  int64_t last_us_ = 0;
  bool decided_ = false;
  bool logarithmic_ = false;
  double log_offset_ = 1;
  std::vector<double> first_values_;  // until the scale is decided
  NearestGap values_, hourly_, fast_, slow_;
  PatternDistance patterns_;
  std::vector<SortedWindow<float>> hours_;  // 24, raw values
  std::vector<SortedWindow<float>> week_;   // 168 by week, else none
  SortedWindow<float> recent_;              // on the metric's scale
  SortedWindow<float> recent_raw_;
  double fast_mean_ = 0, slow_mean_ = 0;
  Excursion excursion_;
  std::array<float, PatternDistance::kLong> echo_{};  // the newest last: how far rows of excursions were from usual
  double fast_echo_ = 0, slow_echo_ = 0;              // their part of the means
  double quiet_fast_ = 0, quiet_slow_ = 0;            // gaps of the newest row without that part; of one call
  double sum_up_ = 0, sum_down_ = 0;
  std::vector<RecentTail> tails_;  // one an input
};

/// "a value never seen", …: for `why`.
const char* EvidenceName(int evidence);

}  // namespace freshet
