#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "engine/batch/batch.h"
#include "engine/flow/planted_bugs.h"

namespace freshet {

/// The credits of one source: how many rows and bytes of it may be under way at once. A chunk takes credit before it
/// enters the graph; the last batch derived from it gives the credit back when it is gone. Thread-safe.
class CreditPool : public std::enable_shared_from_this<CreditPool> {
 public:
  CreditPool(int64_t rows, int64_t bytes) : rows_limit_(rows), bytes_limit_(bytes) {}

  struct Available {
    int64_t rows = 0;
    int64_t bytes = 0;
    bool any() const { return rows > 0 && bytes > 0; }
  };
  /// Nothing once the limit is reached, until half of it has come back: a source that took each row's worth as it comes
  /// back would cut its input into crumbs, and wake up for each.
  Available available() const {
    const std::lock_guard lock(mutex_);
    if (used_up_) return {};
    return {rows_limit_ - rows_, bytes_limit_ - bytes_};
  }
  /// Takes what a chunk needs, even beyond the limit: a record larger than the whole budget is admitted alone (the
  /// caller asks only when available().any()).
  Batch::Hold Take(int64_t rows, int64_t bytes) {
    {
      const std::lock_guard lock(mutex_);
      rows_ += rows;
      bytes_ += bytes;
      if (rows_ >= rows_limit_ || bytes_ >= bytes_limit_) used_up_ = true;
    }
    return std::make_shared<Held>(shared_from_this(), rows, bytes);
  }
  /// Waits until some credit is there, `timeout_us` has passed or Wake was called.
  void WaitAvailable(int64_t timeout_us) {
    std::unique_lock lock(mutex_);
    returned_.wait_for(lock, std::chrono::microseconds(timeout_us), [&] { return !used_up_ || woken_; });
    woken_ = false;
  }
  /// The wait under way, or else the next one, is over at once.
  void Wake() {
    {
      const std::lock_guard lock(mutex_);
      woken_ = true;
    }
    returned_.notify_all();
  }
  /// Credits under way now; 0 at rest.
  int64_t rows_in_use() const {
    const std::lock_guard lock(mutex_);
    return rows_;
  }

 private:
  struct Held {
    std::shared_ptr<CreditPool> pool;
    int64_t rows;
    int64_t bytes;
    Held(std::shared_ptr<CreditPool> p, int64_t r, int64_t b) : pool(std::move(p)), rows(r), bytes(b) {}
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    ~Held() {
      if (!(IsPlanted(PlantedBug::kDropCredit) && bytes % 3 == 0)) pool->Return(rows, bytes);
      if (IsPlanted(PlantedBug::kCreditTwice) && rows % 4 == 0) pool->Return(rows, bytes);
    }
  };
  void Return(int64_t rows, int64_t bytes) {
    {
      const std::lock_guard lock(mutex_);
      rows_ -= rows;
      bytes_ -= bytes;
      if (!used_up_ || rows_ > rows_limit_ / 2 || bytes_ > bytes_limit_ / 2) return;
      used_up_ = false;
    }
    returned_.notify_one();
  }

  const int64_t rows_limit_;
  const int64_t bytes_limit_;
  mutable std::mutex mutex_;
  std::condition_variable returned_;
  int64_t rows_ = 0;
  int64_t bytes_ = 0;
  bool used_up_ = false;
  bool woken_ = false;
};

}  // namespace freshet
