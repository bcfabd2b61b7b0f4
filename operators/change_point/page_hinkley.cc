#include "operators/change_point/page_hinkley.h"

#include <cmath>

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
constexpr int64_t kRowsMin = 30;
constexpr double kNumberMax = 1e150;

}  // namespace

Status PageHinkley::Validate(const PageHinkleyOptions& options) {
  if (!(options.slack >= 0)) return Status::InvalidArgument("slack must not be negative");
  if (!(options.keep > 0 && options.keep <= 1)) return Status::InvalidArgument("keep must be in (0, 1]");
  return options.threshold > 0 ? Status::Ok() : Status::InvalidArgument("threshold must be above 0");
}

std::optional<Change> PageHinkley::Add(EventTime time, double x) {
  if (!(std::abs(x) <= kNumberMax)) return std::nullopt;
  const double y = options_.standardize ? standard_.StandardizeAndLearn(x) : x;
  ++count_;
  // Standardised values have the mean 0; estimating it again would only add noise.
  if (!options_.standardize) mean_ += (y - mean_) / static_cast<double>(count_);
  raw_mean_ += (x - raw_mean_) / static_cast<double>(count_);
  up_.sum = options_.keep * up_.sum + (y - mean_) - options_.slack;
  down_.sum = options_.keep * down_.sum + (y - mean_) + options_.slack;
  const auto follow = [&](Side& side, bool is_new_extreme) {
    side.since.Add(x);
    if (!is_new_extreme) return;
    side.extreme = side.sum;
    // The change, if one comes, begins with the next row; its time is not known yet.
    side.since.Start(EventTime::Min(), raw_mean_);
  };
  for (Side* side : {&up_, &down_})
    if (side->since.began == EventTime::Min()) side->since.began = time;
  follow(up_, up_.sum <= up_.extreme);
  follow(down_, down_.sum >= down_.extreme);
  if (count_ < kRowsMin) return std::nullopt;
  const bool up = up_.sum - up_.extreme > options_.threshold;
  if (!up && !(down_.extreme - down_.sum > options_.threshold)) return std::nullopt;
  const Change change = (up ? up_ : down_).since.Tell();
  *this = PageHinkley(options_);
  return change;
}

void PageHinkley::Encode(ByteSink& sink) const {
  sink.PutU8(kCodec);
  standard_.Encode(sink);
  sink.PutI64(count_);
  sink.PutF64(mean_);
  sink.PutF64(raw_mean_);
  for (const Side* side : {&up_, &down_}) {
    sink.PutF64(side->sum);
    sink.PutF64(side->extreme);
    side->since.Encode(sink);
  }
}

Status PageHinkley::Decode(ByteSource& source) {
  if (source.GetU8() != kCodec) return Status::DataLoss("page_hinkley: unknown codec");
  standard_.Decode(source);
  count_ = source.GetI64();
  mean_ = source.GetF64();
  raw_mean_ = source.GetF64();
  for (Side* side : {&up_, &down_}) {
    side->sum = source.GetF64();
    side->extreme = source.GetF64();
    side->since.Decode(source);
  }
  return source.ok() ? Status::Ok() : Status::DataLoss("page_hinkley: the snapshot is torn");
}

}  // namespace freshet
