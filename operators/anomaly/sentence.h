#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "operators/anomaly/anomaly_model.h"

namespace freshet {

/// How a metric is told to people.
struct MetricWords {
  std::string name;
  bool percent = false;  ///< a ratio: 0.021 is "2.1 %"
};

/// "engagement_rate 2.1 % against 5.9 % expected (4.8–7.0) for 12 min": the value of the leading metric, what was
/// expected of it where that is known, and how long this has been going on where it is a minute or more; then of a
/// broken rule what it says ("error_rate rule: 7.2 % on average, above 5 %"), or the kind of evidence ("a shape never
/// seen"). `detail` is put before those where it is not empty.
std::string AnomalySentence(const AnomalyVerdict& verdict, const std::vector<MetricWords>& words, const double* x,
                            int64_t time_us, const std::string& detail = "");

/// "90 s", "12 min", "3.5 h", "2 d".
std::string SpanText(int64_t us);

}  // namespace freshet
