#include "operators/change_point/page_hinkley.h"

#include <cmath>

namespace freshet {
namespace {

constexpr uint8_t kCodec = 2;
constexpr uint8_t kCodecWithoutTails = 1;
constexpr int64_t kRowsMin = 30;
constexpr double kNumberMax = 1e150;

}  // namespace

Status PageHinkley::Validate(const PageHinkleyOptions& options) {
  if (!(options.slack >= 0)) return Status::InvalidArgument("slack must not be negative");
  if (options.adapt && !(options.standardize && options.slack > 0))
    return Status::InvalidArgument("adapt needs standardised values and a slack above 0");
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
  const double up_at = options_.threshold * (options_.adapt ? up_tail_.Stretch() : 1);
  const double down_at = options_.threshold * (options_.adapt ? down_tail_.Stretch() : 1);
  if (options_.adapt && standard_.warm()) {
    up_tail_.Learn(y);
    down_tail_.Learn(-y);
  }
  if (count_ < kRowsMin) return std::nullopt;
  const bool up = up_.sum - up_.extreme > up_at;
  if (!up && !(down_.extreme - down_.sum > down_at)) return std::nullopt;
  const Change change = (up ? up_ : down_).since.Tell();
  const TailExponent up_tail = up_tail_, down_tail = down_tail_;
  *this = PageHinkley(options_);
  up_tail_ = up_tail;
  down_tail_ = down_tail;
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
  for (const TailExponent* tail : {&up_tail_, &down_tail_}) tail->Encode(sink);
}

Status PageHinkley::Decode(ByteSource& source) {
  const uint8_t codec = source.GetU8();
  if (codec != kCodec && codec != kCodecWithoutTails) return Status::DataLoss("page_hinkley: unknown codec");
  standard_.Decode(source);
  count_ = source.GetI64();
  mean_ = source.GetF64();
  raw_mean_ = source.GetF64();
  for (Side* side : {&up_, &down_}) {
    side->sum = source.GetF64();
    side->extreme = source.GetF64();
    side->since.Decode(source);
  }
  up_tail_ = down_tail_ = TailExponent(options_.slack);
  if (codec != kCodecWithoutTails) {
    for (TailExponent* tail : {&up_tail_, &down_tail_})
      if (!tail->Decode(source)) return Status::DataLoss("page_hinkley: the snapshot is damaged");
  }
  return source.ok() ? Status::Ok() : Status::DataLoss("page_hinkley: the snapshot is torn");
}

}  // namespace freshet
