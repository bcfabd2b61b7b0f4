#include "operators/isolation_forest/online_forest.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>

#include "operators/isolation_forest/float_lanes.h"
#include "operators/isolation_forest/option_range.h"
#include "operators/isolation_forest/path_length.h"
#include "operators/isolation_forest/path_parts.h"

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;
constexpr int kLevelsMax = 8;
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr float kAbsent = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

int DepthOf(size_t node) { return std::bit_width(node + 1) - 1; }

// c is a whole number at round settings (3 at 2048 and 32); rounding must not add a level.
int LevelsFor(int64_t rows, int64_t leaf_size) {
  return static_cast<int>(std::ceil(OnlinePathLength(rows, leaf_size) - 1e-9));
}

// c(n) by table: the same bits as OnlinePathLength, which the constructor of the table calls.
class LengthTable {
 public:
  explicit LengthTable(int64_t leaf_size) {
    for (size_t n = 0; n < values_.size(); ++n) values_[n] = OnlinePathLength(static_cast<int64_t>(n), leaf_size);
  }
  double operator()(int64_t n, int64_t leaf_size) const {
    if (n < 0) return 0;
    return static_cast<size_t>(n) < values_.size() ? values_[static_cast<size_t>(n)] : OnlinePathLength(n, leaf_size);
  }

 private:
  std::array<double, 4096> values_;
};

// The paper's leaf size has a table, shared by all forests; others compute.
constexpr int kTabledLeafSize = 32;
double Length(int64_t n, int leaf_size) {
  static const LengthTable table(kTabledLeafSize);
  return leaf_size == kTabledLeafSize ? table(n, leaf_size) : OnlinePathLength(n, leaf_size);
}

}  // namespace

Status OnlineForest::Validate(const OnlineForestOptions& o) {
  FRESHET_RETURN_IF_ERROR(CheckRange("features", o.features, 1, kForestFeaturesMax));
  FRESHET_RETURN_IF_ERROR(CheckRange("trees", o.trees, 1, 1024));
  FRESHET_RETURN_IF_ERROR(CheckRange("window", o.window, 2, 65535));
  FRESHET_RETURN_IF_ERROR(CheckRange("leaf_size", o.leaf_size, 1, o.window - 1));
  FRESHET_RETURN_IF_ERROR(CheckRange("first_rows", o.first_rows, 1, 65535));
  if (LevelsFor(o.window, o.leaf_size) > kLevelsMax) {
    return Status::InvalidArgument("window may be at most 65,536 times leaf_size");
  }
  return Status::Ok();
}

OnlineForest::OnlineForest(const OnlineForestOptions& options)
    : options_(options),
      first_rows_(std::min(std::max(options.first_rows, options.leaf_size + 1), options.window)),
      levels_(LevelsFor(options.window, options.leaf_size)),
      inner_count_((size_t{1} << levels_) - 1),
      slot_count_(size_t{1} << levels_),
      node_count_(inner_count_ + slot_count_),
      ring_(options.features, options.window + 1),
      rng_(options.seed) {}

bool OnlineForest::MaySplit(int64_t count, int depth) const {
  return count >= static_cast<int64_t>(options_.leaf_size) << depth && depth < levels_ &&
         depth < LevelsFor(held(), options_.leaf_size);
}

size_t OnlineForest::Walk(int tree, const float* row, bool complete) const {
  const Split* split = splits(tree);
  size_t node = 0;
  if (complete) {
    for (int level = 0; level < levels_; ++level) {
      node = 2 * node + 1 + static_cast<size_t>(row[split[node].feature] >= split[node].at);
    }
    return node;
  }
  const int32_t* count = counts(tree);
  for (int level = 0; level < levels_; ++level) {
    const float x = row[split[node].feature];
    bool right = x >= split[node].at;
    if (split[node].at == kNoSplit)
      right = true;
    else if (std::isnan(x))
      right = count[2 * node + 2] > count[2 * node + 1];
    node = 2 * node + 1 + static_cast<size_t>(right);
  }
  return node;
}

double OnlineForest::PathLength(int tree, size_t leaf) const {
  return DepthOf(leaf) + Length(counts(tree)[leaf], options_.leaf_size);
}

double OnlineForest::ScoreOf(double length_sum) const {
  return std::exp2(-length_sum / options_.trees / Length(held(), options_.leaf_size));
}

double OnlineForest::ScoreRow(const float* row, bool complete, uint16_t* walked) const {
  double sum = 0;
  for (int tree = 0; tree < options_.trees; ++tree) {
    const size_t last = Walk(tree, row, complete);
    walked[tree] = static_cast<uint16_t>(last);
    sum += PathLength(tree, LeafOf(tree, last));
  }
  return ScoreOf(sum);
}

double OnlineForest::Score(const double* x) const {
  if (!ready()) return kNone;
  alignas(16) float row[kForestFeaturesMax];
  uint16_t walked[1024];
  const RowKind kind = ring_.ToScored(x, row);
  if (kind == RowKind::kAllMissing) return kNone;
  return ScoreRow(row, kind == RowKind::kComplete, walked);
}

void OnlineForest::Learn(const double* x) {
  alignas(16) float row[kForestFeaturesMax];
  const RowKind kind = ring_.ToLearned(x, row);
  if (kind != RowKind::kAllMissing) LearnRow(row, kind == RowKind::kComplete, nullptr);
}

double OnlineForest::ScoreAndLearn(const double* x) {
  alignas(16) float row[kForestFeaturesMax];
  bool plain = ready() && ring_.ToScored(x, row) == RowKind::kComplete;
  if (plain) {
    for (int j = 0; j < options_.features; ++j) plain &= std::abs(row[j]) < kFarthestValue;
  }
  if (!plain) {
    const double score = Score(x);
    Learn(x);
    return score;
  }
  // The row reads the same for both, and the trees have not changed in between: one walk serves.
  uint16_t walked[1024];
  const double score = ScoreRow(row, true, walked);
  LearnRow(row, true, walked);
  return score;
}

void OnlineForest::LearnRow(const float* row, bool complete, const uint16_t* walked) {
  ring_.Append(row);
  if (!ready()) return;  // a young forest is its rows
  if (counts_.empty()) {
    Plant();
    return;
  }
  const bool full = ring_.end() > options_.window;
  const float* oldest = ring_.Row(full ? ring_.end() - 1 - options_.window : 0);
  bool oldest_complete = true;
  for (int j = 0; j < options_.features; ++j) oldest_complete &= !std::isnan(oldest[j]);
  for (int tree = 0; tree < options_.trees; ++tree) {
    const size_t last = walked != nullptr ? walked[tree] : Walk(tree, row, complete);
    int32_t* count = counts(tree);
    for (size_t node = last; node > 0; node = (node - 1) / 2) ++count[node];
    ++count[0];
    const size_t leaf = LeafOf(tree, last);
    Widen(tree, leaf, row);
    // Cheap test first: most leaves are far from splitting.
    if (leaf < inner_count_ && count[leaf] >= options_.leaf_size) {
      const int depth = DepthOf(leaf);
      if (MaySplit(count[leaf], depth)) Divide(tree, leaf, depth);
    }
    if (full) Forget(tree, Walk(tree, oldest, oldest_complete));
  }
}

void OnlineForest::Plant() {
  const auto trees = static_cast<size_t>(options_.trees);
  splits_.assign(trees * inner_count_, {kNoSplit, 0});
  counts_.assign(trees * node_count_, 0);
  leaves_.assign(trees * slot_count_, 0);
  boxes_.assign(trees * node_count_ * 2 * static_cast<size_t>(ring_.stride()), 0);
  for (int tree = 0; tree < options_.trees; ++tree) {
    EmptyBox(tree, 0);
    for (int64_t row = ring_.begin(); row < ring_.end(); ++row) Widen(tree, 0, ring_.Row(row));
    counts(tree)[0] = static_cast<int32_t>(held());
    if (MaySplit(held(), 0)) Divide(tree, 0, 0);
  }
}

void OnlineForest::Widen(int tree, size_t node, const float* row) {
  const auto stride = static_cast<size_t>(ring_.stride());
  float* low = box(tree, node);
  float* high = low + stride;
  for (size_t j = 0; j < stride; j += 4) {
    const FloatLanes x = FloatLanes::Load(row + j);
    FloatLanes::Min(x, FloatLanes::Load(low + j)).Store(low + j);
    FloatLanes::Max(x, FloatLanes::Load(high + j)).Store(high + j);
  }
}

void OnlineForest::EmptyBox(int tree, size_t node) {
  const auto stride = static_cast<ptrdiff_t>(ring_.stride());
  float* low = box(tree, node);
  std::fill(low, low + stride, kInfinity);
  std::fill(low + stride, low + 2 * stride, -kInfinity);
}

void OnlineForest::MakeLeaf(int tree, size_t node) {
  // The nodes below `node` are one range a level.
  size_t first = node, width = 1;
  for (int depth = DepthOf(node); depth < levels_; ++depth) {
    std::fill_n(splits(tree) + first, width, Split{kNoSplit, 0});
    first = 2 * first + 1;
    width *= 2;
  }
  std::fill_n(leaves(tree) + (first - inner_count_), width, static_cast<uint16_t>(node));
}

void OnlineForest::Divide(int tree, size_t leaf, int depth) {
  thread_local std::vector<float> points;  // scratch only
  const auto stride = static_cast<size_t>(ring_.stride());
  const int64_t count = counts(tree)[leaf];
  const float* low = box(tree, leaf);
  const float* high = low + stride;
  points.assign(static_cast<size_t>(count) * stride, 0);
  for (int64_t i = 0; i < count; ++i) {
    float* point = points.data() + static_cast<size_t>(i) * stride;
    for (size_t j = 0; j < static_cast<size_t>(options_.features); ++j) {
      if (low[j] > high[j])
        point[j] = kAbsent;
      else
        point[j] = std::min(high[j], low[j] + static_cast<float>(rng_.NextDouble()) * (high[j] - low[j]));
    }
  }
  DividePoints(tree, leaf, depth, points.data(), count);
}

void OnlineForest::DividePoints(int tree, size_t node, int depth, float* points, int64_t count) {
  const auto stride = static_cast<size_t>(ring_.stride());
  uint32_t present[kForestFeaturesMax];
  uint32_t present_count = 0;
  for (int j = 0; j < options_.features; ++j) {
    if (!std::isnan(points[j])) present[present_count++] = static_cast<uint32_t>(j);
  }
  MakeLeaf(tree, node);
  if (present_count == 0) return;
  const uint32_t feature = present[rng_.Below(present_count)];
  float low = kInfinity, high = -kInfinity;
  for (int64_t i = 0; i < count; ++i) {
    const float x = points[static_cast<size_t>(i) * stride + feature];
    low = std::min(low, x);
    high = std::max(high, x);
  }
  const float at = std::min(high, low + static_cast<float>(rng_.NextDouble()) * (high - low));
  int64_t left = 0;
  for (int64_t i = 0; i < count; ++i) {
    float* point = points + static_cast<size_t>(i) * stride;
    if (point[feature] >= at) continue;
    if (left != i) std::swap_ranges(point, point + stride, points + static_cast<size_t>(left) * stride);
    ++left;
  }
  splits(tree)[node] = {at, feature};
  for (int side = 0; side < 2; ++side) {
    const size_t child = 2 * node + 1 + static_cast<size_t>(side);
    float* first = side == 0 ? points : points + static_cast<size_t>(left) * stride;
    const int64_t rows = side == 0 ? left : count - left;
    counts(tree)[child] = static_cast<int32_t>(rows);
    if (MaySplit(rows, depth + 1)) {
      DividePoints(tree, child, depth + 1, first, rows);
    } else {
      MakeLeaf(tree, child);
    }
    if (!is_leaf(tree, child)) continue;
    EmptyBox(tree, child);
    for (int64_t i = 0; i < rows; ++i) Widen(tree, child, first + static_cast<size_t>(i) * stride);
  }
}

void OnlineForest::Forget(int tree, size_t last) {
  int32_t* count = counts(tree);
  --count[0];
  for (size_t node = last; node > 0; node = (node - 1) / 2) --count[node];
  const size_t leaf = LeafOf(tree, last);
  // From the root down; the first inner node that became too small swallows all below.
  for (int depth = 0; depth < DepthOf(leaf); ++depth) {
    const size_t node = ((last + 1) >> (levels_ - depth)) - 1;
    if (count[node] < options_.leaf_size << depth) {
      Merge(tree, node);
      return;
    }
  }
}

void OnlineForest::Merge(int tree, size_t node) {
  const auto stride = static_cast<size_t>(ring_.stride());
  std::vector<size_t> below{2 * node + 1, 2 * node + 2};
  EmptyBox(tree, node);
  for (size_t i = 0; i < below.size(); ++i) {
    const size_t at = below[i];
    if (is_leaf(tree, at)) {
      // A box is two corners: widening by both is the union. An empty one changes nothing.
      const float* corner = box(tree, at);
      float* low = box(tree, node);
      for (size_t j = 0; j < stride; ++j) {
        low[j] = std::min(low[j], corner[j]);
        low[stride + j] = std::max(low[stride + j], corner[stride + j]);
      }
    } else {
      below.push_back(2 * at + 1);
      below.push_back(2 * at + 2);
    }
  }
  MakeLeaf(tree, node);
}

double OnlineForest::ExpectedLength(int tree, size_t node) const {
  if (is_leaf(tree, node)) return PathLength(tree, node);
  const int32_t* count = counts(tree);
  const double left = std::max(count[2 * node + 1], 0), right = std::max(count[2 * node + 2], 0);
  const double share = left + right > 0 ? left / (left + right) : 0.5;
  return share * ExpectedLength(tree, 2 * node + 1) + (1 - share) * ExpectedLength(tree, 2 * node + 2);
}

double OnlineForest::Baseline() const {
  if (!ready()) return kNone;
  double sum = 0;
  for (int tree = 0; tree < options_.trees; ++tree) sum += ExpectedLength(tree, 0);
  return ScoreOf(sum);
}

// Lows and highs of every node: those of the leaves, and above them their union. Nothing below a leaf counts.
void OnlineForest::AllBoxes(int tree, std::vector<float>* boxes) const {
  const size_t side = static_cast<size_t>(ring_.stride()), size = 2 * side;
  const float* from = boxes_.data() + static_cast<size_t>(tree) * node_count_ * size;
  boxes->assign(from, from + node_count_ * size);
  for (size_t node = inner_count_; node-- > 0;) {
    if (is_leaf(tree, node)) continue;
    const float* left = boxes->data() + (2 * node + 1) * size;
    const float* right = left + size;
    float* both = boxes->data() + node * size;
    for (size_t j = 0; j < side; ++j) {
      both[j] = std::min(left[j], right[j]);
      both[side + j] = std::max(left[side + j], right[side + j]);
    }
  }
}

void OnlineForest::AddParts(int tree, const float* row, bool complete, double* per_feature) const {
  thread_local std::vector<float> boxes;  // scratch only
  double beyond[kForestFeaturesMax];
  AllBoxes(tree, &boxes);
  const auto stride = static_cast<size_t>(ring_.stride());
  const BoxDistance distance(options_.features, boxes.data(), boxes.data() + stride);
  PathParts parts(options_.features, per_feature);
  const size_t last = Walk(tree, row, complete);
  const int leaf_depth = DepthOf(LeafOf(tree, last));
  double value = ExpectedLength(tree, 0);
  for (int depth = 0;; ++depth) {
    const size_t node = ((last + 1) >> (levels_ - depth)) - 1;
    const float* low = boxes.data() + node * 2 * stride;
    const double width = distance.Measure(row, low, low + stride, beyond);
    parts.Leave(beyond, width, depth - value);
    if (depth == leaf_depth) return;
    const double after = ExpectedLength(tree, ((last + 1) >> (levels_ - depth - 1)) - 1);
    parts.Follow(static_cast<int>(splits(tree)[node].feature), after - value);
    value = after;
  }
}

double OnlineForest::Contributions(const double* x, double* per_feature) const {
  std::fill_n(per_feature, options_.features, 0.0);
  const double score = Score(x);
  if (std::isnan(score)) return score;
  alignas(16) float row[kForestFeaturesMax];
  const bool complete = ring_.ToScored(x, row) == RowKind::kComplete;
  for (int tree = 0; tree < options_.trees; ++tree) AddParts(tree, row, complete, per_feature);
  const double baseline = Baseline();
  const double unit = -std::numbers::ln2 * baseline / (options_.trees * Length(held(), options_.leaf_size));
  FitParts(per_feature, options_.features, score - baseline, unit);
  return score;
}

size_t OnlineForest::memory_bytes() const {
  return sizeof *this + ring_.memory_bytes() + splits_.capacity() * sizeof(Split) +
         counts_.capacity() * sizeof(int32_t) + leaves_.capacity() * sizeof(uint16_t) +
         boxes_.capacity() * sizeof(float);
}

void OnlineForest::Encode(ByteSink& sink) const {
  sink.PutU8(kCodec);
  sink.PutVarint(static_cast<uint64_t>(options_.features));
  sink.PutVarint(static_cast<uint64_t>(options_.trees));
  rng_.Encode(sink);
  ring_.Encode(sink);
  sink.PutBool(!counts_.empty());
  for (const Split& split : splits_) {
    sink.PutU32(std::bit_cast<uint32_t>(split.at));
    sink.PutU16(static_cast<uint16_t>(split.feature));
  }
  for (int32_t count : counts_) sink.PutU32(static_cast<uint32_t>(count));
  for (uint16_t leaf : leaves_) sink.PutU16(leaf);
  for (float side : boxes_) sink.PutU32(std::bit_cast<uint32_t>(side));
}

Status OnlineForest::Decode(ByteSource& source) {
  if (source.GetU8() != kCodec) return Status::DataLoss("online forest: unknown codec");
  if (source.GetVarint() != static_cast<uint64_t>(options_.features) ||
      source.GetVarint() != static_cast<uint64_t>(options_.trees)) {
    return Status::DataLoss("online forest: the snapshot has another number of features or trees");
  }
  rng_.Decode(source);
  if (!ring_.Decode(source)) return Status::DataLoss("online forest: the snapshot is torn");
  const bool planted = source.GetBool();
  if (planted != ready()) return Status::DataLoss("online forest: the snapshot is torn");
  const auto trees = planted ? static_cast<size_t>(options_.trees) : 0;
  splits_.assign(trees * inner_count_, {});
  counts_.assign(trees * node_count_, 0);
  leaves_.assign(trees * slot_count_, 0);
  boxes_.assign(trees * node_count_ * 2 * static_cast<size_t>(ring_.stride()), 0);
  bool sound = true;
  for (Split& split : splits_) {
    split.at = std::bit_cast<float>(source.GetU32());
    split.feature = source.GetU16();
    sound &= split.feature < static_cast<uint32_t>(options_.features);
  }
  for (int32_t& count : counts_) count = static_cast<int32_t>(source.GetU32());
  for (uint16_t& leaf : leaves_) {
    leaf = source.GetU16();
    sound &= leaf < node_count_;
  }
  for (float& side : boxes_) side = std::bit_cast<float>(source.GetU32());
  if (!source.ok() || !sound) return Status::DataLoss("online forest: the snapshot is torn");
  return Status::Ok();
}

}  // namespace freshet
