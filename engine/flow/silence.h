#pragma once

#include <cstdint>
#include <vector>

namespace freshet {

/// The clocks of `idle`, one per partition of a source (SEMANTICS.md §2.4). They run only while the source is polled
/// and the partition has nothing; while it waits for credit, for slower inputs or to try again they stand still. Times
/// are of the steady clock, in microseconds. One thread.
class Silence {
 public:
  explicit Silence(int64_t idle_us) : idle_us_(idle_us) {}

  /// A poll begins. More than `gap_max_us` since the last one do not count: the process was stopped, not the input.
  void Poll(int64_t now_us, int64_t gap_max_us) {
    if (last_poll_us_ >= 0 && now_us > last_poll_us_)
      polled_us_ += now_us - last_poll_us_ < gap_max_us ? now_us - last_poll_us_ : gap_max_us;
    last_poll_us_ = now_us;
  }
  /// The source is not being polled.
  void Pause() { last_poll_us_ = -1; }
  void Heard(uint32_t partition) { At(partition) = Clock(); }
  void HeardAll() { clocks_.clear(); }
  /// The partition was asked and had nothing. True once, when it has been so for `idle`.
  bool Quiet(uint32_t partition) {
    Clock& clock = At(partition);
    if (clock.since_us < 0) clock.since_us = polled_us_;
    if (clock.told || polled_us_ - clock.since_us < idle_us_) return false;
    clock.told = true;
    return true;
  }
  /// How long the source has been polled altogether.
  int64_t polled_us() const { return polled_us_; }

 private:
  struct Clock {
    int64_t since_us = -1;
    bool told = false;
  };
  Clock& At(uint32_t partition) {
    if (partition >= clocks_.size()) clocks_.resize(partition + 1);
    return clocks_[partition];
  }

  const int64_t idle_us_;
  int64_t polled_us_ = 0;
  int64_t last_poll_us_ = -1;
  std::vector<Clock> clocks_;
};

}  // namespace freshet
