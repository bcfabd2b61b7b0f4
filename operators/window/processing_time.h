#pragma once

#include <memory>

#include "operators/window/window_operator.h"

namespace freshet {

/// A window by the wall clock: rows belong to the moment at which they come, windows close when the clock has passed
/// them. The same operator and state as for event time, with the clock for both the rows' times and the watermark. A
/// clock that is set back stands still until it is where it was.
class ProcessingTimeWindow final : public Operator {
 public:
  explicit ProcessingTimeWindow(std::shared_ptr<const WindowPlan> plan) : window_(std::move(plan)) {}
  Status Open(OpenContext& ctx) override;
  Status ProcessBatch(InputIndex input, const Batch& in, Emitter& out) override;
  Result<Progress> OnWatermark(EventTime now, Emitter& out) override;
  Result<Progress> OnClock(EventTime now, Emitter& out) override;

 private:
  WindowOperator window_;
  Env* env_ = nullptr;
  EventTime clock_ = EventTime::Min();
};

}  // namespace freshet
