#include "engine/metrics/metrics.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>

namespace freshet {
namespace {

enum Kind : int { kCounter, kGauge, kHistogram };
constexpr const char* kKindNames[] = {"counter", "gauge", "histogram"};

std::string Number(double v) {
  if (std::isnan(v)) return "NaN";
  if (std::isinf(v)) return v > 0 ? "+Inf" : "-Inf";
  char text[32];
  return std::string(text, std::to_chars(text, text + sizeof text, v).ptr);
}

void PutEscaped(std::string& out, std::string_view text, bool quotes) {
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out.push_back(c);
    }
  }
}

/// `a="1",b="2"`: also the identity of a series within its family.
std::string LabelText(MetricLabels labels) {
  std::sort(labels.begin(), labels.end());
  std::string out;
  for (const auto& [name, value] : labels) {
    if (!out.empty()) out.push_back(',');
    out += name;
    out += "=\"";
    PutEscaped(out, value, true);
    out.push_back('"');
  }
  return out;
}

void PutSample(std::string& out, std::string_view name, std::string_view suffix, std::string_view labels,
               std::string_view value) {
  out.append(name);
  out.append(suffix);
  if (!labels.empty()) {
    out.push_back('{');
    out.append(labels);
    out.push_back('}');
  }
  out.push_back(' ');
  out.append(value);
  out.push_back('\n');
}

void PutHistogram(std::string& out, std::string_view name, const std::string& labels, const Histogram& h,
                  const HistogramShape& shape) {
  const std::string start = labels.empty() ? "le=\"" : labels + ",le=\"";
  int64_t below = 0;
  int power = shape.first_power;
  for (int bucket = 0; bucket < Histogram::kBucketCount; ++bucket) {
    below += h.bucket_count(bucket);
    const int64_t bound = Histogram::UpperBound(bucket);
    if (power > shape.last_power || static_cast<uint64_t>(bound) + 1 != uint64_t{1} << power) continue;
    PutSample(out, name, "_bucket", start + Number(static_cast<double>(bound) / shape.scale) + "\"",
              std::to_string(below));
    ++power;
  }
  // All three from the same reading: +Inf must equal _count though others go on counting.
  PutSample(out, name, "_bucket", start + "+Inf\"", std::to_string(below));
  PutSample(out, name, "_sum", labels, Number(static_cast<double>(h.sum()) / shape.scale));
  PutSample(out, name, "_count", labels, std::to_string(below));
}

}  // namespace

int Histogram::BucketOf(uint64_t v) {
  if (v < 4) return static_cast<int>(v);
  const int log2 = 63 - std::countl_zero(v);
  const auto quarter = static_cast<int>((v >> (log2 - 2)) & 3);
  return std::min((log2 - 1) * 4 + quarter, kBucketCount - 1);
}

int64_t Histogram::UpperBound(int bucket) {
  if (bucket < 4) return bucket;
  const int log2 = bucket / 4 + 1;
  const uint64_t width = uint64_t{1} << (log2 - 2);
  return static_cast<int64_t>((uint64_t{1} << log2) + width * static_cast<uint64_t>(bucket % 4 + 1) - 1);
}

void Histogram::Observe(int64_t v) {
  v = std::max<int64_t>(v, 0);
  buckets_[static_cast<size_t>(BucketOf(static_cast<uint64_t>(v)))].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(v, std::memory_order_relaxed);
  int64_t old = max_.load(std::memory_order_relaxed);
  while (v > old && !max_.compare_exchange_weak(old, v, std::memory_order_relaxed)) {
  }
}

int64_t Histogram::count() const {
  int64_t n = 0;
  for (const auto& bucket : buckets_) n += bucket.load(std::memory_order_relaxed);
  return n;
}

int64_t Histogram::Quantile(double q) const {
  const int64_t total = count();
  if (total == 0) return 0;
  const auto rank = std::max<int64_t>(1, static_cast<int64_t>(std::ceil(q * static_cast<double>(total))));
  int64_t below = 0;
  for (int bucket = 0; bucket < kBucketCount; ++bucket) {
    below += bucket_count(bucket);
    if (below < rank) continue;
    const int64_t low = bucket == 0 ? 0 : UpperBound(bucket - 1) + 1;
    return std::min(low + (UpperBound(bucket) - low) / 2, max());
  }
  return max();
}

struct MetricRegistry::Series {
  Counter counter;
  Gauge gauge;
  std::unique_ptr<Histogram> histogram;
  std::shared_ptr<const Histogram> published;  ///< shown in its place
};

struct MetricRegistry::Family {
  std::string help;
  int kind = kCounter;
  HistogramShape shape;
  std::map<std::string, std::unique_ptr<Series>> series;
};

MetricRegistry::MetricRegistry() = default;
MetricRegistry::~MetricRegistry() = default;

MetricRegistry::Series& MetricRegistry::Find(std::string_view name, std::string_view help, int kind,
                                             const MetricLabels& labels, const HistogramShape& shape) {
  const std::lock_guard lock(mutex_);
  auto found = families_.find(name);
  if (found == families_.end()) {
    auto family = std::make_unique<Family>();
    family->help = help;
    family->kind = kind;
    family->shape = shape;
    found = families_.emplace(std::string(name), std::move(family)).first;
  }
  Family& family = *found->second;
  std::unique_ptr<Series>& series =
      family.kind == kind ? family.series[LabelText(labels)] : misfits_.emplace_back(nullptr);
  if (!series) {
    series = std::make_unique<Series>();
    if (kind == kHistogram) series->histogram = std::make_unique<Histogram>();
  }
  return *series;
}

Counter* MetricRegistry::GetCounter(std::string_view name, std::string_view help, const MetricLabels& labels,
                                    double scale) {
  return &Find(name, help, kCounter, labels, {scale}).counter;
}

Gauge* MetricRegistry::GetGauge(std::string_view name, std::string_view help, const MetricLabels& labels) {
  return &Find(name, help, kGauge, labels, {}).gauge;
}

Histogram* MetricRegistry::GetHistogram(std::string_view name, std::string_view help, const MetricLabels& labels,
                                        const HistogramShape& shape) {
  return Find(name, help, kHistogram, labels, shape).histogram.get();
}

void MetricRegistry::PublishHistogram(std::string_view name, std::string_view help, const MetricLabels& labels,
                                      const HistogramShape& shape, std::shared_ptr<const Histogram> histogram) {
  Find(name, help, kHistogram, labels, shape).published = std::move(histogram);
}

std::string MetricRegistry::RenderPrometheus() const {
  const std::lock_guard lock(mutex_);
  std::string out;
  for (const auto& [name, family] : families_) {
    out += "# HELP " + name + " ";
    PutEscaped(out, family->help, false);
    out += "\n# TYPE " + name + " " + kKindNames[family->kind] + "\n";
    for (const auto& [labels, series] : family->series) {
      switch (family->kind) {
        case kCounter:
          PutSample(out, name, "", labels,
                    family->shape.scale == 1
                        ? std::to_string(series->counter.value())
                        : Number(static_cast<double>(series->counter.value()) / family->shape.scale));
          break;
        case kGauge:
          PutSample(out, name, "", labels, Number(series->gauge.value()));
          break;
        default:
          PutHistogram(out, name, labels, series->published ? *series->published : *series->histogram, family->shape);
      }
    }
  }
  return out;
}

}  // namespace freshet
