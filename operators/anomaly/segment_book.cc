#include "operators/anomaly/segment_book.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <string_view>

namespace freshet {
namespace {

constexpr double kWeight = 0.03;
constexpr uint64_t kHourTicks = 10;
constexpr size_t kSegmentsMax = 10000;
constexpr size_t kSetMax = 5;
constexpr int kTogetherMax = 3;
constexpr double kPerDimension = 0.95;
constexpr double kConcentrated = 1.25;
constexpr double kNegligible = 1e-9;
constexpr size_t kInlineNameMax = 15;
constexpr const char* kOthers = "(others)";

double Weight(uint64_t ticks) { return std::max(1 / static_cast<double>(ticks), kWeight); }

void Move(SegmentCounts* mean, const SegmentCounts& to, double weight) {
  mean->k += weight * (to.k - mean->k);
  mean->n += weight * (to.n - mean->n);
}

/// Jensen and Shannon's divergence of one share.
double Surprise(double p, double q) {
  p = std::max(0.0, p);
  q = std::max(0.0, q);
  const double middle = (p + q) / 2;
  return 0.5 * ((p > 0 ? p * std::log(p / middle) : 0) + (q > 0 ? q * std::log(q / middle) : 0));
}

double Share(double part, double whole) { return whole > 0 ? part / whole : 0; }

/// The values of the dimensions in `mask`.
std::string Project(const std::string& name, uint32_t mask) {
  std::string out;
  size_t from = 0;
  for (int d = 0; from <= name.size(); ++d) {
    size_t to = name.find(kSegmentSeparator, from);
    if (to == std::string::npos) to = name.size();
    if (mask >> d & 1) {
      if (!out.empty()) out += " in ";
      out.append(name, from, to - from);
    }
    from = to + 1;
  }
  return out;
}

}  // namespace

std::string SegmentExplanation::Text() const {
  if (segments.empty()) return "spread over its segments";
  std::string text;
  for (size_t i = 0; i < segments.size(); ++i)
    text += (i == 0 ? "" : i + 1 == segments.size() ? " and " : ", ") + segments[i];
  char share_text[40];
  std::snprintf(share_text, sizeof share_text, segments.size() == 1 ? " explains %.0f %%" : " explain %.0f %%",
                100 * std::min(1.0, share));
  return text + share_text;
}

std::string SegmentBook::Others() const {
  std::string others = kOthers;
  for (int d = 1; d < dimensions_; ++d) others += std::string(1, kSegmentSeparator) + kOthers;
  return others;
}

SegmentTick SegmentBook::Pooled(const SegmentTick& tick, size_t room) const {
  const std::string others = Others();
  SegmentTick pooled;
  for (const auto& [name, counts] : tick) {
    const bool is_known = segments_.count(name) > 0, fits = is_known || room > 0;
    if (!is_known && fits) --room;
    SegmentCounts& into = pooled[fits ? name : others];
    into.k += counts.k;
    into.n += counts.n;
  }
  return pooled;
}

void SegmentBook::Learn(int hour, const SegmentTick& tick) {
  ++ticks_;
  const auto h = static_cast<size_t>(hour);
  if (by_hour_) ++hour_ticks_[h];
  SegmentTick pooled;
  const SegmentTick* all = &tick;
  if (segments_.size() + tick.size() > kSegmentsMax) {
    pooled = Pooled(tick, kSegmentsMax - std::min(kSegmentsMax, segments_.size()));
    all = &pooled;
  }
  for (const auto& [name, counts] : *all) segments_.try_emplace(name).first->second.hours.resize(by_hour_ ? kHours : 0);
  double total = 0;
  for (auto& [name, segment] : segments_) {
    const auto at = all->find(name);
    const SegmentCounts counts = at == all->end() ? SegmentCounts() : at->second;
    Move(&segment.all, counts, Weight(ticks_));
    if (by_hour_) Move(&segment.hours[h], counts, Weight(hour_ticks_[h]));
    total += ratio_ ? segment.all.n : segment.all.k;
  }
  std::erase_if(segments_, [&](const auto& s) {
    return std::abs(s.second.all.k) + std::abs(s.second.all.n) <= kNegligible * total && all->count(s.first) == 0;
  });
  MeasureNames();
}

const SegmentCounts& SegmentBook::Usual(const Segment& segment, int hour) const {
  const auto h = static_cast<size_t>(hour);
  return by_hour_ && hour_ticks_[h] >= kHourTicks ? segment.hours[h] : segment.all;
}

std::map<std::string, SegmentBook::Part> SegmentBook::Parts(int hour, const SegmentTick& tick, double expected) const {
  std::map<std::string, Part> parts;
  SegmentCounts usual, now;
  for (const auto& [name, segment] : segments_) {
    parts[name].was = Usual(segment, hour);
    usual.k += parts[name].was.k;
    usual.n += parts[name].was.n;
  }
  for (const auto& [name, counts] : tick) {
    parts[name].is = counts;
    now.k += counts.k;
    now.n += counts.n;
  }
  if (!(usual.k > 0) || (ratio_ && (!(usual.n > 0) || !(now.n > 0)))) return {};
  const double k_scale = ratio_ ? expected * now.n / usual.k : expected / usual.k;
  const double n_scale = ratio_ ? now.n / usual.n : 0;
  for (auto& [name, part] : parts) {
    part.was = {part.was.k * k_scale, part.was.n * n_scale};
    const double dk = part.is.k - part.was.k, dn = part.is.n - part.was.n;
    part.change = ratio_ ? (dk - expected * dn) / now.n : dk;
  }
  return parts;
}

std::optional<SegmentExplanation> SegmentBook::Explain(int hour, const SegmentTick& tick, double expected) const {
  if (!ready() || !std::isfinite(expected)) return std::nullopt;
  // Once some are pooled, a name that is not known may have been all along.
  const std::map<std::string, Part> parts =
      Parts(hour, segments_.count(Others()) > 0 ? Pooled(tick, 0) : tick, expected);
  Part total;
  const auto add = [](Part* into, const Part& part) {
    into->change += part.change;
    into->was.k += part.was.k;
    into->was.n += part.was.n;
    into->is.k += part.is.k;
    into->is.n += part.is.n;
  };
  for (const auto& [name, part] : parts) add(&total, part);
  if (total.change == 0 || !std::isfinite(total.change)) return std::nullopt;
  SegmentExplanation best;
  double best_score = 0;
  for (uint32_t mask = 1; mask < 1u << dimensions_; ++mask) {
    if (std::popcount(mask) > kTogetherMax) continue;
    std::map<std::string, Part> joined;
    for (const auto& [name, part] : parts) add(&joined[Project(name, mask)], part);
    std::vector<std::pair<const std::string*, const Part*>> order;
    for (const auto& [name, part] : joined)
      if (part.change / total.change > 0) order.emplace_back(&name, &part);
    const size_t taken_max = std::min(kSetMax, order.size());
    std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(taken_max), order.end(),
                      [&](const auto& a, const auto& b) {
                        const double x = a.second->change / total.change, y = b.second->change / total.change;
                        return x != y ? x > y : *a.first < *b.first;
                      });
    SegmentExplanation set;
    double surprise = 0, usual_share = 0;
    for (size_t i = 0; i < taken_max && set.share < kExplains; ++i) {
      const Part& part = *order[i].second;
      set.segments.push_back(*order[i].first);
      set.share += part.change / total.change;
      surprise += Surprise(Share(part.was.k, total.was.k), Share(part.is.k, total.is.k));
      if (ratio_) surprise += Surprise(Share(part.was.n, total.was.n), Share(part.is.n, total.is.n));
      usual_share += ratio_ ? Share(part.was.n, total.was.n) : Share(part.was.k, total.was.k);
    }
    if (set.share < kExplains || set.share < kConcentrated * usual_share) continue;
    const double score =
        surprise / static_cast<double>(set.segments.size()) * std::pow(kPerDimension, std::popcount(mask) - 1);
    if (score <= best_score) continue;
    best_score = score;
    best = std::move(set);
  }
  return best;
}

void SegmentBook::MeasureNames() {
  name_bytes_ = 0;
  for (const auto& [name, segment] : segments_) name_bytes_ += name.size() > kInlineNameMax ? name.size() : 0;
}

size_t SegmentBook::memory_bytes() const {
  constexpr size_t kNode = sizeof(decltype(segments_)::value_type) + 4 * sizeof(void*);
  return sizeof *this + segments_.size() * (kNode + (by_hour_ ? kHours * sizeof(SegmentCounts) : 0)) + name_bytes_;
}

void SegmentBook::Encode(ByteSink& sink) const {
  sink.PutVarint(ticks_);
  for (const uint64_t ticks : hour_ticks_) sink.PutVarint(ticks);
  sink.PutVarint(segments_.size());
  for (const auto& [name, segment] : segments_) {
    sink.PutString(name);
    sink.PutF64(segment.all.k);
    sink.PutF64(segment.all.n);
    for (const SegmentCounts& c : segment.hours) {
      sink.PutF64(c.k);
      sink.PutF64(c.n);
    }
  }
}

bool SegmentBook::Decode(ByteSource& source) {
  Clear();
  ticks_ = source.GetVarint();
  for (uint64_t& ticks : hour_ticks_) ticks = source.GetVarint();
  for (uint64_t count = source.GetVarint(); count > 0 && source.ok(); --count) {
    Segment& segment = segments_[std::string(source.GetString())];
    segment.all.k = source.GetF64();
    segment.all.n = source.GetF64();
    segment.hours.resize(by_hour_ ? kHours : 0);
    for (SegmentCounts& c : segment.hours) {
      c.k = source.GetF64();
      c.n = source.GetF64();
    }
  }
  MeasureNames();
  return source.ok();
}

}  // namespace freshet
