#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "engine/base/event.h"
#include "engine/flow/job.h"

namespace freshet {

/// The threads that send what network sinks have in the outbox, one each. Start, Interrupt and Join from one thread at
/// a time; Settled from any.
class DeliveryThreads {
 public:
  /// `job` outlives this.
  explicit DeliveryThreads(Job* job) : job_(job) {}
  void Start();
  /// Calls to the outside that are under way end soon.
  void Interrupt();
  void Join();
  /// All that may leave has left; with `everything`, also what waits for another attempt.
  bool Settled(bool everything) const;

 private:
  struct Delivery {
    SinkCell* cell = nullptr;
    Event event;
    std::atomic<bool> stop{false};
    std::thread thread;
  };
  void Loop(Delivery& d);

  Job* job_;
  std::vector<std::unique_ptr<Delivery>> deliveries_;
};

}  // namespace freshet
