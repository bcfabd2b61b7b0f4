// The heap of a join's keys against a sorted set.
#include "operators/join/join_schedule.h"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/base/rng.h"

namespace freshet::testing {
namespace {

TEST_CASE("JoinSchedule_RandomWork_FirstIsThatOfASortedSet") {
  constexpr size_t kKeys = 300;
  std::vector<std::string> keys;
  for (size_t i = 0; i < kKeys; ++i) keys.push_back("key-" + std::to_string(i * 7919 % kKeys));
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    Rng rng(seed);
    std::vector<JoinRows> rows(kKeys);
    JoinSchedule schedule;
    using Place = std::pair<JoinPlace, std::string>;
    std::set<Place> model;
    std::vector<JoinPlace> place_of(kKeys, JoinPlace::Never());
    const auto remove = [&](size_t k) {
      model.erase({place_of[k], keys[k]});
      place_of[k] = JoinPlace::Never();
    };
    const int64_t moments = 1 + static_cast<int64_t>(rng.Below(40));
    for (int step = 0; step < 5000; ++step) {
      const size_t k = rng.Below(kKeys);
      if (rng.Below(4) == 0) {
        remove(k);
        schedule.Remove(rows[k]);
      } else {
        JoinPlace place{static_cast<int64_t>(rng.Below(static_cast<uint64_t>(moments))), JoinPlace::kOnTime};
        if (rng.Below(3) == 0) place = JoinPlace::OfLate(place.moment, static_cast<int64_t>(rng.Below(3)));
        CHECK(schedule.Has(rows[k], place) == (place_of[k] <= place));
        remove(k);
        place_of[k] = place;
        model.insert({place, keys[k]});
        schedule.Set({place, &rows[k], &keys[k]});
      }
      REQUIRE(schedule.empty() == model.empty());
      if (model.empty()) continue;
      REQUIRE(std::pair(schedule.first().place, *schedule.first().key) == *model.begin());
      REQUIRE(schedule.PlaceOf(*schedule.first().rows) == model.begin()->first);
    }
    while (!model.empty()) {
      REQUIRE(*schedule.first().key == model.begin()->second);
      schedule.Remove(*schedule.first().rows);
      model.erase(model.begin());
    }
    CHECK(schedule.empty());
  }
}

}  // namespace
}  // namespace freshet::testing
