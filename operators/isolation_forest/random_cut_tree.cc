#include "operators/isolation_forest/random_cut_tree.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "engine/base/rng.h"
#include "operators/isolation_forest/path_parts.h"

namespace freshet {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kAbsent = std::numeric_limits<float>::quiet_NaN();

/// How far x lies outside [low, high]: 0 if either is absent.
double Outside(float x, float low, float high) {
  if (low > high) return 0;
  if (x < low) return static_cast<double>(low) - static_cast<double>(x);
  return x > high ? static_cast<double>(x) - static_cast<double>(high) : 0;
}

double Width(float low, float high) { return low > high ? 0 : static_cast<double>(high) - static_cast<double>(low); }

}  // namespace

int RandomCutTree::SideOf(int node, const float* row) const {
  const Node& n = nodes_[static_cast<size_t>(node)];
  const float x = row[n.feature];
  if (!std::isnan(x)) return x <= n.cut ? 0 : 1;
  const auto mass = [&](int side) { return nodes_[static_cast<size_t>(n.child[side])].mass; };
  return mass(0) >= mass(1) ? 0 : 1;
}

RandomCutTree::Place RandomCutTree::Find(const float* row, uint64_t random) const {
  const auto stride = static_cast<size_t>(stride_);
  Place place;
  for (place.node = root_;; random += 0x9e3779b97f4a7c15ULL) {
    const float* low = Box(place.node);
    const float* high = low + stride;
    double total = 0;
    for (size_t j = 0; j < stride; ++j) total += Width(low[j], high[j]) + Outside(row[j], low[j], high[j]);
    const bool leaf = IsLeaf(place.node);
    if (!(total > 0) && leaf) break;  // equal to its rows, as far as both are known
    double at = static_cast<double>(Mix64(random) >> 11) * 0x1.0p-53 * total;
    bool apart = false;
    for (size_t j = 0; j < stride; ++j) {
      const double outside = Outside(row[j], low[j], high[j]);
      const double side = Width(low[j], high[j]) + outside;
      // Rounding may leave a little: then the last side that can be cut is.
      if (outside > 0) place.feature = static_cast<uint32_t>(j);
      if (side > at) {
        const bool below = row[j] < low[j];
        const double cut = static_cast<double>(below ? row[j] : low[j]) + at;
        apart = outside > 0 && (below ? cut < static_cast<double>(low[j]) : cut >= static_cast<double>(high[j]));
        if (apart) place.cut = static_cast<float>(cut);
        break;
      }
      at -= side;
    }
    if (!apart && !leaf) {
      place.node = nodes_[static_cast<size_t>(place.node)].child[SideOf(place.node, row)];
      continue;
    }
    const float x = row[place.feature];
    place.row_left = x < low[place.feature];
    // Values <= cut go left: the cut must keep the row and the box apart after rounding too.
    if (place.row_left && !(place.cut >= x && place.cut < low[place.feature])) place.cut = x;
    if (!place.row_left && !(place.cut >= high[place.feature] && place.cut < x)) place.cut = high[place.feature];
    return place;
  }
  place.joins = true;
  return place;
}

double RandomCutTree::Displacement(const float* row, uint64_t random) const {
  if (root_ == kNone) return 0;
  const Place place = Find(row, random);
  const auto mass = [&](int node) { return static_cast<double>(nodes_[static_cast<size_t>(node)].mass); };
  double most = place.joins ? 0 : mass(place.node);
  for (int node = place.node; node != root_;) {
    const Node& parent = nodes_[static_cast<size_t>(nodes_[static_cast<size_t>(node)].parent)];
    const int sibling = parent.child[parent.child[0] == node ? 1 : 0];
    most = std::max(most, mass(sibling) / (mass(node) + 1));
    node = nodes_[static_cast<size_t>(node)].parent;
  }
  return most;
}

int RandomCutTree::NewNode() {
  if (free_.empty()) {
    nodes_.emplace_back();
    boxes_.resize(boxes_.size() + 2 * static_cast<size_t>(stride_));
    return static_cast<int>(nodes_.size()) - 1;
  }
  const int node = free_.back();
  free_.pop_back();
  nodes_[static_cast<size_t>(node)] = {};
  return node;
}

void RandomCutTree::Free(int node) {
  nodes_[static_cast<size_t>(node)] = {};
  free_.push_back(node);
}

void RandomCutTree::SetPoint(int node, const float* row) {
  float* low = Box(node);
  for (int j = 0; j < stride_; ++j) {
    const bool absent = std::isnan(row[j]);
    low[j] = absent ? kInfinity : row[j];
    low[stride_ + j] = absent ? -kInfinity : row[j];
  }
}

bool RandomCutTree::Unite(int node) {
  const float* a = Box(nodes_[static_cast<size_t>(node)].child[0]);
  const float* b = Box(nodes_[static_cast<size_t>(node)].child[1]);
  float* low = Box(node);
  bool changed = false;
  for (int j = 0; j < stride_; ++j) {
    const float least = std::min(a[j], b[j]), most = std::max(a[stride_ + j], b[stride_ + j]);
    changed = changed || least != low[j] || most != low[stride_ + j];
    low[j] = least;
    low[stride_ + j] = most;
  }
  return changed;
}

void RandomCutTree::Insert(int slot, const float* row, uint64_t random) {
  if (root_ == kNone) {
    root_ = NewNode();
    SetPoint(root_, row);
    nodes_[static_cast<size_t>(root_)].mass = 1;
    leaf_of_[static_cast<size_t>(slot)] = root_;
    return;
  }
  const Place place = Find(row, random);
  int leaf = place.node, from = place.node;
  if (!place.joins) {
    leaf = NewNode();
    from = NewNode();
    SetPoint(leaf, row);
    const int parent = nodes_[static_cast<size_t>(place.node)].parent;
    Node& inner = nodes_[static_cast<size_t>(from)];
    inner.cut = place.cut;
    inner.feature = place.feature;
    inner.parent = parent;
    inner.mass = nodes_[static_cast<size_t>(place.node)].mass;
    inner.child[place.row_left ? 0 : 1] = leaf;
    inner.child[place.row_left ? 1 : 0] = place.node;
    nodes_[static_cast<size_t>(leaf)].parent = nodes_[static_cast<size_t>(place.node)].parent = from;
    nodes_[static_cast<size_t>(leaf)].mass = 1;
    if (parent == kNone) {
      root_ = from;
    } else {
      Node& above = nodes_[static_cast<size_t>(parent)];
      above.child[above.child[0] == place.node ? 0 : 1] = from;
    }
  }
  leaf_of_[static_cast<size_t>(slot)] = leaf;
  for (int node = from; node != kNone; node = nodes_[static_cast<size_t>(node)].parent) {
    ++nodes_[static_cast<size_t>(node)].mass;
    if (!IsLeaf(node)) Unite(node);
  }
}

void RandomCutTree::Delete(int slot) {
  const int leaf = std::exchange(leaf_of_[static_cast<size_t>(slot)], kNone);
  int node = leaf;
  if (nodes_[static_cast<size_t>(leaf)].mass == 1) {
    const int parent = nodes_[static_cast<size_t>(leaf)].parent;
    Free(leaf);
    if (parent == kNone) {
      root_ = kNone;
      return;
    }
    const Node& inner = nodes_[static_cast<size_t>(parent)];
    const int sibling = inner.child[inner.child[0] == leaf ? 1 : 0];
    node = inner.parent;
    nodes_[static_cast<size_t>(sibling)].parent = node;
    if (node == kNone) {
      root_ = sibling;
    } else {
      Node& above = nodes_[static_cast<size_t>(node)];
      above.child[above.child[0] == parent ? 0 : 1] = sibling;
    }
    Free(parent);
  }
  bool shrinks = true;
  for (; node != kNone; node = nodes_[static_cast<size_t>(node)].parent) {
    --nodes_[static_cast<size_t>(node)].mass;
    if (shrinks && !IsLeaf(node)) shrinks = Unite(node);
  }
}

double RandomCutTree::MeanDisplacement() const {
  if (root_ == kNone) return 0;
  struct Visit {
    int node;
    double most;
  };
  std::vector<Visit> open{{root_, 0}};
  double sum = 0;
  while (!open.empty()) {
    const Visit visit = open.back();
    open.pop_back();
    const Node& node = nodes_[static_cast<size_t>(visit.node)];
    if (IsLeaf(visit.node)) {
      sum += visit.most * node.mass;
      continue;
    }
    const double left = nodes_[static_cast<size_t>(node.child[0])].mass;
    const double right = nodes_[static_cast<size_t>(node.child[1])].mass;
    open.push_back({node.child[0], std::max(visit.most, right / left)});
    open.push_back({node.child[1], std::max(visit.most, left / right)});
  }
  return sum / nodes_[static_cast<size_t>(root_)].mass;
}

void RandomCutTree::AddContributions(const float* row, int features, double* out) const {
  if (root_ == kNone) return;
  double beyond[kForestFeaturesMax];
  PathParts parts(features, out);
  for (int node = root_;; node = nodes_[static_cast<size_t>(node)].child[SideOf(node, row)]) {
    const float* low = Box(node);
    const float* high = low + stride_;
    double width = 0;
    for (int j = 0; j < features; ++j) {
      beyond[j] = Outside(row[j], low[j], high[j]);
      width += Width(low[j], high[j]);
    }
    parts.Leave(beyond, width, nodes_[static_cast<size_t>(node)].mass);
    if (IsLeaf(node)) return;
  }
}

size_t RandomCutTree::memory_bytes() const {
  return sizeof *this + nodes_.capacity() * sizeof(Node) + boxes_.capacity() * sizeof(float) +
         (free_.capacity() + leaf_of_.capacity()) * sizeof(int);
}

bool RandomCutTree::Holds(int leaf, const float* row, int features) const {
  const float* low = Box(leaf);
  for (int j = 0; j < features; ++j) {
    if (std::isnan(row[j]) ? low[j] != kInfinity : low[j] != row[j]) return false;
  }
  return true;
}

// Nodes in preorder: tag 0 for an inner one with cut and feature; for a leaf the slot of a row that is its point + 1,
// or tag 65,535 and the point itself. Then, for each slot, the ordinal of its leaf + 1, or 0.
void RandomCutTree::Encode(ByteSink& sink, const PointRing& ring) const {
  std::vector<uint16_t> named(nodes_.size(), 0xffff), ordinal(nodes_.size(), 0);
  const auto slots = static_cast<int64_t>(leaf_of_.size());
  for (int64_t row = ring.begin(); row < ring.end(); ++row) {
    const int leaf = leaf_of_[static_cast<size_t>(row % slots)];
    if (leaf != kNone && Holds(leaf, ring.Row(row), ring.feature_count()))
      named[static_cast<size_t>(leaf)] = static_cast<uint16_t>(row % slots + 1);
  }
  std::vector<int> open;
  if (root_ != kNone) open.push_back(root_);
  sink.PutBool(root_ != kNone);
  uint16_t leaves = 0;
  while (!open.empty()) {
    const auto at = static_cast<size_t>(open.back());
    open.pop_back();
    const Node& node = nodes_[at];
    if (!IsLeaf(static_cast<int>(at))) {
      sink.PutU16(0);
      sink.PutU32(std::bit_cast<uint32_t>(node.cut));
      sink.PutU16(static_cast<uint16_t>(node.feature));
      open.push_back(node.child[1]);
      open.push_back(node.child[0]);
      continue;
    }
    ordinal[at] = ++leaves;
    sink.PutU16(named[at]);
    if (named[at] != 0xffff) continue;
    for (int j = 0; j < ring.feature_count(); ++j) {
      const float low = Box(static_cast<int>(at))[j];
      sink.PutU32(std::bit_cast<uint32_t>(low == kInfinity ? kAbsent : low));
    }
  }
  for (const int leaf : leaf_of_) sink.PutU16(leaf == kNone ? 0 : ordinal[static_cast<size_t>(leaf)]);
}

bool RandomCutTree::DecodeShape(ByteSource& source, const PointRing& ring, std::vector<int>* leaves) {
  struct Open {
    int parent, side;
  };
  const size_t nodes_max = 2 * leaf_of_.size();
  std::vector<Open> open{{kNone, 0}};
  std::vector<float> point(static_cast<size_t>(stride_), 0.0f);
  while (!open.empty()) {
    const Open at = open.back();
    open.pop_back();
    const uint16_t tag = source.GetU16();
    if (!source.ok() || nodes_.size() >= nodes_max) return false;
    const int id = NewNode();
    nodes_.back().parent = at.parent;
    if (at.parent == kNone)
      root_ = id;
    else
      nodes_[static_cast<size_t>(at.parent)].child[at.side] = id;
    if (tag == 0) {
      nodes_.back().cut = std::bit_cast<float>(source.GetU32());
      nodes_.back().feature = source.GetU16();
      if (nodes_.back().feature >= static_cast<uint32_t>(ring.feature_count())) return false;
      open.push_back({id, 1});
      open.push_back({id, 0});
      continue;
    }
    leaves->push_back(id);
    const float* from = point.data();
    if (tag == 0xffff) {
      for (int j = 0; j < ring.feature_count(); ++j)
        point[static_cast<size_t>(j)] = std::bit_cast<float>(source.GetU32());
    } else {
      // The ring's length is the number of slots, so the slot of a row is its place in it.
      if (tag > std::min<int64_t>(ring.end(), static_cast<int64_t>(leaf_of_.size()))) return false;
      from = ring.Row(tag - 1);
    }
    SetPoint(id, from);
  }
  return true;
}

bool RandomCutTree::Decode(ByteSource& source, const PointRing& ring) {
  nodes_.clear();
  boxes_.clear();
  free_.clear();
  root_ = kNone;
  std::fill(leaf_of_.begin(), leaf_of_.end(), kNone);
  std::vector<int> leaves;
  if (source.GetBool() && !DecodeShape(source, ring, &leaves)) return false;
  for (int& leaf : leaf_of_) {
    const uint16_t ordinal = source.GetU16();
    if (ordinal > leaves.size()) return false;
    if (ordinal == 0) continue;
    leaf = leaves[ordinal - 1];
    ++nodes_[static_cast<size_t>(leaf)].mass;
  }
  for (size_t i = nodes_.size(); i-- > 0;) {
    Node& node = nodes_[i];
    if (node.child[0] != kNone) {
      node.mass = nodes_[static_cast<size_t>(node.child[0])].mass + nodes_[static_cast<size_t>(node.child[1])].mass;
      Unite(static_cast<int>(i));
    }
    if (node.mass == 0) return false;
  }
  return source.ok();
}

}  // namespace freshet
