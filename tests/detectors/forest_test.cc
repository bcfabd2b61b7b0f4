#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "bench/detectors/explanation.h"
#include "bench/detectors/outlier_data.h"
#include "engine/base/rng.h"
#include "operators/isolation_forest/half_space_trees.h"
#include "operators/isolation_forest/online_forest.h"
#include "operators/isolation_forest/path_parts.h"
#include "operators/isolation_forest/random_cut_forest.h"
#include "operators/isolation_forest/rolling_forest.h"
#include "operators/outlier/tail_calibrator.h"
#include "tests/detectors/online_forest_oracle.h"

namespace freshet {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int kFeatures = 5;

bool SameBits(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

/// Two correlated features, one constant, one count, one skewed; drifting; with `holes`, some missing.
std::vector<double> MakeRow(Rng& rng, int i, bool holes) {
  const double a = rng.NextNormal() + 0.001 * i;
  std::vector<double> row = {1e9 + a, 2 * a + 0.1 * rng.NextNormal(), 7, static_cast<double>(rng.Below(6)),
                             rng.NextExponential()};
  for (double& x : row) {
    if (holes && rng.Below(10) == 0) x = kNan;
  }
  return row;
}

RollingForest MakeRolling(uint64_t seed, int features = kFeatures, int window = 512) {
  RollingForestOptions options;
  options.features = features;
  options.window = window;
  options.seed = seed;
  REQUIRE(RollingForest::Validate(options).ok());
  return RollingForest(options);
}

OnlineForest MakeOnline(uint64_t seed, int features = kFeatures, int window = 512, int leaf_size = 32) {
  OnlineForestOptions options;
  options.features = features;
  options.window = window;
  options.leaf_size = leaf_size;
  options.seed = seed;
  REQUIRE(OnlineForest::Validate(options).ok());
  return OnlineForest(options);
}

HalfSpaceTrees MakeHalfSpace(uint64_t seed, int features = kFeatures) {
  HalfSpaceTreesOptions options;
  options.features = features;
  options.seed = seed;
  REQUIRE(HalfSpaceTrees::Validate(options).ok());
  return HalfSpaceTrees(options);
}

RandomCutForest MakeRandomCut(uint64_t seed, int features = kFeatures, int trees = 12) {
  RandomCutForestOptions options;
  options.features = features;
  options.trees = trees;
  options.seed = seed;
  REQUIRE(RandomCutForest::Validate(options).ok());
  return RandomCutForest(options);
}

TEST_CASE("OnlineForest_AgainstThePlainOracle_ScoresAreEqualPerSeed") {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    const bool holes = seed % 2 == 0;
    const int leaf_size = seed % 3 == 0 ? 4 : 32;
    INFO("seed " << seed);
    Rng rng(seed * 1000);
    OnlineForest forest = MakeOnline(seed, kFeatures, 512, leaf_size);
    OnlineForestOracle oracle(kFeatures, 32, 512, leaf_size, 100, seed);
    int numbers = 0;
    for (int i = 0; i < 3000; ++i) {
      const auto row = MakeRow(rng, i, holes);
      const double expected = oracle.Score(row.data());
      const double score = i % 2 == 0 ? forest.ScoreAndLearn(row.data()) : forest.Score(row.data());
      if (i % 2 == 1) forest.Learn(row.data());
      oracle.Learn(row.data());
      REQUIRE(SameBits(score, expected));
      numbers += !std::isnan(score);
    }
    CHECK(numbers >= 2890);
  }
}

template <class Forest>
void CheckRange(Forest forest, int first_rows = 100) {
  Rng rng(17);
  double usual = 0;
  int count = 0;
  for (int i = 0; i < 4000; ++i) {
    const auto row = MakeRow(rng, i, true);
    const bool ready = forest.ready();
    const double score = forest.ScoreAndLearn(row.data());
    if (!ready || std::isnan(score)) continue;
    REQUIRE(score > 0);
    REQUIRE(score < 1);
    usual += score;
    ++count;
  }
  CHECK(count >= 3990 - first_rows);
  const double far[kFeatures] = {2e9, -500, 900, 77, 1e4};
  CHECK(forest.Score(far) > usual / count);
}

TEST_CASE("Forests_OnMixedRows_ScoreBetweenZeroAndOne") {
  CheckRange(MakeRolling(1));
  CheckRange(MakeOnline(1));
  CheckRange(MakeHalfSpace(1), 250);
  CheckRange(MakeRandomCut(1));
}

template <class Make>
void CheckSnapshots(Make make, uint64_t seed) {
  INFO("seed " << seed);
  Rng rng(seed);
  auto through = make(seed);
  auto restored = make(seed);
  for (int i = 0; i < 2600; ++i) {
    if (rng.Below(150) == 0 || i == 0 || i == 99 || i == 100) {
      ByteSink sink;
      restored.Encode(sink);
      auto next = make(seed);
      const auto junk = MakeRow(rng, i, false);
      for (int k = 0; k < 40; ++k) next.Learn(junk.data());  // Decode replaces whatever was there
      ByteSource source(sink.bytes());
      REQUIRE(next.Decode(source).ok());
      REQUIRE(source.exhausted());
      ByteSource torn(std::string_view(sink.bytes()).substr(0, sink.size() - 1));
      auto scrap = make(seed);
      REQUIRE_FALSE(scrap.Decode(torn).ok());
      restored = next;
    }
    const auto row = MakeRow(rng, i, true);
    REQUIRE(SameBits(through.ScoreAndLearn(row.data()), restored.ScoreAndLearn(row.data())));
  }
}

TEST_CASE("Forests_RestoredAtRandomPlaces_GoOnIdentically") {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    CheckSnapshots([](uint64_t s) { return MakeRolling(s); }, seed);
    CheckSnapshots([](uint64_t s) { return MakeOnline(s); }, seed);
    CheckSnapshots([](uint64_t s) { return MakeHalfSpace(s); }, seed);
    CheckSnapshots([](uint64_t s) { return MakeRandomCut(s); }, seed);
  }
}

template <class Forest>
void CheckBadInput(Forest forest) {
  const double constant[kFeatures] = {3, 3, 3, 3, 3};
  for (int i = 0; i < 3000; ++i) {
    const double score = forest.ScoreAndLearn(constant);
    if (forest.learned() > 250) REQUIRE(std::isfinite(score));
  }
  const double usual = forest.Score(constant);
  const double missing[kFeatures] = {kNan, kNan, kNan, kNan, kNan};
  const int64_t learned = forest.learned();
  CHECK(std::isnan(forest.Score(missing)));
  forest.Learn(missing);
  CHECK(forest.learned() == learned);
  const double infinite[kFeatures] = {kInfinity, 3, kNan, -kInfinity, 1e300};
  for (int i = 0; i < 100; ++i) {
    const double score = forest.ScoreAndLearn(infinite);
    REQUIRE(std::isfinite(score));
    REQUIRE(score >= usual - 1e-9);
  }
  CHECK(forest.Score(constant) == doctest::Approx(usual).epsilon(0.2));
}

TEST_CASE("Forests_OnConstantMissingAndInfinite_StaySane") {
  CheckBadInput(MakeRolling(2));
  CheckBadInput(MakeOnline(2));
  CheckBadInput(MakeHalfSpace(2));
  CheckBadInput(MakeRandomCut(2));
}

TEST_CASE("RollingForest_ConstantSeriesThatMoves_ScoresNearOne") {
  RollingForest forest = MakeRolling(1, 1);
  const double usual = 5, moved = 6;
  for (int i = 0; i < 600; ++i) forest.Learn(&usual);
  CHECK(forest.Score(&moved) > 0.99);
  CHECK(forest.Score(&usual) < 0.6);
}

TEST_CASE("Forests_FeatureThatAppearsLater_IsTakenUp") {
  RollingForest forest = MakeRolling(3, 2);
  Rng rng(3);
  for (int i = 0; i < 1500; ++i) {
    const double row[2] = {rng.NextNormal(), kNan};
    forest.Learn(row);
  }
  for (int i = 0; i < 1500; ++i) {
    const double row[2] = {rng.NextNormal(), 100 + rng.NextNormal()};
    CHECK(std::isfinite(forest.ScoreAndLearn(row)));
  }
  const double usual[2] = {0, 100}, strange[2] = {0, 200};
  CHECK(forest.Score(strange) > forest.Score(usual) + 0.1);
}

template <class Forest>
void CheckHits(const char* name, Forest forest, const bench::PlantedRows& rows, uint64_t seed) {
  const bench::HitRate rate = bench::MeasureHits(std::move(forest), rows, 200, seed);
  MESSAGE(std::string(name) << ", " << rows.features() << " features: first " << rate.first << ", seen by the score "
                            << rate.detected);
  CHECK(rate.sum_error_most < 1e-9);
  CHECK(rate.first >= 0.95);
}

TEST_CASE("Forests_PlantedFeature_IsNamedFirstAndPartsSumToTheScore") {
  for (const bench::PlantedRows& rows : {bench::PlantedRows{2, 4, false}, bench::PlantedRows{4, 16, true}}) {
    CheckHits("rolling", MakeRolling(5, rows.features(), 2048), rows, 55);
    CheckHits("online", MakeOnline(5, rows.features(), 2048), rows, 55);
    CheckHits("half-space trees", MakeHalfSpace(5, rows.features()), rows, 55);
    CheckHits("random cut forest", MakeRandomCut(5, rows.features(), 40), rows, 55);
  }
}

template <class Forest>
void CheckSums(Forest forest) {
  Rng rng(77);
  double parts[kFeatures];
  for (int i = 0; i < 1500; ++i) {
    std::vector<double> row = MakeRow(rng, i, true);
    if (i % 50 == 0) row[static_cast<size_t>(i / 50 % kFeatures)] = kInfinity;
    const double score = forest.Contributions(row.data(), parts);
    double sum = 0;
    for (const double part : parts) sum += part;
    if (std::isnan(score)) {
      CHECK(sum == 0);
    } else {
      CHECK(sum == doctest::Approx(score - forest.Baseline()).epsilon(1e-9).scale(1));
    }
    forest.Learn(row.data());
  }
}

// Where the score says the opposite of the paths, too.
TEST_CASE("Forests_UsualAndBrokenRows_PartsSumToTheScore") {
  CheckSums(MakeRolling(9));
  CheckSums(MakeOnline(9));
  CheckSums(MakeHalfSpace(9));
  CheckSums(MakeRandomCut(9));
}

TEST_CASE("FitParts_AgainstTheScore_KeepTheirOrder") {
  double along[3] = {-4, -1, 0}, against[3] = {-4, -1, 0};
  FitParts(along, 3, 0.5, -0.05);
  CHECK(along[0] == doctest::Approx(0.4));
  CHECK(along[1] == doctest::Approx(0.1));
  CHECK(along[2] == 0);
  FitParts(against, 3, -0.05, -0.05);
  CHECK(against[0] > against[1]);
  CHECK(against[1] > against[2]);
  CHECK(against[0] + against[1] + against[2] == doctest::Approx(-0.05));
}

TEST_CASE("RandomCutTree_ThreePointsOnALine_AreCutAsOftenAsTheirGaps") {
  PointRing ring(1, 8);
  double displaced = 0;
  constexpr int kDraws = 20'000;
  for (int i = 0; i < kDraws; ++i) {
    RandomCutTree tree(ring.stride(), 8);
    const float zero[4] = {0, 0, 0, 0}, one[4] = {1, 0, 0, 0}, ten[4] = {10, 0, 0, 0};
    const auto draw = [&](uint64_t k) { return Mix64(static_cast<uint64_t>(3 * i) + k); };
    tree.Insert(0, zero, draw(0));
    tree.Insert(1, one, draw(1));
    displaced += tree.Displacement(ten, draw(2));
  }
  // 9 of 10 first cuts set 10 apart and displace two; else it is cut from 1 alone, which displaces one.
  CHECK(displaced / kDraws == doctest::Approx(1.9).epsilon(0.01));
}

TEST_CASE("RandomCutTree_InsertedAndDeletedAtRandom_IsAsIfDrawnAnew") {
  // The mean displacement of what is left must not tell how it came to be there.
  Rng rng(31);
  PointRing ring(2, 64);
  double aged = 0, fresh = 0;
  constexpr int kDraws = 3000;
  for (int i = 0; i < kDraws; ++i) {
    RandomCutTree old_tree(ring.stride(), 64), new_tree(ring.stride(), 64);
    std::vector<std::vector<float>> rows(64, std::vector<float>(4, 0.0f));
    for (auto& row : rows) {
      row[0] = static_cast<float>(rng.Below(5));  // many are equal
      row[1] = static_cast<float>(rng.NextNormal());
      if (rng.Below(3) == 0) row[1] = 0;
    }
    for (int k = 0; k < 64; ++k) old_tree.Insert(k, rows[static_cast<size_t>(k)].data(), rng.Next());
    for (int k = 0; k < 48; ++k) old_tree.Delete(k);
    for (int k = 63; k >= 48; --k) new_tree.Insert(k, rows[static_cast<size_t>(k)].data(), rng.Next());
    aged += old_tree.MeanDisplacement();
    fresh += new_tree.MeanDisplacement();
  }
  CHECK(aged / kDraws == doctest::Approx(fresh / kDraws).epsilon(0.02));
  RandomCutTree tree(ring.stride(), 64);
  const float row[4] = {1, 2, 0, 0};
  for (int k = 0; k < 64; ++k) tree.Insert(k, row, rng.Next());
  CHECK(tree.MeanDisplacement() == 0);
  for (int k = 0; k < 64; ++k) tree.Delete(k);
  CHECK(tree.Displacement(row, 1) == 0);
}

TEST_CASE("Forests_WhileYoung_AreSmallAndStayBounded") {
  RollingForest rolling = MakeRolling(1, 4, 2048);
  OnlineForest online = MakeOnline(1, 4, 2048);
  Rng rng(1);
  size_t young = 0, grown = 0;
  for (int i = 0; i < 12000; ++i) {
    const double row[4] = {rng.NextNormal(), rng.NextNormal(), rng.NextNormal(), rng.NextNormal()};
    rolling.Learn(row);
    online.Learn(row);
    if (i == 9) young = std::max(rolling.memory_bytes(), online.memory_bytes());
    if (i == 6000) grown = rolling.memory_bytes();
  }
  MESSAGE("10 rows " << young << " B, full rolling " << rolling.memory_bytes() << " B, online " << online.memory_bytes()
                     << " B");
  CHECK(young < 1024);
  CHECK(rolling.memory_bytes() < grown * 5 / 4);
  CHECK(rolling.memory_bytes() < 1'000'000);
  CHECK(online.memory_bytes() < 100'000);
}

// A model per key: what a key costs that has shown five rows, and what a million of them would. Rows grow by doubling,
// trees come with the warm-up, the calibration with the first score.
template <class Forest>
size_t YoungBytes(const char* name, const Forest& fresh) {
  constexpr size_t kKeys = 1000;
  std::vector<Forest> forests(kKeys, fresh);
  Rng rng(6);
  size_t bytes = 0;
  for (Forest& forest : forests) {
    for (int i = 0; i < 5; ++i) {
      const double row[4] = {rng.NextNormal(), rng.NextNormal(), rng.NextNormal(), rng.NextNormal()};
      forest.Learn(row);
    }
    bytes += forest.memory_bytes();
  }
  const size_t a_key = bytes / kKeys + TailCalibrator().memory_bytes();
  MESSAGE(std::string(name) << ": " << a_key << " B a key of five rows, calibration included; a million " << a_key
                            << " MB");
  return a_key;
}

TEST_CASE("Forests_OnePerKey_AreSmallWhereAKeyIsYoung") {
  CHECK(YoungBytes("rolling", MakeRolling(1, 4, 2048)) < 1000);
  CHECK(YoungBytes("online", MakeOnline(1, 4, 2048)) < 1000);
  CHECK(YoungBytes("half_space_trees", MakeHalfSpace(1, 4)) < 1000);
  CHECK(YoungBytes("robust_random_cut_forest", MakeRandomCut(1, 4, 40)) < 1000);
}

TEST_CASE("Forests_BadOptions_AreRefusedInWords") {
  RollingForestOptions rolling;
  CHECK_FALSE(RollingForest::Validate(rolling).ok());
  rolling.features = 3;
  CHECK(RollingForest::Validate(rolling).ok());
  rolling.warmup = 5000;
  CHECK_FALSE(RollingForest::Validate(rolling).ok());
  OnlineForestOptions online;
  online.features = 3;
  CHECK(OnlineForest::Validate(online).ok());
  online.leaf_size = 4096;
  CHECK_FALSE(OnlineForest::Validate(online).ok());
}

TEST_CASE("Forests_OnRealSets_KeepTheirAuc") {
  struct Floor {
    const char* name;
    double rolling, online, half_space;  // of one run; medians of 30 stand in MODEL.md
  };
  for (const Floor& floor : {Floor{"Annthyroid", 0.81, 0.60, 0.63}, Floor{"Mammography", 0.85, 0.77, 0.77},
                             Floor{"Shuttle", 0.992, 0.98, 0.97}, Floor{"Smtp", 0.91, 0.80, 0.85}}) {
    const auto set = bench::LoadOutlierSet(floor.name);
    if (set.rows() == 0) {
      MESSAGE("skipped: set FRESHET_DATA_DIR to a folder with outlier/" << floor.name << ".csv.gz");
      continue;
    }
    const uint64_t seed = 1;
    const double rolling = bench::StreamAuc(set, MakeRolling(seed, set.features, 2048), seed, 100);
    const double online = bench::StreamAuc(set, MakeOnline(seed, set.features, 2048), seed, 100);
    MESSAGE(std::string(floor.name) << ", seed " << seed << ": rolling " << rolling << ", online " << online);
    const double half_space = bench::StreamAuc(set, MakeHalfSpace(seed, set.features), seed, 100);
    MESSAGE("half-space trees " << half_space);
    CHECK(half_space > floor.half_space);
    CHECK(rolling > floor.rolling);
    CHECK(online > floor.online);
  }
}

}  // namespace
}  // namespace freshet
