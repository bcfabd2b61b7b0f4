#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "engine/base/bytes.h"

namespace freshet {

struct AlarmGateOptions {
  double alarm_at = 2.5;  ///< score at which an alarm starts, > 0
  int silence = 200;      ///< rows without a further alarm after one; at most a tenth of all rows so far
  double raise_by = 0.1;  ///< each recent alarm raises `alarm_at` by this share
  double memory = 4000;   ///< rows after which an alarm counts 1/e for that
};

/// Decides where an alarm starts: silence after an alarm, and a bar that rises with the recent alarms, so that a series
/// that cries often must cry louder. A plain value; deterministic.
class AlarmGate {
 public:
  explicit AlarmGate(const AlarmGateOptions& options = {}) : options_(options) {}

  /// The score, weighed down by recent alarms, where an alarm starts; 0 elsewhere, and for NaN.
  double Pass(double score) {
    ++count_;
    alarms_ *= std::exp(-1 / options_.memory);
    const double weighed = score / (1 + options_.raise_by * alarms_);
    const int64_t silence = std::min<int64_t>(options_.silence, count_ / 10);
    if (!(weighed >= options_.alarm_at) || (last_ >= 0 && count_ - last_ < silence)) return 0;
    last_ = count_;
    alarms_ += 1;
    return weighed;
  }

  void Encode(ByteSink& sink) const {
    sink.PutI64(count_);
    sink.PutI64(last_);
    sink.PutF64(alarms_);
  }
  void Decode(ByteSource& source) {
    count_ = source.GetI64();
    last_ = source.GetI64();
    alarms_ = source.GetF64();
  }

 private:
  AlarmGateOptions options_;
  int64_t count_ = 0;
  int64_t last_ = -1;
  double alarms_ = 0;  // recent ones, decayed
};

}  // namespace freshet
