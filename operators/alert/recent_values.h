#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/bytes.h"

namespace freshet {

/// The last values of a key, for a picture in one line of text. A plain value.
class RecentValues {
 public:
  static constexpr size_t kCountMax = 24;

  /// What is not finite is a gap. REQUIRES: times do not go back.
  void Push(int64_t time_us, double value);
  void Clear() { values_.clear(); }
  bool empty() const { return values_.empty(); }
  int64_t last_us() const { return last_us_; }
  /// "▁▂▁▃█": oldest first, the smallest value lowest, the largest highest, all in the middle if they are equal; a gap
  /// is a blank.
  std::string Sparkline() const;

  size_t memory_bytes() const { return values_.capacity() * sizeof(double); }
  void Encode(ByteSink& sink) const;
  bool Decode(ByteSource& source);

 private:
  std::vector<double> values_;
  int64_t last_us_ = 0;
};

}  // namespace freshet
