#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <vector>

#include "engine/base/rng.h"

namespace freshet {

/// The online isolation forest written down as the paper tells it: nodes with pointers, a box at every node, recursion,
/// whole rows in a queue. Slow and obvious; the fast forest must give the same scores for the same seed.
class OnlineForestOracle {
 public:
  OnlineForestOracle(int features, int trees, int window, int leaf_size, int first_rows, uint64_t seed)
      : features_(static_cast<size_t>(features)),
        window_(window),
        leaf_size_(leaf_size),
        first_rows_(first_rows),
        rng_(seed),
        origins_(features_, std::nan("")),
        trees_(static_cast<size_t>(trees)) {
    for (auto& tree : trees_) tree = std::make_unique<Node>(features_);
  }

  double Score(const double* x) const {
    if (static_cast<int>(rows_.size()) < first_rows_) return std::nan("");
    std::vector<float> row(features_);
    for (size_t j = 0; j < features_; ++j) row[j] = static_cast<float>(x[j] - origins_[j]);
    double sum = 0;
    for (const auto& tree : trees_) sum += Length(*tree, row, 0);
    return std::exp2(-sum / static_cast<double>(trees_.size()) / C(static_cast<int64_t>(rows_.size())));
  }

  void Learn(const double* x) {
    std::vector<float> row(features_);
    for (size_t j = 0; j < features_; ++j) {
      if (std::isnan(origins_[j]) && !std::isnan(x[j])) origins_[j] = x[j];
      row[j] = static_cast<float>(x[j] - origins_[j]);
    }
    rows_.push_back(row);
    const bool full = static_cast<int>(rows_.size()) > window_;
    held_ = std::min<int64_t>(static_cast<int64_t>(rows_.size()), window_);
    for (auto& tree : trees_) {
      Add(*tree, row, 0);
      if (full) Remove(*tree, rows_.front(), 0);
    }
    if (full) rows_.pop_front();
  }

 private:
  using Points = std::vector<std::vector<float>>;
  struct Node {
    explicit Node(size_t features)
        : low(features, std::numeric_limits<float>::infinity()),
          high(features, -std::numeric_limits<float>::infinity()) {}
    int64_t count = 0;
    std::vector<float> low, high;
    size_t feature = 0;
    float split = 0;
    std::unique_ptr<Node> left, right;
  };

  double C(int64_t n) const {
    return n <= leaf_size_ ? 0 : std::log(static_cast<double>(n) / leaf_size_) / std::log(4.0);
  }
  bool MaySplit(int64_t count, int depth) const {
    return held_ >= first_rows_ && count >= leaf_size_ * (int64_t{1} << depth) && depth < C(held_) - 1e-9;
  }
  static Node& Next(const Node& node, const std::vector<float>& row) {
    const float x = row[node.feature];
    if (std::isnan(x)) return node.right->count > node.left->count ? *node.right : *node.left;
    return x < node.split ? *node.left : *node.right;
  }
  static void Widen(Node& node, const std::vector<float>& row) {
    for (size_t j = 0; j < row.size(); ++j) {
      if (std::isnan(row[j])) continue;
      node.low[j] = std::min(node.low[j], row[j]);
      node.high[j] = std::max(node.high[j], row[j]);
    }
  }
  static void Union(Node& node, const Node& other) {
    for (size_t j = 0; j < node.low.size(); ++j) {
      node.low[j] = std::min(node.low[j], other.low[j]);
      node.high[j] = std::max(node.high[j], other.high[j]);
    }
  }

  double Length(const Node& node, const std::vector<float>& row, int depth) const {
    return node.left ? Length(Next(node, row), row, depth + 1) : depth + C(node.count);
  }

  void Add(Node& node, const std::vector<float>& row, int depth) {
    if (node.left) {
      Node& next = Next(node, row);  // by the counts from before this row
      ++node.count;
      Widen(node, row);
      Add(next, row, depth + 1);
      return;
    }
    ++node.count;
    Widen(node, row);
    if (!MaySplit(node.count, depth)) return;
    Points points(static_cast<size_t>(node.count), std::vector<float>(features_));
    for (auto& point : points) {
      for (size_t j = 0; j < features_; ++j) {
        if (node.low[j] > node.high[j]) {
          point[j] = std::numeric_limits<float>::quiet_NaN();
          continue;
        }
        const auto u = static_cast<float>(rng_.NextDouble());
        point[j] = std::min(node.high[j], node.low[j] + u * (node.high[j] - node.low[j]));
      }
    }
    Divide(node, points, depth);
  }

  void Divide(Node& node, const Points& points, int depth) {
    std::vector<size_t> present;
    for (size_t j = 0; j < features_; ++j) {
      if (!std::isnan(points[0][j])) present.push_back(j);
    }
    if (present.empty()) return;
    node.feature = present[rng_.Below(present.size())];
    float low = points[0][node.feature], high = low;
    for (const auto& point : points) {
      low = std::min(low, point[node.feature]);
      high = std::max(high, point[node.feature]);
    }
    node.split = std::min(high, low + static_cast<float>(rng_.NextDouble()) * (high - low));
    Points parts[2];
    for (const auto& point : points) parts[point[node.feature] < node.split ? 0 : 1].push_back(point);
    node.left = std::make_unique<Node>(features_);
    node.right = std::make_unique<Node>(features_);
    for (int side = 0; side < 2; ++side) {
      Node& child = side == 0 ? *node.left : *node.right;
      child.count = static_cast<int64_t>(parts[side].size());
      for (const auto& point : parts[side]) Widen(child, point);
      if (MaySplit(child.count, depth + 1)) Divide(child, parts[side], depth + 1);
    }
  }

  void Remove(Node& node, const std::vector<float>& row, int depth) {
    if (!node.left) {
      --node.count;
      return;
    }
    Node& next = Next(node, row);
    --node.count;
    if (node.count < leaf_size_ * (int64_t{1} << depth)) {
      Node box(features_);
      Gather(node, box);
      node.low = box.low;
      node.high = box.high;
      node.left.reset();
      node.right.reset();
      return;
    }
    Remove(next, row, depth + 1);
    Node box(features_);
    Union(box, *node.left);
    Union(box, *node.right);
    node.low = box.low;
    node.high = box.high;
  }

  void Gather(const Node& node, Node& box) const {
    if (!node.left) return Union(box, node);
    Gather(*node.left, box);
    Gather(*node.right, box);
  }

  size_t features_;
  int window_, leaf_size_, first_rows_;
  int64_t held_ = 0;
  Rng rng_;
  std::vector<double> origins_;
  std::deque<std::vector<float>> rows_;
  std::vector<std::unique_ptr<Node>> trees_;
};

}  // namespace freshet
