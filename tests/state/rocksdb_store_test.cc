#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <set>
#include <thread>

#include "engine/base/limits.h"
#include "engine/state/rocksdb_files.h"
#include "engine/state/rocksdb_store_testing.h"
#include "tests/state/faulty_file_system.h"
#include "tests/state/store_fixture.h"

namespace freshet {
namespace {

namespace fs = std::filesystem;

/// The one file in the database whose name starts or ends so.
fs::path FileLike(const std::string& directory, const std::string& start, const std::string& end) {
  for (const auto& entry : fs::directory_iterator(directory + "/db")) {
    const std::string name = entry.path().filename();
    if (name.starts_with(start) && name.ends_with(end)) return entry.path();
  }
  FAIL("no such file");
  return {};
}

void Overwrite(const fs::path& path, std::streamoff at, const std::string& bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(at);
  file << bytes;
}

void CheckSaysWhatToDo(const Status& status, const std::string& directory) {
  CHECK_MESSAGE(status.code() == StatusCode::kDataLoss, StatusCodeName(status.code()), ": ", status.message());
  CHECK(status.message().find(directory) != std::string::npos);
  CHECK(status.message().find("--fresh") != std::string::npos);
}

/// This program in a process of its own, running one test case on a directory; what it writes to descriptor 3 can be
/// read.
class Child {
 public:
  Child(const std::string& test_case, const std::string& directory) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 3);
    std::string program = fs::read_symlink("/proc/self/exe");
    std::string filter = "--test-case=" + test_case;
    std::string no_skip = "--no-skip";
    std::string variable = "FRESHET_TEST_KILL_DIRECTORY=" + directory;
    std::string asan = "ASAN_OPTIONS=detect_leaks=0";
    char* arguments[] = {program.data(), filter.data(), no_skip.data(), nullptr};
    char* environment[] = {variable.data(), asan.data(), nullptr};
    REQUIRE(::posix_spawn(&pid_, program.c_str(), &actions, nullptr, arguments, environment) == 0);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    from_ = ends[0];
  }
  ~Child() {
    Kill();
    ::close(from_);
  }
  bool Read(char* event) const { return ::read(from_, event, 1) == 1; }
  void Kill() {
    if (pid_ == 0) return;
    ::kill(pid_, SIGKILL);
    int ignored = 0;
    CHECK(::waitpid(pid_, &ignored, 0) == pid_);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
  int from_ = -1;
};

TEST_CASE("RocksDbStore_OpenTwice_IsLockedAndSaysWhatToDo") {
  RocksDbFixture f;
  const auto second = OpenRocksDbStore(Env::Posix(), f.path(), false);
  CHECK(second.status().code() == StatusCode::kLocked);
  CHECK(second.status().message().find(f.path()) != std::string::npos);
  CHECK(second.status().message().find("settings.checkpoint.path") != std::string::npos);
  // Not even --fresh may take it away from the one who works with it.
  CHECK(OpenRocksDbStore(Env::Posix(), f.path(), true).status().code() == StatusCode::kLocked);
  CHECK(f.store().Commit(ManifestOf(1), EpochRows()).ok());
}

// The child of the next test: looks again and again whether somebody holds a state, as `freshet alerts` does.
TEST_CASE("RocksDbStore_LookForever_Child" * doctest::skip()) {
  const auto directory = Env::Posix()->Variable("FRESHET_TEST_KILL_DIRECTORY");
  if (!directory) return;
  for (char started = 0;; started = 1) {
    const bool held = Env::Posix()->Lock(*directory + "/LOCK").ok();
    if (started == 0) REQUIRE(::write(3, "b", 1) == 1);
    if (!held) std::this_thread::yield();
  }
}

TEST_CASE("RocksDbStore_OpenedWhileAnotherProcessLooks_IsNotInUse") {
  RocksDbFixture f;
  f.Close();
  Child child("RocksDbStore_LookForever_Child", f.path());
  char event = 0;
  REQUIRE(child.Read(&event));
  for (int n = 0; n < 20; ++n) {
    const auto opened = OpenRocksDbStore(Env::Posix(), f.path(), false);
    CHECK_MESSAGE(opened.ok(), opened.status().message());
  }
  child.Kill();
}

TEST_CASE("RocksDbStore_DamagedFiles_AreDataLossAndFreshHelps") {
  RocksDbFixture f;
  Oracle oracle;
  Rng rng(3);
  REQUIRE(f.store().Commit(ManifestOf(1), RandomEpoch(rng, 3000, oracle)).ok());
  REQUIRE(f.store().Commit(ManifestOf(2), RandomEpoch(rng, 100, oracle)).ok());
  f.Close();
  SUBCASE("the version file") { fs::resize_file(FileLike(f.path(), "MANIFEST-", ""), 20); }
  SUBCASE("its first bytes") { Overwrite(FileLike(f.path(), "MANIFEST-", ""), 0, "XXXXXXXXXXXXXXXX"); }
  SUBCASE("no CURRENT") { fs::remove(f.path() + "/db/CURRENT"); }
  SUBCASE("a missing sorted file") { fs::remove(FileLike(f.path(), "", ".sst")); }
  SUBCASE("a cut sorted file") { fs::resize_file(FileLike(f.path(), "", ".sst"), 100); }
  const auto opened = OpenRocksDbStore(Env::Posix(), f.path(), false);
  CheckSaysWhatToDo(opened.status(), f.path());
  const auto fresh = OpenRocksDbStore(Env::Posix(), f.path(), true);
  REQUIRE(fresh.ok());
  CHECK_FALSE((*fresh)->Load()->has_value());
}

TEST_CASE("RocksDbStore_DirectoryWithOtherThingsWhereItWouldClear_IsRefusedAndLeftAsItIs") {
  const TempDirectory directory;
  const std::string path = directory.path() + "/project";
  std::string foreign;
  SUBCASE("staging") { foreign = "staging/important.txt"; }
  SUBCASE("spill") { foreign = "spill/2026/x.txt"; }
  SUBCASE("db") { foreign = "db/schema.txt"; }
  SUBCASE("db, by number") { foreign = "db/001_create.sql"; }
  SUBCASE("db.replaced") { foreign = "db.replaced/notes"; }
  SUBCASE("incoming") { foreign = "incoming/mail"; }
  SUBCASE("incoming, deeper") { foreign = "incoming/db/mail"; }
  const fs::path file = fs::path(path) / foreign;
  fs::create_directories(file.parent_path());
  std::ofstream(file) << "mine";
  std::ofstream(path + "/beside.txt") << "mine too";
  const auto listed = [&] {
    std::set<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(path)) names.insert(entry.path());
    return names;
  };
  const std::set<std::string> before = listed();
  for (const bool fresh : {false, true}) {
    const auto opened = OpenRocksDbStore(Env::Posix(), path, fresh);
    CHECK(opened.status().code() == StatusCode::kAlreadyExists);
    CHECK_MESSAGE(opened.status().message().find(foreign.substr(0, foreign.rfind('/'))) != std::string::npos,
                  opened.status().message());
    CHECK(listed() == before);
  }
  CHECK(ReplaceState(Env::Posix(), path, directory.path() + "/other").code() == StatusCode::kAlreadyExists);
  CHECK(listed() == before);
  fs::remove_all(path + "/" + foreign.substr(0, foreign.find('/')));
  CHECK(OpenRocksDbStore(Env::Posix(), path, false).ok());
  CHECK(fs::exists(path + "/beside.txt"));
}

/// The log that was written to last.
fs::path LastLog(const std::string& directory) {
  fs::path last;
  for (const auto& entry : fs::directory_iterator(directory + "/db"))
    if (entry.path().extension() == ".log" && entry.path() > last) last = entry.path();
  return last;
}

void Garble(const fs::path& path, std::streamoff from_end) {
  Overwrite(path, static_cast<std::streamoff>(fs::file_size(path)) - from_end, "garbage!");
}

TEST_CASE("RocksDbStore_UnsyncedEndOfTheLogIsGarbage_IsDropped") {
  RocksDbFixture f;
  Oracle oracle;
  Rng rng(3);
  REQUIRE(f.store().Commit(ManifestOf(1), RandomEpoch(rng, 100, oracle)).ok());
  REQUIRE(f.store().outbox()->Write({{"synced", "1"}}, true).ok());
  const uint64_t synced = fs::file_size(LastLog(f.path()));
  REQUIRE(f.store().outbox()->Write({{"marked sent", std::string(40, 'x')}}, false).ok());
  REQUIRE(f.store().outbox()->Write({{"marked sent too", std::string(40, 'x')}}, false).ok());
  f.Close();
  const fs::path log = LastLog(f.path());
  SUBCASE("the last record, which is whole") { Garble(log, 10); }
  SUBCASE("the one before it") { Overwrite(log, static_cast<std::streamoff>(synced) + 30, "garbage!"); }
  SUBCASE("all") { Overwrite(log, static_cast<std::streamoff>(synced), std::string(fs::file_size(log) - synced, '#')); }
  f.Reopen();
  CHECK(f.store().Load()->value().epoch.number == 1);
  CHECK(ContentsOf(f.store()) == oracle);
  CHECK(*f.store().outbox()->Get("synced") == "1");
  CHECK_FALSE(f.store().outbox()->Get("marked sent too")->has_value());
  // The state goes on, and what is committed now is found again.
  REQUIRE(f.store().Commit(ManifestOf(2), RandomEpoch(rng, 100, oracle)).ok());
  f.Reopen();
  CHECK(ContentsOf(f.store()) == oracle);
}

TEST_CASE("RocksDbStore_SyncedPartOfTheLogDamaged_IsDataLoss") {
  RocksDbFixture f;
  Oracle oracle;
  Rng rng(3);
  for (uint64_t epoch = 1; epoch <= 3; ++epoch)
    REQUIRE(f.store().Commit(ManifestOf(epoch), RandomEpoch(rng, 100, oracle)).ok());
  const uint64_t epochs_end = fs::file_size(LastLog(f.path()));
  REQUIRE(f.store().outbox()->Write({{"alert", "fires"}}, true).ok());
  f.Close();
  const fs::path log = LastLog(f.path());
  SUBCASE("in the middle") { Garble(log, static_cast<std::streamoff>(epochs_end / 2)); }
  SUBCASE("at the end") { Garble(log, 10); }
  SUBCASE("cut") { fs::resize_file(log, epochs_end / 2); }
  SUBCASE("cut behind the last epoch") { fs::resize_file(log, epochs_end); }
  CheckSaysWhatToDo(OpenRocksDbStore(Env::Posix(), f.path(), false).status(), f.path());
  CHECK(OpenRocksDbStoreReadOnly(Env::Posix(), f.path()).status().code() == StatusCode::kDataLoss);
}

TEST_CASE("RocksDbStore_StateWithoutAMark_TornLogIsReadDamagedOneRefused") {
  RocksDbFixture f;
  Oracle oracle;
  Rng rng(3);
  REQUIRE(f.store().Commit(ManifestOf(1), RandomEpoch(rng, 100, oracle)).ok());
  REQUIRE(f.store().outbox()->Write({{"alert", "fires"}}, true).ok());
  f.Close();
  fs::remove(f.path() + "/db/SYNCED");
  const fs::path log = LastLog(f.path());
  SUBCASE("torn") {
    fs::resize_file(log, fs::file_size(log) - 3);
    f.Reopen();
    CHECK(ContentsOf(f.store()) == oracle);
  }
  SUBCASE("damaged") {
    Garble(log, static_cast<std::streamoff>(fs::file_size(log) / 2));
    CheckSaysWhatToDo(OpenRocksDbStore(Env::Posix(), f.path(), false).status(), f.path());
  }
}

TEST_CASE("RocksDbStore_EndOfTheVersionFileIsGarbage_ReadsAsIfItWereNotThere") {
  RocksDbFixture f;
  Oracle oracle;
  Rng rng(3);
  REQUIRE(f.store().Commit(ManifestOf(1), RandomEpoch(rng, 3000, oracle)).ok());
  const fs::path versions = FileLike(f.path(), "MANIFEST-", "");
  const uint64_t synced = fs::file_size(versions);
  const Oracle before = oracle;
  SUBCASE("written and not synced") {
    f.Close();
    std::ofstream(versions, std::ios::app | std::ios::binary) << std::string(
        "\0\0\0\0\x05\0\x01"
        "garbage",
        14);
    f.Reopen();
    CHECK(ContentsOf(f.store()) == before);
  }
  SUBCASE("synced once: an epoch would be lost") {
    REQUIRE(f.store().Commit(ManifestOf(2), RandomEpoch(rng, 3000, oracle)).ok());
    f.Close();
    Overwrite(versions, static_cast<std::streamoff>(synced) + 10, "garbage!");
    CheckSaysWhatToDo(OpenRocksDbStore(Env::Posix(), f.path(), false).status(), f.path());
  }
}

TEST_CASE("UntornSize_LogCutOrGarbledAnywhere_EndsBeforeTheFirstDamagedRecord") {
  RocksDbFixture f;
  Oracle oracle;
  Rng rng(3);
  std::vector<size_t> ends = {0};
  for (uint64_t epoch = 1; epoch <= 3; ++epoch) {
    REQUIRE(f.store().Commit(ManifestOf(epoch), RandomEpoch(rng, 1000, oracle)).ok());
    ends.push_back(fs::file_size(LastLog(f.path())));
  }
  f.Close();
  const std::string log = *Env::Posix()->ReadFile(LastLog(f.path()));
  REQUIRE(log.size() > 80000);  // records of several pieces
  REQUIRE(log.size() == ends.back());
  CHECK(UntornSize(log) == log.size());
  for (int i = 0; i < 200; ++i) {
    const size_t at = rng.Below(log.size() - 1) + 1;
    CAPTURE(at);
    const size_t record = static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), at - 1) - ends.begin());
    const size_t cut = UntornSize(std::string_view(log).substr(0, at));
    CHECK((cut == ends[record - 1] || cut == at));  // a record that ends with a piece is cut short without damage
    std::string damaged = log;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x55);
    const size_t size = UntornSize(damaged);
    CHECK((size == log.size() || size == ends[ends.size() - 2]));
    // Nothing whole follows damage in the last piece.
    if (log.size() - at < 1000) CHECK(size == ends[ends.size() - 2]);
  }
}

TEST_CASE("RocksDbStore_FlippedByteInSortedFile_FailsTheScan") {
  RocksDbFixture f;
  Oracle oracle;
  Rng rng(3);
  REQUIRE(f.store().Commit(ManifestOf(1), RandomEpoch(rng, 3000, oracle)).ok());
  f.Close();
  Overwrite(FileLike(f.path(), "", ".sst"), 30000, "XXXX");
  f.Reopen();
  Status status;
  for (TableId table = 1; table <= 3 && status.ok(); ++table)
    status = f.store().Scan(table, 0, 127, [](uint16_t, std::string_view, std::string_view) { return Status::Ok(); });
  CheckSaysWhatToDo(status, f.path());
}

/// A store whose disk is going to be full.
struct FullDisk {
  /// Closes it and reads what a new process finds.
  Oracle Reopened() {
    store.reset();
    auto reopened = OpenRocksDbStore(Env::Posix(), directory.path(), false);
    REQUIRE_MESSAGE(reopened.ok(), reopened.status().message());
    return ContentsOf(**reopened);
  }
  TempDirectory directory;
  std::shared_ptr<FaultyFileSystem> files = std::make_shared<FaultyFileSystem>();
  std::unique_ptr<CheckpointStore> store;
  Rng rng{11};
};

/// f(disk, rows of an epoch, number of the write that fails) for small epochs and large ones, write by write, until it
/// says that none failed.
void ForEachFullDisk(const std::function<bool(FullDisk&, size_t count, int64_t n)>& f) {
  for (const size_t count : {size_t{50}, size_t{3000}}) {
    bool untouched = false;
    for (int64_t n = 0; n < 60 && !untouched; ++n) {
      CAPTURE(count);
      CAPTURE(n);
      FullDisk disk;
      auto opened = OpenRocksDbStoreOn(disk.files, Env::Posix(), disk.directory.path(), false);
      REQUIRE(opened.ok());
      disk.store = std::move(*opened);
      untouched = f(disk, count, n);
    }
    CHECK(untouched);
  }
}

TEST_CASE("RocksDbStore_DiskFullAtAnyWrite_KeepsTheEpochBeforeAndGoesOnLater") {
  ForEachFullDisk([](FullDisk& disk, size_t count, int64_t n) {
    Oracle before;
    REQUIRE(disk.store->Commit(ManifestOf(1), RandomEpoch(disk.rng, count, before)).ok());
    Oracle after = before;
    EpochRows rows = RandomEpoch(disk.rng, count, after);
    disk.files->FailFrom(n);
    const Status status = disk.store->Commit(ManifestOf(2), std::move(rows));
    const bool untouched = !disk.files->failed();
    disk.files->Heal();
    if (status.ok()) {
      REQUIRE(ContentsOf(*disk.store) == after);
    } else {
      REQUIRE_MESSAGE(status.code() == StatusCode::kNoSpace, status.message());
      REQUIRE(status.message().find("full") != std::string::npos);
      REQUIRE(ContentsOf(*disk.store) == before);
      REQUIRE(disk.store->Load()->value().epoch.number == 1);
      // The disk has room again: the same rows and newer ones go into the next epoch.
      rows.Merge(RandomEpoch(disk.rng, 20, after));
      const Status again = disk.store->Commit(ManifestOf(3), std::move(rows));
      REQUIRE_MESSAGE(again.ok(), again.message());
      REQUIRE(ContentsOf(*disk.store) == after);
    }
    REQUIRE(disk.Reopened() == after);
    return untouched;
  });
}

TEST_CASE("RocksDbStore_TriedAgainWhileTheDiskIsStillFull_GoesOnLater") {
  ForEachFullDisk([](FullDisk& disk, size_t count, int64_t n) {
    Oracle after;
    REQUIRE(disk.store->Commit(ManifestOf(1), RandomEpoch(disk.rng, count, after)).ok());
    EpochRows rows = RandomEpoch(disk.rng, count, after);
    disk.files->FailFrom(n);
    Status status = disk.store->Commit(ManifestOf(2), std::move(rows));
    const bool untouched = status.ok();
    for (int attempt = 0; attempt < 3 && !untouched; ++attempt) {
      status = disk.store->Commit(ManifestOf(2), std::move(rows));
      REQUIRE_MESSAGE(status.code() == StatusCode::kNoSpace, status.message());
    }
    disk.files->Heal();
    rows.Merge(RandomEpoch(disk.rng, 20, after));
    status = disk.store->Commit(ManifestOf(3), std::move(rows));
    REQUIRE_MESSAGE(status.ok(), status.message());
    REQUIRE(ContentsOf(*disk.store) == after);
    REQUIRE(disk.Reopened() == after);
    return untouched;
  });
}

/// Two keys of table 9, read as a cell reads those that left its memory.
void CheckReadable(CheckpointStore& store) {
  int found = 0;
  const auto count = [&](std::string_view value) {
    ++found;
    CHECK(value == "kept");
    return Status::Ok();
  };
  const Status got =
      store.MultiGet(9, {{3, "a"}, {3, "b"}, {4, "c"}}, [&](size_t, std::string_view value) { return count(value); });
  CHECK_MESSAGE(got.ok(), got.message());
  const Status walked =
      store.ScanSome(9, 3, {}, 10, [&](std::string_view, std::string_view value) { return count(value); });
  CHECK_MESSAGE(walked.ok(), walked.message());
  CHECK(found == 4);
}

TEST_CASE("RocksDbStore_DiskStaysFull_CommittedKeysCanBeRead") {
  ForEachFullDisk([](FullDisk& disk, size_t count, int64_t n) {
    Oracle oracle;
    EpochRows rows = RandomEpoch(disk.rng, 30, oracle);
    rows.Put(9, 3, "a", "kept");
    rows.Put(9, 3, "b", "kept");
    REQUIRE(disk.store->Commit(ManifestOf(1), std::move(rows)).ok());
    rows = RandomEpoch(disk.rng, count, oracle);
    disk.files->FailFrom(n);
    Status status = disk.store->Commit(ManifestOf(2), std::move(rows));
    const bool untouched = status.ok();
    for (int attempt = 0; attempt < 3 && !untouched; ++attempt) {
      CheckReadable(*disk.store);
      CHECK(disk.store->Commit(ManifestOf(2), std::move(rows)).code() == StatusCode::kNoSpace);
    }
    CheckReadable(*disk.store);
    disk.files->Heal();
    if (!untouched) status = disk.store->Commit(ManifestOf(2), std::move(rows));
    CHECK_MESSAGE(status.ok(), status.message());
    CheckReadable(*disk.store);
    return untouched;
  });
}

TEST_CASE("RocksDbStore_CompactionsBehind_SkipsInsteadOfStalling") {
  TempDirectory directory;
  auto files = std::make_shared<FaultyFileSystem>();
  auto opened = OpenRocksDbStoreOn(files, Env::Posix(), directory.path(), false);
  REQUIRE(opened.ok());
  files->SetGate(true);
  Rng rng(5);
  Oracle oracle;
  EpochRows rows;
  uint64_t epoch = 0;
  Status status;
  while (status.ok() && epoch < 40) {
    rows.Merge(RandomEpoch(rng, 2500, oracle));
    status = (*opened)->Commit(ManifestOf(++epoch), std::move(rows));
  }
  CHECK(status.code() == StatusCode::kUnavailable);
  CHECK(status.retry() == RetryHint::kLater);
  CHECK(epoch == 6 + 16 + 1);  // a sorted file sinks to the lowest level that has nothing in its way: L6 to L1, then L0
  CHECK(rows.count() >= 2500);
  files->SetGate(false);
  do {
    std::this_thread::yield();
    status = (*opened)->Commit(ManifestOf(++epoch), std::move(rows));
  } while (status.code() == StatusCode::kUnavailable);
  REQUIRE_MESSAGE(status.ok(), status.message());
  CHECK(ContentsOf(**opened) == oracle);
}

// The child of the next test: commits epoch after epoch until it is killed. Writes 'b' before and 'd' after each
// commit.
TEST_CASE("RocksDbStore_CommitUntilKilled_Child" * doctest::skip()) {
  const auto directory = Env::Posix()->Variable("FRESHET_TEST_KILL_DIRECTORY");
  if (!directory) return;
  auto opened = OpenRocksDbStore(Env::Posix(), *directory, false);
  REQUIRE(opened.ok());
  Rng rng(99);
  Oracle oracle;
  for (uint64_t epoch = 1; epoch < 1000; ++epoch) {
    EpochRows rows = RandomEpoch(rng, epoch % 3 == 0 ? 2500 : 200, oracle);
    REQUIRE(::write(3, "b", 1) == 1);
    REQUIRE((*opened)->Commit(ManifestOf(epoch), std::move(rows)).ok());
    REQUIRE(::write(3, "d", 1) == 1);
  }
}

TEST_CASE("RocksDbStore_KilledAnywhere_HoldsAWholeEpoch") {
  for (const size_t kill_after : {1, 2, 3, 5, 6, 11, 12, 17, 24, 31}) {
    CAPTURE(kill_after);
    TempDirectory directory;
    Child child("RocksDbStore_CommitUntilKilled_Child", directory.path());
    uint64_t acknowledged = 0;
    char event = 0;
    for (size_t n = 0; n < kill_after && child.Read(&event); ++n) acknowledged += event == 'd' ? 1 : 0;
    child.Kill();
    while (child.Read(&event)) acknowledged += event == 'd' ? 1 : 0;

    auto opened = OpenRocksDbStore(Env::Posix(), directory.path(), false);
    REQUIRE_MESSAGE(opened.ok(), opened.status().message());
    const auto manifest = (*opened)->Load();
    REQUIRE(manifest.ok());
    const uint64_t epoch = manifest->has_value() ? manifest->value().epoch.number : 0;
    CHECK(epoch >= acknowledged);
    CHECK(epoch <= acknowledged + 1);
    Rng rng(99);
    Oracle oracle;
    for (uint64_t e = 1; e <= epoch; ++e) (void)RandomEpoch(rng, e % 3 == 0 ? 2500 : 200, oracle);
    CHECK(ContentsOf(**opened) == oracle);
  }
}

}  // namespace
}  // namespace freshet
