#include "operators/isolation_forest/random_cut_forest.h"

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
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

}  // namespace

Status RandomCutForest::Validate(const RandomCutForestOptions& o) {
  FRESHET_RETURN_IF_ERROR(CheckRange("features", o.features, 1, kForestFeaturesMax));
  FRESHET_RETURN_IF_ERROR(CheckRange("trees", o.trees, 1, 1024));
  FRESHET_RETURN_IF_ERROR(CheckRange("window", o.window, 2, 32767));
  return CheckRange("warmup", o.warmup, 2, o.window);
}

RandomCutForest::RandomCutForest(const RandomCutForestOptions& options)
    : options_(options), ring_(options.features, options.window) {}

double RandomCutForest::ScoreOf(double displacement) const {
  return std::log2(1 + displacement) / std::log2(1.0 + options_.window);
}

uint64_t RandomCutForest::Draw(int64_t row, size_t tree) const {
  return Mix64(options_.seed ^ Mix64(static_cast<uint64_t>(row) << 10 | static_cast<uint64_t>(tree)));
}

double RandomCutForest::Score(const double* x) const {
  if (!ready()) return kNone;
  alignas(16) float row[kForestFeaturesMax];
  if (ring_.ToScored(x, row) == RowKind::kAllMissing) return kNone;
  double sum = 0;
  for (size_t tree = 0; tree < trees_.size(); ++tree) sum += trees_[tree].Displacement(row, Draw(ring_.end(), tree));
  return ScoreOf(sum / options_.trees);
}

void RandomCutForest::Learn(const double* x) {
  alignas(16) float row[kForestFeaturesMax];
  if (ring_.ToLearned(x, row) == RowKind::kAllMissing) return;
  const int64_t number = ring_.end();
  const int slot = static_cast<int>(number % options_.window);
  for (size_t tree = 0; tree < trees_.size(); ++tree) {
    if (number >= options_.window) trees_[tree].Delete(slot);
    trees_[tree].Insert(slot, row, Draw(number, tree));
  }
  ring_.Append(row);
  if (!trees_.empty() || !ready()) return;  // a young forest is its rows
  trees_.assign(static_cast<size_t>(options_.trees), RandomCutTree(ring_.stride(), options_.window));
  for (size_t tree = 0; tree < trees_.size(); ++tree) {
    for (int64_t i = 0; i < ring_.end(); ++i) trees_[tree].Insert(static_cast<int>(i), ring_.Row(i), Draw(i, tree));
  }
}

double RandomCutForest::Baseline() const {
  if (!ready()) return kNone;
  double sum = 0;
  for (const RandomCutTree& tree : trees_) sum += tree.MeanDisplacement();
  return ScoreOf(sum / options_.trees);
}

double RandomCutForest::Contributions(const double* x, double* per_feature) const {
  std::fill_n(per_feature, options_.features, 0.0);
  const double score = Score(x);
  if (std::isnan(score)) return score;
  alignas(16) float row[kForestFeaturesMax];
  ring_.ToScored(x, row);
  for (const RandomCutTree& tree : trees_) tree.AddContributions(row, options_.features, per_feature);
  const double baseline = Baseline();
  // The score's slope in the mean displacement, at the baseline.
  const double unit = 1 / (std::numbers::ln2 * std::exp2(baseline * std::log2(1.0 + options_.window)) *
                           std::log2(1.0 + options_.window) * options_.trees);
  FitParts(per_feature, options_.features, score - baseline, unit);
  return score;
}

size_t RandomCutForest::memory_bytes() const {
  size_t bytes = sizeof *this + ring_.memory_bytes();
  for (const RandomCutTree& tree : trees_) bytes += tree.memory_bytes();
  return bytes;
}

void RandomCutForest::Encode(ByteSink& sink) const {
  sink.PutU8(kCodec);
  sink.PutVarint(static_cast<uint64_t>(options_.features));
  sink.PutVarint(static_cast<uint64_t>(options_.trees));
  ring_.Encode(sink);
  sink.PutBool(!trees_.empty());
  for (const RandomCutTree& tree : trees_) tree.Encode(sink, ring_);
}

Status RandomCutForest::Decode(ByteSource& source) {
  if (source.GetU8() != kCodec) return Status::DataLoss("random cut forest: unknown codec");
  if (source.GetVarint() != static_cast<uint64_t>(options_.features) ||
      source.GetVarint() != static_cast<uint64_t>(options_.trees)) {
    return Status::DataLoss("random cut forest: the snapshot has another number of features or trees");
  }
  if (!ring_.Decode(source)) return Status::DataLoss("random cut forest: the snapshot is torn");
  trees_.clear();
  const bool planted = source.GetBool();
  if (planted != ready()) return Status::DataLoss("random cut forest: the snapshot is torn");
  if (planted) trees_.assign(static_cast<size_t>(options_.trees), RandomCutTree(ring_.stride(), options_.window));
  for (RandomCutTree& tree : trees_) {
    if (!tree.Decode(source, ring_)) return Status::DataLoss("random cut forest: the snapshot is torn");
  }
  return source.ok() ? Status::Ok() : Status::DataLoss("random cut forest: the snapshot is torn");
}

}  // namespace freshet
