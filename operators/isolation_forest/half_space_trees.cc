#include "operators/isolation_forest/half_space_trees.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "engine/base/rng.h"
#include "operators/isolation_forest/option_range.h"
#include "operators/isolation_forest/path_parts.h"

namespace freshet {
namespace {

constexpr uint8_t kCodec = 1;

/// Uniform in [0, 1), a function of its arguments.
double Unit(uint64_t seed, uint64_t a, uint64_t b) {
  return static_cast<double>(Mix64(seed ^ Mix64(a ^ Mix64(b))) >> 11) * 0x1.0p-53;
}

}  // namespace

Status HalfSpaceTrees::Validate(const HalfSpaceTreesOptions& o) {
  FRESHET_RETURN_IF_ERROR(CheckRange("features", o.features, 1, kForestFeaturesMax));
  FRESHET_RETURN_IF_ERROR(CheckRange("trees", o.trees, 1, 1024));
  FRESHET_RETURN_IF_ERROR(CheckRange("window", o.window, 10, 65535));
  FRESHET_RETURN_IF_ERROR(CheckRange("leaf_size", o.leaf_size, 1, o.window));
  return CheckRange("depth", o.depth, 1, 24);
}

HalfSpaceTrees::HalfSpaceTrees(const HalfSpaceTreesOptions& options)
    : options_(options), ring_(options.features, 2 * static_cast<int64_t>(options.window)) {}

double HalfSpaceTrees::NoScore() { return std::numeric_limits<double>::quiet_NaN(); }

double HalfSpaceTrees::ScoreOf(double mean_mass) const {
  return 1 - std::log2(1 + mean_mass) / std::log2(1 + std::ldexp(options_.window, options_.depth));
}

const HalfSpaceTrees::Node& HalfSpaceTrees::Leaf(int tree, const float* row) const {
  const Node* node = &nodes_[static_cast<size_t>(roots_[static_cast<size_t>(tree)])];
  while (node->child != 0) {
    const float x = row[node->feature];
    const int side = std::isnan(x) ? node->missing_to : static_cast<int>(x >= node->split);
    node = &nodes_[static_cast<size_t>(node->child + side)];
  }
  return *node;
}

double HalfSpaceTrees::Score(const double* x) const {
  if (!ready()) return NoScore();
  alignas(16) float row[kForestFeaturesMax];
  if (ring_.ToScored(x, row) == RowKind::kAllMissing) return NoScore();
  double sum = 0;
  for (int tree = 0; tree < options_.trees; ++tree) sum += static_cast<double>(Leaf(tree, row).mass);
  return ScoreOf(sum / options_.trees);
}

void HalfSpaceTrees::Learn(const double* x) {
  alignas(16) float row[kForestFeaturesMax];
  if (ring_.ToLearned(x, row) == RowKind::kAllMissing) return;
  ring_.Append(row);
  if (ring_.end() % options_.window == 0) Grow();
}

// The published program counts rows in full trees of 2^15 nodes. Only the nodes above `leaf_size` rows are ever looked
// into, so these alone are made, from the window's rows, when it is full: the same counts in a hundredth of the memory.
void HalfSpaceTrees::Grow() {
  const int64_t end = ring_.end() / options_.window * options_.window;
  const auto features = static_cast<size_t>(options_.features);
  std::vector<float> least(features, std::numeric_limits<float>::infinity()), most(features);
  for (size_t j = 0; j < features; ++j) most[j] = -least[j];
  order_.resize(static_cast<size_t>(options_.window));
  std::iota(order_.begin(), order_.end(), end - options_.window);
  for (const int64_t i : order_) {
    for (size_t j = 0; j < features; ++j) {
      const float x = ring_.Row(i)[j];
      if (x < least[j]) least[j] = x;
      if (x > most[j]) most[j] = x;
    }
  }
  nodes_.clear();
  roots_.clear();
  double sum = 0;
  for (int tree = 0; tree < options_.trees; ++tree) {
    GrowTree(tree, least, most);
    sum += static_cast<double>(nodes_[static_cast<size_t>(roots_.back())].mass);
  }
  mean_mass_ = sum / options_.trees;
  nodes_.shrink_to_fit();
}

void HalfSpaceTrees::GrowTree(int tree, const std::vector<float>& least, const std::vector<float>& most) {
  const size_t features = least.size();
  std::vector<float> low(features), high(features);
  const auto id = static_cast<uint64_t>(tree);
  for (size_t j = 0; j < features; ++j) {
    // The work range: a random centre, and twice as wide as needed to hold all on either side of it.
    const double range = static_cast<double>(most[j]) - static_cast<double>(least[j]);
    const double width = range > 0 ? range : 1;
    const double centre = Unit(options_.seed, id, (1ULL << 40) + j);
    const double reach = 2 * std::max(centre, 1 - centre);
    const double from = std::isfinite(range) ? static_cast<double>(least[j]) : 0;
    low[j] = static_cast<float>(from + (centre - reach) * width);
    high[j] = static_cast<float>(from + (centre + reach) * width);
  }
  roots_.push_back(static_cast<int32_t>(nodes_.size()));
  nodes_.emplace_back();
  Split(nodes_.size() - 1, id << 32 | 1, 0, 0, order_.size(), low, high);
}

void HalfSpaceTrees::Split(size_t node, uint64_t path, int depth, size_t first, size_t count, std::vector<float>& low,
                           std::vector<float>& high) {
  const auto rows = static_cast<double>(count);
  if (depth >= options_.depth || count <= static_cast<size_t>(options_.leaf_size)) {
    nodes_[node].mass = static_cast<float>(std::ldexp(rows, depth));
    nodes_[node].level = static_cast<float>(std::log2(1 + std::ldexp(rows, depth)));
    return;
  }
  const auto feature =
      std::min(low.size() - 1, static_cast<size_t>(Unit(options_.seed, path, 7) * static_cast<double>(low.size())));
  const float middle = low[feature] + (high[feature] - low[feature]) / 2;
  const auto from = order_.begin() + static_cast<ptrdiff_t>(first);
  const auto to = from + static_cast<ptrdiff_t>(count);
  const auto value = [&](int64_t i) { return ring_.Row(i)[feature]; };
  const auto absent = std::partition(from, to, [&](int64_t i) { return !std::isnan(value(i)); });
  auto split = std::partition(from, absent, [&](int64_t i) { return value(i) < middle; });
  const bool missing_right = split - from < absent - split;
  if (!missing_right) split = std::rotate(split, absent, to);
  const auto left = static_cast<size_t>(split - from);
  const size_t child = nodes_.size();
  nodes_.resize(child + 2);
  nodes_[node].split = middle;
  nodes_[node].child = static_cast<int32_t>(child);
  nodes_[node].feature = static_cast<uint16_t>(feature);
  nodes_[node].missing_to = missing_right ? 1 : 0;
  float bound = std::exchange(high[feature], middle);
  Split(child, 2 * path, depth + 1, first, left, low, high);
  high[feature] = bound;
  bound = std::exchange(low[feature], middle);
  Split(child + 1, 2 * path + 1, depth + 1, first + left, count - left, low, high);
  low[feature] = bound;
  const auto mean = [&](float Node::*field) {
    return static_cast<float>((static_cast<double>(nodes_[child].*field) * static_cast<double>(left) +
                               static_cast<double>(nodes_[child + 1].*field) * static_cast<double>(count - left)) /
                              rows);
  };
  nodes_[node].mass = mean(&Node::mass);
  nodes_[node].level = mean(&Node::level);
}

// Boxes are not kept: `rows` are all rows of the tree's window, of which those of the node are left at each step.
void HalfSpaceTrees::AddParts(int tree, const float* row, std::vector<const float*> rows, double* per_feature) const {
  float low[kForestFeaturesMax], high[kForestFeaturesMax];
  double beyond[kForestFeaturesMax];
  const auto features = static_cast<size_t>(options_.features);
  const auto bound = [&] {
    std::fill_n(low, features, std::numeric_limits<float>::infinity());
    std::fill_n(high, features, -std::numeric_limits<float>::infinity());
    for (const float* r : rows) {
      for (size_t j = 0; j < features; ++j) {
        low[j] = r[j] < low[j] ? r[j] : low[j];
        high[j] = r[j] > high[j] ? r[j] : high[j];
      }
    }
  };
  bound();
  const BoxDistance distance(options_.features, low, high);
  PathParts parts(options_.features, per_feature);
  const auto side_of = [](const Node& node, const float* r) {
    const float at = r[node.feature];
    return std::isnan(at) ? static_cast<int>(node.missing_to) : static_cast<int>(at >= node.split);
  };
  const Node* node = &nodes_[static_cast<size_t>(roots_[static_cast<size_t>(tree)])];
  for (;;) {
    const double level = static_cast<double>(node->level);
    const double width = distance.Measure(row, low, high, beyond);
    parts.Leave(beyond, width, -level);  // one more halving could leave it without a neighbour
    if (node->child == 0) return;
    const int side = side_of(*node, row);
    const Node* next = &nodes_[static_cast<size_t>(node->child + side)];
    parts.Follow(node->feature, static_cast<double>(next->level) - level);
    std::erase_if(rows, [&](const float* r) { return side_of(*node, r) != side; });
    bound();
    node = next;
  }
}

double HalfSpaceTrees::Contributions(const double* x, double* per_feature) const {
  std::fill_n(per_feature, options_.features, 0.0);
  const double score = Score(x);
  if (std::isnan(score)) return score;
  alignas(16) float row[kForestFeaturesMax];
  ring_.ToScored(x, row);
  const int64_t end = ring_.end() / options_.window * options_.window;
  std::vector<const float*> rows;
  for (int64_t i = end - options_.window; i < end; ++i) rows.push_back(ring_.Row(i));
  for (int tree = 0; tree < options_.trees; ++tree) AddParts(tree, row, rows, per_feature);
  const double unit = -1 / (options_.trees * std::log2(1 + std::ldexp(options_.window, options_.depth)));
  FitParts(per_feature, options_.features, score - Baseline(), unit);
  return score;
}

size_t HalfSpaceTrees::memory_bytes() const {
  return sizeof *this + ring_.memory_bytes() + nodes_.capacity() * sizeof(Node) + roots_.capacity() * sizeof(int32_t) +
         order_.capacity() * sizeof(int64_t);
}

void HalfSpaceTrees::Encode(ByteSink& sink) const {
  sink.PutU8(kCodec);
  sink.PutVarint(static_cast<uint64_t>(options_.features));
  ring_.Encode(sink);
}

Status HalfSpaceTrees::Decode(ByteSource& source) {
  if (source.GetU8() != kCodec) return Status::DataLoss("half-space trees: unknown codec");
  if (source.GetVarint() != static_cast<uint64_t>(options_.features)) {
    return Status::DataLoss("half-space trees: the snapshot has another number of features");
  }
  if (!ring_.Decode(source)) return Status::DataLoss("half-space trees: the snapshot is torn");
  nodes_.clear();
  roots_.clear();
  if (ready()) Grow();
  return Status::Ok();
}

}  // namespace freshet
