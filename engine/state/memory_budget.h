#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>

namespace freshet {

/// The bytes of state that a pipeline may hold in memory (`settings.memory_limit`), and what follows when they run out:
///   used > 3/8 and a fifth of the limit changed since the last commit: a checkpoint is asked for, because only keys
///   equal to the committed value may be dropped;
///   used > 1/2: cells drop such keys, those that were changed longest ago first, down to 1/4;
///   used > 11/16: cells put changed keys aside, down to 1/2, in the spill store, where they wait for their commit;
///   used > 3/4 and there is something that a commit would make droppable: sources wait. Rows already in the graph
///   never do, so this cannot lock up; they are what the last quarter is for. State that cannot be dropped at all holds
///   nobody back.
/// An epoch is held in memory while it is written, so what is put aside is bounded too: above 1/4 a checkpoint is asked
/// for, above 1/2 sources wait.
/// Cells tell what they hold after each run. Thread-safe.
class MemoryBudget {
 public:
  /// `limit` in bytes; 0: no limit.
  explicit MemoryBudget(int64_t limit = 0) : limit_(limit) {}
  int64_t limit() const { return limit_; }
  int64_t used() const { return used_.load(std::memory_order_relaxed); }
  int64_t peak() const { return peak_.load(std::memory_order_relaxed); }  ///< the most that was used
  int64_t unclean() const { return unclean_.load(std::memory_order_relaxed); }
  /// `unclean`: of the bytes used, those that can be dropped once they are committed.
  void Add(int64_t used, int64_t unclean) {
    const int64_t now = used_.fetch_add(used, std::memory_order_relaxed) + used;
    for (int64_t peak = peak_.load(std::memory_order_relaxed); now > peak && !peak_.compare_exchange_weak(peak, now);) {
    }
    unclean_.fetch_add(unclean, std::memory_order_relaxed);
    if (limit_ == 0) return;
    const bool pressed = wants_checkpoint() || sources_wait();
    if (pressed && !pressed_.exchange(true) && on_pressure) on_pressure();
    if (!pressed) pressed_.store(false, std::memory_order_relaxed);
    if (!sources_wait()) room_.notify_all();
  }
  bool wants_checkpoint() const {
    if (limit_ == 0) return false;
    return sources_wait() || aside() > limit_ / 4 || (used() > limit_ / 8 * 3 && unclean() + aside() > limit_ / 5);
  }
  bool sources_wait() const {
    return limit_ > 0 && ((used() > limit_ / 4 * 3 && unclean() > limit_ / 16) || aside() > limit_ / 2);
  }
  /// How many of its `own` bytes a cell should drop now.
  int64_t BytesToDrop(int64_t own) const {
    const int64_t now = used();
    if (limit_ == 0 || now <= limit_ / 2) return 0;
    return static_cast<int64_t>(static_cast<double>(own) *
                                (1 - static_cast<double>(limit_) / 4 / static_cast<double>(now)));
  }
  /// How many of its `own` unclean bytes a cell should put aside now.
  int64_t BytesToPutAside(int64_t own) const {
    const int64_t now = used();
    if (limit_ == 0 || now <= limit_ / 16 * 11 || own <= limit_ / 64) return 0;
    return static_cast<int64_t>(static_cast<double>(own) *
                                (1 - static_cast<double>(limit_) / 2 / static_cast<double>(now)));
  }
  /// Bytes of rows put aside that wait for a commit.
  void AddAside(int64_t bytes) {
    aside_.fetch_add(bytes, std::memory_order_relaxed);
    Add(0, 0);
  }
  int64_t aside() const { return aside_.load(std::memory_order_relaxed); }
  /// Bytes dropped so far, for the report.
  void AddDropped(int64_t bytes) { dropped_.fetch_add(bytes, std::memory_order_relaxed); }
  int64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }
  /// Waits until sources may go on or `timeout_us` has passed.
  void WaitForRoom(int64_t timeout_us) {
    std::unique_lock lock(mutex_);
    room_.wait_for(lock, std::chrono::microseconds(timeout_us), [&] { return !sources_wait(); });
  }

  /// Called when a checkpoint begins to be wanted; set before any thread runs.
  std::function<void()> on_pressure;

 private:
  const int64_t limit_;
  std::atomic<int64_t> used_{0};
  std::atomic<int64_t> peak_{0};
  std::atomic<int64_t> unclean_{0};
  std::atomic<int64_t> aside_{0};
  std::atomic<int64_t> dropped_{0};
  std::atomic<bool> pressed_{false};
  std::mutex mutex_;
  std::condition_variable room_;
};

}  // namespace freshet
