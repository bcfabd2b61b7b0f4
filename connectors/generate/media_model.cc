#include "connectors/generate/media_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "engine/base/rng.h"

namespace freshet {
namespace {

constexpr int64_t kJitterUs = 2000000;
constexpr uint32_t kUserCount = 200000;
constexpr uint32_t kBotUserCount = 60;
constexpr size_t kWorldsKept = 3;
constexpr double kTwo32 = 4294967296.0;

uint32_t Cut(double share) { return static_cast<uint32_t>(std::clamp(share, 0.0, 1.0) * (kTwo32 - 1)); }
double Unit(uint32_t word) { return static_cast<double>(word) / kTwo32; }

/// exp of a normal, by linear interpolation between quantiles: no exp, log or rejection per row.
class LogNormalTable {
 public:
  explicit LogNormalTable(double sigma) {
    for (int i = 0; i <= kCells; ++i) {
      const double u = std::clamp(i / static_cast<double>(kCells), 0.5 / kCells, 1 - 0.5 / kCells);
      double low = -6;
      double high = 6;
      for (int step = 0; step < 50; ++step) {
        const double middle = (low + high) / 2;
        (0.5 * std::erfc(-middle * 0.70710678118654752440) < u ? low : high) = middle;
      }
      values_[static_cast<size_t>(i)] = std::exp(sigma * low);
    }
  }
  double operator()(uint32_t word) const {
    const size_t cell = word >> kFractionBits;
    const double fraction = static_cast<double>(word & ((1u << kFractionBits) - 1)) / (1u << kFractionBits);
    return values_[cell] + fraction * (values_[cell + 1] - values_[cell]);
  }

 private:
  static constexpr int kCells = 1024;
  static constexpr int kFractionBits = 22;
  std::array<double, kCells + 1> values_{};
};

const LogNormalTable& LatencyTable() {
  static const LogNormalTable table(0.45);
  return table;
}
const LogNormalTable& WatchTable() {
  static const LogNormalTable table(0.9);
  return table;
}

/// Cut to `1 / scale`, so that written rows stay short.
double Rounded(double value, double scale) {
  return static_cast<double>(static_cast<int64_t>(value * scale + 0.5)) / scale;
}

}  // namespace

const char* const kMediaKinds[kMediaKindCount] = {"view", "like", "comment", "share"};

std::shared_ptr<const MediaWorld> MediaModel::World(int64_t number) {
  const std::lock_guard<std::mutex> guard(mutex_);
  for (const auto& [known, world] : recent_)
    if (known == number) return world;
  if (recent_.size() >= kWorldsKept) recent_.erase(recent_.begin());
  recent_.emplace_back(number, std::make_shared<const MediaWorld>(options_, number));
  return recent_.back().second;
}

template <class Weight>
void MediaGenerator::Alias::Build(const Weight* weights, int count) {
  const auto n = static_cast<size_t>(count);
  keep.assign(n, std::numeric_limits<uint32_t>::max());
  other.resize(n);
  scaled.resize(n);
  small.clear();
  large.clear();
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += static_cast<double>(weights[i]);
  const double factor = static_cast<double>(n) / sum;
  for (size_t i = 0; i < n; ++i) {
    other[i] = static_cast<uint16_t>(i);
    scaled[i] = static_cast<double>(weights[i]) * factor;
    (scaled[i] < 1 ? small : large).push_back(static_cast<uint16_t>(i));
  }
  while (!small.empty() && !large.empty()) {
    const uint16_t s = small.back();
    const uint16_t l = large.back();
    small.pop_back();
    keep[s] = Cut(scaled[s]);
    other[s] = l;
    scaled[l] -= 1 - scaled[s];
    if (scaled[l] < 1) {
      large.pop_back();
      small.push_back(l);
    }
  }
}

MediaGenerator::MediaGenerator(std::shared_ptr<MediaModel> model) : model_(std::move(model)) {}

void MediaGenerator::LoadSlot(int slot) {
  const MediaWorld& world = *world_;
  slot_ = slot;
  slot_first_ = world.first_event(slot);
  slot_end_ = world.first_event(slot + 1);
  slot_start_us_ = world.start().us + slot * kMediaSlotUs;
  event_gap_us_ =
      static_cast<double>(kMediaSlotUs) / static_cast<double>(std::max<int64_t>(1, slot_end_ - slot_first_));
  entries_.Build(world.entry_weights(slot), world.entry_count());

  double rhythm[kMediaCountryCount];
  load_ = 0;
  for (int k = 0; k < kMediaCountryCount; ++k) {
    rhythm[k] = world.Rhythm(k, slot);
    load_ += kMediaCountries[k].share * rhythm[k];
  }
  load_ = 0.85 + 0.15 * load_;
  countries_.resize(world.channels().size());
  for (size_t c = 0; c < countries_.size(); ++c) {
    double weights[kMediaCountryCount];
    for (int k = 0; k < kMediaCountryCount; ++k)
      weights[k] = world.channels()[c].countries[static_cast<size_t>(k)] * rhythm[k];
    countries_[c].Build(weights, kMediaCountryCount);
  }

  std::vector<double> engagement(world.videos().size(), 1.0);
  channel_errors_.assign(world.channels().size(), 0.0);
  std::fill(std::begin(edge_errors_), std::end(edge_errors_), 0.0);
  for (int p : world.active_plants(slot)) {
    const Plant& plant = world.plants()[static_cast<size_t>(p)];
    if (plant.kind == PlantKind::kErrorBurst) {
      double& share = plant.edge >= 0 ? edge_errors_[plant.edge] : channel_errors_[static_cast<size_t>(plant.channel)];
      share = std::max(share, plant.magnitude);
    } else if (plant.kind == PlantKind::kEngagementCollapse) {
      for (size_t v = 0; v < engagement.size(); ++v)
        if (plant.video >= 0 ? plant.video == static_cast<int>(v) : plant.channel == world.videos()[v].channel)
          engagement[v] *= plant.magnitude;
    }
  }
  kinds_.resize(world.videos().size());
  for (size_t v = 0; v < kinds_.size(); ++v) {
    const MediaVideo& video = world.videos()[v];
    const double all = 1 + (video.likes + video.comments + video.shares) * engagement[v];
    const double likes = video.likes * engagement[v] / all;
    const double comments = video.comments * engagement[v] / all;
    kinds_[v] = {Cut(1 / all), Cut(1 / all + likes), Cut(1 / all + likes + comments)};
  }
}

void MediaGenerator::Row(int64_t event, int64_t i, MediaRows* rows) const {
  const MediaWorld& world = *world_;
  // Four words of randomness for this event, as eight halves.
  const uint64_t r0 = Mix64(world.event_seed() + static_cast<uint64_t>(event) * 0x9e3779b97f4a7c15ULL);
  const uint64_t r1 = Mix64(r0 ^ 0x2545f4914f6cdd1dULL);
  const uint64_t r2 = Mix64(r0 ^ 0x9fb21c651e98df25ULL);
  const uint64_t r3 = Mix64(r0 ^ 0xd6e8feb86659fd93ULL);
  const auto high = [](uint64_t r) { return static_cast<uint32_t>(r >> 32); };
  const auto low = [](uint64_t r) { return static_cast<uint32_t>(r); };
  const auto at = static_cast<size_t>(i);

  const int entry = entries_.Draw(high(r0), low(r0));
  const auto video_count = static_cast<int>(world.videos().size());
  const Plant* bot =
      entry < video_count
          ? nullptr
          : &world.plants()[static_cast<size_t>(world.bot_plants()[static_cast<size_t>(entry - video_count)])];
  const int video = bot != nullptr ? bot->video : entry;
  const MediaVideo& v = world.videos()[static_cast<size_t>(video)];
  const MediaChannel& channel = world.channels()[static_cast<size_t>(v.channel)];

  const auto jitter = static_cast<int64_t>((static_cast<uint64_t>(high(r3)) * kJitterUs) >> 32);
  rows->time_us[at] =
      slot_start_us_ + static_cast<int64_t>(static_cast<double>(event - slot_first_) * event_gap_us_) - jitter;
  rows->video[at] = static_cast<uint16_t>(video);

  const int country =
      bot != nullptr ? bot->country : countries_[static_cast<size_t>(v.channel)].Draw(high(r1), low(r1));
  const double d = static_cast<double>(low(r3) >> 8) / 16777216.0;
  const int device =
      bot != nullptr ? bot->device
                     : (d >= channel.device_cuts[0]) + (d >= channel.device_cuts[1]) + (d >= channel.device_cuts[2]);
  const int edge = kMediaCountries[country].edge;
  rows->country[at] = static_cast<uint8_t>(country);
  rows->device[at] = static_cast<uint8_t>(device);
  rows->edge[at] = static_cast<uint8_t>(edge);

  const KindCuts& cuts = kinds_[static_cast<size_t>(video)];
  const uint32_t k = high(r2);
  const int kind = bot != nullptr ? 0 : (k >= cuts.view) + (k >= cuts.like) + (k >= cuts.comment);
  rows->kind[at] = static_cast<uint8_t>(kind);

  const double planted = std::max(channel_errors_[static_cast<size_t>(v.channel)], edge_errors_[edge]);
  const double error_share = std::max(kMediaEdges[edge].error_share, planted);
  const double s = Unit(low(r2));
  int status = 200;
  if (s < error_share) {
    constexpr int kServerErrors[4] = {503, 500, 502, 504};
    status = kServerErrors[low(r3) & 3];
  } else if (s > 0.994) {
    status = s > 0.9985 ? 429 : 404;
  }
  rows->status[at] = status;

  const uint64_t r4 = Mix64(r0 ^ 0xe7037ed1a0b428dbULL);
  const double slowed = 1 + 5 * planted;
  rows->latency_ms[at] = Rounded(kMediaEdges[edge].latency_ms * load_ * slowed * LatencyTable()(high(r4)), 100);
  double watch = std::numeric_limits<double>::quiet_NaN();
  if (kind == 0 && status < 400)
    watch = Rounded(bot != nullptr ? 0.5 + 2.5 * Unit(low(r4)) : v.watch_seconds * WatchTable()(low(r4)), 10);
  rows->watch_seconds[at] = watch;

  // Squaring favours small numbers: some users watch a lot.
  const double u = Unit(static_cast<uint32_t>(r1 >> 16));
  rows->user[at] = bot != nullptr ? kUserCount + static_cast<uint32_t>(u * kBotUserCount)
                                  : static_cast<uint32_t>(u * u * kUserCount);
}

int64_t MediaGenerator::Generate(int64_t first, int64_t count, MediaRows* rows) {
  const int64_t per_world = model_->options().event_count;
  const int64_t number = first / per_world;
  const int64_t from = first - number * per_world;
  const int64_t n = std::min(count, per_world - from);
  if (number != world_number_) {
    world_ = model_->World(number);
    world_number_ = number;
    slot_end_ = -1;
  }
  const auto size = static_cast<size_t>(n);
  rows->world = world_;
  rows->first_event = first;
  rows->time_us.resize(size);
  rows->kind.resize(size);
  rows->video.resize(size);
  rows->country.resize(size);
  rows->device.resize(size);
  rows->edge.resize(size);
  rows->status.resize(size);
  rows->latency_ms.resize(size);
  rows->watch_seconds.resize(size);
  rows->user.resize(size);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t event = from + i;
    if (event >= slot_end_ || event < slot_first_) LoadSlot(world_->SlotOf(event));
    Row(event, i, rows);
  }
  return n;
}

}  // namespace freshet
