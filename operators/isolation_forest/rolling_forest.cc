#include "operators/isolation_forest/rolling_forest.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "engine/base/rng.h"
#include "operators/isolation_forest/option_range.h"
#include "operators/isolation_forest/path_parts.h"

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
constexpr int kLargeFactor = 8;
constexpr int kRampEvery = 4;
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

}  // namespace

Status RollingForest::Validate(const RollingForestOptions& o) {
  FRESHET_RETURN_IF_ERROR(CheckRange("features", o.features, 1, kForestFeaturesMax));
  FRESHET_RETURN_IF_ERROR(CheckRange("trees", o.trees, 1, 1024));
  FRESHET_RETURN_IF_ERROR(CheckRange("window", o.window, 2, 65535));
  FRESHET_RETURN_IF_ERROR(CheckRange("leaf_size", o.leaf_size, 2, 4096));
  FRESHET_RETURN_IF_ERROR(CheckRange("rebuild_every", o.rebuild_every, 1, 65536));
  return CheckRange("warmup", o.warmup, 2, o.window);
}

// The ring is longer than the window by the longest life of a tree, so that the rows any living tree was drawn from are
// still there when a snapshot is read.
RollingForest::RollingForest(const RollingForestOptions& options)
    : options_(options),
      first_births_(std::clamp<int64_t>(options.warmup / kRampEvery, 1, options.trees)),
      ring_(options.features,
            options.window + static_cast<int64_t>(options.trees) * (options.rebuild_every + kRampEvery)) {}

// Trees are born in turn: as many as fit at `warmup` rows, one every kRampEvery rows until all stand, then one every
// rebuild_every rows. So which trees stand, and from which rows, follows from the number of rows alone.
int64_t RollingForest::RowsAtBirth(int64_t birth) const {
  if (birth < first_births_) return options_.warmup;
  const int64_t ramp = std::min<int64_t>(birth + 1, options_.trees) - first_births_;
  const int64_t rolling = std::max<int64_t>(birth + 1 - options_.trees, 0);
  return options_.warmup + ramp * kRampEvery + rolling * options_.rebuild_every;
}

void RollingForest::Bear(int64_t birth) {
  const auto tree = static_cast<size_t>(birth % options_.trees);
  if (tree >= trees_.size()) trees_.resize(tree + 1);
  const int64_t end = RowsAtBirth(birth);
  const int64_t begin = std::max<int64_t>(0, end - options_.window);
  const int sample = birth % 2 == 0 ? options_.leaf_size : options_.leaf_size * kLargeFactor;
  trees_[tree].Build(ring_, begin, end, sample, Mix64(options_.seed ^ Mix64(static_cast<uint64_t>(birth))));
}

double RollingForest::Score(const double* x) const {
  if (!ready()) return kNone;
  alignas(16) float row[kForestFeaturesMax];
  const RowKind kind = ring_.ToScored(x, row);
  if (kind == RowKind::kAllMissing) return kNone;
  double sum = 0;
  double depths[2];
  for (size_t t = 0; t < trees_.size(); t += 2) {
    const bool paired = t + 1 < trees_.size();
    RollingTree::Depths(trees_[t], trees_[paired ? t + 1 : t], row, kind, depths);
    sum += depths[0];
    if (paired) sum += depths[1];
  }
  return std::exp2(-sum / static_cast<double>(trees_.size()));
}

void RollingForest::Learn(const double* x) {
  alignas(16) float row[kForestFeaturesMax];
  if (ring_.ToLearned(x, row) == RowKind::kAllMissing) return;
  ring_.Append(row);
  while (RowsAtBirth(births_) == ring_.end()) Bear(births_++);
}

double RollingForest::Baseline() const {
  if (!ready()) return kNone;
  double sum = 0;
  for (const RollingTree& tree : trees_) sum += tree.ExpectedDepth();
  return std::exp2(-sum / static_cast<double>(trees_.size()));
}

double RollingForest::Contributions(const double* x, double* per_feature) const {
  std::fill_n(per_feature, options_.features, 0.0);
  const double score = Score(x);
  if (std::isnan(score)) return score;
  alignas(16) float row[kForestFeaturesMax];
  ring_.ToScored(x, row);
  for (const RollingTree& tree : trees_) tree.AddContributions(row, options_.features, per_feature);
  const double baseline = Baseline();
  const double unit = -std::numbers::ln2 * baseline / static_cast<double>(trees_.size());
  FitParts(per_feature, options_.features, score - baseline, unit);
  return score;
}

size_t RollingForest::memory_bytes() const {
  size_t bytes = sizeof *this + ring_.memory_bytes();
  for (const RollingTree& tree : trees_) bytes += tree.memory_bytes();
  return bytes;
}

void RollingForest::Encode(ByteSink& sink) const {
  sink.PutU8(kCodec);
  sink.PutVarint(static_cast<uint64_t>(options_.features));
  ring_.Encode(sink);
}

Status RollingForest::Decode(ByteSource& source) {
  if (source.GetU8() != kCodec) return Status::DataLoss("rolling forest: unknown codec");
  if (source.GetVarint() != static_cast<uint64_t>(options_.features)) {
    return Status::DataLoss("rolling forest: the snapshot has another number of features");
  }
  if (!ring_.Decode(source)) return Status::DataLoss("rolling forest: the snapshot is torn");
  births_ = 0;
  if (ring_.end() >= options_.warmup) {
    // RowsAtBirth never falls, so the number of births so far can be found by halving.
    int64_t low = 0, high = ring_.end() + options_.trees + 1;
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      if (RowsAtBirth(middle) <= ring_.end())
        low = middle + 1;
      else
        high = middle;
    }
    births_ = low;
  }
  trees_.clear();
  for (int64_t birth = std::max<int64_t>(0, births_ - options_.trees); birth < births_; ++birth) Bear(birth);
  return Status::Ok();
}

}  // namespace freshet
