#include "connectors/generate/media_world.h"

#include <algorithm>
#include <cmath>

#include "connectors/format/row_writer.h"
#include "engine/base/rng.h"

namespace freshet {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr double kHourUs = 3600e6;
constexpr int64_t kMinuteUs = kMediaSlotUs;
constexpr double kHardestStrength = 7;  ///< plants weaker than this would only be luck to find

constexpr const char* kChannelNames[] = {"night_kitchen", "orbit_daily",   "pixel_forge",   "slow_travel",
                                         "city_beats",    "quiet_science", "garage_league", "paper_crafts",
                                         "deep_archive",  "morning_wire",  "loop_theory",   "wild_coasts"};

double Uniform(Rng* rng, double low, double high) { return low + (high - low) * rng->NextDouble(); }
double LogUniform(Rng* rng, double low, double high) {
  return low * std::exp(rng->NextDouble() * std::log(high / low));
}

std::string VideoId(uint64_t hash) {
  constexpr char kLetters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string id;
  for (int i = 0; i < 10; ++i, hash >>= 6) id += kLetters[hash & 63];
  id += kLetters[(hash & 15) * 4];
  return id;
}

/// View velocity of a video of this age, 1 at age 0; a new video needs an hour to be found.
double Velocity(const MediaVideo& video, double age_us) {
  if (age_us <= 0) return 0;
  return std::min(1.0, age_us / kHourUs) * std::pow(1 + age_us / video.decay_tau_us, -video.decay_beta);
}

double Engagements(const MediaVideo& video) { return video.likes + video.comments + video.shares; }

bool ScopesTouch(const Plant& a, const Plant& b) {
  if (a.edge >= 0 || b.edge >= 0) return a.edge == b.edge;
  return a.channel == b.channel;
}

/// Length in minutes and magnitude of each kind, drawn log-uniformly between hard and easy.
struct PlantRecipe {
  PlantKind kind;
  double per_60_hours;
  double minutes_low, minutes_high;
  double magnitude_low, magnitude_high;
};
constexpr PlantRecipe kRecipes[] = {{PlantKind::kSurge, 8, 20, 90, 1.8, 8},
                                    {PlantKind::kDrop, 7, 40, 180, 0.05, 0.55},
                                    {PlantKind::kEngagementCollapse, 6, 60, 240, 0.05, 0.5},
                                    {PlantKind::kErrorBurst, 6, 15, 60, 0.05, 0.4},
                                    {PlantKind::kBotTraffic, 5, 20, 90, 1.2, 8}};

}  // namespace

const MediaCountry kMediaCountries[kMediaCountryCount] = {
    {"US", 0.30, -6, 1.15, 0}, {"IN", 0.16, 5.5, 1.10, 4}, {"BR", 0.10, -3, 1.20, 1}, {"GB", 0.09, 0, 1.10, 2},
    {"DE", 0.08, 1, 1.15, 3},  {"FR", 0.07, 1, 1.10, 3},   {"JP", 0.07, 9, 1.05, 5},  {"MX", 0.05, -6, 1.20, 0},
    {"ID", 0.05, 7, 1.05, 6},  {"NG", 0.03, 1, 1.00, 2}};
const MediaEdge kMediaEdges[kMediaEdgeCount] = {
    {"us-east", 62, 0.004},   {"sa-east", 118, 0.008},     {"eu-west", 58, 0.004},     {"eu-central", 54, 0.003},
    {"ap-south", 104, 0.007}, {"ap-northeast", 71, 0.004}, {"ap-southeast", 96, 0.006}};
const char* const kMediaDevices[kMediaDeviceCount] = {"phone", "desktop", "tv", "tablet"};

const char* PlantKindName(PlantKind kind) {
  switch (kind) {
    case PlantKind::kSurge:
      return "surge";
    case PlantKind::kDrop:
      return "drop";
    case PlantKind::kEngagementCollapse:
      return "engagement_collapse";
    case PlantKind::kErrorBurst:
      return "error_burst";
    case PlantKind::kBotTraffic:
      return "bot_traffic";
  }
  return "unknown";
}

MediaWorld::MediaWorld(const MediaOptions& options, int64_t number) {
  const uint64_t seed = Mix64(Mix64(options.seed) + static_cast<uint64_t>(number));
  slot_count_ = static_cast<int>(std::max<int64_t>(1, options.span.us / kMinuteUs));
  start_ = {options.start.us + number * slot_count_ * kMinuteUs};
  event_seed_ = Mix64(seed + 1);
  MakeChannels(options, Mix64(seed + 2));
  MakeVideos(options, Mix64(seed + 3));
  MakeBaseline(options);
  PlacePlants(options, Mix64(seed + 4));
  ApplyPlants();
  CountEvents(options.event_count);
}

void MediaWorld::MakeChannels(const MediaOptions& options, uint64_t seed) {
  Rng rng(seed);
  for (int c = 0; c < options.channel_count; ++c) {
    MediaChannel channel;
    const auto names = static_cast<int>(std::size(kChannelNames));
    channel.name = c < names ? kChannelNames[c] : "channel_" + std::to_string(c + 1);
    double sum = 0;
    for (const MediaCountry& country : kMediaCountries) {
      channel.countries.push_back(country.share * std::exp(0.7 * rng.NextNormal()));
      sum += channel.countries.back();
    }
    for (double& share : channel.countries) share /= sum;
    channel.device_cuts[0] = Uniform(&rng, 0.45, 0.65);
    channel.device_cuts[1] = channel.device_cuts[0] + Uniform(&rng, 0.15, 0.22);
    channel.device_cuts[2] = channel.device_cuts[1] + Uniform(&rng, 0.06, 0.10);
    channels_.push_back(std::move(channel));
  }
}

void MediaWorld::MakeVideos(const MediaOptions& options, uint64_t seed) {
  Rng rng(seed);
  const double span_us = static_cast<double>(slot_count_) * static_cast<double>(kMinuteUs);
  for (int c = 0; c < options.channel_count; ++c) {
    const double reach = std::exp(0.35 * rng.NextNormal());
    for (int v = 0; v < options.videos_per_channel; ++v) {
      MediaVideo video;
      video.channel = c;
      video.id = VideoId(rng.Next());
      // The newest video of every other channel comes out while we watch; the others are one to sixty days old.
      const bool is_new = v == 0 && c % 2 == 1;
      const double offset_us =
          is_new ? Uniform(&rng, 0.15, 0.6) * span_us : -LogUniform(&rng, 24 * kHourUs, 60 * 24 * kHourUs);
      video.published = {start_.us + static_cast<int64_t>(offset_us) / kMinuteUs * kMinuteUs};
      video.decay_tau_us = LogUniform(&rng, 12, 48) * kHourUs;
      video.decay_beta = Uniform(&rng, 0.6, 1.1);
      video.weight = reach * std::exp(0.5 * rng.NextNormal());
      video.watch_seconds = LogUniform(&rng, 25, 400);
      const double warmth = std::exp(0.25 * rng.NextNormal());
      video.likes = 0.070 * warmth;
      video.comments = 0.022 * warmth * std::exp(0.2 * rng.NextNormal());
      video.shares = 0.014 * warmth * std::exp(0.2 * rng.NextNormal());
      videos_.push_back(std::move(video));
    }
  }
}

double MediaWorld::Rhythm(int country, int slot) const {
  const MediaCountry& where = kMediaCountries[country];
  const int64_t minute = start_.us / kMinuteUs + slot + static_cast<int64_t>(where.utc_offset_hours * 60);
  const int64_t day = minute / 1440;
  const bool weekend = (day + 3) % 7 >= 5;  // 1970-01-01 was a Thursday
  return day_rhythm_[static_cast<size_t>(minute % 1440)] * (weekend ? where.weekend : 1);
}

void MediaWorld::MakeBaseline(const MediaOptions& options) {
  // Quiet at 5 in the morning, busiest at 20:30, with a shoulder at noon.
  double sum = 0;
  for (int minute = 0; minute < 1440; ++minute) {
    const double hour = minute / 60.0;
    day_rhythm_.push_back(
        std::exp(0.75 * std::cos(2 * kPi * (hour - 20.5) / 24) + 0.2 * std::cos(2 * kPi * (hour - 13) / 12)));
    sum += day_rhythm_.back();
  }
  for (double& r : day_rhythm_) r *= 1440 / sum;

  const size_t video_count = videos_.size();
  view_weights_.resize(static_cast<size_t>(slot_count_) * video_count);
  const double middle_us =
      static_cast<double>(start_.us) + static_cast<double>(slot_count_) * static_cast<double>(kMinuteUs) / 2;
  std::vector<double> scale;
  for (const MediaVideo& video : videos_) {
    const double reference_age =
        video.published > start_ ? 24 * kHourUs : middle_us - static_cast<double>(video.published.us);
    scale.push_back(video.weight / Velocity(video, reference_age));
  }
  double total = 0;
  std::vector<double> reach(channels_.size());
  for (int slot = 0; slot < slot_count_; ++slot) {
    for (size_t c = 0; c < channels_.size(); ++c) {
      reach[c] = 0;
      for (int k = 0; k < kMediaCountryCount; ++k)
        reach[c] += channels_[c].countries[static_cast<size_t>(k)] * Rhythm(k, slot);
    }
    const double now_us = static_cast<double>(start_.us + slot * kMinuteUs + kMinuteUs / 2);
    for (size_t v = 0; v < video_count; ++v) {
      const MediaVideo& video = videos_[v];
      const double views = scale[v] * Velocity(video, now_us - static_cast<double>(video.published.us)) *
                           reach[static_cast<size_t>(video.channel)];
      view_weights_[static_cast<size_t>(slot) * video_count + v] = static_cast<float>(views);
      total += views * (1 + Engagements(video));
    }
  }
  events_per_weight_ = total > 0 ? static_cast<double>(options.event_count) / total : 0;
}

double MediaWorld::BaselineViews(const Plant& plant) const {
  double views = 0;
  const size_t video_count = videos_.size();
  for (int slot = Slot(plant.start); slot < Slot(plant.end); ++slot) {
    for (size_t v = 0; v < video_count; ++v) {
      if (plant.video >= 0 && plant.video != static_cast<int>(v)) continue;
      if (plant.channel >= 0 && plant.channel != videos_[v].channel) continue;
      double share = 1;
      if (plant.kind == PlantKind::kErrorBurst && plant.edge >= 0) {
        const std::vector<double>& countries = channels_[static_cast<size_t>(videos_[v].channel)].countries;
        share = 0;
        double all = 0;
        for (int k = 0; k < kMediaCountryCount; ++k) {
          const double part = countries[static_cast<size_t>(k)] * Rhythm(k, slot);
          all += part;
          if (kMediaCountries[k].edge == plant.edge) share += part;
        }
        share /= all;
      }
      const double rate = plant.kind == PlantKind::kEngagementCollapse ? Engagements(videos_[v])
                          : plant.kind == PlantKind::kErrorBurst       ? 1 + Engagements(videos_[v])
                                                                       : 1;
      views += view_weights_[static_cast<size_t>(slot) * video_count + v] * share * rate;
    }
  }
  return views * events_per_weight_;
}

/// Fills baseline and strength; false if the plant could hardly be told from noise.
bool MediaWorld::Measure(Plant* plant) const {
  plant->baseline = BaselineViews(*plant);
  const double n = plant->baseline;
  if (n <= 0) return false;
  switch (plant->kind) {
    case PlantKind::kSurge:
    case PlantKind::kDrop:
    case PlantKind::kEngagementCollapse:
      plant->strength = std::abs(plant->magnitude - 1) * std::sqrt(n);
      break;
    case PlantKind::kBotTraffic:
      plant->strength = plant->magnitude * std::sqrt(n);
      break;
    case PlantKind::kErrorBurst: {
      const double normal = plant->edge >= 0 ? kMediaEdges[plant->edge].error_share : 0.005;
      plant->strength = (plant->magnitude - normal) * std::sqrt(n / normal);
      break;
    }
  }
  return plant->strength >= kHardestStrength;
}

void MediaWorld::PlacePlants(const MediaOptions& options, uint64_t seed) {
  Rng rng(seed);
  const double amount = options.plants * slot_count_ / 3600.0;
  const int first_slot = slot_count_ / 10;  // detectors need something to compare with
  const int gap = std::min(120, slot_count_ / 30);
  for (const PlantRecipe& recipe : kRecipes) {
    const int count = static_cast<int>(recipe.per_60_hours * amount + 0.5);
    for (int made = 0, tries = 0; made < count && tries < 300; ++tries) {
      Plant plant;
      plant.kind = recipe.kind;
      const int length = std::min(static_cast<int>(LogUniform(&rng, recipe.minutes_low, recipe.minutes_high)),
                                  std::max(1, slot_count_ / 6));
      const int last_slot = slot_count_ - length - slot_count_ / 60;
      if (last_slot <= first_slot) break;
      const int slot = first_slot + static_cast<int>(rng.Below(static_cast<uint64_t>(last_slot - first_slot)));
      plant.start = {start_.us + slot * kMinuteUs};
      plant.end = {plant.start.us + length * kMinuteUs};
      plant.magnitude = LogUniform(&rng, recipe.magnitude_low, recipe.magnitude_high);
      const bool whole_channel = rng.NextDouble() < (recipe.kind == PlantKind::kDrop ? 0.4 : 0.65);
      const int video = static_cast<int>(rng.Below(videos_.size()));
      const int edge = static_cast<int>(rng.Below(kMediaEdgeCount));
      const int country = static_cast<int>(rng.Below(kMediaCountryCount));
      const int device = static_cast<int>(rng.Below(kMediaDeviceCount));
      if (recipe.kind == PlantKind::kErrorBurst && whole_channel) {
        plant.edge = edge;
      } else {
        plant.channel = videos_[static_cast<size_t>(video)].channel;
        const bool may_be_channel = recipe.kind == PlantKind::kDrop || recipe.kind == PlantKind::kEngagementCollapse ||
                                    recipe.kind == PlantKind::kErrorBurst;
        if (!may_be_channel || (!whole_channel && recipe.kind != PlantKind::kErrorBurst)) plant.video = video;
      }
      if (recipe.kind == PlantKind::kBotTraffic) {
        plant.country = country;
        plant.device = device;
      }
      // What is only just out would look like a surge by itself.
      if (plant.video >= 0 &&
          videos_[static_cast<size_t>(video)].published.us + 12 * static_cast<int64_t>(kHourUs) > plant.start.us)
        continue;
      const bool free = std::all_of(plants_.begin(), plants_.end(), [&](const Plant& other) {
        return !ScopesTouch(plant, other) || plant.end.us + gap * kMinuteUs <= other.start.us ||
               other.end.us + gap * kMinuteUs <= plant.start.us;
      });
      if (!free || !Measure(&plant)) continue;
      plants_.push_back(plant);
      ++made;
    }
  }
  std::stable_sort(plants_.begin(), plants_.end(), [](const Plant& a, const Plant& b) { return a.start < b.start; });
}

void MediaWorld::ApplyPlants() {
  active_.resize(static_cast<size_t>(slot_count_));
  for (size_t p = 0; p < plants_.size(); ++p) {
    if (plants_[p].kind == PlantKind::kBotTraffic) {
      bot_plants_.push_back(static_cast<int>(p));
      continue;
    }
    for (int slot = Slot(plants_[p].start); slot < Slot(plants_[p].end); ++slot)
      active_[static_cast<size_t>(slot)].push_back(static_cast<int>(p));
  }
  const size_t video_count = videos_.size();
  entry_count_ = static_cast<int>(video_count + bot_plants_.size());
  entry_weights_.assign(static_cast<size_t>(slot_count_) * static_cast<size_t>(entry_count_), 0.0f);
  for (int slot = 0; slot < slot_count_; ++slot) {
    const float* views = &view_weights_[static_cast<size_t>(slot) * video_count];
    float* entries = &entry_weights_[static_cast<size_t>(slot) * static_cast<size_t>(entry_count_)];
    for (size_t v = 0; v < video_count; ++v) {
      double view_factor = 1;
      double engagement_factor = 1;
      for (int p : active_plants(slot)) {
        const Plant& plant = plants_[static_cast<size_t>(p)];
        const bool meant = plant.video >= 0 ? plant.video == static_cast<int>(v) : plant.channel == videos_[v].channel;
        if (!meant) continue;
        if (plant.kind == PlantKind::kSurge || plant.kind == PlantKind::kDrop) view_factor *= plant.magnitude;
        if (plant.kind == PlantKind::kEngagementCollapse) engagement_factor *= plant.magnitude;
      }
      entries[v] = static_cast<float>(views[v] * view_factor * (1 + Engagements(videos_[v]) * engagement_factor));
    }
    for (size_t b = 0; b < bot_plants_.size(); ++b) {
      const Plant& plant = plants_[static_cast<size_t>(bot_plants_[b])];
      const bool active = slot >= Slot(plant.start) && slot < Slot(plant.end);
      if (active) entries[video_count + b] = static_cast<float>(views[plant.video] * plant.magnitude);
    }
  }
}

void MediaWorld::CountEvents(int64_t event_count) {
  std::vector<double> before = {0};
  for (int slot = 0; slot < slot_count_; ++slot) {
    double sum = 0;
    const float* weights = entry_weights(slot);
    for (int e = 0; e < entry_count_; ++e) sum += static_cast<double>(weights[e]);
    before.push_back(before.back() + sum);
  }
  const double total = before.back();
  for (double b : before) first_event_.push_back(static_cast<int64_t>(static_cast<double>(event_count) * (b / total)));
  first_event_.back() = event_count;
}

int MediaWorld::SlotOf(int64_t event) const {
  const auto after = std::upper_bound(first_event_.begin(), first_event_.end(), event);
  return static_cast<int>(after - first_event_.begin()) - 1;
}

std::string PlantLine(const MediaWorld& world, const Plant& plant) {
  std::string line = "{\"kind\":\"";
  line += PlantKindName(plant.kind);
  line += '"';
  const auto text = [&](const char* name, bool present, auto&& value) {
    line += std::string(",\"") + name + "\":";
    if (present)
      AppendJsonString(value(), &line);
    else
      line += "null";
  };
  const auto number = [&](const char* name, double value) {
    line += std::string(",\"") + name + "\":";
    AppendJsonNumber(value, &line);
  };
  const auto time = [&](const char* name, EventTime at) {
    line += std::string(",\"") + name + "\":\"";
    AppendTimestamp(at, &line);
    line += '"';
  };
  text("channel", plant.channel >= 0, [&] { return world.channels()[static_cast<size_t>(plant.channel)].name; });
  text("video_id", plant.video >= 0, [&] { return world.videos()[static_cast<size_t>(plant.video)].id; });
  text("edge", plant.edge >= 0, [&] { return std::string(kMediaEdges[plant.edge].name); });
  text("country", plant.country >= 0, [&] { return std::string(kMediaCountries[plant.country].code); });
  text("device", plant.device >= 0, [&] { return std::string(kMediaDevices[plant.device]); });
  time("start", plant.start);
  time("end", plant.end);
  const auto rounded = [](double x) { return std::round(x * 1000) / 1000; };
  number("magnitude", rounded(plant.magnitude));
  number("baseline", rounded(plant.baseline));
  number("strength", rounded(plant.strength));
  line += "}\n";
  return line;
}

}  // namespace freshet
