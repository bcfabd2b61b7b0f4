#include "operators/window/processing_time.h"

#include <algorithm>

namespace freshet {

Status ProcessingTimeWindow::Open(OpenContext& ctx) {
  env_ = &ctx.env();
  FRESHET_RETURN_IF_ERROR(window_.Open(ctx));
  clock_ = window_.closed();  // of an earlier run, whose clock may have been ahead
  return Status::Ok();
}

Status ProcessingTimeWindow::ProcessBatch(InputIndex input, const Batch& in, Emitter& out) {
  clock_ = std::max(clock_, EventTime{env_->WallMicros()});
  RowMeta meta = in.meta();
  meta.times = AllocateBuffer(int64_t{8} * (meta.offset + in.row_count()));
  std::fill_n(meta.times.as<int64_t>() + meta.offset, in.row_count(), clock_.us);
  meta.watermarks = {};
  meta.watermark = EventTime::Min();
  return window_.ProcessBatch(input, in.WithMeta(std::move(meta)), out);
}

Result<Progress> ProcessingTimeWindow::OnWatermark(EventTime now, Emitter& out) {
  // Of event time only its end counts.
  if (now != EventTime::Max()) return Progress::kDone;
  return window_.OnWatermark(now, out);
}

Result<Progress> ProcessingTimeWindow::OnClock(EventTime now, Emitter& out) {
  clock_ = std::max(clock_, now);
  return window_.OnWatermark(clock_, out);
}

}  // namespace freshet
