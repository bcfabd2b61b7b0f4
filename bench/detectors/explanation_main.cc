// How often a forest names the feature that was made odd first, among correlated and irrelevant ones.
//
//   explanation_bench [PLANTS]     default: 500 for each of 4 seeds
//
// Columns: planted feature named first; plants that score as the strangest 1 % of usual rows do; named first among
// these; error of the sum; microseconds of processor time of one explanation.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

#include "bench/detectors/explanation.h"
#include "operators/isolation_forest/half_space_trees.h"
#include "operators/isolation_forest/online_forest.h"
#include "operators/isolation_forest/random_cut_forest.h"
#include "operators/isolation_forest/rolling_forest.h"

namespace freshet::bench {
namespace {

double Seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Microseconds of processor time of one explanation of a usual row.
template <class Forest>
double Cost(Forest forest, const PlantedRows& rows) {
  Rng rng(1);
  std::vector<double> row(static_cast<size_t>(rows.features())), parts(row.size());
  for (int i = 0; i < 3000; ++i) {
    rows.Make(rng, row.data());
    forest.Learn(row.data());
  }
  constexpr int kTimes = 500;
  const double start = Seconds();
  for (int i = 0; i < kTimes; ++i) {
    rows.Make(rng, row.data());
    forest.Contributions(row.data(), parts.data());
  }
  return (Seconds() - start) * 1e6 / kTimes;
}

template <class Forest, class Options>
void Report(const char* name, const PlantedRows& rows, int plants) {
  HitRate all;
  Options options;
  options.features = rows.features();
  constexpr int kSeeds = 4;
  double detected_first = 0;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    options.seed = static_cast<uint64_t>(seed);
    const HitRate rate = MeasureHits(Forest(options), rows, plants, static_cast<uint64_t>(100 + seed));
    all.first += rate.first / kSeeds;
    all.detected += rate.detected / kSeeds;
    detected_first += rate.first_of_detected * rate.detected / kSeeds;
    all.sum_error_most = std::max(all.sum_error_most, rate.sum_error_most);
  }
  if (all.detected > 0) all.first_of_detected = detected_first / all.detected;
  std::printf("%2d correlated %2d %-7s %2.0f-%-2.0f %-25s %5.1f %%  %5.1f %%  %5.1f %%  %.0e %6.0f\n", rows.correlated,
              rows.irrelevant, rows.mixed ? "mixed" : "normal", rows.least, rows.most, name, 100 * all.first,
              100 * all.detected, 100 * all.first_of_detected, all.sum_error_most, Cost(Forest(options), rows));
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  const int plants = argc > 1 ? std::atoi(argv[1]) : 500;
  std::printf("features               sigma forest                     first    p<1e-2   first    error    us\n");
  for (const PlantedRows& rows : {PlantedRows{2, 4, false, 5, 8}, PlantedRows{4, 8, true, 5, 8},
                                  PlantedRows{4, 16, true, 5, 8}, PlantedRows{2, 4, false, 4, 5}}) {
    Report<RollingForest, RollingForestOptions>("rolling", rows, plants);
    Report<OnlineForest, OnlineForestOptions>("online", rows, plants);
    Report<HalfSpaceTrees, HalfSpaceTreesOptions>("half_space_trees", rows, plants);
    Report<RandomCutForest, RandomCutForestOptions>("robust_random_cut_forest", rows, plants);
  }
  return 0;
}

}  // namespace
}  // namespace freshet::bench

int main(int argc, char** argv) { return freshet::bench::Main(argc, argv); }
