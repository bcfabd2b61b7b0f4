#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/base/bytes.h"

namespace freshet {

/// What the silence of a key means.
enum class NoData : uint8_t {
  kKeep,     ///< nothing: all stays as it is
  kFire,     ///< an episode of its own; one that is on goes on
  kResolve,  ///< the end of the episode
};

struct EpisodeOptions {
  int64_t for_us = 0;              ///< how long the condition must hold before the episode fires
  int64_t keep_firing_for_us = 0;  ///< how long it must fail before the episode resolves
  int64_t cooldown_us =
      0;  ///< after the end of one episode (when the condition began to fail), how long no other may start
  NoData no_data = NoData::kKeep;
  int64_t no_data_after_us = 0;  ///< how long without a row is silence; unused by kKeep
  uint8_t no_data_severity = 2;  ///< of an episode that silence began
};

/// What a row says of its key.
struct EpisodeInput {
  int64_t time_us = 0;
  bool condition = false;
  uint8_t severity = 0;         ///< 0 none, 1 low … 4 critical
  std::optional<double> value;  ///< whose largest magnitude is the peak
  /// Where the condition is not met it is not over either: an episode that is on stays so (hysteresis).
  bool lingers = false;
};

/// A change worth a row.
struct EpisodeEvent {
  bool firing = false;  ///< else resolved
  int64_t time_us = 0;  ///< when it happened: the row's time, or the deadline
};

/// The life of one key's condition: idle → pending → firing → idle, in event time. A plain value; knows no runtime
/// type.
///
/// Rows must come in time order, and OnTime must be called with a row's time before OnRow ("timers first"). Each call
/// makes at most one event; after OnTime there may be another deadline up to the same moment: ask Deadline. No two
/// episodes of a key that fired start at one time, whatever the cooldown: an alert is known by its start.
class Episode {
 public:
  enum class Phase : uint8_t { kIdle = 0, kPending = 1, kFiring = 2 };  // in state: frozen

  /// The next deadline up to `now_us` (inclusive) takes effect. `*silent` (may be null) becomes true if silence opened
  /// the episode.
  std::optional<EpisodeEvent> OnTime(int64_t now_us, const EpisodeOptions& options, bool* silent);
  std::optional<EpisodeEvent> OnTime(int64_t now_us, const EpisodeOptions& options) {
    return OnTime(now_us, options, nullptr);
  }
  /// `*started` becomes true if this row opened the episode (its columns are the ones to keep).
  std::optional<EpisodeEvent> OnRow(const EpisodeInput& row, const EpisodeOptions& options, bool* started);
  /// When OnTime has something to do (the end of a cooldown too); nullopt: nothing pending.
  std::optional<int64_t> Deadline(const EpisodeOptions& options) const;
  /// Nothing to remember at `now_us`: idle and not cooling down.
  bool Forgettable(int64_t now_us, const EpisodeOptions& options) const;

  Phase phase() const { return phase_; }
  /// The episode was begun by silence and no row has come since.
  bool silent() const { return silent_; }
  int64_t last_row_us() const { return last_row_us_; }
  int64_t started_us() const { return started_us_; }
  int64_t peaked_us() const { return peaked_us_; }
  double peak() const { return peak_; }
  bool has_peak() const { return has_peak_; }
  int64_t ended_us() const { return ended_us_; }
  uint8_t severity() const { return severity_; }

  /// The layout of codec 2. Decode reads codec 1, which had no silence, too.
  void Encode(ByteSink& sink) const;
  bool Decode(ByteSource& source, uint16_t codec = 2);

 private:
  /// When silence takes effect; nullopt: it means nothing now.
  std::optional<int64_t> SilentAt(const EpisodeOptions& options) const;
  std::optional<EpisodeEvent> Silence(int64_t at_us, const EpisodeOptions& options, bool* silent);
  /// Until when no other episode may start.
  int64_t BlockedUntil(const EpisodeOptions& options) const;
  void Begin(int64_t at_us);
  EpisodeEvent Resolve(int64_t at_us);
  void Look(const EpisodeInput& row);

  Phase phase_ = Phase::kIdle;
  bool failing_ = false;     ///< firing, but the condition has failed since `failed_us_`
  bool ended_once_ = false;  ///< one has ended, and its cooldown may not be over
  bool has_peak_ = false;
  bool seen_ = false;  ///< a row came; only kept up where silence means something
  bool silent_ = false;
  uint8_t severity_ = 0;
  int64_t started_us_ = 0;
  int64_t failed_us_ = 0;
  int64_t ended_us_ = 0;
  int64_t peaked_us_ = 0;
  double peak_ = 0;
  int64_t last_row_us_ = 0;
};

}  // namespace freshet
