// Keys leave memory and come back: a table against a std::map, with epochs that are committed late, in part, or lost.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <deque>
#include <map>
#include <set>

#include "engine/base/rng.h"
#include "engine/batch/column_builder.h"
#include "engine/state/checkpoint_store.h"
#include "engine/state/forwarding_store.h"
#include "engine/state/keyed_table.h"
#include "engine/state/spill_store.h"
#include "engine/state/table_scan.h"
#include "engine/state/tiered_rows.h"
#include "tests/state/temp_directory.h"

namespace freshet {
namespace {

struct Cell {
  int64_t value = 0;
  std::string text;
  int64_t MemoryBytes() const { return text.capacity() > 15 ? static_cast<int64_t>(text.capacity()) : 0; }
  void Encode(ByteSink& sink) const {
    sink.PutI64(value);
    sink.PutString(text);
  }
  bool Decode(ByteSource& source, uint16_t) {
    value = source.GetI64();
    text = source.GetString();
    return source.ok();
  }
};

constexpr TableId kTable = 7;

class Rows final : public CommittedRows {
 public:
  explicit Rows(CheckpointStore* store) : store_(store) {
    first_key_group = 0;
    last_key_group = kKeyGroupCount - 1;
  }
  Status MultiGet(const std::vector<Ref>& sorted,
                  const std::function<Status(size_t, std::string_view)>& visit) override {
    return store_->MultiGet(kTable, sorted, visit);
  }
  Status ScanSome(uint16_t group, std::string_view from, size_t count,
                  const std::function<Status(std::string_view, std::string_view)>& visit) override {
    return store_->ScanSome(kTable, group, from, count, visit);
  }

 private:
  CheckpointStore* store_;
};

/// A table, the store below it, and what both together should hold.
struct World {
  CheckpointStore* store;
  SpillStore* spill;  ///< null: nothing is put aside
  std::unique_ptr<KeyedTable<Cell>> table;
  std::map<std::string, int64_t> live;
  std::map<std::string, int64_t> durable;                                                 ///< as of the last commit
  std::deque<std::tuple<uint64_t, EpochRows, std::map<std::string, int64_t>>> under_way;  ///< drained, not committed
  uint64_t drains = 0;
  uint64_t epoch = 0;

  /// `anew`: nothing has left the table before, so it asks nobody.
  void Restart(bool anew = false) {
    table = std::make_unique<KeyedTable<Cell>>("t", TableOptions{1, "", true});
    if (spill != nullptr) {
      auto rows = std::make_unique<TieredRows>(store, spill, kTable);
      rows->first_key_group = 0;
      rows->last_key_group = kKeyGroupCount - 1;
      table->AttachCommitted(std::move(rows));
    } else {
      table->AttachCommitted(std::make_unique<Rows>(store));
    }
    if (!anew) table->LeaveInStore(0);
    under_way.clear();
    drains = 0;
    live = durable;
  }
  /// What stands there now is to be in the rows; they are written bit by bit.
  void Drain() {
    table->FinishDrain();
    EpochRows& rows = std::get<1>(under_way.emplace_back(++drains, EpochRows(), live));
    table->compares_drains = true;
    table->BeginDrain([&rows](const StateEntry& e) {
      if (e.erased)
        rows.Erase(kTable, e.key_group, e.key);
      else
        rows.Put(kTable, e.key_group, e.key, e.value);
    });
    REQUIRE(table->drain_status().ok());
  }
  /// The oldest epochs under way, `count` of them as one: an abandoned one leaves with the next.
  void Commit(size_t count) {
    EpochRows rows;
    uint64_t drain = 0;
    if (count >= under_way.size()) table->FinishDrain();
    REQUIRE(table->drain_status().ok());
    for (; count > 0 && !under_way.empty(); --count) {
      auto& [number, part, then] = under_way.front();
      rows.Merge(std::move(part));
      drain = number;
      durable = then;
      under_way.pop_front();
    }
    if (drain == 0) return;
    Manifest manifest;
    manifest.epoch = {++epoch};
    REQUIRE(store->Commit(manifest, std::move(rows)).ok());
    table->OnCommitted(drain);
  }
  void Load(const std::string& key) { REQUIRE(table->LoadMissing(HashKey(key), key).ok()); }
  void CheckKey(const std::string& key) {
    Load(key);
    const Cell* cell = table->Find(HashKey(key), key);
    const auto expected = live.find(key);
    REQUIRE((cell != nullptr) == (expected != live.end()));
    if (cell != nullptr) REQUIRE(cell->value == expected->second);
  }
};

/// Returns how many bytes of clean keys left.
[[nodiscard]] int64_t Torture(CheckpointStore* store, uint64_t seed, int steps, SpillStore* spill = nullptr) {
  CAPTURE(seed);
  Rng rng(seed);
  World w{store, spill, nullptr, {}, {}, {}, 0, 0};
  w.Restart();
  int64_t evicted = 0;
  int64_t put_aside = 0;
  for (int step = 0; step < steps; ++step) {
    if (rng.Below(2) == 0) w.table->DrainSome(1 + rng.Below(8));
    if (spill != nullptr && rng.Below(20) == 0) {
      const Result<int64_t> put = w.table->PutAside(static_cast<int64_t>(rng.Below(60000)));
      REQUIRE(put.ok());
      put_aside += *put;
    }
    const std::string key =
        "key-" + std::to_string(rng.Below(300)) + (rng.Below(4) == 0 ? "-longer than fifteen bytes" : "");
    switch (rng.Below(24)) {
      case 0:
        w.Drain();
        break;
      case 1:
        w.Commit(1 + rng.Below(3));
        break;
      case 2:
      case 3:
        evicted += w.table->EvictClean(static_cast<int64_t>(rng.Below(60000)));
        break;
      case 4:
        if (rng.Below(40) == 0) w.Restart();
        break;
      case 5:
      case 6:
      case 7:
      case 8:
        w.Load(key);
        w.table->Erase(HashKey(key), key);
        w.live.erase(key);
        break;
      case 9: {
        // All that stands in the store only, in key order, and memory: each key once.
        w.table->HoldEviction(true);
        std::map<std::string, int64_t> seen;
        w.table->ForEach([&](std::string_view k, Cell& c) { seen[std::string(k)] = c.value; });
        StoredScan scan(w.table->committed_rows(), std::bitset<kKeyGroupCount>().set());
        std::string before;
        for (bool found = true;;) {
          REQUIRE(scan.Next(&found).ok());
          if (!found) break;
          const std::string k(scan.key());
          REQUIRE(before < k);
          before = k;
          if (!w.table->has_evicted() || w.table->Resident(HashKey(k), k)) continue;
          Cell cell;
          REQUIRE(w.table->DecodeValue(scan.value(), 1, &cell).ok());
          REQUIRE(seen.emplace(k, cell.value).second);
        }
        REQUIRE(seen == w.live);
        w.table->HoldEviction(false);
        break;
      }
      default: {
        w.CheckKey(key);
        Cell& cell = w.table->FindOrCreate(HashKey(key), key);
        cell.value += 1 + static_cast<int64_t>(rng.Below(1000));
        cell.text = std::string(rng.Below(rng.Below(40) == 0 ? 60000 : 60), 'x');  // the large ones fill a scan's piece
        w.live[key] = cell.value;
      }
    }
  }
  for (int i = 0; i < 300; ++i) w.CheckKey("key-" + std::to_string(i));
  CHECK((put_aside > 0) == (spill != nullptr));
  return evicted;
}

TEST_CASE("SpillStore_RandomWorkWithLateAndMergedCommits_AllTiersTogetherHoldTheModel") {
  int64_t evicted = 0;  // where most is put aside, little is clean
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    const TempDirectory directory;
    const auto spill = NewRocksDbSpill(Env::Posix(), directory.path() + "/spill");
    evicted += Torture(NewMemoryStore().get(), seed, 3000, spill.get());
    CHECK(spill->written_bytes() > 0);
  }
  CHECK(evicted > 0);
}

/// Fails each `every`-th write.
class FullAtTimes final : public ForwardingSpill {
 public:
  FullAtTimes(SpillStore* base, int every) : ForwardingSpill(base), every_(every) {}
  Status Write(EpochRows&& rows) override {
    if (++writes_ % every_ == 0) return Status::Io("no space left on device");
    return ForwardingSpill::Write(std::move(rows));
  }

 private:
  const int every_;
  int writes_ = 0;
};

TEST_CASE("SpillStore_FullHalfway_WhatWentBeforeIsNotForgotten") {
  const TempDirectory directory;
  const auto spill = NewRocksDbSpill(Env::Posix(), directory.path() + "/spill");
  FullAtTimes full(spill.get(), 2);
  const auto store = NewMemoryStore();
  World w{store.get(), &full, nullptr, {}, {}, {}, 0, 0};
  w.Restart(true);
  const auto key_of = [](int i) { return "key-" + std::to_string(i); };
  for (int i = 0; i < 10000; ++i) {
    w.table->FindOrCreate(HashKey(key_of(i)), key_of(i)).value = i;
    w.live[key_of(i)] = i;
  }
  CHECK_FALSE(w.table->PutAside(1 << 30).ok());
  CHECK(w.table->size() < 10000);
  for (int i = 0; i < 10000; i += 3) {
    w.Load(key_of(i));
    w.table->FindOrCreate(HashKey(key_of(i)), key_of(i)).value += 1;
    w.live[key_of(i)] += 1;
  }
  w.Drain();
  w.Commit(1);
  for (int i = 0; i < 10000; ++i) w.CheckKey(key_of(i));
  w.Restart();
  for (int i = 0; i < 10000; ++i) w.CheckKey(key_of(i));
}

TEST_CASE("SpillStore_TableGivenBackToAFullDisk_IsEmptiedAndUsedAgain") {
  const auto spill = NewMemorySpill();
  FullAtTimes full(spill.get(), 2);
  const auto table = full.TakeTable();
  REQUIRE(table.ok());
  EpochRows rows;
  rows.Put(*table, 3, "key", "value");
  REQUIRE(full.Write(std::move(rows)).ok());
  full.GiveBackTable(*table);  // finds the disk full
  const auto again = full.TakeTable();
  REQUIRE(again.ok());
  CHECK(*again == *table);
  int found = 0;
  REQUIRE(full.ScanSome(*again, 3, "", 10,
                        [&](std::string_view, std::string_view) {
                          ++found;
                          return Status::Ok();
                        })
              .ok());
  CHECK(found == 0);
  const auto other = full.TakeTable();
  REQUIRE(other.ok());
  CHECK(*other != *table);
}

TEST_CASE("SpillStore_DiskFullBetweenTwoPieces_WhatHasLeftIsFound") {
  const auto store = NewMemoryStore();
  const auto spill = NewMemorySpill();
  FullAtTimes full(spill.get(), 2);
  KeyedTable<Cell> table("t", TableOptions{1, "", true});  // nothing has ever left it
  auto rows = std::make_unique<TieredRows>(store.get(), &full, kTable);
  rows->last_key_group = kKeyGroupCount - 1;
  table.AttachCommitted(std::move(rows));
  const auto create = [&](const std::string& prefix) {
    for (int i = 0; i < 10; ++i) {
      const std::string key = prefix + std::to_string(i);
      table.FindOrCreate(HashKey(key), key).value = i;
    }
  };
  // Those that wait for a commit are a piece, the others the next one, which finds the disk full.
  create("waits-");
  table.DrainDirty([](const StateEntry&) {});
  create("changed-");
  CHECK_FALSE(table.PutAside(1 << 20).ok());
  CHECK(table.size() == 10);
  for (const char* prefix : {"waits-", "changed-"})
    for (int i = 0; i < 10; ++i) {
      const std::string key = prefix + std::to_string(i);
      CAPTURE(key);
      REQUIRE(table.LoadMissing(HashKey(key), key).ok());
      const Cell* const cell = table.Find(HashKey(key), key);
      REQUIRE(cell != nullptr);
      CHECK(cell->value == i);
    }
}

TEST_CASE("SpillStore_OpenedAgain_IsEmptyAndLeavesNothing") {
  const TempDirectory directory;
  const std::string path = directory.path() + "/spill";
  REQUIRE(Env::Posix()->MakeDirectories(path).ok());
  REQUIRE(Env::Posix()->WriteFileAtomically(path + "/left by a crash", "x").ok());
  for (int life = 0; life < 2; ++life) {
    const auto spill = NewRocksDbSpill(Env::Posix(), path);
    int found = 0;
    const auto count = [&](size_t, std::string_view value) {
      ++found;
      CHECK(value == "v");
      return Status::Ok();
    };
    EpochRows other;
    other.Put(1, 7, "other", "x");
    REQUIRE(spill->Write(std::move(other)).ok());
    REQUIRE(spill->MultiGet(1, {{7, "k"}}, count).ok());
    CHECK(found == 0);
    EpochRows rows;
    rows.Put(1, 7, "k", "v");
    REQUIRE(spill->Write(std::move(rows)).ok());
    REQUIRE(spill->MultiGet(1, {{7, "k"}}, count).ok());
    CHECK(found == 1);
  }
  CHECK_FALSE(Env::Posix()->Stat(path).ok());
}

TEST_CASE("SpillStore_WithoutADirectory_HasAPrivateOneAndRemovesAbandonedOnes") {
  const TempDirectory directory;
  REQUIRE(::setenv("TMPDIR", directory.path().c_str(), 1) == 0);
  Env& env = *Env::Posix();
  // A killed process left one; nobody holds its lock.
  const std::string abandoned = directory.path() + "/freshet-spill-abcdef";
  REQUIRE(env.MakeDirectories(abandoned).ok());
  REQUIRE(env.WriteFileAtomically(abandoned + "/LOCK", "").ok());
  {
    const auto first = NewRocksDbSpill(&env, "");
    CHECK(env.List(directory.path())->size() == 1);  // made when it is needed
    const auto second = NewRocksDbSpill(&env, "");
    for (SpillStore* spill : {first.get(), second.get()}) {
      EpochRows rows;
      rows.Put(1, 7, "k", "v");
      REQUIRE(spill->Write(std::move(rows)).ok());
    }
    const std::vector<std::string> names = *env.List(directory.path());
    CHECK(names.size() == 2);
    for (const std::string& name : names) {
      struct stat info {};
      REQUIRE(::stat((directory.path() + "/" + name).c_str(), &info) == 0);
      CHECK((info.st_mode & 0777) == 0700);
    }
  }
  CHECK(env.List(directory.path())->empty());
  ::unsetenv("TMPDIR");
}

TEST_CASE("Eviction_RandomWorkWithLateAndMergedCommits_TableAndStoreTogetherHoldTheModel") {
  for (uint64_t seed = 1; seed <= 60; ++seed) CHECK(Torture(NewMemoryStore().get(), seed, 4000) > 0);
}

TEST_CASE("Eviction_RandomWorkOverRocksDb_TableAndStoreTogetherHoldTheModel") {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const TempDirectory directory;
    auto store = OpenRocksDbStore(Env::Posix(), directory.path(), false);
    REQUIRE(store.ok());
    CHECK(Torture(store->get(), 1000 + seed, 1500) > 0);
  }
}

TEST_CASE("Eviction_DirtyAndUncommittedKeys_Stay") {
  const auto store = NewMemoryStore();
  World w{store.get(), nullptr, nullptr, {}, {}, {}, 0, 0};
  w.Restart();
  for (int i = 0; i < 100; ++i) {
    const std::string key = std::to_string(i);
    w.table->FindOrCreate(HashKey(key), key).value = i;
    w.live[key] = i;
  }
  CHECK(w.table->EvictClean(1 << 30) == 0);
  w.Drain();
  CHECK(w.table->EvictClean(1 << 30) == 0);
  CHECK(w.table->unclean_bytes() > 0);
  w.Commit(1);
  CHECK(w.table->unclean_bytes() == 0);
  CHECK(w.table->EvictClean(1 << 30) > 0);
  CHECK(w.table->size() == 0);
  for (int i = 0; i < 100; ++i) w.CheckKey(std::to_string(i));
}

TEST_CASE("EpochRows_EraseGroups_TakesWhatWasThereAndLeavesWhatComesAfter") {
  for (const bool rocks : {false, true}) {
    for (const int filler : {0, 5000}) {  // as a batch and as a sorted file
      CAPTURE(rocks);
      CAPTURE(filler);
      const TempDirectory directory;
      std::unique_ptr<CheckpointStore> store = NewMemoryStore();
      if (rocks) store = OpenRocksDbStore(Env::Posix(), directory.path(), false).value();
      EpochRows first;
      for (uint16_t g = 0; g < 6; ++g) first.Put(1, g, "old", "1");
      first.Put(2, 3, "other table", "1");
      Manifest manifest;
      manifest.epoch = {1};
      REQUIRE(store->Commit(manifest, std::move(first)).ok());
      EpochRows second;
      second.Put(1, 3, "too early", "1");
      EpochRows newer;
      newer.EraseGroups(1, 2, 4);
      newer.Put(1, 4, "new", "1");
      for (int i = 0; i < filler; ++i) newer.Put(9, 0, std::to_string(i), "x");
      second.Merge(std::move(newer));
      manifest.epoch = {2};
      REQUIRE(store->Commit(manifest, std::move(second)).ok());
      std::vector<std::string> left;
      for (TableId t = 1; t <= 2; ++t)
        REQUIRE(store
                    ->Scan(t, 0, 127,
                           [&](uint16_t g, std::string_view key, std::string_view) {
                             left.push_back(std::to_string(g) + std::string(key));
                             return Status::Ok();
                           })
                    .ok());
      CHECK(left == std::vector<std::string>{"0old", "1old", "4new", "5old", "3other table"});
      CHECK(!store->Get(1, 2, "old")->has_value());
    }
  }
}

}  // namespace
}  // namespace freshet
