#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/base/bytes.h"

namespace freshet {

/// The most features of a forest; rows are converted on the stack.
inline constexpr int kForestFeaturesMax = 256;
/// The farthest a stored value may be from its feature's origin.
inline constexpr float kFarthestValue = 1e30f;

/// What a forest found in a row while converting it.
enum class RowKind : uint8_t {
  kComplete,    ///< every feature is present
  kPartly,      ///< some features are missing
  kAllMissing,  ///< the row says nothing
};

/// The last rows a forest has learned, as floats, four to a lane block.
///
/// Rows are numbered from 0 as they come; the ring keeps the last `rows_max` of them and grows by doubling until then.
/// A value is stored as float(x - origin), where origin is the first finite value seen of that feature: so a large
/// offset (an epoch, an identifier) costs no precision. Lanes beyond the last feature are 0.
///
/// Missing is NaN. An infinity, or a value further than 1e30 from the origin, scores as 1e30 (beyond any range) but is
/// learned as missing, so that one such value cannot blind the forest for a whole window. A feature never seen is
/// missing in every row.
/// Not thread-safe.
class PointRing {
 public:
  /// REQUIRES: feature_count > 0, rows_max > 0.
  PointRing(int feature_count, int64_t rows_max);

  int feature_count() const { return feature_count_; }
  /// Floats per row, a multiple of 4.
  int stride() const { return stride_; }
  /// Rows ever appended.
  int64_t end() const { return end_; }
  /// The oldest row still held.
  int64_t begin() const { return end_ > rows_max_ ? end_ - rows_max_ : 0; }
  /// REQUIRES: begin() <= row < end().
  const float* Row(int64_t row) const {
    return rows_.data() + static_cast<size_t>(row % rows_max_) * static_cast<size_t>(stride_);
  }

  /// Converts for scoring; `out` has stride() floats.
  RowKind ToScored(const double* x, float* out) const;
  /// Converts for learning, and fixes the origins of features seen for the first time.
  RowKind ToLearned(const double* x, float* out);
  /// Appends a row of stride() floats made by ToLearned.
  void Append(const float* row);

  size_t memory_bytes() const { return rows_.capacity() * sizeof(float) + origins_.capacity() * sizeof(double); }
  void Encode(ByteSink& sink) const;
  /// Replaces the content by what Encode of a ring of the same shape wrote. False if the bytes are not that.
  bool Decode(ByteSource& source);

 private:
  int feature_count_;
  int stride_;
  int64_t rows_max_;
  int64_t end_ = 0;
  std::vector<double> origins_;  // NaN until the feature is seen
  std::vector<float> rows_;
};

}  // namespace freshet
