#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "engine/base/bytes.h"

namespace freshet {

/// How much a notice matters: severity first, then the magnitude of its peak.
struct NoticeStrength {
  uint8_t severity = 0;
  double peak = 0;  ///< magnitude; NaN counts as 0
  bool operator<(const NoticeStrength& other) const {
    return severity != other.severity ? severity < other.severity : peak < other.peak;
  }
};

struct NoticeBudgetOptions {
  int64_t count = 3;                    ///< notices a period, >= 1
  int64_t period_us = 604'800'000'000;  ///< > 0
};

/// Which notices may leave so that no period has more than `count`, whenever it begins, and these go to what matters
/// most.
///
/// A notice passes if fewer than `count` passed in the period before it, and fewer than `count` of all that came in
/// that period (passed or not) were stronger: after a run of strong ones that were too many, the next free place is not
/// for a weak one. Critical ones always pass, and count. What is to come is not known, so a weak notice in a quiet
/// period passes although a strong one may follow. Of those that came, the last 1,024 are compared. Deterministic; a
/// plain value; times must not fall.
class NoticeBudget {
 public:
  static constexpr size_t kKeptMax = 1024;
  bool Pass(int64_t time_us, const NoticeStrength& strength, const NoticeBudgetOptions& options);
  int64_t passed_count() const { return passed_count_; }
  int64_t held_back_count() const { return held_back_count_; }
  /// Since the first notice: passed notices a period; 0 before a whole one has gone by.
  double Rate(const NoticeBudgetOptions& options) const;

  void Encode(ByteSink& sink) const;
  bool Decode(ByteSource& source);

 private:
  struct Came {
    int64_t time_us = 0;
    NoticeStrength strength;
  };
  std::deque<Came> came_;
  std::deque<int64_t> passed_us_;  ///< within the last period
  int64_t first_us_ = 0;
  int64_t last_us_ = 0;
  int64_t passed_count_ = 0;
  int64_t held_back_count_ = 0;
};

/// The row of the table "budget": what was asked for, and what came of it.
struct BudgetCell {
  NoticeBudgetOptions options;
  NoticeBudget budget;
  void Encode(ByteSink& sink) const;
  bool Decode(ByteSource& source, uint16_t codec);
};

}  // namespace freshet
