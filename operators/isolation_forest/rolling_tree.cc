#include "operators/isolation_forest/rolling_tree.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/base/rng.h"
#include "operators/isolation_forest/float_lanes.h"
#include "operators/isolation_forest/path_length.h"
#include "operators/isolation_forest/path_parts.h"

namespace freshet {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
// Beyond this many ranges outside it no longer matters how far: sums stay finite.
constexpr float kFarOutside = 8;
// Narrower than this counts as constant: its inverse must stay finite.
constexpr float kNarrowest = 1e-30f;
// out / (out + width) must not be 0 / 0 where both vanish.
constexpr float kTiny = 1e-37f;

}  // namespace

struct RollingTree::Work {
  int count = 0;
  int depth_max = 0;
  std::vector<float> rows;      // the sample in the tree's frame
  std::vector<uint16_t> order;  // permuted: a node's rows are a range of it
  std::vector<int> counts;      // per node
  std::vector<uint64_t> drawn;  // bitmap over the window
  std::vector<int> choices;     // features of a node that vary
  const float* Row(int i) const { return rows.data() + order[static_cast<size_t>(i)] * stride; }
  size_t stride = 0;
};

void RollingTree::BoundingBox(const Work& work, int first, int count, float* low, float* high) const {
  for (size_t j = 0; j < work.stride; j += 4) {
    FloatLanes lo = FloatLanes::All(kInfinity), hi = FloatLanes::All(-kInfinity);
    for (int i = first; i < first + count; ++i) {
      const FloatLanes x = FloatLanes::Load(work.Row(i) + j);
      lo = FloatLanes::Min(x, lo);
      hi = FloatLanes::Max(x, hi);
    }
    lo.Store(low + j);
    hi.Store(high + j);
  }
}

void RollingTree::Frame(const PointRing& ring, int64_t begin, int64_t end, int sample, uint64_t& random, Work& work) {
  const auto stride = static_cast<size_t>(stride_);
  const auto window = static_cast<uint64_t>(end - begin);
  work.count = static_cast<int>(std::min<uint64_t>(window, static_cast<uint64_t>(sample)));
  work.stride = stride;
  work.rows.resize(static_cast<size_t>(work.count) * stride);
  work.drawn.assign(window / 64 + 1, 0);
  Rng rng(random);
  for (int i = 0; i < work.count; ++i) {
    // Floyd's sampling without replacement: exactly one draw a row.
    const uint64_t top = window - static_cast<uint64_t>(work.count) + static_cast<uint64_t>(i);
    uint64_t pick = rng.Below(top + 1);
    if ((work.drawn[pick / 64] >> (pick % 64)) & 1) pick = top;
    work.drawn[pick / 64] |= 1ULL << (pick % 64);
    const float* row = ring.Row(begin + static_cast<int64_t>(pick));
    std::copy_n(row, stride, work.rows.begin() + i * static_cast<ptrdiff_t>(stride));
  }
  random = rng.Next();

  work.order.resize(static_cast<size_t>(work.count));
  std::iota(work.order.begin(), work.order.end(), static_cast<uint16_t>(0));

  frame_.resize(4 * stride);
  float* low = frame_.data();
  float* scale = low + stride;
  float* least = scale + stride;
  float* most = least + stride;
  BoundingBox(work, 0, work.count, low, scale);
  has_absent_ = false;
  for (size_t j = 0; j < stride; ++j) {
    const float range = scale[j] - low[j];
    const bool varies = range > kNarrowest;
    scale[j] = varies ? 1 / range : 1 / kNarrowest;
    least[j] = varies ? -kFarOutside : -1;
    most[j] = varies ? 1 + kFarOutside : 1;
    if (range < 0) {  // missing throughout: NaN keeps it missing in the frame
      low[j] = std::numeric_limits<float>::quiet_NaN();
      has_absent_ = true;
    }
  }
  for (int i = 0; i < work.count; ++i) {
    float* row = work.rows.data() + static_cast<size_t>(i) * stride;
    ToFrame(row, row);
  }
}

void RollingTree::ToFrame(const float* row, float* out) const {
  const auto stride = static_cast<size_t>(stride_);
  const float* low = frame_.data();
  for (size_t j = 0; j < stride; j += 4) {
    const FloatLanes scale = FloatLanes::Load(low + stride + j);
    const FloatLanes x = (FloatLanes::Load(row + j) - FloatLanes::Load(low + j)) * scale;
    // Value second: a NaN stays a NaN.
    const FloatLanes capped = FloatLanes::Min(FloatLanes::Load(low + 3 * stride + j), x);
    FloatLanes::Max(FloatLanes::Load(low + 2 * stride + j), capped).Store(out + j);
  }
}

int RollingTree::AddNode(Work& work, int first, int count, int depth) {
  const auto stride = static_cast<size_t>(stride_);
  const auto id = static_cast<int>(nodes_.size());
  boxes_.resize(boxes_.size() + 2 * stride);
  float* low = boxes_.data() + static_cast<size_t>(id) * 2 * stride;
  float* high = low + stride;
  float width = 0;
  work.choices.clear();
  BoundingBox(work, first, count, low, high);
  for (size_t j = 0; j < stride; ++j) {
    if (high[j] > low[j]) {
      width += high[j] - low[j];
      work.choices.push_back(static_cast<int>(j));
    } else if (high[j] < low[j]) {  // missing in all rows of the node: nothing is outside
      low[j] = -kInfinity;
      high[j] = kInfinity;
    }
  }
  Node node{};
  node.width = width;
  node.feature = kLeaf;
  node.split = static_cast<float>(depth + AveragePathLength(count));
  nodes_.push_back(node);
  work.counts.push_back(count);
  return id;
}

void RollingTree::Grow(Work& work, uint64_t seed) {
  struct Task {
    int first, count, depth;
    int parent, side;
  };
  Rng rng(seed);
  std::vector<Task> tasks{{0, work.count, 0, -1, 0}};
  const auto stride = static_cast<size_t>(stride_);
  while (!tasks.empty()) {
    const Task task = tasks.back();
    tasks.pop_back();
    const int id = AddNode(work, task.first, task.count, task.depth);
    if (task.parent >= 0) nodes_[static_cast<size_t>(task.parent)].child[task.side] = static_cast<uint16_t>(id);
    if (task.depth >= work.depth_max || work.choices.empty() || task.count < 2) continue;
    const auto feature = static_cast<size_t>(work.choices[rng.Below(work.choices.size())]);
    const float low = Box(static_cast<size_t>(id))[feature];
    const float high = Box(static_cast<size_t>(id))[stride + feature];
    float split = low + static_cast<float>(rng.NextDouble()) * (high - low);
    if (!(split > low) || split > high) split = high;

    const auto from = work.order.begin() + task.first;
    const auto to = from + task.count;
    const auto value = [&](uint16_t i) { return work.rows[i * stride + feature]; };
    // Rows that lack the feature follow the majority of those that have it.
    const auto absent = std::partition(from, to, [&](uint16_t i) { return !std::isnan(value(i)); });
    auto middle = std::partition(from, absent, [&](uint16_t i) { return value(i) < split; });
    if (absent != to && middle - from >= absent - middle) {
      middle = std::rotate(middle, absent, to);
    }
    const int left = static_cast<int>(middle - from);
    const int right = task.count - left;
    Node& node = nodes_[static_cast<size_t>(id)];
    node.split = split;
    node.feature = static_cast<uint16_t>(feature);
    node.missing_to = left >= right ? 0 : 1;
    node.child[0] = node.child[1] = kSingleRow;
    if (right > 1) tasks.push_back({task.first + left, right, task.depth + 1, id, 1});
    if (left > 1) tasks.push_back({task.first, left, task.depth + 1, id, 0});
  }
}

void RollingTree::Build(const PointRing& ring, int64_t begin, int64_t end, int sample, uint64_t seed) {
  thread_local Work work;  // scratch only: nothing in it outlives the call
  stride_ = ring.stride();
  nodes_.clear();
  boxes_.clear();
  work.counts.clear();
  Frame(ring, begin, end, sample, seed, work);
  work.depth_max = std::bit_width(static_cast<unsigned>(work.count - 1));  // ceil(log2(count))
  norm_ = work.count > 1 ? static_cast<float>(1 / AveragePathLength(work.count)) : 1.0f;
  Grow(work, seed);

  // Mean path lengths, children before parents.
  expected_.assign(nodes_.size(), 0);
  std::vector<uint16_t> depths(nodes_.size(), 0);
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].feature == kLeaf) continue;
    for (uint16_t c : nodes_[i].child) {
      if (c != kSingleRow) depths[c] = static_cast<uint16_t>(depths[i] + 1);
    }
  }
  for (size_t i = nodes_.size(); i-- > 0;) {
    const Node& node = nodes_[i];
    if (node.feature == kLeaf) {
      expected_[i] = node.split;
      continue;
    }
    double sum = 0;
    int rows_left = work.counts[i];
    for (int side = 0; side < 2; ++side) {
      const uint16_t c = node.child[side];
      if (c != kSingleRow) {
        sum += static_cast<double>(expected_[c]) * work.counts[c];
        rows_left -= work.counts[c];
      }
    }
    sum += static_cast<double>(rows_left) * (depths[i] + 1);
    expected_[i] = static_cast<float>(sum / work.counts[i]);
  }
  nodes_.shrink_to_fit();
  boxes_.shrink_to_fit();
}

// A row on its way down a tree. The two trees of a pair step in turn, so that one's arithmetic fills the other's waits.
template <int kBlocks, bool kMissing>
struct RollingTree::Walk {
  const Node* nodes;
  const float* boxes;
  const float* row;
  size_t stride;
  size_t at = 0;
  float expected = 0, survival = 1, depth = 0;

  Walk(const RollingTree& tree, const float* x)
      : nodes(tree.nodes_.data()),
        boxes(tree.boxes_.data()),
        row(x),
        stride(kBlocks > 0 ? kBlocks * 4 : static_cast<size_t>(tree.stride_)) {}

  /// One level; true at the end, when `expected` is the path's depth.
  bool Step() {
    const FloatLanes zero = FloatLanes::All(0);
    const Node& node = nodes[at];
    const float* box = boxes + at * 2 * stride;
    FloatLanes sum = zero;
    for (size_t j = 0; j < stride; j += 4) {
      const FloatLanes x = FloatLanes::Load(row + j);
      sum = sum + FloatLanes::Max(FloatLanes::Load(box + j) - x, zero);
      sum = sum + FloatLanes::Max(x - FloatLanes::Load(box + stride + j), zero);
    }
    const float outside = sum.Sum();
    const float leaves = outside / (outside + node.width + kTiny);
    expected += survival * leaves * depth;
    survival -= survival * leaves;
    if (node.feature == kLeaf) {
      expected += survival * node.split;
      return true;
    }
    int side = row[node.feature] >= node.split;
    if constexpr (kMissing) {
      if (std::isnan(row[node.feature])) side = node.missing_to;
    }
    depth += 1;
    if (node.child[side] == kSingleRow) {
      expected += survival * depth;
      return true;
    }
    at = node.child[side];
    return false;
  }
};

template <int kBlocks, bool kMissing>
void RollingTree::PathDepths(const RollingTree& a, const RollingTree& b, const float* xa, const float* xb,
                             float* depths) {
  Walk<kBlocks, kMissing> wa(a, xa), wb(b, xb);
  for (;;) {
    if (wa.Step()) {
      while (!wb.Step()) {
      }
      break;
    }
    if (wb.Step()) {
      while (!wa.Step()) {
      }
      break;
    }
  }
  depths[0] = wa.expected;
  depths[1] = wb.expected;
}

void RollingTree::Depths(const RollingTree& a, const RollingTree& b, const float* row, RowKind kind, double* depths) {
  alignas(16) float xa[kForestFeaturesMax], xb[kForestFeaturesMax];
  a.ToFrame(row, xa);
  b.ToFrame(row, xb);
  float raw[2];
  const bool missing = kind != RowKind::kComplete || a.has_absent_ || b.has_absent_;
  switch (missing ? 0 : a.stride_) {
    case 4:
      PathDepths<1, false>(a, b, xa, xb, raw);
      break;
    case 8:
      PathDepths<2, false>(a, b, xa, xb, raw);
      break;
    case 12:
      PathDepths<3, false>(a, b, xa, xb, raw);
      break;
    case 16:
      PathDepths<4, false>(a, b, xa, xb, raw);
      break;
    default:
      PathDepths<0, true>(a, b, xa, xb, raw);
  }
  depths[0] = static_cast<double>(raw[0]) * static_cast<double>(a.norm_);
  depths[1] = static_cast<double>(raw[1]) * static_cast<double>(b.norm_);
}

double RollingTree::ExpectedDepth() const { return static_cast<double>(expected_[0]) * static_cast<double>(norm_); }

void RollingTree::AddContributions(const float* row, int features, double* out) const {
  alignas(16) float x[kForestFeaturesMax];
  double beyond[kForestFeaturesMax];
  ToFrame(row, x);
  PathParts parts(features, out);
  const auto norm = static_cast<double>(norm_);
  double depth = 0;
  for (size_t at = 0;;) {
    const Node& node = nodes_[at];
    const float* low = Box(at);
    const float* high = low + stride_;
    for (int j = 0; j < features; ++j) {
      const float d = low[j] - x[j] > 0 ? low[j] - x[j] : x[j] - high[j] > 0 ? x[j] - high[j] : 0.0f;
      beyond[j] = static_cast<double>(d);
    }
    const double value = static_cast<double>(expected_[at]);
    parts.Leave(beyond, static_cast<double>(node.width), (depth - value) * norm);
    if (node.feature == kLeaf) return;
    int side = x[node.feature] >= node.split;
    if (std::isnan(x[node.feature])) side = node.missing_to;
    depth += 1;
    const uint16_t next = node.child[side];
    const double after = next == kSingleRow ? depth : static_cast<double>(expected_[next]);
    parts.Follow(node.feature, (after - value) * norm);
    if (next == kSingleRow) return;
    at = next;
  }
}

size_t RollingTree::memory_bytes() const {
  return sizeof *this + nodes_.capacity() * sizeof(Node) +
         (boxes_.capacity() + expected_.capacity() + frame_.capacity()) * sizeof(float);
}

}  // namespace freshet
