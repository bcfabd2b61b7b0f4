#include "operators/change_point/adwin.h"

#include <algorithm>
#include <cmath>

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
constexpr size_t kFirstCount = 50;
constexpr int kBucketsPerLevel = 5;  // M of the paper
constexpr int64_t kPartMin = 5;      // rows on either side of a cut
constexpr double kRangeInDeviations = 8;
constexpr double kNormalMad = 0.6745;
constexpr double kNumberMax = 1e150;

double MedianOf(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v.size() % 2 == 1 ? v[v.size() / 2] : (v[v.size() / 2 - 1] + v[v.size() / 2]) / 2;
}

}  // namespace

Status Adwin::Validate(const AdwinOptions& options) {
  if (options.delta > 0 && options.delta < 1) return Status::Ok();
  return Status::InvalidArgument("delta must be in (0, 1)");
}

bool Adwin::Standardize(double x, double* y) {
  *y = x;
  if (!options_.standardize) return true;
  if (standardized_) {
    *y = std::clamp((x - centre_) / range_, -0.5, 0.5);
    return true;
  }
  first_.push_back(x);
  if (first_.size() < kFirstCount) return false;
  centre_ = MedianOf(first_);
  for (double& v : first_) v = std::abs(v - centre_);
  const double deviation = MedianOf(first_) / kNormalMad;
  range_ = kRangeInDeviations * std::max({deviation, 1e-6 * std::abs(centre_), 1e-12});
  first_ = {};
  standardized_ = true;
  return false;
}

void Adwin::Insert(const Bucket& bucket) {
  buckets_.push_back(bucket);
  ++width_;
  Compress();
}

void Adwin::Compress() {
  size_t end = buckets_.size();  // one behind the level's newest
  while (end > 0) {
    const uint8_t level = buckets_[end - 1].level;
    size_t begin = end;
    while (begin > 0 && buckets_[begin - 1].level == level) --begin;
    if (end - begin <= kBucketsPerLevel) return;
    Bucket& older = buckets_[begin];
    const Bucket& newer = buckets_[begin + 1];
    const auto rows = static_cast<double>(older.rows());
    const double apart = (older.total - newer.total) / rows;
    older.squares += newer.squares + rows / 2 * apart * apart;
    older.total += newer.total;
    older.raw += newer.raw;
    ++older.level;
    buckets_.erase(buckets_.begin() + static_cast<ptrdiff_t>(begin) + 1);
    end = begin + 1;
  }
}

Adwin::Cut Adwin::ClearestCut() const {
  Cut best;
  double total = 0, raw = 0;
  for (const Bucket& b : buckets_) {
    total += b.total;
    raw += b.raw;
  }
  const auto n = static_cast<double>(width_);
  const double mean = total / n;
  double squares = 0;
  for (const Bucket& b : buckets_) {
    const double apart = b.total / static_cast<double>(b.rows()) - mean;
    squares += b.squares + static_cast<double>(b.rows()) * apart * apart;
  }
  const double variance = squares / n;
  const double sure = std::log(2 * std::log(n) / options_.delta);
  int64_t older = 0;
  double older_total = 0, older_raw = 0;
  for (size_t at = 1; at < buckets_.size(); ++at) {
    const Bucket& b = buckets_[at - 1];
    older += b.rows();
    older_total += b.total;
    older_raw += b.raw;
    const int64_t newer = width_ - older;
    if (older < kPartMin || newer < kPartMin) continue;
    const auto n0 = static_cast<double>(older), n1 = static_cast<double>(newer);
    const double inverse = 1 / n0 + 1 / n1;
    const double allowed = std::sqrt(2 * inverse * variance * sure) + 2.0 / 3 * inverse * sure;
    const double excess = std::abs(older_total / n0 - (total - older_total) / n1) / allowed;
    if (excess <= best.excess) continue;
    best = {at, excess, {buckets_[at].began, older_raw / n0, (raw - older_raw) / n1}};
  }
  return best;
}

std::optional<Change> Adwin::Add(EventTime time, double x) {
  if (!(std::abs(x) <= kNumberMax)) return std::nullopt;
  double y = 0;
  if (!Standardize(x, &y)) return std::nullopt;
  Insert({time, y, 0, x, 0});
  if (width_ < 2 * kPartMin) return std::nullopt;
  const Cut cut = ClearestCut();
  if (cut.at == 0) return std::nullopt;
  if (options_.standardize) {
    *this = Adwin(options_);
    return cut.change;
  }
  const auto newer = buckets_.begin() + static_cast<ptrdiff_t>(cut.at);
  for (auto b = buckets_.begin(); b != newer; ++b) width_ -= b->rows();
  buckets_.erase(buckets_.begin(), newer);
  return cut.change;
}

size_t Adwin::memory_bytes() const {
  return sizeof *this + buckets_.capacity() * sizeof(Bucket) + first_.capacity() * sizeof(double);
}

void Adwin::Encode(ByteSink& sink) const {
  sink.PutU8(kCodec);
  sink.PutBool(standardized_);
  sink.PutF64(centre_);
  sink.PutF64(range_);
  sink.PutVarint(first_.size());
  for (const double x : first_) sink.PutF64(x);
  sink.PutVarint(buckets_.size());
  for (const Bucket& b : buckets_) {
    sink.PutU8(b.level);
    sink.PutI64(b.began.us);
    for (const double v : {b.total, b.squares, b.raw}) sink.PutF64(v);
  }
}

Status Adwin::Decode(ByteSource& source) {
  if (source.GetU8() != kCodec) return Status::DataLoss("adwin: unknown codec");
  standardized_ = source.GetBool();
  centre_ = source.GetF64();
  range_ = source.GetF64();
  const uint64_t first = source.GetVarint();
  if (first >= kFirstCount) return Status::DataLoss("adwin: the snapshot is damaged");
  first_.assign(first, 0);
  for (double& x : first_) x = source.GetF64();
  const uint64_t buckets = source.GetVarint();
  if (buckets > source.remaining() / 33) return Status::DataLoss("adwin: the snapshot is torn");
  buckets_.assign(buckets, {});
  width_ = 0;
  for (Bucket& b : buckets_) {
    b.level = source.GetU8();
    if (b.level > 55) return Status::DataLoss("adwin: the snapshot is damaged");
    b.began.us = source.GetI64();
    for (double* v : {&b.total, &b.squares, &b.raw}) *v = source.GetF64();
    width_ += b.rows();
  }
  return source.ok() ? Status::Ok() : Status::DataLoss("adwin: the snapshot is torn");
}

}  // namespace freshet
