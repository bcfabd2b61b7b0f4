#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "engine/base/rng.h"
#include "operators/isolation_forest/category_rarity.h"

namespace freshet {
namespace {

TEST_CASE("CategoryRarity_Bits_AreThoseOfTheShare") {
  CategoryRarity rarity;
  Rng rng(3);
  double usual = 0, rare = 0;
  for (int i = 0; i < 20'000; ++i) {
    const bool is_rare = rng.Below(100) == 0;
    (is_rare ? rare : usual) = rarity.BitsAndLearn(is_rare ? "rare" : "usual");
  }
  CHECK(usual == doctest::Approx(0.0145).epsilon(0.5));
  CHECK(rare == doctest::Approx(std::log2(100)).epsilon(0.1));
  CHECK(rarity.BitsAndLearn("new") > 11);
  CHECK(rarity.BitsAndLearn("new") < rarity.BitsAndLearn("newer"));
}

TEST_CASE("CategoryRarity_EndlesslyManyNames_StaysBoundedAndRestores") {
  CategoryRarity through, restored;
  for (int i = 0; i < 30'000; ++i) {
    const std::string name = std::to_string(i % 3 == 0 ? i : i % 50);
    if (i % 4999 == 0) {
      ByteSink sink;
      restored.Encode(sink);
      ByteSource source(sink.bytes());
      CategoryRarity next;
      next.BitsAndLearn("other");
      REQUIRE(next.Decode(source));
      ByteSource torn(std::string_view(sink.bytes()).substr(0, sink.size() - 1));
      REQUIRE_FALSE(CategoryRarity().Decode(torn));
      restored = next;
    }
    REQUIRE(through.BitsAndLearn(name) == restored.BitsAndLearn(name));
  }
  CHECK(through.memory_bytes() < 150'000);
}

}  // namespace
}  // namespace freshet
