#include "engine/flow/delivery_threads.h"

#include <algorithm>

namespace freshet {

void DeliveryThreads::Start() {
  for (SinkCell* sink : job_->sinks()) {
    if (sink->outbox() == nullptr) continue;
    Delivery* d = deliveries_.emplace_back(std::make_unique<Delivery>()).get();
    d->cell = sink;
    sink->outbox()->on_work = [d] { d->event.Notify(); };
  }
  for (auto& d : deliveries_) d->thread = std::thread([this, d = d.get()] { Loop(*d); });
}

void DeliveryThreads::Join() {
  Interrupt();
  for (auto& d : deliveries_) {
    d->stop = true;
    d->event.Notify();
    d->thread.join();
  }
}

void DeliveryThreads::Loop(Delivery& d) {
  while (!d.stop) {
    Result<OutboxSink::Step> step = d.cell->outbox()->DeliverStep();
    if (!step.ok()) {
      const int node = d.cell->plan().nodes[0];
      job_->OnFailure(d.cell->id(),
                      std::move(step).status().WithNode(job_->spec().nodes[static_cast<size_t>(node)].id));
      return;
    }
    if (!step->worked) d.event.Wait(step->wait_us);
  }
}

void DeliveryThreads::Interrupt() {
  for (SinkCell* sink : job_->sinks())
    if (sink->outbox() != nullptr) sink->outbox()->Interrupt();
}

bool DeliveryThreads::Settled(bool everything) const {
  const auto& sinks = job_->sinks();
  return std::all_of(sinks.begin(), sinks.end(), [&](SinkCell* sink) {
    return sink->outbox() == nullptr || (sink->commits_handled() && sink->outbox()->settled(everything));
  });
}

}  // namespace freshet
