#include "operators/change_point/cusum.h"

#include <cmath>

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
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

bool Cusum::Step(Side* side, EventTime time, double x, double z, double level) {
  if (side->sum == 0) side->since.Start(time, level);
  side->sum = std::max(0.0, side->sum + z - options_.slack);
  side->since.Add(x);
  return side->sum > options_.threshold;
}

std::optional<Change> Cusum::Add(EventTime time, double x) {
  if (!(std::abs(x) <= kNumberMax)) return std::nullopt;
  const double level = standard_.mean();
  const double z = standard_.StandardizeAndLearn(x);
  const bool up = Step(&up_, time, x, z, level), down = Step(&down_, time, x, -z, level);
  if (!up && !down) return std::nullopt;
  const Change change = (up ? up_ : down_).since.Tell();
  *this = Cusum(options_);
  return change;
}

void Cusum::Encode(ByteSink& sink) const {
  sink.PutU8(kCodec);
  standard_.Encode(sink);
  for (const Side* side : {&up_, &down_}) {
    sink.PutF64(side->sum);
    side->since.Encode(sink);
  }
}

Status Cusum::Decode(ByteSource& source) {
  if (source.GetU8() != kCodec) return Status::DataLoss("cusum: unknown codec");
  standard_.Decode(source);
  for (Side* side : {&up_, &down_}) {
    side->sum = source.GetF64();
    side->since.Decode(source);
  }
  return source.ok() ? Status::Ok() : Status::DataLoss("cusum: the snapshot is torn");
}

}  // namespace freshet
