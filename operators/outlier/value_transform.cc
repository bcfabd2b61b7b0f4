#include "operators/outlier/value_transform.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
constexpr size_t kFirstCount = 50;
constexpr double kUnitShare = 0.05;
constexpr double kAnscombeShift = 0.375;

}  // namespace

ValueTransform::ValueTransform(const ValueTransformOptions& options)
    : options_(options), shape_(options.transform), last_(std::numeric_limits<double>::quiet_NaN()) {
  if (shape_ != Transform::kAuto) return;
  if (options.kind == MetricKind::kCount) shape_ = Transform::kAnscombe;
  if (options.kind == MetricKind::kRatio || options.kind == MetricKind::kLevel) shape_ = Transform::kNone;
}

double ValueTransform::Forward(double x) const {
  switch (shape_) {
    case Transform::kNone:
      return x;
    case Transform::kLog1p:
      return std::copysign(std::log1p(std::abs(x) / unit_), x);
    case Transform::kAnscombe:
      return x < 0 ? std::numeric_limits<double>::quiet_NaN() : 2 * std::sqrt(x + kAnscombeShift);
    case Transform::kDiff:
      return x - last_;
    case Transform::kAuto:
      break;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

double ValueTransform::Back(double y) const {
  switch (shape_) {
    case Transform::kNone:
    case Transform::kAuto:
      return y;
    case Transform::kLog1p:
      return std::copysign(unit_ * std::expm1(std::abs(y)), y);
    case Transform::kAnscombe:
      return std::max(0.0, std::max(0.0, y) * std::max(0.0, y) / 4 - kAnscombeShift);
    case Transform::kDiff:
      return y + last_;
  }
  return y;
}

void ValueTransform::Learn(double x) {
  if (!std::isfinite(x)) return;
  if (shape_ == Transform::kDiff) last_ = x;
  if (shape_ != Transform::kAuto) return;
  first_.push_back(x);
  if (first_.size() >= kFirstCount) Decide();
}

void ValueTransform::Decide() {
  std::vector<double> sorted = std::move(first_);
  first_ = {};
  std::sort(sorted.begin(), sorted.end());
  const size_t n = sorted.size();
  const double median = sorted[n / 2];
  const auto whole = [](double x) { return x == std::floor(x); };
  const bool skewed = median > 0 && sorted[n * 9 / 10] - median > 2 * (median - sorted[n / 10]);
  shape_ = Transform::kNone;
  if (options_.kind == MetricKind::kAuto && sorted[0] >= 0 && std::all_of(sorted.begin(), sorted.end(), whole)) {
    shape_ = Transform::kAnscombe;
  } else if (options_.kind == MetricKind::kLatency || (sorted[0] >= 0 && skewed)) {
    shape_ = Transform::kLog1p;
    unit_ = median > 0 ? kUnitShare * median : 1;
  }
}

void ValueTransform::Encode(ByteSink& sink) const {
  sink.PutU8(kCodec);
  sink.PutU8(static_cast<uint8_t>(shape_));
  sink.PutF64(unit_);
  sink.PutF64(last_);
  sink.PutVarint(first_.size());
  for (double x : first_) sink.PutF64(x);
}

Status ValueTransform::Decode(ByteSource& source) {
  if (source.GetU8() != kCodec) return Status::DataLoss("transform: unknown codec");
  const uint8_t shape = source.GetU8();
  unit_ = source.GetF64();
  last_ = source.GetF64();
  const uint64_t count = source.GetVarint();
  if (shape > static_cast<uint8_t>(Transform::kAuto) || count >= kFirstCount || !(unit_ > 0)) {
    return Status::DataLoss("transform: the snapshot is damaged");
  }
  shape_ = static_cast<Transform>(shape);
  first_.clear();
  for (uint64_t i = 0; i < count; ++i) first_.push_back(source.GetF64());
  return source.ok() ? Status::Ok() : Status::DataLoss("transform: the snapshot is torn");
}

}  // namespace freshet
