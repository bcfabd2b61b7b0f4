#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include <zlib.h>

#include "engine/base/rng.h"

namespace freshet::bench {

/// One labelled set of `outlier/NAME.csv.gz`: rows of features, then 0 or 1.
struct OutlierSet {
  int features = 0;
  std::vector<double> values;   // row major
  std::vector<uint8_t> labels;  // 1 = anomaly
  size_t rows() const { return labels.size(); }
  const double* Row(size_t i) const { return values.data() + i * static_cast<size_t>(features); }
};

/// Reads a set below FRESHET_DATA_DIR; empty if the variable is unset or the file is not there.
inline OutlierSet LoadOutlierSet(const std::string& name) {
  OutlierSet set;
  const char* root = std::getenv("FRESHET_DATA_DIR");
  if (root == nullptr) return set;
  gzFile file = gzopen((std::string(root) + "/outlier/" + name + ".csv.gz").c_str(), "rb");
  if (file == nullptr) return set;
  char line[8192];
  bool header = true;
  while (gzgets(file, line, sizeof line) != nullptr) {
    const char* at = line;
    const char* end = line + std::char_traits<char>::length(line);
    if (header) {
      set.features = static_cast<int>(std::count(at, end, ','));
      header = false;
      continue;
    }
    for (int j = 0; j <= set.features; ++j) {
      double value = 0;
      at = std::from_chars(at, end, value).ptr + 1;
      if (j < set.features)
        set.values.push_back(value);
      else
        set.labels.push_back(value > 0.5);
    }
  }
  gzclose(file);
  return set;
}

/// A permutation of 0 … n-1 from a seed (Fisher and Yates).
inline std::vector<uint32_t> Shuffled(size_t n, uint64_t seed) {
  std::vector<uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  Rng rng(seed);
  for (size_t i = n; i > 1; --i) std::swap(order[i - 1], order[rng.Below(i)]);
  return order;
}

/// Area under the ROC curve by ranks; ties count half.
inline double Auc(const std::vector<double>& scores, const std::vector<uint8_t>& labels) {
  std::vector<uint32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return scores[a] < scores[b]; });
  double rank_sum = 0, positives = 0;
  for (size_t i = 0; i < order.size();) {
    size_t j = i;
    while (j < order.size() && scores[order[j]] == scores[order[i]]) ++j;
    const double rank = static_cast<double>(i + j + 1) / 2;
    for (; i < j; ++i) {
      if (labels[order[i]]) rank_sum += rank, positives += 1;
    }
  }
  const double negatives = static_cast<double>(scores.size()) - positives;
  return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives);
}

/// The paper's protocol: rows in the order of `seed`, by batches learned and then scored; batch 0 means each row is
/// scored and then learned, as in a pipeline (rows without a score yet are left out).
template <class Forest>
double StreamAuc(const OutlierSet& set, Forest forest, uint64_t seed, size_t batch) {
  const auto order = Shuffled(set.rows(), seed);
  std::vector<double> scores;
  std::vector<uint8_t> labels;
  const auto add = [&](uint32_t row, double score) {
    if (score == score) scores.push_back(score), labels.push_back(set.labels[row]);
  };
  if (batch == 0) {
    for (uint32_t row : order) add(row, forest.ScoreAndLearn(set.Row(row)));
    return Auc(scores, labels);
  }
  for (size_t first = 0; first < order.size(); first += batch) {
    const size_t last = std::min(order.size(), first + batch);
    for (size_t i = first; i < last; ++i) forest.Learn(set.Row(order[i]));
    for (size_t i = first; i < last; ++i) add(order[i], forest.Score(set.Row(order[i])));
  }
  return Auc(scores, labels);
}

}  // namespace freshet::bench
