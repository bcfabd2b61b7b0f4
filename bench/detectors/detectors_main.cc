// Quality and speed of the forests on the labelled sets below FRESHET_DATA_DIR/outlier, beside the published figures.
//
//   detectors_bench [SEEDS [SET…]]     default: 30 seeds, all five sets; a third of the seeds for half_space_trees and
//                                      robust_random_cut_forest, and 3 for this on sets above 100,000 rows
//
// AUC by the paper's protocol (shuffled by seed, batches of 100 learned and then scored); `p` is the pipeline's order
// instead, each row scored and then learned. Points per second: ScoreAndLearn, row by row, per second of one
// core's time.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "bench/detectors/outlier_data.h"
#include "engine/base/rng.h"
#include "operators/isolation_forest/half_space_trees.h"
#include "operators/isolation_forest/online_forest.h"
#include "operators/isolation_forest/random_cut_forest.h"
#include "operators/isolation_forest/rolling_forest.h"
#include "operators/outlier/tail_calibrator.h"

#ifndef FRESHET_BENCH_FLAGS
#define FRESHET_BENCH_FLAGS "by hand"
#endif

namespace freshet::bench {
namespace {

struct Published {
  const char* set;
  double online;                  // column oIFOR, Leveni et al. 2024
  double rolling;                 // what the rolling default has to reach
  double half_space, random_cut;  // columns HST and RRCF there
};
constexpr Published kPublished[] = {{"Annthyroid", .685, .83, .636, .740},
                                    {"Mammography", .854, .855, .831, .824},
                                    {"Shuttle", .992, .992, .981, .957},
                                    {"Smtp", .861, .915, .851, .894},
                                    {"ForestCover", .887, .90, .722, .917}};

// Processor time of this thread: other load on the machine disturbs it least.
double Seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double MedianOf(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v.size() % 2 ? v[v.size() / 2] : (v[v.size() / 2 - 1] + v[v.size() / 2]) / 2;
}

// Standard error of the median by 2,000 bootstrap resamples.
double MedianError(const std::vector<double>& v) {
  Rng rng(1);
  double sum = 0, squares = 0;
  constexpr int kResamples = 2000;
  std::vector<double> sample(v.size());
  for (int i = 0; i < kResamples; ++i) {
    for (double& x : sample) x = v[rng.Below(v.size())];
    const double m = MedianOf(sample);
    sum += m;
    squares += m * m;
  }
  const double mean = sum / kResamples;
  return std::sqrt(std::max(0.0, squares / kResamples - mean * mean));
}

template <class Forest>
double PointsPerSecond(const OutlierSet& set, Forest forest) {
  double sum = 0;
  const double start = Seconds();
  for (size_t i = 0; i < set.rows(); ++i) {
    const double score = forest.ScoreAndLearn(set.Row(i));
    if (score == score) sum += score;
  }
  const double seconds = Seconds() - start;
  return sum > 0 ? static_cast<double>(set.rows()) / seconds : 0;
}

template <class Forest, class Options>
void Report(const char* variant, const OutlierSet& set, const char* name, int seeds, double reference) {
  std::vector<double> batch, pipeline, speed;
  size_t bytes = 0;
  for (int seed = 1; seed <= seeds; ++seed) {
    Options options;
    options.features = set.features;
    options.seed = static_cast<uint64_t>(seed);
    batch.push_back(StreamAuc(set, Forest(options), options.seed, 100));
    if (seed <= (seeds > 3 ? 5 : 1)) {
      pipeline.push_back(StreamAuc(set, Forest(options), options.seed, 0));
      speed.push_back(PointsPerSecond(set, Forest(options)));
      Forest forest(options);
      for (size_t i = 0; i < std::min<size_t>(set.rows(), 10'000); ++i) forest.Learn(set.Row(i));
      bytes = forest.memory_bytes();
    }
  }
  const auto [low, high] = std::minmax_element(batch.begin(), batch.end());
  std::printf("%-12s %-8s %.4f  %.3f  %.4f  %.4f  %.4f  %.4f  %.4f  %9.0f  %7zu\n", name, variant, MedianOf(batch),
              reference, MedianError(batch), *low, *high, *high - *low, MedianOf(pipeline), MedianOf(speed), bytes);
  std::fflush(stdout);
}

void CalibratorSpeed() {
  Rng rng(1);
  std::vector<double> scores(1'000'000);
  for (double& score : scores) score = rng.NextNormal();
  TailCalibrator calibrator;
  double sum = 0;
  const double start = Seconds();
  for (double score : scores) sum += calibrator.PValueAndLearn(score).value_or(0);
  std::printf("tail calibrator: %.0f ns a score (mean p %.3f)\n", (Seconds() - start) * 1e9 / 1e6, sum / 1e6);
}

int Main(int argc, char** argv) {
  if (std::getenv("FRESHET_DATA_DIR") == nullptr) {
    std::fprintf(stderr, "set FRESHET_DATA_DIR to the folder that has outlier/*.csv.gz\n");
    return 2;
  }
  const int seeds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 30;
  std::printf("flags: %s; %d seeds, speed and p: median of %d\n", FRESHET_BENCH_FLAGS, seeds, std::min(seeds, 5));
  std::printf("set          variant  median  ref    error   least   most    spread  p       points/s   bytes\n");
  for (const Published& row : kPublished) {
    if (argc > 2 && std::none_of(argv + 2, argv + argc, [&](const char* a) { return std::string(a) == row.set; })) {
      continue;
    }
    const OutlierSet set = LoadOutlierSet(row.set);
    if (set.rows() == 0) {
      std::printf("%-12s not found, skipped\n", row.set);
      continue;
    }
    Report<RollingForest, RollingForestOptions>("rolling", set, row.set, seeds, row.rolling);
    Report<OnlineForest, OnlineForestOptions>("online", set, row.set, seeds, row.online);
    Report<HalfSpaceTrees, HalfSpaceTreesOptions>("hst", set, row.set, (seeds + 2) / 3, row.half_space);
    Report<RandomCutForest, RandomCutForestOptions>(
        "rrcf", set, row.set, set.rows() >= 100'000 ? std::min(seeds, 3) : (seeds + 2) / 3, row.random_cut);
  }
  CalibratorSpeed();
  return 0;
}

}  // namespace
}  // namespace freshet::bench

int main(int argc, char** argv) { return freshet::bench::Main(argc, argv); }
