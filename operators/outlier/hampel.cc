#include "operators/outlier/hampel.h"

#include <algorithm>
#include <cmath>

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;

RollingMadOptions MadOptions(const HampelOptions& options) {
  return {.window = options.window, .warmup = std::min(10, options.window), .threshold = options.threshold};
}

}  // namespace

Status Hampel::Validate(const HampelOptions& options) { return RollingMad::Validate(MadOptions(options)); }

Hampel::Hampel(const HampelOptions& options) : run_max_(options.window / 2), mad_(MadOptions(options)) {}

void Hampel::Learn(const OutlierInput& in, const OutlierVerdict& before) {
  if (std::isfinite(in.x)) mad_.Learn(outside_.Admit(in.x, before, run_max_), before);
}

void Hampel::Encode(ByteSink& sink) const {
  sink.PutU8(kCodec);
  sink.PutU32(outside_.Encoded());
  mad_.Encode(sink);
}

Status Hampel::Decode(ByteSource& source) {
  if (source.GetU8() != kCodec) return Status::DataLoss("hampel: unknown codec");
  outside_.SetEncoded(source.GetU32());
  return mad_.Decode(source);
}

}  // namespace freshet
