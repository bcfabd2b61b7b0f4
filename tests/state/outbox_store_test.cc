#include "engine/state/outbox_store.h"

#include <filesystem>
#include <map>

#include "engine/state/rocksdb_store_testing.h"
#include "engine/state/row_format.h"
#include "tests/state/faulty_file_system.h"
#include "tests/state/store_fixture.h"

#include <rocksdb/db.h>

namespace freshet {
namespace {

using Changes = std::vector<OutboxStore::Change>;

std::map<std::string, std::string> RowsOf(OutboxStore& outbox) {
  std::map<std::string, std::string> found;
  auto rows = outbox.Scan("", "\xff", 1000000);
  REQUIRE_MESSAGE(rows.ok(), rows.status().message());
  for (OutboxStore::Row& row : *rows) found.emplace(std::move(row.key), std::move(row.value));
  return found;
}

TEST_CASE_TEMPLATE("Outbox_RandomChanges_EqualAMapAcrossReopen", Fixture, MemoryFixture, RocksDbFixture) {
  constexpr uint64_t kSeed = 20260203;
  CAPTURE(kSeed);
  Fixture f;
  Rng rng(kSeed);
  std::map<std::string, std::string> oracle;
  Oracle committed;
  for (uint64_t round = 1; round <= 40; ++round) {
    CAPTURE(round);
    Changes changes;
    const uint64_t count = 1 + rng.Below(50);
    for (uint64_t i = 0; i < count; ++i) {
      const std::string key = "k" + std::to_string(1000 + rng.Below(300));
      if (rng.Below(3) == 0) {
        changes.push_back({key, std::nullopt});
        oracle.erase(key);
      } else {
        changes.push_back({key, std::string(rng.Below(200), static_cast<char>('a' + rng.Below(26)))});
        oracle[key] = *changes.back().value;
      }
    }
    REQUIRE(f.store().outbox()->Write(changes, rng.Below(2) == 0).ok());
    if (rng.Below(6) == 0) {
      const std::string from = "k" + std::to_string(1000 + rng.Below(300));
      const std::string to = "k" + std::to_string(1000 + rng.Below(300));
      REQUIRE(f.store().outbox()->EraseRange(from, to).ok());
      if (from < to) oracle.erase(oracle.lower_bound(from), oracle.lower_bound(to));
    }
    // Epochs of both kinds, batch and sorted file, leave it alone; and it leaves them alone.
    if (rng.Below(4) == 0) {
      const size_t rows = rng.Below(2) == 0 ? 20 : 2500;
      REQUIRE(f.store().Commit(ManifestOf(round), RandomEpoch(rng, rows, committed)).ok());
    }
    if (rng.Below(5) == 0) f.Reopen();
    REQUIRE(RowsOf(*f.store().outbox()) == oracle);
    REQUIRE(ContentsOf(f.store()) == committed);
    const std::string key = "k" + std::to_string(1000 + rng.Below(300));
    const auto value = f.store().outbox()->Get(key);
    REQUIRE(value.ok());
    REQUIRE(value->has_value() == (oracle.count(key) == 1));
    if (*value) REQUIRE(**value == oracle[key]);
  }
}

TEST_CASE_TEMPLATE("Outbox_Scan_StaysInItsRangeAndLimit", Fixture, MemoryFixture, RocksDbFixture) {
  Fixture f;
  OutboxStore& outbox = *f.store().outbox();
  REQUIRE(outbox.Write({{"a", "1"}, {"b", ""}, {"c", "3"}, {"d", "4"}}, false).ok());
  auto rows = outbox.Scan("b", "d", 10);
  REQUIRE(rows.ok());
  REQUIRE(rows->size() == 2);
  CHECK((*rows)[0].key == "b");
  CHECK((*rows)[0].value.empty());
  CHECK((*rows)[1].key == "c");
  CHECK(outbox.Scan("a", "z", 3)->size() == 3);
  CHECK(outbox.Scan("x", "z", 3)->empty());
}

TEST_CASE("Outbox_DiskFullAtAnyWrite_AllOrNothingAndGoesOnLater") {
  for (const bool synced : {false, true}) {
    bool untouched = false;
    for (int64_t n = 0; n < 20 && !untouched; ++n) {
      CAPTURE(synced);
      CAPTURE(n);
      TempDirectory directory;
      auto files = std::make_shared<FaultyFileSystem>();
      auto store = OpenRocksDbStoreOn(files, Env::Posix(), directory.path(), false);
      REQUIRE(store.ok());
      REQUIRE((*store)->outbox()->Write({{"a", "1"}}, true).ok());
      Rng rng(1);
      Oracle committed;
      REQUIRE((*store)->Commit(ManifestOf(1), RandomEpoch(rng, 30, committed)).ok());
      files->FailFrom(n);
      const Status status = (*store)->outbox()->Write({{"a", std::nullopt}, {"b", "2"}}, synced);
      untouched = !files->failed();
      if (!untouched) {
        REQUIRE_MESSAGE(status.code() == StatusCode::kNoSpace, status.message());
        REQUIRE((*store)->outbox()->Write({{"c", "3"}}, synced).code() == StatusCode::kNoSpace);
      }
      files->Heal();
      // Whoever comes first, the outbox or an epoch, puts the database in order.
      if (n % 2 == 0) REQUIRE((*store)->Commit(ManifestOf(2), RandomEpoch(rng, 30, committed)).ok());
      std::map<std::string, std::string> expected = RowsOf(*(*store)->outbox());
      const bool there = expected.count("b") == 1;  // all or nothing, and after an error either
      REQUIRE(expected == (there ? std::map<std::string, std::string>{{"b", "2"}}
                                 : std::map<std::string, std::string>{{"a", "1"}}));
      if (status.ok()) REQUIRE(there);
      const Status again = (*store)->outbox()->Write({{"d", "4"}}, true);
      REQUIRE_MESSAGE(again.ok(), again.message());
      expected["d"] = "4";
      if (n % 2 == 1) REQUIRE((*store)->Commit(ManifestOf(2), RandomEpoch(rng, 30, committed)).ok());
      store->reset();
      auto reopened = OpenRocksDbStore(Env::Posix(), directory.path(), false);
      REQUIRE_MESSAGE(reopened.ok(), reopened.status().message());
      REQUIRE(RowsOf(*(*reopened)->outbox()) == expected);
      REQUIRE(ContentsOf(**reopened) == committed);
    }
    CHECK(untouched);
  }
}

TEST_CASE("Outbox_DirectoryOfAnOlderFreshet_GetsOne") {
  TempDirectory directory;
  {
    // As versions without an outbox left it: one column family.
    std::filesystem::create_directories(directory.path());
    rocksdb::Options options;
    options.create_if_missing = true;
    rocksdb::DB* db = nullptr;
    REQUIRE(rocksdb::DB::Open(options, directory.path() + "/db", &db).ok());
    EpochRows rows;
    rows.Put(1, 7, "key", "value");
    rows.Put(kEngineTable, kStoreKeyGroup, "manifest", ManifestOf(3).Encode());
    for (const EpochRows::Row& row : rows.Sorted())
      REQUIRE(db->Put({}, std::string(row.key()), std::string(row.framed_value())).ok());
    delete db;
  }
  auto store = OpenRocksDbStore(Env::Posix(), directory.path(), false);
  REQUIRE_MESSAGE(store.ok(), store.status().message());
  CHECK((*store)->Load()->value().epoch.number == 3);
  CHECK(**(*store)->Get(1, 7, "key") == "value");
  CHECK((*store)->outbox()->Write({{"a", "1"}}, true).ok());
  store->reset();
  store = OpenRocksDbStore(Env::Posix(), directory.path(), false);
  REQUIRE(store.ok());
  CHECK(**(*store)->outbox()->Get("a") == "1");
  CHECK(**(*store)->Get(1, 7, "key") == "value");
}

}  // namespace
}  // namespace freshet
