#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "connectors/generate/media_world.h"

namespace freshet {

enum class MediaKind : uint8_t { kView, kLike, kComment, kShare };
inline constexpr int kMediaKindCount = 4;
extern const char* const kMediaKinds[kMediaKindCount];

/// Rows as codes, one vector element each; names are looked up in the world.
struct MediaRows {
  std::shared_ptr<const MediaWorld> world;  ///< of all these rows
  int64_t first_event = 0;                  ///< global id of row 0; the next ones follow
  std::vector<int64_t> time_us;
  std::vector<uint8_t> kind;
  std::vector<uint16_t> video;
  std::vector<uint8_t> country;
  std::vector<uint8_t> device;
  std::vector<uint8_t> edge;
  std::vector<int64_t> status;  ///< HTTP
  std::vector<double> latency_ms;
  std::vector<double> watch_seconds;  ///< NaN: not a view, or one that failed
  std::vector<uint32_t> user;
  int32_t size() const { return static_cast<int32_t>(time_us.size()); }
};

/// The endless sequence of worlds. Thread-safe; makes worlds on demand and keeps the last few.
class MediaModel {
 public:
  explicit MediaModel(MediaOptions options) : options_(options) {}
  const MediaOptions& options() const { return options_; }
  std::shared_ptr<const MediaWorld> World(int64_t number);
  /// What is planted in a world.
  std::vector<Plant> Plants(int64_t number = 0) { return World(number)->plants(); }

 private:
  const MediaOptions options_;
  std::mutex mutex_;
  std::vector<std::pair<int64_t, std::shared_ptr<const MediaWorld>>> recent_;
};

/// Makes events. Each is a pure function of (options, event id), however the ids are divided among calls and
/// generators. One thread; keeps the tables of the last minute.
///   Time: an event's time grows with its id, less up to 2 s of jitter, so a lateness of 2 s loses nothing.
///   Sources of the methods: alias tables (Vose 1991); SplitMix64 as a counter-based generator.
class MediaGenerator {
 public:
  explicit MediaGenerator(std::shared_ptr<MediaModel> model);
  /// Replaces `rows` by events first, first + 1, … up to `count` of them, fewer only at the end of a world. Returns how
  /// many.
  int64_t Generate(int64_t first, int64_t count, MediaRows* rows);

 private:
  /// Draws an index with given weights from two 32-bit random numbers.
  struct Alias {
    std::vector<uint32_t> keep;
    std::vector<uint16_t> other;
    template <class Weight>
    void Build(const Weight* weights, int count);
    int Draw(uint32_t pick, uint32_t coin) const {
      const auto i = static_cast<size_t>((static_cast<uint64_t>(pick) * keep.size()) >> 32);
      return coin < keep[i] ? static_cast<int>(i) : other[i];
    }
    std::vector<double> scaled;
    std::vector<uint16_t> small;
    std::vector<uint16_t> large;
  };
  struct KindCuts {
    uint32_t view, like, comment;  ///< cumulative, of 2^32
  };

  void LoadSlot(int slot);
  void Row(int64_t event, int64_t i, MediaRows* rows) const;

  const std::shared_ptr<MediaModel> model_;
  std::shared_ptr<const MediaWorld> world_;
  int64_t world_number_ = -1;
  int slot_ = -1;
  int64_t slot_first_ = 0;
  int64_t slot_end_ = 0;
  int64_t slot_start_us_ = 0;
  double event_gap_us_ = 0;
  double load_ = 1;  ///< latency rises with traffic
  Alias entries_;
  std::vector<Alias> countries_;        ///< by channel
  std::vector<KindCuts> kinds_;         ///< by video
  std::vector<double> channel_errors_;  ///< share of 5xx planted, by channel
  double edge_errors_[kMediaEdgeCount] = {};
};

}  // namespace freshet
