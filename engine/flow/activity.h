#pragma once

#include <atomic>
#include <cstdint>

namespace freshet {

/// Where the time of one worker went so far: a node's part of a cell, a source's own thread, a decode stage.
/// Microseconds and bytes since the job was made; what is neither busy nor blocked was idle.
struct Activity {
  int64_t busy_us = 0;
  int64_t blocked_us = 0;  ///< back-pressured: it had something to hand on and no room behind it
  int64_t bytes_in = 0;
  int64_t bytes_out = 0;
  int worker_count = 1;  ///< how many could be busy at once
};

/// Keeps an Activity. One thread at a time writes, any thread reads; relaxed, as nothing else depends on it.
class ActivityMeter {
 public:
  void AddBusy(int64_t us) { Add(busy_us_, us); }
  /// From many threads at once (a decode stage).
  void AddBusyShared(int64_t us) { busy_us_.fetch_add(us, std::memory_order_relaxed); }
  void AddBytes(int64_t in, int64_t out) {
    if (in != 0) Add(bytes_in_, in);
    if (out != 0) Add(bytes_out_, out);
  }
  /// It has to wait from `now_us` on; idempotent.
  void BeginBlocked(int64_t now_us) {
    if (since_us_.load(std::memory_order_relaxed) < 0) since_us_.store(now_us, std::memory_order_relaxed);
  }
  void EndBlocked(int64_t now_us) {
    const int64_t since = since_us_.load(std::memory_order_relaxed);
    if (since < 0) return;
    Add(blocked_us_, now_us - since);
    since_us_.store(-1, std::memory_order_relaxed);
  }
  /// A wait that still lasts counts up to `now_us`.
  Activity Read(int64_t now_us) const {
    Activity a;
    a.busy_us = busy_us_.load(std::memory_order_relaxed);
    a.blocked_us = blocked_us_.load(std::memory_order_relaxed);
    if (const int64_t since = since_us_.load(std::memory_order_relaxed); since >= 0 && now_us > since)
      a.blocked_us += now_us - since;
    a.bytes_in = bytes_in_.load(std::memory_order_relaxed);
    a.bytes_out = bytes_out_.load(std::memory_order_relaxed);
    return a;
  }

 private:
  /// Without a locked instruction: there is one writer.
  static void Add(std::atomic<int64_t>& to, int64_t n) {
    to.store(to.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  std::atomic<int64_t> busy_us_{0};
  std::atomic<int64_t> blocked_us_{0};
  std::atomic<int64_t> bytes_in_{0};
  std::atomic<int64_t> bytes_out_{0};
  std::atomic<int64_t> since_us_{-1};
};

}  // namespace freshet
