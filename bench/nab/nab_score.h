#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace freshet::bench {

/// One file of the Numenta Anomaly Benchmark.
struct NabSeries {
  std::string name;
  std::vector<int64_t> times_us;
  std::vector<double> values;
  struct Window {
    int first = 0;  ///< rows, both included
    int last = 0;
  };
  std::vector<Window> windows;
  int rows() const { return static_cast<int>(values.size()); }
  /// Rows that are not scored.
  int probation() const { return std::min(static_cast<int>(0.15 * rows()), 750); }
};

/// What a detection and a miss are worth (Lavin and Ahmad, ICMLA 2015).
struct NabProfile {
  const char* name;
  double hit, miss, false_alarm;
};
inline constexpr NabProfile kNabProfiles[] = {{"standard", 1, 1, 0.11}, {"low FP", 1, 1, 0.22}, {"low FN", 1, 2, 0.11}};

/// 1 well before the end of a window, 0 at its end, -1 long after it.
inline double NabSigmoid(double y) { return y > 3 ? -1 : 2 / (1 + std::exp(5 * y)) - 1; }

struct NabTally {
  double raw = 0;
  int hits = 0;
  int false_alarms = 0;
  std::vector<int64_t> delays_us;  ///< from a window's start to its first detection
};

/// Adds up the detections (score >= threshold, > 0) of one file. Each window counts its best detection, or a miss;
/// every detection outside counts by how long after the last window it comes.
inline void AddNabFile(const NabSeries& series, const std::vector<double>& scores, double threshold,
                       const NabProfile& profile, NabTally* tally) {
  constexpr double kNone = -std::numeric_limits<double>::infinity();
  std::vector<double> best(series.windows.size(), kNone);
  std::vector<int> first(series.windows.size(), -1);
  for (int row = series.probation(); row < series.rows(); ++row) {
    const double score = scores[static_cast<size_t>(row)];
    if (!(score > 0 && score >= threshold)) continue;
    const NabSeries::Window* before = nullptr;
    bool inside = false;
    for (size_t w = 0; w < series.windows.size() && !inside; ++w) {
      const NabSeries::Window& window = series.windows[w];
      if (window.last < row) before = &window;
      if (row < window.first || row > window.last) continue;
      inside = true;
      const double width = window.last - window.first + 1;
      best[w] = std::max(best[w], profile.hit * NabSigmoid(-(window.last - row + 1) / width) / NabSigmoid(-1));
      if (first[w] < 0) first[w] = row;
    }
    if (inside) continue;
    ++tally->false_alarms;
    tally->raw += before == nullptr ? -profile.false_alarm
                                    : profile.false_alarm * NabSigmoid(static_cast<double>(row - before->last) /
                                                                       (before->last - before->first));
  }
  for (size_t w = 0; w < best.size(); ++w) {
    const bool hit = first[w] >= 0;
    tally->raw += hit ? best[w] : -profile.miss;
    if (!hit) continue;
    ++tally->hits;
    tally->delays_us.push_back(series.times_us[static_cast<size_t>(first[w])] -
                               series.times_us[static_cast<size_t>(series.windows[w].first)]);
  }
}

/// 100 for every window hit at once and nothing else, 0 for no detection at all.
inline double NabNormalised(double raw, int windows, const NabProfile& profile) {
  const double nothing = -profile.miss * windows;
  return 100 * (raw - nothing) / (profile.hit * windows - nothing);
}

using NabScores = std::vector<std::vector<double>>;

inline NabTally TallyCorpus(const std::vector<NabSeries>& corpus, const NabScores& scores, double threshold,
                            const NabProfile& profile) {
  NabTally tally;
  for (size_t i = 0; i < corpus.size(); ++i) AddNabFile(corpus[i], scores[i], threshold, profile, &tally);
  return tally;
}

/// The one threshold for all files under which the sum is largest.
inline double BestThreshold(const std::vector<NabSeries>& corpus, const NabScores& scores, const NabProfile& profile) {
  std::vector<double> candidates;
  for (const auto& file : scores)
    for (const double s : file)
      if (s > 0) candidates.push_back(s);
  std::sort(candidates.begin(), candidates.end());
  candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
  double best = -std::numeric_limits<double>::infinity(), at = std::numeric_limits<double>::infinity();
  for (const double threshold : candidates) {
    const double raw = TallyCorpus(corpus, scores, threshold, profile).raw;
    if (raw <= best) continue;
    best = raw;
    at = threshold;
  }
  return at;
}

}  // namespace freshet::bench
