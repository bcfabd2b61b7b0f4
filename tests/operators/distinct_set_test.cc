#include "operators/window/distinct_set.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>
#include <string>

#include "engine/base/rng.h"

namespace freshet {
namespace {

TEST_CASE("DistinctSet_UpToTheLimit_IsExact") {
  DistinctSet set;
  for (uint64_t round = 0; round < 3; ++round)
    for (uint64_t i = 0; i < DistinctSet::kExactMax; ++i) set.Add(i);
  CHECK(set.exact());
  CHECK(set.Count() == static_cast<int64_t>(DistinctSet::kExactMax));
  set.Add(1u << 30);
  CHECK_FALSE(set.exact());
  CHECK(set.Count() > static_cast<int64_t>(DistinctSet::kExactMax));
}

TEST_CASE("DistinctSet_BeyondTheLimit_ErrsByAFewPercent") {
  // Standard error 1.04 / sqrt(4096) = 1.6 %; the mean over 20 sets shows a bias, four sigma bound a single one.
  for (const int64_t size : {1500, 5000, 20000, 300000}) {
    double bias = 0;
    for (uint64_t seed = 1; seed <= 20; ++seed) {
      CAPTURE(size);
      CAPTURE(seed);
      DistinctSet set;
      for (int64_t i = 0; i < size; ++i) set.Add(Mix64(seed) + static_cast<uint64_t>(i));
      const double error = static_cast<double>(set.Count()) / static_cast<double>(size) - 1;
      CHECK(std::fabs(error) < 0.065);
      bias += error / 20;
    }
    CHECK(std::fabs(bias) < 0.015);
  }
}

TEST_CASE("DistinctSet_MergedParts_EqualTheWholeInAnyOrder") {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    DistinctSet whole, parts[4];
    const int count = static_cast<int>(rng.Below(4000));
    for (int i = 0; i < count; ++i) {
      const uint64_t v = rng.Below(2500);
      whole.Add(v);
      parts[rng.Below(4)].Add(v);
    }
    DistinctSet forward, backward;
    for (int i = 0; i < 4; ++i) forward.Merge(parts[i]);
    for (int i = 3; i >= 0; --i) backward.Merge(parts[i]);
    CHECK(forward.Count() == whole.Count());
    CHECK(backward.Count() == whole.Count());
    CHECK(forward.exact() == whole.exact());
    ByteSink sink;
    forward.Encode(sink);
    DistinctSet restored;
    ByteSource source(sink.bytes());
    REQUIRE(restored.Decode(source));
    CHECK(source.exhausted());
    CHECK(restored.Count() == whole.Count());
  }
}

TEST_CASE("TextFingerprint_DifferentTexts_DifferAndAreFrozen") {
  std::set<uint64_t> seen;
  for (int i = 0; i < 2000; ++i) seen.insert(TextFingerprint("text number " + std::to_string(i)));
  for (size_t n = 0; n < 40; ++n) seen.insert(TextFingerprint(std::string(n, '\0')));
  CHECK(seen.size() == 2040);
  // In state: must never change.
  CHECK(TextFingerprint("") == 0xe220a8397b1dcdafULL);
}

}  // namespace
}  // namespace freshet
