#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace freshet {

/// Label names and values of one series: {{"node", "clean"}, {"output", "late"}}. The order given does not matter.
using MetricLabels = std::vector<std::pair<std::string, std::string>>;

/// A number that only grows. All calls are thread-safe and wait-free; order towards other memory is relaxed.
class Counter {
 public:
  void Add(int64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  /// For a total that is counted elsewhere (NodeCounters) and published from time to time. REQUIRES: one publisher.
  void Publish(int64_t total) { value_.store(total, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

/// A number that goes up and down. Thread-safe, relaxed.
class Gauge {
 public:
  void Set(double v) { value_.store(v, std::memory_order_relaxed); }
  void Add(double v) {
    double old = value_.load(std::memory_order_relaxed);
    while (!value_.compare_exchange_weak(old, old + v, std::memory_order_relaxed)) {
    }
  }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

/// Distribution of non-negative integers (microseconds, rows, bytes): log-scale buckets, four to each power of two, so
/// a quantile is off by at most an eighth of its value. Thread-safe, relaxed, wait-free; 2 KiB.
class Histogram {
 public:
  static constexpr int kBucketCount = 248;
  /// Negative values count as 0.
  void Observe(int64_t v);
  int64_t count() const;
  int64_t sum() const { return sum_.load(std::memory_order_relaxed); }
  int64_t max() const { return max_.load(std::memory_order_relaxed); }
  /// The value below or at which a share q of [0, 1] lies: the middle of its bucket, at most max(). 0 when empty.
  int64_t Quantile(double q) const;

  /// Bucket of a value, and the largest value that belongs to a bucket.
  static int BucketOf(uint64_t v);
  static int64_t UpperBound(int bucket);
  int64_t bucket_count(int bucket) const {
    return buckets_[static_cast<size_t>(bucket)].load(std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<int64_t>, kBucketCount> buckets_{};
  std::atomic<int64_t> sum_{0};
  std::atomic<int64_t> max_{0};
};

/// How a histogram is shown: values divided by `scale` (1e6 for microseconds under a name in `_seconds`), one bucket
/// for each power of two from 2^first_power to 2^last_power, always the same ones, and +Inf.
struct HistogramShape {
  double scale = 1;
  int first_power = 0;
  int last_power = 20;
};

/// All series of one engine, by (name, labels). Asking for a series that exists gives the same object; objects live as
/// long as the registry. Thread-safe. Ask once and keep the pointer: the look-up takes a lock, the update does not.
///
/// Names follow Prometheus: `freshet_` first, base units, counters end in `_total`. `help`, `scale` and `shape` of the
/// first caller win. A name is used for one kind only: asking for another kind gives an object of that kind that is
/// rendered nowhere.
class MetricRegistry {
 public:
  MetricRegistry();
  ~MetricRegistry();
  MetricRegistry(const MetricRegistry&) = delete;
  MetricRegistry& operator=(const MetricRegistry&) = delete;

  /// `scale` divides what is counted when it is shown: 1e6 for microseconds under a name in `_seconds_total`.
  Counter* GetCounter(std::string_view name, std::string_view help, const MetricLabels& labels = {}, double scale = 1);
  Gauge* GetGauge(std::string_view name, std::string_view help, const MetricLabels& labels = {});
  Histogram* GetHistogram(std::string_view name, std::string_view help, const MetricLabels& labels = {},
                          const HistogramShape& shape = {});
  /// Shows a histogram that somebody else keeps.
  void PublishHistogram(std::string_view name, std::string_view help, const MetricLabels& labels,
                        const HistogramShape& shape, std::shared_ptr<const Histogram> histogram);

  /// Prometheus text format 0.0.4: families by name, series by labels, each family with # HELP and # TYPE.
  std::string RenderPrometheus() const;

 private:
  struct Family;
  struct Series;
  Series& Find(std::string_view name, std::string_view help, int kind, const MetricLabels& labels,
               const HistogramShape& shape);
  mutable std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Family>, std::less<>> families_;
  std::vector<std::unique_ptr<Series>> misfits_;
};

/// Content type of RenderPrometheus.
inline constexpr const char* kPrometheusContentType = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace freshet
