#pragma once

#include <concurrentqueue/concurrentqueue.h>

#include <cstddef>
#include <thread>
#include <utility>

#ifdef __SANITIZE_THREAD__
#include <deque>
#include <mutex>
#endif

namespace freshet {

/// Takes the value that is known to be in `queue`: each Push is followed by one token, and this thread has one that
/// nobody else has. Where several take at once TryPop alone may find the queue empty although it is not: it has read
/// how much was pushed before another one's value came, and how much was taken after that one was.
template <class Queue, class T>
void PopPushed(Queue& queue, T& value) {
  while (!queue.TryPop(value)) std::this_thread::yield();
}

#ifdef __SANITIZE_THREAD__
/// ThreadSanitizer does not know the fences that moodycamel's queues are made of: under it they are a list and a lock,
/// which keeps the promises below, so that only what callers do is judged.
template <class T>
class LockedQueue {
 public:
  explicit LockedQueue(size_t = 0) {}
  bool Push(T value) {
    const std::lock_guard lock(mutex_);
    values_.push_back(std::move(value));
    return true;
  }
  bool TryPop(T& value) {
    const std::lock_guard lock(mutex_);
    if (values_.empty()) return false;
    value = std::move(values_.front());
    values_.pop_front();
    return true;
  }
  size_t ApproximateSize() const {
    const std::lock_guard lock(mutex_);
    return values_.size();
  }

 private:
  mutable std::mutex mutex_;
  std::deque<T> values_;
};
template <class T>
using MpmcQueue = LockedQueue<T>;
template <class T>
using SpmcQueue = LockedQueue<T>;
#else

/// Lock-free queue for many producers and many consumers: the only place of moodycamel::ConcurrentQueue.
/// Order holds per producer only. All calls are thread-safe and never block; the caller bounds the size (credits).
template <class T>
class MpmcQueue {
 public:
  explicit MpmcQueue(size_t capacity_hint = 64) : queue_(capacity_hint) {}
  /// Returns false only when memory is exhausted.
  bool Push(T value) { return queue_.enqueue(std::move(value)); }
  /// False: it was empty, or others were taking at the same time (PopPushed).
  bool TryPop(T& value) { return queue_.try_dequeue(value); }
  size_t ApproximateSize() const { return queue_.size_approx(); }

 private:
  moodycamel::ConcurrentQueue<T> queue_;
};

/// One producer thread to any consumers, in order: uses an explicit producer token, which is what keeps the order.
/// Push from one thread at a time; TryPop from any.
template <class T>
class SpmcQueue {
 public:
  explicit SpmcQueue(size_t capacity_hint = 64) : queue_(capacity_hint), token_(queue_) {}
  bool Push(T value) { return queue_.enqueue(token_, std::move(value)); }
  bool TryPop(T& value) { return queue_.try_dequeue_from_producer(token_, value); }
  size_t ApproximateSize() const { return queue_.size_approx(); }

 private:
  moodycamel::ConcurrentQueue<T> queue_;
  moodycamel::ProducerToken token_;
};
#endif

}  // namespace freshet
