#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "operators/isolation_forest/point_ring.h"

namespace freshet {

/// Which feature does what while one row goes down one tree, in the tree's own unit (depth, level, displacement).
///
/// Two things happen on a path. At a node the row may lie outside the box of the node's rows: it leaves there with the
/// probability that one more cut, uniform along the box's sides widened to hold the row, would set it apart; the change
/// this makes is shared by how far each feature is outside. Then the rest of the row follows the split, whose change
/// belongs to the split's feature. For trees that score by such a walk (rolling) this is the score itself, taken apart;
/// for those that look at splits or counts alone it is what they would have seen, had they asked every feature.
class PathParts {
 public:
  /// Adds to `parts`, one per feature.
  PathParts(int features, double* parts) : features_(features), parts_(parts) {}

  /// The row is `beyond[j]` >= 0 outside of a box whose sides sum to `width`; a row that leaves changes by `change`.
  void Leave(const double* beyond, double width, double change) {
    double outside = 0;
    for (int j = 0; j < features_; ++j) outside += beyond[j];
    if (!(outside > 0)) return;
    const double leaves = outside / (outside + width);
    const double each = survival_ * leaves * change / outside;
    for (int j = 0; j < features_; ++j) parts_[j] += each * beyond[j];
    survival_ *= 1 - leaves;
  }
  /// The row follows a split.
  void Follow(int feature, double change) { parts_[feature] += survival_ * change; }

 private:
  int features_;
  double* parts_;
  double survival_ = 1;
};

/// How far a row lies outside of boxes, in units of a first box's sides: at most 8 of them, so that sums stay finite;
/// one, where that box has no width. Missing features and sides that hold nothing (low > high) are never outside.
class BoxDistance {
 public:
  BoxDistance(int features, const float* low, const float* high) : features_(features) {
    for (int j = 0; j < features; ++j) {
      const double side = static_cast<double>(high[j]) - static_cast<double>(low[j]);
      const bool varies = side > 1e-30;
      scale_[j] = varies ? 1 / side : 1e30;
      most_[j] = varies ? 8 : 1;
    }
  }
  /// Fills `beyond`; returns the sum of the box's sides.
  double Measure(const float* row, const float* low, const float* high, double* beyond) const {
    double width = 0;
    for (int j = 0; j < features_; ++j) {
      beyond[j] = 0;
      if (!(low[j] <= high[j])) continue;
      const auto x = static_cast<double>(row[j]), least = static_cast<double>(low[j]),
                 most = static_cast<double>(high[j]);
      width += std::min((most - least) * scale_[j], most_[j]);
      if (x < least) beyond[j] = std::min((least - x) * scale_[j], most_[j]);
      if (x > most) beyond[j] = std::min((x - most) * scale_[j], most_[j]);
    }
    return width;
  }

 private:
  int features_;
  double scale_[kForestFeaturesMax];
  double most_[kForestFeaturesMax];
};

/// Makes `parts` sum to `difference`, a score less its baseline; `unit` is what one unit of the parts is worth in score
/// where it starts from the baseline. They are scaled; where the score says the opposite of the paths, or far more, a
/// scale would turn their order round or blow them up, so there they keep their worth and share the rest alike.
inline void FitParts(double* parts, int features, double difference, double unit) {
  double sum = 0;
  for (int j = 0; j < features; ++j) sum += parts[j];
  const double scale = difference / sum;
  const double times = scale / unit;
  if (times > 0 && times <= 8) {
    for (int j = 0; j < features; ++j) parts[j] *= scale;
    return;
  }
  const double rest = (difference - unit * sum) / features;
  for (int j = 0; j < features; ++j) parts[j] = parts[j] * unit + rest;
}

}  // namespace freshet
