#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/time.h"

namespace freshet {

struct AlarmBudgetOptions {
  double alarms = 3;                    ///< per period, > 0
  int64_t period_us = 604'800'000'000;  ///< > 0
  double alarm_at = 2.5;                ///< the bar in the first period, until there is a history to choose from
};

/// Decides where an alarm starts so that there are about `alarms` a period on average, whatever the scores look like:
/// the bar is chosen from the series' own history.
///
/// High scores are gathered into candidates, each the highest score of a stretch of at most 200 rows (at most a tenth
/// of all rows so far) and half of period / alarms, so that one oddity counts once. Of the K candidates of the last 8
/// periods the budget could have paid for m = alarms x periods; an alarm starts when a candidate rises above the
/// (m+1)-th highest of them: for scores that go on as before that happens with chance (m+1)/(K+1). Where many are equal
/// (the highest score there is), those at the bar may alarm while fewer than m have. Scores below 1 never alarm.
/// Time is the highest seen. At most 1,024 candidates and alarms are kept, 16 bytes each. Deterministic, a plain value;
/// not thread-safe.
class AlarmBudget {
 public:
  explicit AlarmBudget(const AlarmBudgetOptions& options) : options_(options) {}

  /// The score where an alarm starts, 0 elsewhere and for NaN.
  double Pass(EventTime time, double score);
  /// Alarms a period over the last 8, or as many as there are; none in the first.
  std::optional<double> rate() const;
  /// The bar that the next candidate must rise above.
  double bar() const;
  size_t memory_bytes() const { return sizeof *this + 16 * past_.capacity() + 8 * alarms_.capacity(); }

  void Encode(ByteSink& sink) const;
  bool Decode(ByteSource& source);

 private:
  struct Candidate {
    int64_t time_us = 0;
    double score = 0;
  };
  double Periods() const;
  size_t Affordable() const;
  void Close();
  void ForgetOld();

  AlarmBudgetOptions options_;
  int64_t count_ = 0;
  int64_t first_us_ = 0;
  int64_t now_us_ = 0;
  int64_t open_count_ = -1;  // row at which the open candidate began; -1: none
  bool open_alarmed_ = false;
  Candidate open_;
  std::vector<Candidate> past_;
  std::vector<int64_t> alarms_;
};

/// "3/week": a number of alarms and hour, day or week. None if it is not that.
std::optional<AlarmBudgetOptions> ParseAlarmBudget(std::string_view text);

}  // namespace freshet
