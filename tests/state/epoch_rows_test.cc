#include <doctest/doctest.h>

#include <map>
#include <string>

#include "engine/base/rng.h"
#include "engine/state/checkpoint_store.h"
#include "engine/state/row_format.h"

namespace freshet {
namespace {

/// Few bytes, many zeros: keys that are equal for long, that differ only behind 16 bytes or in their length.
std::string AwkwardKey(Rng& rng) {
  std::string key(rng.Below(24), '\0');
  for (char& c : key)
    if (rng.Below(6) == 0) c = static_cast<char>(rng.Below(3) * 127);
  return key;
}

TEST_CASE("EpochRows_RandomRows_AreSortedAsAMapHasThem") {
  Rng rng(7);
  for (int round = 0; round < 200; ++round) {
    CAPTURE(round);
    EpochRows rows;
    std::map<std::string, std::string> expected;
    const uint64_t count = rng.Below(400);
    for (uint64_t i = 0; i < count; ++i) {
      const auto table = static_cast<TableId>(1 + rng.Below(2));
      const auto group = static_cast<uint16_t>(rng.Below(3));
      const std::string key = AwkwardKey(rng);
      if (rng.Below(8) == 0) {
        rows.Erase(table, group, key);
        expected[EncodeRowKey(table, group, key)] = "erased";
      } else {
        const std::string value = std::to_string(i);
        rows.Put(table, group, key, value);
        expected[EncodeRowKey(table, group, key)] = value;
      }
    }
    auto at = expected.begin();
    REQUIRE(rows.Sorted().size() == expected.size());
    for (const EpochRows::Row& row : rows.Sorted()) {
      REQUIRE(row.key() == at->first);
      REQUIRE((row.erased() ? "erased" : std::string(row.value())) == at->second);
      ++at;
    }
  }
}

}  // namespace
}  // namespace freshet
