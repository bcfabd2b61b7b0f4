#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/bytes.h"

namespace freshet {

/// What was counted in a segment: a count, or the hits and trials of a ratio.
struct SegmentCounts {
  double k = 0;
  double n = 0;  ///< ratios only
};

/// One moment's segments by name: the values of the dimensions, joined by kSegmentSeparator.
using SegmentTick = std::map<std::string, SegmentCounts>;
inline constexpr char kSegmentSeparator = '\x1f';

struct SegmentExplanation {
  std::vector<std::string> segments;  ///< "mobile in US", those that explain most first; empty: no few of them do
  double share = 0;                   ///< of the change, that they explain together; 1 is all of it
  std::string Text() const;           ///< "mobile in US explains 71 %"
};

/// Which segments explain that a total differs from what was expected? After Adtributor (Bhagwan et al., "Adtributor:
/// Revenue Debugging in Advertising Systems", NSDI 2014), with combinations of up to three dimensions.
///
/// Each segment is expected to have its usual share of the total (of the trials, and its usual ratio), learned as
/// exponential means over about 30 moments, by hour of the day once that hour has been seen ten times. A segment's part
/// of the change is what it has beyond that: (A - F) of a count; ((A_k - F_k) - R (A_n - F_n)) / N of a ratio with the
/// expectation R, so that parts add up to the change, whichever way segments are joined.
/// For every combination of dimensions the smallest set of its elements that explains 67 % is looked for (at most five,
/// largest part first). Sets are ranked by surprise, the Jensen-Shannon divergence of their shares before and after,
/// per element, less 5 % for each dimension beyond the first: a set of parts of a segment is as surprising in sum as
/// the segment, so that neither parts of what changed nor a whole that contains it win. A set that explains no more
/// than 1.25 times its own share of the total explains nothing.
///
/// A plain value of at most 10,000 segments; further ones, by name, are pooled as "(others)", and explained as such:
/// once there is a pool, a name that is not known is of it. Deterministic; not thread-safe.
class SegmentBook {
 public:
  static constexpr double kExplains = 0.67;
  static constexpr int kDimensionsMax = 6;

  /// REQUIRES: 1 <= dimensions <= kDimensionsMax.
  SegmentBook(int dimensions, bool ratio, bool by_hour) : dimensions_(dimensions), ratio_(ratio), by_hour_(by_hour) {}

  /// Enough moments were learned to explain one.
  bool ready() const { return ticks_ >= 20; }
  /// `hour`: of the day, 0 to 23. Segments that are known and not in `tick` have had nothing.
  void Learn(int hour, const SegmentTick& tick);
  /// `expected`: of the total, the sum of k, or of k over n. None if the total is just that, or nothing is known.
  std::optional<SegmentExplanation> Explain(int hour, const SegmentTick& tick, double expected) const;
  void Clear() { *this = SegmentBook(dimensions_, ratio_, by_hour_); }
  size_t memory_bytes() const;

  void Encode(ByteSink& sink) const;
  bool Decode(ByteSource& source);

 private:
  static constexpr int kHours = 24;
  struct Segment {
    SegmentCounts all;
    std::vector<SegmentCounts> hours;  // kHours by hour, else none
  };
  struct Part {
    double change = 0;
    SegmentCounts was, is;
  };
  std::string Others() const;
  /// Names that are not known as one, but for the first `room` of them.
  SegmentTick Pooled(const SegmentTick& tick, size_t room) const;
  void MeasureNames();
  const SegmentCounts& Usual(const Segment& segment, int hour) const;
  /// The parts of the change by segment; empty if nothing is known.
  std::map<std::string, Part> Parts(int hour, const SegmentTick& tick, double expected) const;

  int dimensions_;
  bool ratio_;
  bool by_hour_;
  uint64_t ticks_ = 0;
  std::array<uint64_t, kHours> hour_ticks_{};
  std::map<std::string, Segment> segments_;
  size_t name_bytes_ = 0;  // on the heap
};

}  // namespace freshet
