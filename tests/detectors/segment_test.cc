// Which segments explain a change: parts that add up, restores, and how often a planted segment is named first.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "engine/base/rng.h"
#include "operators/anomaly/segment_book.h"

namespace freshet {
namespace {

/// A made-up site: devices, countries and plans with uneven shares, a day's shape that differs by country, Poisson
/// noise.
struct Site {
  std::vector<std::vector<std::string>> values = {
      {"mobile", "desktop", "tablet", "tv"}, {"US", "DE", "FR", "JP", "BR", "IN"}, {"free", "paid"}};
  std::vector<std::vector<double>> shares;
  std::vector<double> rates;  // of a ratio, one a leaf
  double views = 0;

  explicit Site(Rng& rng) {
    for (const auto& v : values) {
      shares.emplace_back();
      double sum = 0;
      for (size_t i = 0; i < v.size(); ++i) sum += shares.back().emplace_back(0.15 + rng.NextDouble());
      for (double& s : shares.back()) s /= sum;
    }
    for (int i = 0; i < 48; ++i) rates.push_back(0.03 + 0.05 * rng.NextDouble());
    views = 20000 + 60000 * rng.NextDouble();
  }
  struct Change {
    std::vector<int> value = {-1, -1, -1};  // of each dimension; -1: any
    double factor = 1;
  };
  static double Noisy(double mean, Rng& rng) {
    return std::max(0.0, std::round(mean + std::sqrt(mean) * rng.NextNormal()));
  }
  SegmentTick Tick(int hour, bool ratio, const Change& change, Rng* rng) const {
    SegmentTick tick;
    int leaf = 0;
    for (int d = 0; d < 4; ++d)
      for (int c = 0; c < 6; ++c)
        for (int p = 0; p < 2; ++p, ++leaf) {
          const int at[] = {d, c, p};
          bool hit = true;
          double share = 1;
          for (size_t i = 0; i < 3; ++i) {
            hit = hit && (change.value[i] < 0 || change.value[i] == at[i]);
            share *= shares[i][static_cast<size_t>(at[i])];
          }
          const double day = 1 + 0.5 * std::sin((hour + 4 * c) * 3.14159265 / 12);
          double n = views * share * day, k = n * rates[static_cast<size_t>(leaf)];
          if (!ratio) k = n;
          if (hit) k *= change.factor;
          if (rng != nullptr) k = Noisy(k, *rng), n = Noisy(n, *rng);
          tick[values[0][static_cast<size_t>(d)] + kSegmentSeparator + values[1][static_cast<size_t>(c)] +
               kSegmentSeparator + values[2][static_cast<size_t>(p)]] = {k, n};
        }
    return tick;
  }
  std::string Name(const Change& change) const {
    std::string name;
    for (size_t i = 0; i < 3; ++i)
      if (change.value[i] >= 0) name += (name.empty() ? "" : " in ") + values[i][static_cast<size_t>(change.value[i])];
    return name;
  }
};

SegmentCounts Sum(const SegmentTick& tick) {
  SegmentCounts sum;
  for (const auto& [name, c] : tick) sum.k += c.k, sum.n += c.n;
  return sum;
}
double Total(const SegmentTick& tick, bool ratio) {
  const SegmentCounts sum = Sum(tick);
  return ratio ? sum.k / sum.n : sum.k;
}

TEST_CASE("SegmentBook_PlantedSegments_AreNamedFirst") {
  const uint64_t seed = 1;
  INFO("seed " << seed);
  for (const bool ratio : {false, true}) {
    Rng rng(seed);
    int tried = 0, hit = 0, by_dims[4] = {}, hit_by_dims[4] = {};
    std::string missed;
    while (tried < 300) {
      const Site site(rng);
      SegmentBook book(3, ratio, true);
      for (int tick = 0; tick < 24 * 12; ++tick) book.Learn(tick % 24, site.Tick(tick % 24, ratio, {}, &rng));
      for (int plant = 0; plant < 10; ++plant) {
        Site::Change change;
        int dims = 0;
        for (size_t i = 0; i < 3; ++i) {
          if (rng.Below(2) == 0) continue;
          change.value[i] = static_cast<int>(rng.Below(site.values[i].size()));
          ++dims;
        }
        const double factors[] = {0.2, 0.5, 2, 3};
        change.factor = factors[rng.Below(4)];
        const int hour = static_cast<int>(rng.Below(24));
        const double expected = Total(site.Tick(hour, ratio, {}, nullptr), ratio);
        // Only a change of the total that a detector would see is asked about.
        const double change_of_total = Total(site.Tick(hour, ratio, change, nullptr), ratio) / expected - 1;
        if (dims == 0 || std::abs(change_of_total) < 0.04) continue;
        const SegmentTick now = site.Tick(hour, ratio, change, &rng);
        const auto said = book.Explain(hour, now, expected * (1 + 0.005 * rng.NextNormal()));
        ++tried;
        ++by_dims[dims];
        const bool good = said && !said->segments.empty() && said->segments[0] == site.Name(change);
        hit += good ? 1 : 0;
        hit_by_dims[dims] += good ? 1 : 0;
        if (!good)
          missed += site.Name(change) + " x" + std::to_string(change.factor) + " -> " +
                    (said ? said->Text() : "nothing") + "; ";
        if (good) CHECK(said->share >= SegmentBook::kExplains);
      }
    }
    MESSAGE((ratio ? "ratio" : "count") << ": " << hit << " of " << tried << " named first; by dimensions "
                                        << hit_by_dims[1] << "/" << by_dims[1] << " " << hit_by_dims[2] << "/"
                                        << by_dims[2] << " " << hit_by_dims[3] << "/" << by_dims[3]);
    INFO(missed);
    CHECK(hit >= 0.95 * tried);
  }
}

TEST_CASE("SegmentBook_AChangeOfAll_IsSpread") {
  Rng rng(2);
  for (const bool ratio : {false, true}) {
    const Site site(rng);
    SegmentBook book(3, ratio, true);
    for (int tick = 0; tick < 24 * 12; ++tick) book.Learn(tick % 24, site.Tick(tick % 24, ratio, {}, &rng));
    Site::Change all;
    all.factor = 0.5;
    const auto said = book.Explain(5, site.Tick(5, ratio, all, &rng), Total(site.Tick(5, ratio, {}, nullptr), ratio));
    REQUIRE(said.has_value());
    CHECK(said->Text() == "spread over its segments");
  }
}

TEST_CASE("SegmentBook_SegmentsThatVanishOrAppear_AreNamed") {
  SegmentBook book(2, false, false);
  const auto tick = [](double mobile_us, double tablet_us, double tv_de) {
    SegmentTick t = {{"mobile\x1fUS", {mobile_us, 0}},
                     {"desktop\x1fUS", {300, 0}},
                     {"mobile\x1f"
                      "DE",
                      {250, 0}},
                     {"desktop\x1f"
                      "DE",
                      {100, 0}}};
    if (tablet_us > 0) t["tablet\x1fUS"] = {tablet_us, 0};
    if (tv_de > 0)
      t["tv\x1f"
        "DE"] = {tv_de, 0};
    return t;
  };
  CHECK_FALSE(book.Explain(0, tick(400, 90, 0), 10).has_value());  // nothing learned yet
  for (int i = 0; i < 50; ++i) book.Learn(0, tick(400, 90, 0));
  CHECK(book.Explain(0, tick(400, 0, 0), 1140)->Text() == "tablet explains 100 %");
  CHECK(book.Explain(0, tick(400, 90, 500), 1140)->Text() == "tv explains 100 %");
  CHECK(book.Explain(0, tick(100, 90, 0), 1140)->Text() == "mobile in US explains 100 %");
  CHECK_FALSE(book.Explain(0, tick(400, 90, 0), std::nan("")).has_value());
  CHECK_FALSE(book.Explain(0, {}, 0).has_value());
}

TEST_CASE("SegmentBook_CutByARestore_SameBits") {
  Rng rng(3);
  const Site site(rng);
  SegmentBook whole(3, true, true), cut(3, true, true);
  for (int i = 0; i < 200; ++i) {
    const SegmentTick tick = site.Tick(i % 24, true, {}, &rng);
    const auto a = whole.Explain(i % 24, tick, 0.05), b = cut.Explain(i % 24, tick, 0.05);
    CHECK(a.has_value() == b.has_value());
    if (a) CHECK((a->segments == b->segments && a->share == b->share));
    whole.Learn(i % 24, tick);
    cut.Learn(i % 24, tick);
    if (i % 17 != 0) continue;
    ByteSink sink;
    cut.Encode(sink);
    cut = SegmentBook(3, true, true);
    ByteSource source(sink.bytes());
    REQUIRE(cut.Decode(source));
    CHECK(source.exhausted());
  }
}

TEST_CASE("SegmentBook_MoreSegmentsThanFit_ArePooled") {
  SegmentBook book(1, false, false);
  for (int i = 0; i < 30; ++i) {
    SegmentTick tick;
    for (int s = 0; s < 700; ++s) tick["s" + std::to_string(i * 700 + s)] = {1, 0};
    book.Learn(0, tick);
  }
  ByteSink sink;
  book.Encode(sink);
  CHECK(sink.size() < 10001 * 40);
  CHECK(sink.bytes().find("(others)") != std::string::npos);
}

TEST_CASE("SegmentBook_AtItsCap_KnowsItsNamesAndExplainsThePoolAsOne") {
  for (const int names : {6000, 10'001, 12'000}) {
    CAPTURE(names);
    const auto tick = [&](double first, double last) {
      SegmentTick t;
      char name[16];
      for (int s = 0; s < names; ++s) {
        std::snprintf(name, sizeof name, "s%05d", s);
        t[name] = {s == 0 ? first : s + 1 == names ? last : 1, 0};
      }
      return t;
    };
    SegmentBook book(1, false, false);
    for (int i = 0; i < 30; ++i) book.Learn(0, tick(1, 1));
    const double total = names;
    // What was pooled is no news; a name that is known is told as itself, one that is not as one of the others.
    const auto said = book.Explain(0, tick(5000, 1), total);
    REQUIRE(said.has_value());
    CHECK(said->Text() == "s00000 explains 100 %");
    const auto pooled = book.Explain(0, tick(1, 5000), total);
    REQUIRE(pooled.has_value());
    CHECK(pooled->segments == std::vector<std::string>{names > 10'000 ? "(others)" : "s0" + std::to_string(names - 1)});
    CHECK(book.memory_bytes() > static_cast<size_t>(std::min(names, 10'000)) * 80);
  }
}

}  // namespace
}  // namespace freshet
