#pragma once

#include <vector>

#include "operators/change_point/change_detector.h"

namespace freshet {

struct AdwinOptions {
  bool standardize = true;  ///< else values should lie within a range of about 1, as errors and shares do
  double delta = 0.002;     ///< confidence of a cut, in (0, 1)
};

/// ADWIN (Bifet and Gavaldà, SIAM Data Mining 2007): the longest window whose parts have no different means, held as an
/// exponential histogram of at most 6 buckets of each size 1, 2, 4, …. A cut into n0 older and n1 newer rows is a
/// change if their means differ by more than sqrt(2 v L / m) + 2 L / 3m, with 1/m = 1/n0 + 1/n1, v the window's
/// variance and L = ln(2 ln(n) / delta); then the oldest buckets leave until no cut is one. It needs no shape of the
/// noise and adapts to slow change as well: for what a model gets wrong, or how much.
///
/// The formula is for values in [0, 1]. With `standardize` the median and the MAD of the first 50 values bring +-4
/// standard deviations to that range, values are clipped to it, and after a change it starts over; else the window goes
/// on with its newer part.
/// Memory: 150 bytes a key and 40 a bucket: some 3 KB after 10,000 rows, 5 KB after a million.
class Adwin final : public ChangeDetector {
 public:
  static Status Validate(const AdwinOptions& options);
  /// REQUIRES: Validate(options).ok().
  explicit Adwin(const AdwinOptions& options = {}) : options_(options) {}

  std::optional<Change> Add(EventTime time, double x) override;
  size_t memory_bytes() const override;
  void Encode(ByteSink& sink) const override;
  Status Decode(ByteSource& source) override;

  int64_t width() const { return width_; }  ///< rows in the window

 private:
  struct Bucket {
    EventTime began;
    double total = 0;    // of standardised values
    double squares = 0;  // of their distances to the bucket's mean
    double raw = 0;      // sum of the metric
    uint8_t level = 0;   // 2^level rows
    int64_t rows() const { return int64_t{1} << level; }
  };
  /// False while the first values are gathered.
  bool Standardize(double x, double* y);
  void Insert(const Bucket& bucket);
  /// Merges the two oldest of each level that has too many.
  void Compress();
  struct Cut {
    size_t at = 0;      // the first bucket of the newer part; 0: none is a change
    double excess = 1;  // its difference over what is allowed
    Change change;
  };
  Cut ClearestCut() const;

  AdwinOptions options_;
  std::vector<double> first_;
  bool standardized_ = false;
  double centre_ = 0, range_ = 1;
  std::vector<Bucket> buckets_;  // the oldest first
  int64_t width_ = 0;
};

}  // namespace freshet
