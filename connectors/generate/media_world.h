#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/time.h"

namespace freshet {

/// What a synthetic media platform looks like. Volumes of the defaults: 1,000,000 events over 60 h are about 278 a
/// minute, 70 per video in 10 minutes and 350 per channel.
struct MediaOptions {
  uint64_t seed = 1;
  int64_t event_count = 1000000;                   ///< per world (one span of event time)
  Duration span = Duration::Seconds(60 * 3600);    ///< event time of a world, whole minutes
  EventTime start{int64_t{1772409600} * 1000000};  ///< 2026-03-02T00:00:00Z, a Monday
  int channel_count = 8;                           ///< 1..64
  int videos_per_channel = 5;                      ///< 1..64
  double plants = 1;                               ///< 1: 32 plants per 60 h; 0: none
};

enum class PlantKind : uint8_t { kSurge, kDrop, kEngagementCollapse, kErrorBurst, kBotTraffic };
const char* PlantKindName(PlantKind kind);

/// One planted anomaly: a truth that a detector may be judged by. Indices are -1 where the plant has no such scope.
struct Plant {
  PlantKind kind = PlantKind::kSurge;
  int channel = -1;
  int video = -1;  ///< index into videos(); then `channel` is its channel
  int edge = -1;
  int country = -1;
  int device = -1;
  EventTime start;  ///< whole minutes
  EventTime end;    ///< exclusive
  /// Factor on views (surge > 1, drop < 1), factor on likes, comments and shares (collapse < 1), share of 5xx answers
  /// (error burst), or bots' views as a multiple of the video's normal ones (bot traffic).
  double magnitude = 1;
  /// Events of the affected kind expected in [start, end) without the plant: views, engagements or requests.
  double baseline = 0;
  /// Expected deviation from that baseline in standard deviations of a Poisson count: how hard it is to see.
  double strength = 0;
};

struct MediaVideo {
  std::string id;  ///< 11 characters
  int channel = 0;
  EventTime published;
  double weight = 1;        ///< views relative to other videos at the middle of the span (or a day after publication)
  double decay_tau_us = 1;  ///< view velocity falls as (1 + age / tau)^-beta
  double decay_beta = 1;
  double watch_seconds = 60;  ///< median time watched
  double likes = 0.07;        ///< per view
  double comments = 0.02;
  double shares = 0.015;
};

struct MediaChannel {
  std::string name;                   ///< at most 16 bytes
  std::vector<double> countries;      ///< share of its audience, sums to 1
  double device_cuts[3] = {0, 0, 0};  ///< cumulative shares of the first three devices
};

struct MediaCountry {
  const char* code;
  double share;
  double utc_offset_hours;
  double weekend;  ///< factor on Saturdays and Sundays
  int edge;
};
struct MediaEdge {
  const char* name;
  double latency_ms;   ///< median
  double error_share;  ///< of 5xx answers in normal times
};
inline constexpr int kMediaCountryCount = 10;
inline constexpr int kMediaEdgeCount = 7;
inline constexpr int kMediaDeviceCount = 4;
inline constexpr int64_t kMediaSlotUs = 60000000;  ///< intensities are constant within a minute
extern const MediaCountry kMediaCountries[kMediaCountryCount];
extern const MediaEdge kMediaEdges[kMediaEdgeCount];
extern const char* const kMediaDevices[kMediaDeviceCount];

/// One span of event time: who publishes what, how much is watched in each minute, and what was planted. A pure
/// function of (options, number); immutable, so safe to read from many threads. World n covers [start + n * span, start
/// + (n+1) * span) and events n * event_count to (n+1) * event_count - 1; event ids below are relative to the world.
class MediaWorld {
 public:
  MediaWorld(const MediaOptions& options, int64_t number);

  const std::vector<MediaChannel>& channels() const { return channels_; }
  const std::vector<MediaVideo>& videos() const { return videos_; }
  const std::vector<Plant>& plants() const { return plants_; }
  EventTime start() const { return start_; }
  uint64_t event_seed() const { return event_seed_; }
  int slot_count() const { return slot_count_; }
  /// First event of a minute; slot_count() gives the number of events.
  int64_t first_event(int slot) const { return first_event_[static_cast<size_t>(slot)]; }
  /// The minute in which an event lies. REQUIRES: 0 <= event < event_count.
  int SlotOf(int64_t event) const;
  /// What can be drawn in a minute: entry < videos().size() is a video, the others are bot_plants() in order.
  int entry_count() const { return entry_count_; }
  const float* entry_weights(int slot) const {
    return &entry_weights_[static_cast<size_t>(slot) * static_cast<size_t>(entry_count_)];
  }
  /// Indices into plants() of bot traffic, and of the plants other than it that are active in a minute.
  const std::vector<int>& bot_plants() const { return bot_plants_; }
  const std::vector<int>& active_plants(int slot) const { return active_[static_cast<size_t>(slot)]; }
  /// Activity of a country in a minute: daily and weekly rhythm, about 1 on average.
  double Rhythm(int country, int slot) const;

 private:
  void MakeChannels(const MediaOptions& options, uint64_t seed);
  void MakeVideos(const MediaOptions& options, uint64_t seed);
  void MakeBaseline(const MediaOptions& options);
  void PlacePlants(const MediaOptions& options, uint64_t seed);
  void ApplyPlants();
  void CountEvents(int64_t event_count);
  bool Measure(Plant* plant) const;
  double BaselineViews(const Plant& plant) const;
  int Slot(EventTime time) const { return static_cast<int>((time.us - start_.us) / kMediaSlotUs); }

  EventTime start_;
  uint64_t event_seed_ = 0;
  int slot_count_ = 0;
  int entry_count_ = 0;
  double events_per_weight_ = 0;  ///< before plants
  std::vector<MediaChannel> channels_;
  std::vector<MediaVideo> videos_;
  std::vector<Plant> plants_;
  std::vector<int> bot_plants_;
  std::vector<std::vector<int>> active_;
  std::vector<float> view_weights_;   ///< [slot][video], without plants
  std::vector<float> entry_weights_;  ///< [slot][entry], all events, with plants
  std::vector<int64_t> first_event_;
  std::vector<double> day_rhythm_;  ///< by minute of the local day
};

/// One ndjson line: kind, channel, video_id, edge, country, device (null where without scope), start, end, magnitude,
/// baseline, strength.
std::string PlantLine(const MediaWorld& world, const Plant& plant);

}  // namespace freshet
