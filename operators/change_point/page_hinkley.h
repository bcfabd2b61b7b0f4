#pragma once

#include "operators/change_point/standardizer.h"

namespace freshet {

struct PageHinkleyOptions {
  bool standardize = true;  ///< else slack and threshold are in the metric's unit
  double slack = 0.5;       ///< delta: change a row that is not yet one, >= 0
  double threshold = 8;     ///< lambda, > 0
  double keep = 1;          ///< of the sums a row later, in (0, 1]: see below
  bool adapt = false;       ///< as CusumOptions::adapt; REQUIRES standardize, slack > 0
};

/// The Page-Hinkley test (Page 1954, Hinkley 1971; as used for drift by Gama et al. 2014): m is the sum of (value -
/// mean of all values so far - delta, by the standardiser's mean where there is one); a change up where m stands more
/// than lambda above its minimum, down likewise. The change began where the extreme was. A change is told from the 30th
/// row on; then it starts over, but for what is known of the noise's shape. Memory: 250 bytes a key.
class PageHinkley final : public ChangeDetector {
 public:
  static Status Validate(const PageHinkleyOptions& options);
  /// REQUIRES: Validate(options).ok().
  explicit PageHinkley(const PageHinkleyOptions& options = {})
      : options_(options), up_tail_(options.slack), down_tail_(options.slack) {}

  std::optional<Change> Add(EventTime time, double x) override;
  size_t memory_bytes() const override { return sizeof *this; }
  void Encode(ByteSink& sink) const override;
  Status Decode(ByteSource& source) override;

 private:
  struct Side {
    double sum = 0;
    double extreme = 0;
    SinceMoment since;
  };

  PageHinkleyOptions options_;
  SelfStartingStandardizer standard_;
  int64_t count_ = 0;
  double mean_ = 0;      // of what is tested
  double raw_mean_ = 0;  // of the metric
  Side up_, down_;
  TailExponent up_tail_, down_tail_;
};

}  // namespace freshet
