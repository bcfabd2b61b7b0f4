#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/base/bytes.h"
#include "operators/outlier/sorted_window.h"

namespace freshet {

/// How unusual a value is: how likely a usual one is higher, and how likely it is just as high.
struct TailProbability {
  double above = 0;
  double ties = 0;
  /// Ties counted half: what is reported as p-value.
  double middle() const { return above + 0.5 * ties; }
};

/// The highest scores of a long past ("peaks"), and the shape of the tail beyond them. The caller decides which scores
/// are peaks: those above a threshold that may move.
///
/// P(score > x) is the rank of x among the peaks by the number of rows over which they were gathered; among the twelve
/// highest, and beyond, it is that of a generalised Pareto tail (peaks over threshold: Siffer et al., KDD 2017), fitted
/// to the higher half of the peaks by probability-weighted moments (Hosking and Wallis 1987), and corrected by how many
/// were really seen beyond x (a gamma prior on the rate beyond x, worth one score). The tail alone is wrong where
/// scores come in clusters or tie; ranks alone would call the third of three equal oddities usual. The shape, which
/// some hundred excesses cannot tell, is the mean over many fits, drawn to 0 while there are few, and at least
/// -0.1.
///
/// A plain value of 12 bytes a peak; not thread-safe.
class TailPeaks {
 public:
  /// REQUIRES: peaks_max > 0.
  explicit TailPeaks(size_t peaks_max) : peaks_(peaks_max) {}

  size_t size() const { return peaks_.size(); }
  /// Rows over which the peaks were gathered.
  uint64_t rows() const { return gathered_ + since_peak_; }
  /// REQUIRES: x is above the threshold of now.
  TailProbability Above(float x) const;
  /// One more score; drops the oldest peak when there are too many.
  void See(float x, bool is_peak);
  /// Fits the tail again. Cheap enough for every 64 scores.
  void Fit();

  size_t memory_bytes() const { return peaks_.memory_bytes() + gaps_.capacity() * sizeof(uint32_t); }
  void Encode(ByteSink& sink) const;
  /// False if the bytes are not peaks, or more than fit.
  bool Decode(ByteSource& source);

 private:
  TailProbability Rank(float x) const;

  SortedWindow<float> peaks_;
  std::vector<uint32_t> gaps_;  // rows from each peak's predecessor to it, in the ring order of peaks_
  size_t next_ = 0;             // the oldest gap, once full
  uint64_t gathered_ = 0;       // sum of gaps_
  uint64_t since_peak_ = 0;
  // The fitted tail: P(score > x | score > anchor) for x > anchor.
  float anchor_ = 0;
  double scale_ = 0;  // 0: no tail, ranks only
  double shape_ = 0;
  double shape_mean_ = 0;
  uint32_t fit_count_ = 0;
};

}  // namespace freshet
