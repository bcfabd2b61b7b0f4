#pragma once

#include <cmath>
#include <vector>

#include "operators/alert/episode.h"

namespace freshet::testing {

/// What an episode tells when it changes.
struct Told {
  bool firing = false;
  int64_t time_us = 0;
  int64_t started_us = 0;
  int64_t ended_us = 0;  ///< 0 while firing
  int64_t peaked_us = 0;
  double peak = 0;
  bool has_peak = false;
  uint8_t severity = 0;
  size_t start_row = 0;  ///< index of the row that started it
  bool operator==(const Told&) const = default;
};

/// The rules of `alert` read slowly: looks ahead through all rows of one key instead of keeping a state. Rows in time
/// order; time goes on to `horizon_us`.
inline std::vector<Told> EpisodesOf(const std::vector<EpisodeInput>& rows, const EpisodeOptions& o,
                                    int64_t horizon_us) {
  std::vector<Told> out;
  int64_t blocked_until = INT64_MIN;
  size_t i = 0;
  while (i < rows.size()) {
    if (!rows[i].condition || rows[i].time_us < blocked_until) {
      ++i;
      continue;
    }
    Told told;
    told.start_row = i;
    told.started_us = told.peaked_us = rows[i].time_us;
    const auto look = [&](size_t from, size_t to) {
      for (size_t r = from; r < to; ++r) {
        if (!rows[r].condition) continue;
        told.severity = std::max(told.severity, rows[r].severity);
        if (!rows[r].value || std::isnan(*rows[r].value)) continue;
        if (told.has_peak && std::abs(*rows[r].value) <= std::abs(told.peak)) continue;
        told.has_peak = true;
        told.peak = *rows[r].value;
        told.peaked_us = rows[r].time_us;
      }
    };
    // Rows that come before the moment of firing: one false among them, and nothing happens.
    const int64_t fires_at = told.started_us + o.for_us;
    size_t seen = i + 1;
    bool held = true;
    while (o.for_us > 0 && seen < rows.size() && rows[seen].time_us < fires_at && held) held = rows[seen++].condition;
    if (!held) {
      i = seen;
      continue;
    }
    if (fires_at > horizon_us) break;
    look(i, seen);
    told.firing = true;
    told.time_us = fires_at;
    out.push_back(told);
    // The first false row that no true row follows in time.
    bool resolved = false;
    size_t next = seen;
    while (next < rows.size() && !resolved) {
      if (rows[next].condition) {
        ++next;
        continue;
      }
      const int64_t failed_at = rows[next].time_us;
      size_t r = next + 1;
      while (o.keep_firing_for_us > 0 && r < rows.size() && rows[r].time_us < failed_at + o.keep_firing_for_us &&
             !rows[r].condition)
        ++r;
      if (o.keep_firing_for_us > 0 && r < rows.size() && rows[r].time_us < failed_at + o.keep_firing_for_us) {
        next = r;
        continue;
      }
      if (failed_at + o.keep_firing_for_us > horizon_us) return out;
      look(seen, next);
      told.firing = false;
      told.ended_us = failed_at;
      told.time_us = failed_at + o.keep_firing_for_us;
      out.push_back(told);
      blocked_until = std::max(failed_at + o.cooldown_us, told.started_us + 1);
      resolved = true;
      i = r;
    }
    if (!resolved) break;
  }
  return out;
}

}  // namespace freshet::testing
