#include "operators/window/reproducible_sum.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/base/rng.h"

namespace freshet {
namespace {

std::vector<double> RandomDoubles(Rng& rng, int count, int exponent_span) {
  std::vector<double> values;
  for (int i = 0; i < count; ++i)
    values.push_back(std::ldexp(rng.NextDouble() * 2 - 1,
                                static_cast<int>(rng.Below(static_cast<uint64_t>(exponent_span))) - exponent_span / 2));
  return values;
}

void Shuffle(Rng& rng, std::vector<double>& values) {
  for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[rng.Below(i)]);
}

/// Sums a random tree of groups of `values`.
template <class Add>
ReproducibleSum SumInGroups(Rng& rng, const std::vector<double>& values, Add add) {
  std::vector<ReproducibleSum> parts(1 + rng.Below(9));
  for (double v : values) add(parts[rng.Below(parts.size())], v);
  while (parts.size() > 1) {
    const size_t from = rng.Below(parts.size() - 1) + 1;
    parts[rng.Below(from)].Merge(parts[from]);
    parts.erase(parts.begin() + static_cast<long>(from));
  }
  return parts[0];
}

TEST_CASE("ReproducibleSum_AnyOrderAndGrouping_SameBits") {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    std::vector<double> values = RandomDoubles(rng, 300, 4 + static_cast<int>(rng.Below(2000)));
    if (seed % 3 == 0) values.push_back(0.0);
    ReproducibleSum sum, squares;
    for (double v : values) {
      sum.Add(v);
      squares.AddSquare(v);
    }
    for (int round = 0; round < 5; ++round) {
      Shuffle(rng, values);
      const auto again = SumInGroups(rng, values, [](ReproducibleSum& s, double v) { s.Add(v); });
      double high[2], low[2];
      sum.ValuePair(&high[0], &low[0]);
      again.ValuePair(&high[1], &low[1]);
      CHECK(std::bit_cast<uint64_t>(high[0]) == std::bit_cast<uint64_t>(high[1]));
      CHECK(std::bit_cast<uint64_t>(low[0]) == std::bit_cast<uint64_t>(low[1]));
      CHECK(again.count() == sum.count());
      const auto squared = SumInGroups(rng, values, [](ReproducibleSum& s, double v) { s.AddSquare(v); });
      CHECK(std::bit_cast<uint64_t>(squared.Value()) == std::bit_cast<uint64_t>(squares.Value()));
    }
  }
}

TEST_CASE("ReproducibleSum_Integers_AreExact") {
  Rng rng(7);
  ReproducibleSum sum, squares;
  Int128 exact = 0, exact_squares = 0;
  for (int i = 0; i < 20000; ++i) {
    const int64_t v = static_cast<int64_t>(rng.Next() >> 12) - (int64_t{1} << 51);
    sum.Add(static_cast<double>(v));
    squares.AddSquare(static_cast<double>(v));
    exact += v;
    exact_squares += static_cast<Int128>(v) * v;
  }
  CHECK(sum.Value() == static_cast<double>(exact));
  CHECK(squares.Value() == static_cast<double>(exact_squares));
  double high = 0, low = 0;
  squares.ValuePair(&high, &low);
  // 106 bits of the 117 that there are.
  const Int128 error = static_cast<Int128>(high) + static_cast<Int128>(low) - exact_squares;
  CHECK((error < 0 ? -error : error) <= (exact_squares >> 105));
}

TEST_CASE("ReproducibleSum_Cancellation_KeepsTheSmallPart") {
  ReproducibleSum sum;
  for (double v : {1e16, 1.0, -1e16, 1e-10}) sum.Add(v);
  CHECK(sum.Value() == 1.0 + 1e-10);
  ReproducibleSum tiny;
  for (int i = 0; i < 10; ++i) tiny.Add(0.1);
  // Ten times the double nearest to 0.1, rounded once; adding one by one gives 0.9999999999999999.
  CHECK(tiny.Value() == 1.0);
}

TEST_CASE("ReproducibleSum_AgainstLongDouble_ErrsByRoundingOnly") {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    ReproducibleSum sum;
    long double reference = 0;
    for (double v : RandomDoubles(rng, 1000, 8)) {
      sum.Add(std::fabs(v));
      reference += static_cast<long double>(std::fabs(v));
    }
    CHECK(std::fabs(static_cast<double>(static_cast<long double>(sum.Value()) - reference)) <=
          1.2e-16 * static_cast<double>(reference));
  }
}

TEST_CASE("ReproducibleSum_Extremes_FollowIeee") {
  const double infinity = std::numeric_limits<double>::infinity();
  const auto sum_of = [](std::vector<double> values) {
    ReproducibleSum sum;
    for (double v : values) sum.Add(v);
    return sum.Value();
  };
  CHECK(sum_of({}) == 0);
  CHECK(sum_of({-0.0, 0.0}) == 0);
  CHECK(sum_of({1, infinity}) == infinity);
  CHECK(sum_of({1, -infinity}) == -infinity);
  CHECK(std::isnan(sum_of({infinity, -infinity})));
  CHECK(std::isnan(sum_of({std::nan(""), 1})));
  CHECK(sum_of({1.7e308, 1.7e308}) == infinity);
  CHECK(sum_of({1.7e308, 1.7e308, -1.7e308}) == 1.7e308);
  CHECK(sum_of({5e-324}) == 5e-324);
  CHECK(sum_of({5e-324, 5e-324, -5e-324}) == 5e-324);
  CHECK(sum_of({-2.5, 1}) == -1.5);
}

TEST_CASE("ReproducibleSum_EncodeDecode_GoesOnAsBefore") {
  Rng rng(3);
  ReproducibleSum whole, first;
  const auto values = RandomDoubles(rng, 100, 100);
  for (size_t i = 0; i < values.size(); ++i) whole.Add(values[i]);
  for (size_t i = 0; i < 50; ++i) first.Add(values[i]);
  ByteSink sink;
  first.Encode(sink);
  ReproducibleSum second;
  ByteSource source(sink.bytes());
  REQUIRE(second.Decode(source));
  CHECK(source.exhausted());
  for (size_t i = 50; i < values.size(); ++i) second.Add(values[i]);
  CHECK(std::bit_cast<uint64_t>(second.Value()) == std::bit_cast<uint64_t>(whole.Value()));
  ByteSource torn(std::string_view(sink.bytes()).substr(0, sink.size() - 1));
  CHECK_FALSE(second.Decode(torn));
}

}  // namespace
}  // namespace freshet
