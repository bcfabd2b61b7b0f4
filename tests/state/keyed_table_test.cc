#include "engine/state/keyed_table.h"

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <unordered_map>

#include "engine/base/rng.h"

namespace freshet {
namespace {

struct Cell {
  int64_t value = 0;
  void Encode(ByteSink& sink) const { sink.PutI64(value); }
  bool Decode(ByteSource& source, uint16_t codec) {
    value = source.GetI64();
    return codec == 1;
  }
};

using Model = std::map<std::string, int64_t>;

Model LiveOf(KeyedTable<Cell>& table) {
  Model live;
  table.ForEach([&](std::string_view key, Cell& cell) { CHECK(live.emplace(key, cell.value).second); });
  return live;
}

std::string BytesOf(int64_t value) {
  ByteSink sink;
  sink.PutI64(value);
  return sink.Take();
}

/// Random work on the table and on two std::maps: what is live, and what a store fed by DrainDirty holds.
void Torture(uint64_t seed, uint32_t (*hash)(std::string_view), int steps, uint64_t keys) {
  CAPTURE(seed);
  Rng rng(seed);
  KeyedTable<Cell> table("t", {});
  Model model;
  Model committed;
  std::set<std::string> touched;
  const auto drain = [&] {
    std::set<std::string> drained;
    table.DrainDirty([&](const StateEntry& entry) {
      const std::string key(entry.key);
      REQUIRE(drained.insert(key).second);
      REQUIRE(touched.count(key) == 1);
      REQUIRE(entry.key_group == KeyGroupOf(hash(key)));
      if (entry.erased)
        committed.erase(key);
      else
        committed[key] = ByteSource(entry.value).GetI64();
    });
    REQUIRE(drained == touched);
    touched.clear();
    REQUIRE(committed == model);
  };
  for (int step = 0; step < steps; ++step) {
    const std::string key = "k" + std::to_string(rng.Below(keys));
    switch (rng.Below(8)) {
      case 0:
      case 1: {
        Cell* cell = table.Find(hash(key), key);
        REQUIRE((cell != nullptr) == (model.count(key) == 1));
        if (cell != nullptr) REQUIRE(cell->value == model[key]);
        break;
      }
      case 2:
      case 3:
      case 4: {
        bool created = false;
        Cell& cell = table.FindOrCreate(hash(key), key, &created);
        REQUIRE(created == (model.count(key) == 0));
        if (created) REQUIRE(cell.value == 0);
        model[key] = cell.value = static_cast<int64_t>(rng.Next());
        touched.insert(key);
        break;
      }
      case 5:
        if (Cell* cell = table.Find(hash(key), key)) {
          model[key] = ++cell->value;
          table.MarkDirty(hash(key), key);
          touched.insert(key);
        }
        break;
      default:
        if (model.erase(key) == 1) touched.insert(key);
        table.Erase(hash(key), key);
    }
    if (rng.Below(200) == 0) drain();
    REQUIRE(table.size() == static_cast<int64_t>(model.size()));
  }
  drain();
  REQUIRE(LiveOf(table) == model);
  REQUIRE(table.memory_bytes() > 0);
}

TEST_CASE("KeyedTable_RandomWork_EqualsMap") {
  for (uint64_t seed = 1; seed <= 4; ++seed) Torture(seed, &HashKey, 20000, seed % 2 == 0 ? 40 : 3000);
}

TEST_CASE("KeyedTable_EveryHashAlike_EqualsMap") {
  Torture(
      5, [](std::string_view) { return 0u; }, 5000, 60);
  Torture(
      6, [](std::string_view key) { return static_cast<uint32_t>(key.size() * 0x10000000u); }, 5000, 120);
  // Neighbouring slots that wrap around the end of the index: what backward-shift deletion gets wrong first.
  Torture(
      7, [](std::string_view key) { return 0xfffffff0u + static_cast<uint32_t>(key.back() % 16); }, 20000, 100);
}

/// Drains are written a few entries at a time while the table changes. Returns whether a drain was not what stood there
/// when it began.
bool DrainsWhileItChanges(uint64_t seed, bool forget, bool compare) {
  CAPTURE(seed);
  Rng rng(seed);
  KeyedTable<Cell> table("t", {});
  table.forgets_to_save = forget;
  table.compares_drains = compare;
  Model model, sealed, written;
  bool wrong = false;
  const auto check = [&] { wrong = wrong || written != sealed || !table.drain_status().ok(); };
  for (int step = 0; step < 20000; ++step) {
    if (rng.Below(300) == 0) {
      while (!table.DrainSome(7)) {
      }
      check();
      sealed = model;
      table.BeginDrain([&](const StateEntry& entry) {
        if (entry.erased)
          written.erase(std::string(entry.key));
        else
          written[std::string(entry.key)] = ByteSource(entry.value).GetI64();
      });
    }
    if (rng.Below(4) == 0 && table.draining() && table.DrainSome(1 + rng.Below(6))) check();
    const std::string key = "k" + std::to_string(rng.Below(200));
    const uint32_t hash = HashKey(key);
    switch (rng.Below(6)) {
      case 0:
        table.Erase(hash, key);
        model.erase(key);
        break;
      case 1:
        if (Cell* cell = table.Find(hash, key)) {
          table.MarkDirty(hash, key);
          model[key] = ++cell->value;
        }
        break;
      case 2:
        if (Cell* cell = table.Find(hash, key)) {
          table.BeforeChange(hash, key);
          model[key] = ++cell->value;
          table.MarkDirty(hash, key);
        }
        break;
      default:
        model[key] = table.FindOrCreate(hash, key).value = static_cast<int64_t>(rng.Next());
    }
  }
  CHECK(LiveOf(table) == model);
  return wrong;
}

TEST_CASE("KeyedTable_ChangesBetweenSlicesOfADrain_TheDrainIsWhatStoodThereWhenItBegan") {
  for (uint64_t seed = 1; seed <= 10; ++seed) CHECK_FALSE(DrainsWhileItChanges(seed, false, seed % 2 == 0));
}

TEST_CASE("KeyedTable_SealedValueChangedUnsaved_IsFound") {
  CHECK(DrainsWhileItChanges(11, true, false));
  // The comparison alone finds it, too: a value changed through a pointer, and MarkDirty only then.
  KeyedTable<Cell> table("t", {});
  table.compares_drains = true;
  Cell& cell = table.FindOrCreate(HashKey("a"), "a");
  table.BeginDrain([](const StateEntry&) {});
  ++cell.value;
  table.MarkDirty(HashKey("a"), "a");
  CHECK(table.DrainSome(1));
  CHECK(table.drain_status().ToString().find("changed while a checkpoint was writing it") != std::string::npos);
}

TEST_CASE("KeyedTable_EraseAndReinsertWithinOneEpoch_IsOneChange") {
  KeyedTable<Cell> table("t", {});
  REQUIRE(table.RestoreEntry(KeyGroupOf(HashKey("a")), "a", BytesOf(7), 1).ok());
  int changes = 0;
  table.DrainDirty([&](const StateEntry&) { ++changes; });
  CHECK(changes == 0);  // what was restored is clean
  table.Erase(HashKey("a"), "a");
  CHECK(table.Find(HashKey("a"), "a") == nullptr);
  bool created = false;
  CHECK(table.FindOrCreate(HashKey("a"), "a", &created).value == 0);
  CHECK(created);
  table.FindOrCreate(HashKey("a"), "a").value = 9;
  table.FindOrCreate(HashKey("b"), "b");
  table.Erase(HashKey("b"), "b");
  std::map<std::string, std::string> drained;
  table.DrainDirty(
      [&](const StateEntry& e) { drained[std::string(e.key)] = e.erased ? "erased" : std::string(e.value); });
  CHECK(drained == std::map<std::string, std::string>{{"a", BytesOf(9)}, {"b", "erased"}});
  CHECK(table.size() == 1);
}

TEST_CASE("KeyedTable_References_StayValidWhileItGrows") {
  KeyedTable<Cell> table("t", {});
  Cell* const first = &table.FindOrCreate(HashKey("first"), "first");
  for (int i = 0; i < 100000; ++i) {
    const std::string key = std::to_string(i);
    table.FindOrCreate(HashKey(key), key).value = i;
  }
  CHECK(first == table.Find(HashKey("first"), "first"));
}

TEST_CASE("KeyedTable_Restore_GivesTheSameTableEvenWithTrueCollisions") {
  // Among 300,000 keys some ten pairs share all 32 bits of the hash (n^2 / 2^33).
  KeyedTable<Cell> table("t", {});
  std::unordered_map<uint32_t, int> seen;
  int collisions = 0;
  for (int i = 0; i < 300000; ++i) {
    const std::string key = "user" + std::to_string(i);
    if (++seen[HashKey(key)] > 1) ++collisions;
    table.FindOrCreate(HashKey(key), key).value = i;
  }
  REQUIRE(collisions > 0);
  KeyedTable<Cell> restored("t", {});
  table.DrainDirty([&](const StateEntry& e) { REQUIRE(restored.RestoreEntry(e.key_group, e.key, e.value, 1).ok()); });
  CHECK(LiveOf(restored) == LiveOf(table));
  std::map<std::string, std::string> exported;
  restored.ForEachEncoded([&](const StateEntry& e) { exported[std::string(e.key)] = e.value; });
  CHECK(exported.size() == 300000);
  CHECK(exported["user5"] == BytesOf(5));
}

TEST_CASE("KeyedTable_BadCheckpointBytes_AreDataLoss") {
  KeyedTable<Cell> table("t", {});
  CHECK(table.RestoreEntry(0, "a", "short", 1).code() == StatusCode::kDataLoss);
  CHECK(table.RestoreEntry(0, "b", BytesOf(1) + "x", 1).code() == StatusCode::kDataLoss);
  CHECK(table.RestoreEntry(0, "c", BytesOf(1), 2).code() == StatusCode::kDataLoss);
  CHECK(table.RestoreEntry(0, "d", BytesOf(1), 1).ok());
  CHECK(table.RestoreEntry(0, "d", BytesOf(1), 1).code() == StatusCode::kDataLoss);
}

}  // namespace
}  // namespace freshet
