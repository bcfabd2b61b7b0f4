#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace freshet {

/// Wakes a thread that waits for work; a Notify before a Wait is not lost. Any number of notifiers, one waiter.
class Event {
 public:
  void Notify() {
    {
      const std::lock_guard lock(mutex_);
      set_ = true;
    }
    condition_.notify_one();
  }
  /// Returns when notified, or after `us` microseconds.
  void Wait(int64_t us) {
    std::unique_lock lock(mutex_);
    condition_.wait_for(lock, std::chrono::microseconds(us), [&] { return set_; });
    set_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool set_ = false;
};

}  // namespace freshet
