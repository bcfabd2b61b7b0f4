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

// c(n) by table; the same bits.
double Length(int count) {
  static const std::vector<double> table = [] {
    std::vector<double> lengths(513);
    for (size_t n = 0; n < lengths.size(); ++n) lengths[n] = AveragePathLength(static_cast<int64_t>(n));
    return lengths;
  }();
  return static_cast<size_t>(count) < table.size() ? table[static_cast<size_t>(count)] : AveragePathLength(count);
}

}  // namespace

struct RollingTree::Work {
  int count = 0;
  int depth_max = 0;
  bool has_missing = false;     // some value of the sample is missing
  std::vector<float> rows;      // the sample in the tree's frame
  std::vector<uint16_t> order;  // permuted: a node's rows are a range of it
  std::vector<uint16_t> aside;  // those that go right, while a node is divided
  std::vector<Node> nodes;      // become the tree's, when it stands
  std::vector<float> boxes;
  std::vector<int> counts;       // per node
  std::vector<uint16_t> depths;  // per node
  std::vector<uint64_t> drawn;   // bitmap over the window
  size_t stride = 0;
  size_t choice_count = 0;
  uint16_t choices[kForestFeaturesMax];  // features of a node that vary
  const float* Row(int i) const { return rows.data() + order[static_cast<size_t>(i)] * stride; }
};

// Four to sixteen features are bounded side by side: one after the other would wait for each minimum.
template <size_t kBlocks>
void RollingTree::BoundBlocks(const Work& work, int first, int count, size_t from, float* low, float* high) {
  FloatLanes lo[kBlocks], hi[kBlocks];
  for (size_t b = 0; b < kBlocks; ++b) {
    lo[b] = FloatLanes::All(kInfinity);
    hi[b] = FloatLanes::All(-kInfinity);
  }
  for (int i = first; i < first + count; ++i) {
    const float* row = work.Row(i) + from;
    for (size_t b = 0; b < kBlocks; ++b) {
      const FloatLanes x = FloatLanes::Load(row + 4 * b);
      lo[b] = FloatLanes::Min(x, lo[b]);
      hi[b] = FloatLanes::Max(x, hi[b]);
    }
  }
  for (size_t b = 0; b < kBlocks; ++b) {
    lo[b].Store(low + from + 4 * b);
    hi[b].Store(high + from + 4 * b);
  }
}

void RollingTree::BoundingBox(const Work& work, int first, int count, float* low, float* high) {
  size_t from = 0;
  for (; from + 16 <= work.stride; from += 16) BoundBlocks<4>(work, first, count, from, low, high);
  switch ((work.stride - from) / 4) {
    case 1:
      return BoundBlocks<1>(work, first, count, from, low, high);
    case 2:
      return BoundBlocks<2>(work, first, count, from, low, high);
    case 3:
      return BoundBlocks<3>(work, first, count, from, low, high);
    default:
      return;
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
  FloatLanes absent = FloatLanes::All(0);
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
    for (size_t j = 0; j < stride; j += 4) {
      const FloatLanes x = FloatLanes::Load(row + j);
      absent = absent + (x - x);  // 0, as all is finite in the frame, or NaN
    }
  }
  work.has_missing = std::isnan(absent.Sum());
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
  const size_t stride = work.stride;
  const auto id = static_cast<int>(work.nodes.size());
  work.boxes.resize(work.boxes.size() + 2 * stride);
  float* low = work.boxes.data() + static_cast<size_t>(id) * 2 * stride;
  float* high = low + stride;
  BoundingBox(work, first, count, low, high);
  float width = 0;
  size_t choices = 0;
  bool absent = false;
  for (size_t j = 0; j < stride; ++j) {
    const bool varies = high[j] > low[j];
    width += varies ? high[j] - low[j] : 0.0f;
    work.choices[choices] = static_cast<uint16_t>(j);
    choices += varies;
    absent |= high[j] < low[j];
  }
  work.choice_count = choices;
  for (size_t j = 0; absent && j < stride; ++j) {
    if (high[j] < low[j]) {  // missing in all rows of the node: nothing is outside
      low[j] = -kInfinity;
      high[j] = kInfinity;
    }
  }
  Node node{};
  node.width = width;
  node.feature = Node::kLeaf;
  node.split = static_cast<float>(depth + Length(count));
  work.nodes.push_back(node);
  work.counts.push_back(count);
  work.depths.push_back(static_cast<uint16_t>(depth));
  return id;
}

// Rows below the split first; returns their number.
int RollingTree::Divide(Work& work, int first, int count, size_t feature, float split) {
  uint16_t* const from = work.order.data() + first;
  uint16_t* const to = from + count;
  const float* values = work.rows.data() + feature;
  const size_t stride = work.stride;
  uint16_t* absent = to;
  // Rows that lack the feature follow the majority of those that have it.
  if (work.has_missing) absent = std::partition(from, to, [&](uint16_t i) { return !std::isnan(values[i * stride]); });
  // Without a branch: which side a row takes cannot be guessed.
  uint16_t* middle = from;
  uint16_t* aside = work.aside.data();
  for (const uint16_t* at = from; at < absent; ++at) {
    const uint16_t row = *at;
    const bool below = values[row * stride] < split;
    *middle = row;
    *aside = row;
    middle += below;
    aside += !below;
  }
  std::copy(work.aside.data(), aside, middle);
  if (absent != to && middle - from >= absent - middle) middle = std::rotate(middle, absent, to);
  return static_cast<int>(middle - from);
}

void RollingTree::Grow(Work& work, uint64_t seed) {
  struct Task {
    int first, count, depth;
    int parent, side;
  };
  Rng rng(seed);
  std::vector<Task> tasks{{0, work.count, 0, -1, 0}};
  while (!tasks.empty()) {
    const Task task = tasks.back();
    tasks.pop_back();
    const int id = AddNode(work, task.first, task.count, task.depth);
    if (task.parent >= 0) work.nodes[static_cast<size_t>(task.parent)].child[task.side] = static_cast<uint16_t>(id);
    if (task.depth >= work.depth_max || work.choice_count == 0 || task.count < 2) continue;
    const size_t feature = work.choices[rng.Below(work.choice_count)];
    const float* box = work.boxes.data() + static_cast<size_t>(id) * 2 * work.stride;
    const float low = box[feature];
    const float high = box[work.stride + feature];
    float split = low + static_cast<float>(rng.NextDouble()) * (high - low);
    if (!(split > low) || split > high) split = high;

    const int left = Divide(work, task.first, task.count, feature, split);
    const int right = task.count - left;
    Node& node = work.nodes[static_cast<size_t>(id)];
    node.split = split;
    node.feature = static_cast<uint16_t>(feature);
    node.missing_to = left >= right ? 0 : 1;
    node.child[0] = node.child[1] = Node::kSingleRow;
    if (right > 1) tasks.push_back({task.first + left, right, task.depth + 1, id, 1});
    if (left > 1) tasks.push_back({task.first, left, task.depth + 1, id, 0});
  }
}

void RollingTree::Build(const PointRing& ring, int64_t begin, int64_t end, int sample, uint64_t seed) {
  thread_local Work work;  // scratch only: nothing in it outlives the call
  stride_ = ring.stride();
  work.nodes.clear();
  work.boxes.clear();
  work.counts.clear();
  work.depths.clear();
  Frame(ring, begin, end, sample, seed, work);
  work.aside.resize(work.order.size());
  work.depth_max = std::bit_width(static_cast<unsigned>(work.count - 1));  // ceil(log2(count))
  norm_ = work.count > 1 ? static_cast<float>(1 / AveragePathLength(work.count)) : 1.0f;
  Grow(work, seed);
  // New ones: assigned to, the old would keep the room of the largest tree they ever held.
  nodes_ = std::vector<Node>(work.nodes.begin(), work.nodes.end());
  boxes_ = std::vector<float>(work.boxes.begin(), work.boxes.end());

  // Mean path lengths, children before parents.
  expected_ = std::vector<float>(nodes_.size(), 0.0f);
  for (size_t i = nodes_.size(); i-- > 0;) {
    const Node& node = nodes_[i];
    if (node.feature == Node::kLeaf) {
      expected_[i] = node.split;
      continue;
    }
    double sum = 0;
    int rows_left = work.counts[i];
    for (int side = 0; side < 2; ++side) {
      const uint16_t c = node.child[side];
      if (c != Node::kSingleRow) {
        sum += static_cast<double>(expected_[c]) * work.counts[c];
        rows_left -= work.counts[c];
      }
    }
    sum += static_cast<double>(rows_left) * (work.depths[i] + 1);
    expected_[i] = static_cast<float>(sum / work.counts[i]);
  }
}

void RollingTree::Depths(const RollingTree& a, const RollingTree& b, const float* row, RowKind kind, double* depths) {
  static_assert(kForestFeaturesMax <= 256);  // what the walk has room for
  float raw[2];
  PathDepths({a.nodes_.data(), a.boxes_.data(), a.frame_.data()}, {b.nodes_.data(), b.boxes_.data(), b.frame_.data()},
             row, a.stride_, kind != RowKind::kComplete || a.has_absent_ || b.has_absent_, raw);
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
    if (node.feature == Node::kLeaf) return;
    int side = x[node.feature] >= node.split;
    if (std::isnan(x[node.feature])) side = node.missing_to;
    depth += 1;
    const uint16_t next = node.child[side];
    const double after = next == Node::kSingleRow ? depth : static_cast<double>(expected_[next]);
    parts.Follow(node.feature, (after - value) * norm);
    if (next == Node::kSingleRow) return;
    at = next;
  }
}

size_t RollingTree::memory_bytes() const {
  return sizeof *this + nodes_.capacity() * sizeof(Node) +
         (boxes_.capacity() + expected_.capacity() + frame_.capacity()) * sizeof(float);
}

}  // namespace freshet
