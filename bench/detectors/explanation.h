#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/base/rng.h"

namespace freshet::bench {

/// Rows of a few correlated features (one factor behind them) and irrelevant ones, in which one feature is made odd.
struct PlantedRows {
  int correlated = 2;
  int irrelevant = 4;
  bool mixed = false;  ///< of the irrelevant, by turns: normal, lognormal, a count, a constant; else all normal
  double least = 5;    ///< how far off a planted value is, in standard deviations
  double most = 8;
  int features() const { return correlated + irrelevant; }

  void Make(Rng& rng, double* row) const {
    const double factor = rng.NextNormal();
    for (int j = 0; j < features(); ++j) {
      row[j] = rng.NextNormal();
      if (j < correlated)
        row[j] = factor + 0.3 * row[j];
      else if (mixed && j % 4 == 1)
        row[j] = std::exp(0.5 * row[j]);
      else if (mixed && j % 4 == 2)
        row[j] = static_cast<double>(rng.Below(6));
      else if (mixed && j % 4 == 3)
        row[j] = 7;
    }
  }
  /// Makes one feature odd that varies without limit; returns which.
  int Plant(Rng& rng, double* row) const {
    int at = 0;
    do at = static_cast<int>(rng.Below(static_cast<uint64_t>(features())));
    while (mixed && at >= correlated && at % 4 != 0);
    row[at] = (rng.Below(2) != 0 ? 1 : -1) * (least + (most - least) * rng.NextDouble());
    return at;
  }
};

struct HitRate {
  double first = 0;     ///< share of plants whose feature has the greatest part of the score
  double detected = 0;  ///< share of plants that score above 99 % of 2,000 rows with nothing planted
  double first_of_detected = 0;
  double sum_error_most = 0;  ///< greatest |sum of parts - (score - baseline)|
};

/// 3,000 rows learned, then `plants` rows explained (and not learned).
template <class Forest>
HitRate MeasureHits(Forest forest, const PlantedRows& rows, int plants, uint64_t seed) {
  Rng rng(seed), clean_rng(seed ^ 0xc1ea);
  std::vector<double> row(static_cast<size_t>(rows.features())), parts(row.size()), clean(2000);
  for (int i = 0; i < 3000; ++i) {
    rows.Make(rng, row.data());
    forest.Learn(row.data());
  }
  for (double& score : clean) {
    rows.Make(clean_rng, row.data());
    score = forest.Score(row.data());
  }
  const auto highest = clean.begin() + static_cast<ptrdiff_t>(clean.size() / 100 * 99);
  std::nth_element(clean.begin(), highest, clean.end());
  HitRate rate;
  for (int i = 0; i < plants; ++i) {
    rows.Make(rng, row.data());
    const int planted = rows.Plant(rng, row.data());
    const double score = forest.Contributions(row.data(), parts.data());
    double sum = 0;
    for (const double part : parts) sum += part;
    rate.sum_error_most = std::max(rate.sum_error_most, std::abs(sum - (score - forest.Baseline())));
    const bool first = std::max_element(parts.begin(), parts.end()) - parts.begin() == planted;
    rate.first += first;
    rate.detected += score > *highest;
    rate.first_of_detected += first && score > *highest;
  }
  rate.first_of_detected /= std::max(1.0, rate.detected);
  rate.first /= plants;
  rate.detected /= plants;
  return rate;
}

}  // namespace freshet::bench
