#include "operators/isolation_forest/point_ring.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace freshet {
namespace {

constexpr double kFarthest = static_cast<double>(kFarthestValue);

RowKind KindOf(int missing, int features) {
  if (missing == 0) return RowKind::kComplete;
  return missing == features ? RowKind::kAllMissing : RowKind::kPartly;
}

}  // namespace

PointRing::PointRing(int feature_count, int64_t rows_max)
    : feature_count_(feature_count),
      stride_((feature_count + 3) / 4 * 4),
      rows_max_(rows_max),
      origins_(static_cast<size_t>(feature_count), std::numeric_limits<double>::quiet_NaN()) {}

RowKind PointRing::ToScored(const double* x, float* out) const {
  int missing = 0;
  for (int j = 0; j < feature_count_; ++j) {
    const double d = x[j] - origins_[static_cast<size_t>(j)];
    missing += std::isnan(d);
    // The comparisons are false for NaN, which therefore passes.
    out[j] = static_cast<float>(d > kFarthest ? kFarthest : d < -kFarthest ? -kFarthest : d);
  }
  for (int j = feature_count_; j < stride_; ++j) out[j] = 0;
  return KindOf(missing, feature_count_);
}

RowKind PointRing::ToLearned(const double* x, float* out) {
  int missing = 0;
  for (int j = 0; j < feature_count_; ++j) {
    double& origin = origins_[static_cast<size_t>(j)];
    if (std::isnan(origin) && std::isfinite(x[j])) origin = x[j];
    const double d = x[j] - origin;
    const bool known = std::abs(d) <= kFarthest;
    missing += !known;
    out[j] = known ? static_cast<float>(d) : std::numeric_limits<float>::quiet_NaN();
  }
  for (int j = feature_count_; j < stride_; ++j) out[j] = 0;
  return KindOf(missing, feature_count_);
}

void PointRing::Append(const float* row) {
  const auto stride = static_cast<size_t>(stride_);
  const size_t at = static_cast<size_t>(end_ % rows_max_) * stride;
  if (at + stride > rows_.size()) {
    const size_t full = static_cast<size_t>(rows_max_) * stride;
    if (at + stride > rows_.capacity()) rows_.reserve(std::min(full, std::max(4 * stride, rows_.capacity() * 2)));
    rows_.resize(at + stride);
  }
  std::copy_n(row, stride, rows_.begin() + static_cast<ptrdiff_t>(at));
  ++end_;
}

void PointRing::Encode(ByteSink& sink) const {
  sink.PutVarint(static_cast<uint64_t>(end_));
  for (double origin : origins_) sink.PutF64(origin);
  for (int64_t row = begin(); row < end_; ++row) {
    for (int j = 0; j < feature_count_; ++j) sink.PutU32(std::bit_cast<uint32_t>(Row(row)[j]));
  }
}

bool PointRing::Decode(ByteSource& source) {
  const uint64_t end = source.GetVarint();
  for (double& origin : origins_) origin = source.GetF64();
  const auto held = std::min(end, static_cast<uint64_t>(rows_max_));
  if (!source.ok() || end > (1ULL << 62) || source.remaining() / 4 / static_cast<uint64_t>(feature_count_) < held) {
    return false;
  }
  rows_.clear();
  rows_.reserve(static_cast<size_t>(held) * static_cast<size_t>(stride_));
  rows_.resize(static_cast<size_t>(held) * static_cast<size_t>(stride_), 0.0f);
  end_ = static_cast<int64_t>(end);
  for (int64_t row = begin(); row < end_; ++row) {
    auto* to = rows_.data() + static_cast<size_t>(row % rows_max_) * static_cast<size_t>(stride_);
    for (int j = 0; j < feature_count_; ++j) to[j] = std::bit_cast<float>(source.GetU32());
  }
  return source.ok();
}

}  // namespace freshet
