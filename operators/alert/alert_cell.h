#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/bytes.h"
#include "operators/alert/alert_brief.h"
#include "operators/alert/calendar.h"
#include "operators/alert/episode.h"
#include "operators/alert/feedback.h"
#include "operators/alert/recent_values.h"

namespace freshet {

/// What holds for every key of one alert.
struct AlertRules {
  EpisodeOptions episode;
  Calendar maintenance;
  int64_t remember_us = 0;  ///< how long an alert that is over stays known
  bool ended = false;       ///< the input is: all deadlines pass, but nothing is forgotten and silences stay
  /// A row's surprise is some number of the pipeline's, not -log10 of a p-value: nobody knows what is a lot of it.
  bool surprise_has_own_unit = false;
};

/// An alert that is over, as long as it is remembered.
struct PastAlert {
  uint64_t id = 0;
  int64_t started_us = 0;
  int64_t ended_us = 0;
  int64_t peaked_us = 0;
  double peak = 0;
  bool has_peak = false;
  bool told = false;  ///< else it was over before its silence or maintenance was
  uint8_t severity = 0;
  AlertLabel label = AlertLabel::kNone;
  int64_t acknowledged_us = 0;  ///< wall clock; 0: never
  double surprise = 0;          ///< of its most surprising row; 0: not known
  std::string message;
  AlertBrief brief = {};
};

/// A row as its key's alert sees it.
struct AlertInput {
  EpisodeInput episode;
  double surprise = 0;          ///< where labels move a floor under it; 0: not known
  std::optional<double> shown;  ///< for the sparkline; NaN: a gap
};

/// One key of an alert: its episode; whether people were told of it; what they said to that; the row that started it.
/// A plain value, the table's row, that knows no runtime type.
///
/// An episode that begins to fire during maintenance, or while its key or rule is silenced, is held: it is told when
/// that is over and it still fires; if it resolves before, nobody hears of it. An episode that was told is told as
/// resolved whenever that happens.
///
/// REQUIRES: as Episode: rows in time order, OnTime before OnRow, and again while Deadline says so.
struct AlertCell {
  static constexpr uint16_t kCodec = 7;
  /// A row less likely than one in 30 million counts whatever was labelled.
  static constexpr double kSurpriseEnough = 7.5;
  static constexpr size_t kPastCountMax = 8;  ///< per key; the oldest are forgotten first
  static constexpr size_t kLatelyMetMax = 9;

  Episode episode;
  Feedback feedback;
  uint64_t id = 0;            ///< of the episode; 0: none is on
  bool told = false;          ///< its firing row has left
  int64_t held_until_us = 0;  ///< firing and not told: when to look again
  int64_t silenced_until_us = INT64_MIN;
  bool silence_ends_with_episode = false;  ///< silent while it is on, whatever that time is, which holds afterwards
  int64_t form_asked_us = 0;               ///< wall clock: when the newest form was made that silenced the key; 0: none
  int64_t forms_until_us = 0;              ///< forms made until then (wall clock) are used up
  AlertLabel label = AlertLabel::kNone;    ///< of the episode
  int64_t acknowledged_us = 0;             ///< of the episode, wall clock; 0: not
  double surprise = 0;                     ///< of the episode's most surprising row so far; 0: not known
  double least_met = 0, most_met = 0;  ///< surprise of the rows that met the condition, in a unit of its own; 0: none
  std::vector<double> lately_met;      ///< the same, of the last kLatelyMetMax of these rows, oldest first
  double floor_max = INFINITY;         ///< labels move the floor up to here
  RecentValues recent;                 ///< for the sparkline; empty where there is none
  std::string key_text;                ///< for people: "channel=ZDF, edge=3"
  std::string message;
  AlertBrief brief;
  std::string row_bytes;       ///< the row that started the episode, one row of the input, encoded
  std::string last_bytes;      ///< the key's last row, kept where silence can start an episode
  std::deque<PastAlert> past;  ///< oldest first

  /// As Episode::OnTime; the event is one that people are told of. `rule_silenced_until_us`: for all keys.
  std::optional<EpisodeEvent> OnTime(int64_t now_us, const AlertRules& rules, int64_t rule_silenced_until_us,
                                     bool* started);
  /// A row whose surprise is known and short of the floor meets no condition.
  std::optional<EpisodeEvent> OnRow(const AlertInput& row, const AlertRules& rules, int64_t rule_silenced_until_us,
                                    bool* started);
  std::optional<int64_t> Deadline(const AlertRules& rules) const;
  bool Forgettable(int64_t now_us, const AlertRules& rules) const;
  /// What labels ask of a row's surprise; 0: nothing.
  double SurpriseFloor() const { return std::min(feedback.SurpriseFloor(), floor_max); }
  /// After an order: one that is held looks anew whether it may be told. A silence that is over shows at the next
  /// watermark, not before the last one, `now_us` (INT64_MIN: there was none).
  void LookAnew(int64_t now_us) {
    if (held()) held_until_us = now_us > INT64_MIN ? now_us : episode.started_us();
  }
  /// Makes the rows anew that are kept. False if `change` says so of one.
  bool ChangeRows(const std::function<bool(std::string*)>& change) {
    return (row_bytes.empty() || change(&row_bytes)) && (last_bytes.empty() || change(&last_bytes));
  }
  bool held() const { return episode.phase() == Episode::Phase::kFiring && !told; }

  /// Beside the object itself.
  int64_t MemoryBytes() const;
  void Encode(ByteSink& sink) const;
  /// Codec 1 had the episode, the message and the row that started it; 2 no surprise and no sparkline; 3 nothing of the
  /// rows that met the condition; 4 no brief and no silence that ends with an episode; such a silence of 5 had no time
  /// beside it; 6 knew neither the last rows that met the condition nor forms.
  bool Decode(ByteSource& source, uint16_t codec);

 private:
  int64_t QuietUntil(int64_t at_us, const AlertRules& rules, int64_t rule_silenced_until_us) const;
  std::optional<EpisodeEvent> Tell(const std::optional<EpisodeEvent>& event, const AlertRules& rules,
                                   int64_t rule_silenced_until_us);
  void Remember(const AlertRules& rules);
  /// How far labels may move the floor, once the row is seen. No label makes a key deaf: kSurpriseEnough is always
  /// enough. In a unit of its own two things are: kFactorMax times the least that ever met the condition, as a
  /// threshold moves by that factor at most; and, as one tiny row would make that nothing, the third largest of the
  /// last kLatelyMetMax rows that met it, so that about a third of them always counts. The most that ever met it is
  /// enough in any case, since the factor alone can ask for more than there is (a score ends at 1).
  void BoundFloor(const AlertInput& row, const AlertRules& rules);
  void EndSilence(bool another_started);
};

}  // namespace freshet
