#pragma once

#include <cstddef>

#include "engine/base/bytes.h"
#include "engine/base/status.h"
#include "engine/base/time.h"
#include "operators/outlier/outlier_verdict.h"

namespace freshet {

/// One value on its way to a model.
struct OutlierInput {
  OutlierInput(double x, EventTime time = {}, double of = OutlierVerdict::kNone)  // NOLINT: a number is a value
      : x(x), time(time), of(of) {}
  int64_t local_us() const { return time.us + zone_us; }
  double x;             ///< NaN: missing
  EventTime time;       ///< for methods that know of time
  double of;            ///< how many a ratio is of, or a count's exposure; NaN: not given
  int64_t zone_us = 0;  ///< local time minus UTC, for methods that know of seasons
};

/// What one key has shown of one number: scores a value with what came before it, then learns it.
///
/// A method is one class in a file pair of its own. What holds for all of them:
///  - Score looks at the state from before the value and changes nothing; Learn may keep a value outside the band from
///    moving the model (boundedly: a lasting shift is learnt, see OutsideRun).
///  - NaN is missing: no verdict, nothing learned. An infinity scores kOutlierScoreMax and is not learned.
///  - Methods that know of time get rows in its order; equal times and gaps of any length may occur.
///  - Encode writes the state without the options, with a codec version; a model with equal options that decoded it
///    goes on with the same bits. Decode of damaged bytes is an error, never a crash.
/// Deterministic. Not thread-safe.
class OutlierModel {
 public:
  virtual ~OutlierModel() = default;
  virtual OutlierVerdict Score(const OutlierInput& in) const = 0;
  /// `before` is what Score said about this value.
  virtual void Learn(const OutlierInput& in, const OutlierVerdict& before) = 0;
  void Learn(const OutlierInput& in) { Learn(in, Score(in)); }
  OutlierVerdict ScoreAndLearn(const OutlierInput& in) {
    const OutlierVerdict verdict = Score(in);
    Learn(in, verdict);
    return verdict;
  }
  /// All of the model, with what it holds on the heap.
  virtual size_t memory_bytes() const = 0;

  virtual void Encode(ByteSink& sink) const = 0;
  virtual Status Decode(ByteSource& source) = 0;

 protected:
  OutlierModel() = default;
  OutlierModel(const OutlierModel&) = default;
  OutlierModel& operator=(const OutlierModel&) = default;
};

}  // namespace freshet
