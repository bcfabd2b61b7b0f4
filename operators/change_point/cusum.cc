#include "operators/change_point/cusum.h"

#include <cmath>

namespace freshet {
namespace {

constexpr uint8_t kCodec = 2;
constexpr uint8_t kCodecWithoutTails = 1;
constexpr double kNumberMax = 1e150;

}  // namespace

double CusumThreshold(double slack, double rows) {
  double low = 0, high = 1000 / slack;
  for (int i = 0; i < 200; ++i) {
    const double h = (low + high) / 2;
    const double u = 2 * slack * (h + 1.166);
    const double length = (std::exp(std::min(u, 700.0)) - u - 1) / (2 * slack * slack);
    (length / 2 < rows ? low : high) = h;
  }
  return high;
}

Status Cusum::Validate(const CusumOptions& options) {
  if (!(options.slack > 0)) return Status::InvalidArgument("slack must be above 0");
  return options.threshold > 0 ? Status::Ok() : Status::InvalidArgument("threshold must be above 0");
}

bool Cusum::Step(Side* side, TailExponent* tail, EventTime time, double x, double z, double level) {
  if (side->sum == 0) side->since.Start(time, level);
  side->sum = std::max(0.0, side->sum + z - options_.slack);
  side->since.Add(x);
  const double stretch = options_.adapt ? tail->Stretch() : 1;
  if (options_.adapt && standard_.warm()) tail->Learn(z);
  return side->sum > options_.threshold * stretch;
}

std::optional<Change> Cusum::Add(EventTime time, double x) {
  if (!(std::abs(x) <= kNumberMax)) return std::nullopt;
  const double level = standard_.mean();
  const double z = standard_.StandardizeAndLearn(x);
  const bool up = Step(&up_, &up_tail_, time, x, z, level), down = Step(&down_, &down_tail_, time, x, -z, level);
  if (!up && !down) return std::nullopt;
  const Change change = (up ? up_ : down_).since.Tell();
  standard_ = {};
  up_ = down_ = {};
  return change;
}

void Cusum::Encode(ByteSink& sink) const {
  sink.PutU8(kCodec);
  standard_.Encode(sink);
  for (const Side* side : {&up_, &down_}) {
    sink.PutF64(side->sum);
    side->since.Encode(sink);
  }
  for (const TailExponent* tail : {&up_tail_, &down_tail_}) tail->Encode(sink);
}

Status Cusum::Decode(ByteSource& source) {
  const uint8_t codec = source.GetU8();
  if (codec != kCodec && codec != kCodecWithoutTails) return Status::DataLoss("cusum: unknown codec");
  standard_.Decode(source);
  for (Side* side : {&up_, &down_}) {
    side->sum = source.GetF64();
    side->since.Decode(source);
  }
  up_tail_ = down_tail_ = TailExponent(options_.slack);
  if (codec != kCodecWithoutTails) {
    for (TailExponent* tail : {&up_tail_, &down_tail_})
      if (!tail->Decode(source)) return Status::DataLoss("cusum: the snapshot is damaged");
  }
  return source.ok() ? Status::Ok() : Status::DataLoss("cusum: the snapshot is torn");
}

}  // namespace freshet
