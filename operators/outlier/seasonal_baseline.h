#pragma once

#include <cstdint>
#include <vector>

#include "operators/outlier/outlier_model.h"

namespace freshet {

struct SeasonalBaselineOptions {
  bool by_week = false;    ///< 168 hours of the week (from Monday) instead of 24 of the day
  double threshold = 3.5;  ///< half width of the band, in robust standard deviations, > 0
};

/// What this hour of the day or of the week has shown before, by local time, so that summer time moves the season with
/// people; an hour that the clock repeats is one longer visit, one that it skips is none.
///
/// An hour learns once a *visit*: the mean of its rows, and how far they were from what was expected, when the next
/// hour begins. Expected is the median of the hour's last 5 visits; while there are fewer than 3 (three weeks, for
/// hours of the week) it is drawn, by thirds, to what the same hour of all days shows, or, for hours of the day, to all
/// hours. The scale is the median of the deviations of the last 5 visits of the hour and its two neighbours, of all
/// hours where these are fewer than 5. So two odd visits of five leave no trace, and a lasting shift is learnt after
/// three. p_value is Student's t with as many degrees of freedom as deviations. Warm when 5 deviations are known: after
/// a day of hourly rows and some of the next. Memory: 150 bytes a key and 84 an hour: 2.2 KB by day, 14.3 KB by week.
/// Source: the hour-of-week baselines of practice; medians as in Hampel (1974).
class SeasonalBaseline final : public OutlierModel {
 public:
  static Status Validate(const SeasonalBaselineOptions& options);
  /// REQUIRES: Validate(options).ok().
  explicit SeasonalBaseline(const SeasonalBaselineOptions& options = {});

  using OutlierModel::Learn;
  OutlierVerdict Score(const OutlierInput& in) const override;
  void Learn(const OutlierInput& in, const OutlierVerdict& before) override;
  size_t memory_bytes() const override;
  void Encode(ByteSink& sink) const override;
  Status Decode(ByteSource& source) override;

  /// 0 to 23, or to 167 from Monday 0:00. For tests too.
  size_t HourOf(int64_t local_us) const;

 private:
  static constexpr size_t kDepth = 5;
  struct Hour {
    double means[kDepth];
    double deviations[kDepth];  ///< mean |row - expected| of a visit; NaN where nothing was expected
    uint8_t next = 0;
    uint8_t visits = 0;  ///< at most kDepth
  };
  size_t HourOfVisit(int64_t visit) const;
  double Expected(size_t hour) const;  ///< NaN: unknown
  /// Deviations that speak for an hour, NaN left out.
  std::vector<double> Deviations(size_t hour) const;
  void CloseVisit();

  SeasonalBaselineOptions options_;
  std::vector<Hour> hours_;
  // The visit under way.
  int64_t visit_ = INT64_MIN;  // hours since 1970, local
  double expected_ = 0;        // when it began
  double sum_ = 0, deviation_ = 0;
  uint32_t rows_ = 0;
  // All visits, for the mean number of rows in one.
  uint64_t all_visits_ = 0, all_rows_ = 0;
};

}  // namespace freshet
