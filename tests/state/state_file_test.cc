// A state in one file, copies of a state, and what damage does to one.
#include "engine/state/state_file.h"

#include <filesystem>
#include <fstream>

#include "engine/state/outbox_store.h"
#include "tests/state/store_fixture.h"

namespace freshet {
namespace {

namespace fs = std::filesystem;

Manifest ManifestWithTables(uint64_t epoch) {
  Manifest manifest = ManifestOf(epoch);
  manifest.tables.push_back({"node", "second", 2, 1, "key: int64"});
  manifest.tables.push_back({"other", "third", 3, 1, "key: int64"});
  return manifest;
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void WriteAll(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

TEST_CASE_TEMPLATE("StateFile_ExportedAndImported_HoldsTheSame", Fixture, MemoryFixture, RocksDbFixture) {
  TempDirectory directory;
  const std::string path = directory.path() + "/state.fst";
  Fixture from;
  Oracle oracle;
  Rng rng(4);
  REQUIRE(ExportState(from.store(), Env::Posix(), path).status().code() == StatusCode::kNotFound);
  REQUIRE(from.store().Commit(ManifestWithTables(5), RandomEpoch(rng, 3000, oracle)).ok());
  EpochRows engine;
  engine.Put(kEngineTable, 0, "source/in", "position");
  REQUIRE(from.store().Commit(ManifestWithTables(7), std::move(engine)).ok());
  REQUIRE(from.store().outbox()->Write({{"waiting", "row"}, {std::string("\0x", 2), ""}}, true).ok());
  const auto exported = ExportState(from.store(), Env::Posix(), path);
  REQUIRE_MESSAGE(exported.ok(), exported.status().message());
  CHECK(exported->outbox_count == 2);
  Fixture into;
  const auto imported = ImportState(into.store(), Env::Posix(), path);
  REQUIRE_MESSAGE(imported.ok(), imported.status().message());
  CHECK(imported->row_count == exported->row_count);
  into.Reopen();
  CHECK(ContentsOf(into.store()) == oracle);
  CHECK(into.store().Load()->value().epoch.number == 7);
  CHECK(into.store().Load()->value().tables.size() == 3);
  CHECK(**into.store().Get(kEngineTable, 0, "source/in") == "position");
  CHECK(**into.store().outbox()->Get("waiting") == "row");
  CHECK(ImportState(into.store(), Env::Posix(), path).status().code() == StatusCode::kAlreadyExists);
}

TEST_CASE("StateFile_CutOrChangedAnywhere_IsRefused") {
  TempDirectory directory;
  const std::string path = directory.path() + "/state.fst";
  MemoryFixture from;
  EpochRows rows;
  rows.Put(1, 3, "key", "value");
  REQUIRE(from.store().Commit(ManifestOf(1), std::move(rows)).ok());
  REQUIRE(ExportState(from.store(), Env::Posix(), path).ok());
  const std::string whole = ReadAll(path);
  for (size_t at = 0; at < whole.size(); ++at) {
    CAPTURE(at);
    for (const bool cut : {false, true}) {
      std::string bytes = whole;
      if (cut)
        bytes.resize(at);
      else
        bytes[at] = static_cast<char>(bytes[at] ^ 0x11);
      WriteAll(path, bytes);
      MemoryFixture into;
      const Status status = ImportState(into.store(), Env::Posix(), path).status();
      REQUIRE((status.code() == StatusCode::kDataLoss || status.code() == StatusCode::kUnsupported));
      REQUIRE(!into.store().Load()->has_value());
    }
  }
  std::string newer = whole;
  newer[4] = 2;
  WriteAll(path, newer);
  MemoryFixture into;
  CHECK(ImportState(into.store(), Env::Posix(), path).status().message().find("newer Freshet") != std::string::npos);
}

TEST_CASE("Store_NewerManifestFormat_IsRefusedWithTheWaysOut") {
  RocksDbFixture f;
  std::string bytes = ManifestOf(3).Encode();
  bytes[4] = 99;
  const Result<Manifest> manifest = Manifest::Decode(bytes);
  CHECK(manifest.status().code() == StatusCode::kUnsupported);
  CHECK(manifest.status().message().find("format 99") != std::string::npos);
  CHECK(manifest.status().message().find("--fresh") != std::string::npos);
}

TEST_CASE_TEMPLATE("Store_DropTables_TakesThemOutAndLeavesTheOthers", Fixture, MemoryFixture, RocksDbFixture) {
  Fixture f;
  Oracle oracle;
  Rng rng(9);
  REQUIRE(f.store().Commit(ManifestWithTables(1), RandomEpoch(rng, 3000, oracle)).ok());
  EpochRows rows;
  rows.Put(kEngineTable, 0, "counters/x", "1");
  REQUIRE(f.store().DropTables(ManifestWithTables(2), {1, 3}, std::move(rows)).ok());
  f.Reopen();
  std::erase_if(oracle, [](const auto& row) { return std::get<0>(row.first) != 2; });
  REQUIRE(oracle.size() > 100);
  CHECK(ContentsOf(f.store()) == oracle);
  CHECK(f.store().Load()->value().epoch.number == 2);
  CHECK(f.store().Get(kEngineTable, 0, "counters/x")->has_value());
  EpochRows again;
  again.Put(1, 4, "new", "row");
  REQUIRE(f.store().Commit(ManifestWithTables(3), std::move(again)).ok());
  CHECK(ContentsOf(f.store()).size() == oracle.size() + 1);
}

TEST_CASE("RocksDbStore_CopyTo_IsAStateOfItsOwnAndReplaceStateGoesBack") {
  RocksDbFixture f;
  TempDirectory elsewhere;
  const std::string copy = elsewhere.path() + "/copy";
  Oracle oracle;
  Rng rng(12);
  REQUIRE(f.store().Commit(ManifestOf(1), RandomEpoch(rng, 2500, oracle)).ok());
  REQUIRE(f.store().Commit(ManifestOf(2), RandomEpoch(rng, 50, oracle)).ok());
  const Status copied = f.store().CopyTo(copy);
  REQUIRE_MESSAGE(copied.ok(), copied.message());
  CHECK(f.store().CopyTo(copy).code() == StatusCode::kAlreadyExists);
  const Oracle then = oracle;
  for (uint64_t epoch = 3; epoch < 12; ++epoch)
    REQUIRE(f.store().Commit(ManifestOf(epoch), RandomEpoch(rng, 2500, oracle)).ok());
  {
    const auto opened = OpenRocksDbStoreReadOnly(Env::Posix(), copy);
    REQUIRE_MESSAGE(opened.ok(), opened.status().message());
    CHECK((*opened)->Load()->value().epoch.number == 2);
    CHECK(ContentsOf(**opened) == then);
  }
  CHECK(ReplaceState(Env::Posix(), f.path(), copy).code() == StatusCode::kLocked);
  f.Close();
  const Status replaced = ReplaceState(Env::Posix(), f.path(), copy);
  REQUIRE_MESSAGE(replaced.ok(), replaced.message());
  f.Reopen();
  CHECK(ContentsOf(f.store()) == then);
  CHECK(f.store().Load()->value().epoch.number == 2);
  // A crash between the two renames: the state stands under the other name.
  f.Close();
  fs::rename(f.path() + "/db", f.path() + "/db.replaced");
  f.Reopen();
  CHECK(ContentsOf(f.store()) == then);
}

TEST_CASE("RocksDbStore_ReadOnlyWhereThereIsNothing_SaysSo") {
  TempDirectory directory;
  CHECK(OpenRocksDbStoreReadOnly(Env::Posix(), directory.path()).status().code() == StatusCode::kNotFound);
  CHECK(!fs::exists(directory.path() + "/db"));
}

// Every file of a small state, cut at several places and with bits turned at several places: it is refused, or it holds
// a whole epoch. Never something else, never a crash.
TEST_CASE("RocksDbStore_AnyFileDamagedAnywhere_IsRefusedOrHoldsAWholeEpoch") {
  for (const bool sorted_files : {false, true}) {
    TempDirectory place;
    const std::string good = place.path() + "/good";
    std::vector<Oracle> epochs(1);
    {
      auto opened = OpenRocksDbStore(Env::Posix(), good, false);
      REQUIRE(opened.ok());
      Rng rng(7);
      Oracle oracle;
      for (uint64_t epoch = 1; epoch <= 3; ++epoch) {
        const size_t count = sorted_files && epoch != 3 ? 2100 : 60;
        REQUIRE((*opened)->Commit(ManifestOf(epoch), RandomEpoch(rng, count, oracle)).ok());
        epochs.push_back(oracle);
      }
    }
    int refused = 0;
    int whole = 0;
    int older = 0;
    for (const auto& entry : fs::directory_iterator(good + "/db")) {
      const std::string name = entry.path().filename();
      const std::string bytes = ReadAll(entry.path());
      Rng rng(Mix64(bytes.size()));
      for (int n = 0; n < 24; ++n) {
        CAPTURE(name);
        CAPTURE(n);
        const std::string bad = place.path() + "/bad";
        fs::remove_all(bad);
        fs::copy(good, bad, fs::copy_options::recursive);
        std::string changed = bytes;
        const size_t at = bytes.empty() ? 0 : rng.Below(bytes.size());
        CAPTURE(at);
        if (n % 3 == 0)
          changed.resize(at);
        else if (!changed.empty())
          changed[at] = static_cast<char>(changed[at] ^ (1 << rng.Below(8)));
        WriteAll(bad + "/db/" + name, changed);
        auto opened = OpenRocksDbStore(Env::Posix(), bad, false);
        if (!opened.ok()) {
          REQUIRE_MESSAGE(
              (opened.status().code() == StatusCode::kDataLoss || opened.status().code() == StatusCode::kUnsupported),
              opened.status().message());
          REQUIRE(opened.status().message().find("--fresh") != std::string::npos);
          ++refused;
          continue;
        }
        const auto manifest = (*opened)->Load();
        Status scanned = manifest.status();
        Oracle found;
        for (TableId table = 1; table <= 3 && scanned.ok(); ++table)
          scanned = (*opened)->Scan(table, 0, 127, [&](uint16_t group, std::string_view key, std::string_view value) {
            found.emplace(std::tuple(table, group, std::string(key)), std::string(value));
            return Status::Ok();
          });
        if (!scanned.ok()) {
          REQUIRE_MESSAGE(scanned.code() == StatusCode::kDataLoss, scanned.message());
          ++refused;
          continue;
        }
        const uint64_t epoch = manifest->has_value() ? (*manifest)->epoch.number : 0;
        REQUIRE(epoch < epochs.size());
        REQUIRE(found == epochs[epoch]);
        ++(epoch == 3 ? whole : older);
      }
    }
    MESSAGE("refused " << refused << ", whole " << whole << ", an older epoch " << older);
    CHECK(refused > 20);
  }
}

}  // namespace
}  // namespace freshet
