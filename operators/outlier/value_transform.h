#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/status.h"
#include "operators/outlier/metric_kind.h"

namespace freshet {

/// On which scale a method looks at a value. The values stand in state: frozen.
enum class Transform : uint8_t { kNone, kLog1p, kAnscombe, kDiff, kAuto };

inline constexpr const char* kTransformNames[] = {"none", "log1p", "anscombe", "diff", "auto"};

struct ValueTransformOptions {
  Transform transform = Transform::kNone;
  MetricKind kind = MetricKind::kAuto;  ///< for kAuto
};

/// Brings values to a scale where equal steps mean equally much, and bands back.
///
///   log1p     sign(x) log(1 + |x| / c), c = 1: steps by ratio, for what is skewed
///   anscombe  2 sqrt(x + 3/8) (Anscombe 1948): the noise of a Poisson count becomes that of a standard normal;
///             a negative value is no count: missing
///   diff      the step from the value before: for levels that wander
///   auto      by kind: count anscombe; latency log1p with c = 5 % of the median; ratio and level none. Kind auto looks
///             at the first 50 values as well: whole and not negative are counts; not negative and skewed to the right
///             (the 90 % quantile twice as far from the median as the 10 % one) latencies; else levels.
/// Where the first 50 values decide, they are not passed on. Memory: 64 bytes, while deciding 400 more. Not
/// thread-safe.
class ValueTransform {
 public:
  explicit ValueTransform(const ValueTransformOptions& options);
  /// The value on the scale, from the state before it; NaN: missing, or not known yet.
  double Forward(double x) const;
  /// The value that Forward would bring to y.
  double Back(double y) const;
  void Learn(double x);

  void Encode(ByteSink& sink) const;
  Status Decode(ByteSource& source);

 private:
  void Decide();

  ValueTransformOptions options_;
  Transform shape_;  // kAuto: not decided yet
  double unit_ = 1;  // c of log1p
  double last_;      // for diff
  std::vector<double> first_;
};

}  // namespace freshet
