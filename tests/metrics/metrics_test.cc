#include "engine/metrics/metrics.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <thread>

#include "engine/base/rng.h"

namespace freshet {
namespace {

TEST_CASE("Metrics_Render_IsPrometheusText") {
  MetricRegistry registry;
  registry.GetCounter("freshet_rows_total", "Rows in.", {{"node", "b"}})->Add(3);
  registry.GetCounter("freshet_rows_total", "ignored", {{"output", "late"}, {"node", "a\"\\\n"}})->Add();
  registry.GetGauge("freshet_lag_seconds", "Lag,\nwith a \\ and a \".")->Set(1.5);
  Histogram* h = registry.GetHistogram("freshet_commit_seconds", "Commit.", {{"k", "v"}}, {1e6, 0, 2});
  h->Observe(0);
  h->Observe(3);
  h->Observe(1000000);
  CHECK(registry.RenderPrometheus() ==
        "# HELP freshet_commit_seconds Commit.\n"
        "# TYPE freshet_commit_seconds histogram\n"
        "freshet_commit_seconds_bucket{k=\"v\",le=\"0\"} 1\n"
        "freshet_commit_seconds_bucket{k=\"v\",le=\"1e-06\"} 1\n"
        "freshet_commit_seconds_bucket{k=\"v\",le=\"3e-06\"} 2\n"
        "freshet_commit_seconds_bucket{k=\"v\",le=\"+Inf\"} 3\n"
        "freshet_commit_seconds_sum{k=\"v\"} 1.000003\n"
        "freshet_commit_seconds_count{k=\"v\"} 3\n"
        "# HELP freshet_lag_seconds Lag,\\nwith a \\\\ and a \".\n"
        "# TYPE freshet_lag_seconds gauge\n"
        "freshet_lag_seconds 1.5\n"
        "# HELP freshet_rows_total Rows in.\n"
        "# TYPE freshet_rows_total counter\n"
        "freshet_rows_total{node=\"a\\\"\\\\\\n\",output=\"late\"} 1\n"
        "freshet_rows_total{node=\"b\"} 3\n");
}

TEST_CASE("Metrics_SameSeries_IsTheSameObjectWhateverTheLabelOrder") {
  MetricRegistry registry;
  Counter* a = registry.GetCounter("x_total", "", {{"a", "1"}, {"b", "2"}});
  CHECK(a == registry.GetCounter("x_total", "", {{"b", "2"}, {"a", "1"}}));
  CHECK(a != registry.GetCounter("x_total", "", {{"a", "1"}}));
  registry.GetGauge("x_total", "")->Set(7);  // another kind: usable, shown nowhere
  CHECK(registry.RenderPrometheus().find("7") == std::string::npos);
}

TEST_CASE("Histogram_Buckets_CoverAllIntegersInOrder") {
  for (int b = 0; b + 1 < Histogram::kBucketCount; ++b) {
    const auto bound = static_cast<uint64_t>(Histogram::UpperBound(b));
    CHECK(Histogram::BucketOf(bound) == b);
    CHECK(Histogram::BucketOf(bound + 1) == b + 1);
  }
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  CHECK(Histogram::BucketOf(static_cast<uint64_t>(kMax)) == Histogram::kBucketCount - 1);
  CHECK(Histogram::UpperBound(Histogram::kBucketCount - 1) == kMax);
}

TEST_CASE("Histogram_Quantile_IsWithinAnEighth") {
  constexpr uint64_t kSeed = 4;
  CAPTURE(kSeed);
  Rng rng(kSeed);
  Histogram h;
  CHECK(h.Quantile(0.5) == 0);
  std::vector<int64_t> values;
  for (int i = 0; i < 10000; ++i) {
    values.push_back(static_cast<int64_t>(rng.NextExponential() * 50000));
    h.Observe(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const double q : {0.01, 0.1, 0.5, 0.9, 0.99, 1.0}) {
    const auto exact = static_cast<double>(values[static_cast<size_t>(std::ceil(q * 10000)) - 1]);
    CHECK(std::abs(static_cast<double>(h.Quantile(q)) - exact) <= exact / 8 + 1);
  }
  CHECK(h.count() == 10000);
  CHECK(h.max() == values.back());
  h.Observe(-5);
  CHECK(h.Quantile(0) == 0);
}

TEST_CASE("Metrics_ManyThreads_LoseNothing") {
  MetricRegistry registry;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&registry] {
      for (int i = 0; i < 20000; ++i) {
        registry.GetCounter("c_total", "")->Add();
        registry.GetGauge("g", "")->Add(1);
        registry.GetHistogram("h", "")->Observe(i);
        if (i % 5000 == 0) CHECK(!registry.RenderPrometheus().empty());
      }
    });
  }
  for (std::thread& t : threads) t.join();
  CHECK(registry.GetCounter("c_total", "")->value() == 80000);
  CHECK(registry.GetGauge("g", "")->value() == 80000);
  CHECK(registry.GetHistogram("h", "")->count() == 80000);
  CHECK(registry.GetHistogram("h", "")->max() == 19999);
}

}  // namespace
}  // namespace freshet
