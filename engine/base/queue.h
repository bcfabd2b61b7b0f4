#pragma once

#include <concurrentqueue/concurrentqueue.h>

#include <cstddef>
#include <utility>

namespace freshet {

/// Lock-free queue for many producers and many consumers: the only place of moodycamel::ConcurrentQueue.
/// Order holds per producer only. All calls are thread-safe and never block; the caller bounds the size (credits).
template <class T>
class MpmcQueue {
 public:
  explicit MpmcQueue(size_t capacity_hint = 64) : queue_(capacity_hint) {}
  /// Returns false only when memory is exhausted.
  bool Push(T value) { return queue_.enqueue(std::move(value)); }
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

}  // namespace freshet
