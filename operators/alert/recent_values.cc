#include "operators/alert/recent_values.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace freshet {

void RecentValues::Push(int64_t time_us, double value) {
  if (values_.size() == kCountMax) values_.erase(values_.begin());
  values_.push_back(std::isfinite(value) ? value : std::numeric_limits<double>::quiet_NaN());
  last_us_ = time_us;
}

std::string RecentValues::Sparkline() const {
  static const char* const kBars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  double low = INFINITY, high = -INFINITY;
  for (const double v : values_) {
    if (std::isnan(v)) continue;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  std::string out;
  for (const double v : values_) {
    // Halves: the difference of two doubles may be more than one holds.
    const double share = high > low ? (v / 2 - low / 2) / (high / 2 - low / 2) : 0.5;
    out += std::isnan(v) ? " " : kBars[std::clamp(static_cast<int>(share * 8), 0, 7)];
  }
  return out;
}

void RecentValues::Encode(ByteSink& sink) const {
  sink.PutVarint(values_.size());
  for (const double v : values_) sink.PutF64(v);
  if (!values_.empty()) sink.PutI64(last_us_);
}

bool RecentValues::Decode(ByteSource& source) {
  const uint64_t count = source.GetVarint();
  if (!source.ok() || count > kCountMax) return false;
  values_.clear();
  for (uint64_t i = 0; i < count; ++i) values_.push_back(source.GetF64());
  last_us_ = count > 0 ? source.GetI64() : 0;
  return source.ok();
}

}  // namespace freshet
