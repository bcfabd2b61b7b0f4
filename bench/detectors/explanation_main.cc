// How often a forest names the feature that was made odd first, among correlated and irrelevant ones.
//
//   explanation_bench [PLANTS]     default: 500 for each of 4 seeds

#include <cstdio>
#include <cstdlib>

#include "bench/detectors/explanation.h"
#include "operators/isolation_forest/half_space_trees.h"
#include "operators/isolation_forest/online_forest.h"
#include "operators/isolation_forest/random_cut_forest.h"
#include "operators/isolation_forest/rolling_forest.h"

namespace freshet::bench {
namespace {

template <class Forest, class Options>
void Report(const char* name, const PlantedRows& rows, int plants) {
  double first = 0, error = 0;
  constexpr int kSeeds = 4;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    Options options;
    options.features = rows.features();
    options.seed = static_cast<uint64_t>(seed);
    const HitRate rate = MeasureHits(Forest(options), rows, plants, static_cast<uint64_t>(100 + seed));
    first += rate.first / kSeeds;
    error = std::max(error, rate.sum_error_most);
  }
  std::printf("%2d correlated %2d %-10s %2.0f-%-2.0f  %-25s %5.1f %%  %.0e\n", rows.correlated, rows.irrelevant,
              rows.mixed ? "mixed" : "normal", rows.least, rows.most, name, 100 * first, error);
}

int Main(int argc, char** argv) {
  const int plants = argc > 1 ? std::atoi(argv[1]) : 500;
  std::printf("features               sigma  forest                    first    sum's error\n");
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
