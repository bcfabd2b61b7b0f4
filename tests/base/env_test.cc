#include "engine/base/env.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine/base/cpu.h"
#include "engine/base/fault_env.h"

namespace freshet {
namespace {

/// A directory of its own, removed through the Env under test.
struct Place {
  Place() {
    char pattern[] = "/tmp/freshet_env_XXXXXX";
    if (::mkdtemp(pattern) != nullptr) path = pattern;
  }
  ~Place() { CHECK(Env::Posix()->RemoveTree(path).ok()); }
  std::string path;
};

void Put(const std::string& path, std::string_view text) {
  Env* env = Env::Posix();
  REQUIRE(env->MakeDirectories(DirectoryOf(path)).ok());
  const Status status = env->WriteFileAtomically(path, text);
  REQUIRE_MESSAGE(status.ok(), status.message());
}

TEST_CASE("PosixEnv_AppendTruncateRead_RoundTrips") {
  Place place;
  Env* env = Env::Posix();
  const std::string path = place.path + "/a/b/file";
  CHECK(env->OpenWritable(path).status().code() == StatusCode::kNotFound);
  REQUIRE(env->MakeDirectories(place.path + "/a/b").ok());
  std::string expected;
  {
    auto file = env->OpenWritable(path);
    REQUIRE(file.ok());
    for (int i = 0; i < 3000; ++i) {
      const std::string piece(static_cast<size_t>(i % 97), static_cast<char>('a' + i % 26));
      expected += piece;
      REQUIRE((*file)->Append(piece).ok());
    }
    REQUIRE((*file)->Append(std::string(200000, 'z')).ok());  // larger than the buffer
    expected += std::string(200000, 'z');
    CHECK((*file)->size() == static_cast<int64_t>(expected.size()));
    REQUIRE((*file)->Sync().ok());
    CHECK(*env->ReadFile(path) == expected);
    REQUIRE((*file)->Append("lost unless closed").ok());
    expected += "lost unless closed";
    REQUIRE((*file)->Close().ok());
  }
  CHECK(*env->ReadFile(path) == expected);
  CHECK(env->Stat(path)->size == static_cast<int64_t>(expected.size()));
  CHECK(env->Stat(path)->is_regular);
  CHECK(env->Stat(place.path)->is_directory);

  CHECK(env->OpenWritable(path, 1 << 30).status().code() == StatusCode::kDataLoss);
  auto again = env->OpenWritable(path, 5);
  REQUIRE(again.ok());
  REQUIRE((*again)->Append("!").ok());
  CHECK((*again)->size() == 6);
  REQUIRE((*again)->Flush().ok());
  CHECK(*env->ReadFile(path) == expected.substr(0, 5) + "!");

  auto reader = env->OpenReadable(path);
  REQUIRE(reader.ok());
  REQUIRE((*reader)->Seek(4).ok());
  char bytes[8];
  CHECK((*reader)->Read(bytes, 8).value() == 2);
  CHECK((*reader)->Read(bytes, 8).value() == 0);
  REQUIRE((*again)->Append("more").ok());
  REQUIRE((*again)->Flush().ok());
  CHECK((*reader)->Read(bytes, 8).value() == 4);  // the end was only the end for now
}

TEST_CASE("PosixEnv_Directories_ListGlobRenameRemove") {
  Place place;
  Env* env = Env::Posix();
  for (const char* name : {"/b.csv", "/a.csv", "/c.json"}) Put(place.path + name, "x");
  CHECK(*env->List(place.path) == std::vector<std::string>{"a.csv", "b.csv", "c.json"});
  CHECK(*env->Glob(place.path + "/*.csv") == std::vector<std::string>{place.path + "/a.csv", place.path + "/b.csv"});
  CHECK(env->Glob(place.path + "/*.xml")->empty());
  CHECK(env->Rename(place.path + "/a.csv", place.path + "/d").ok());
  CHECK(env->Remove(place.path + "/a.csv").code() == StatusCode::kNotFound);
  CHECK(env->Remove(place.path + "/d").ok());
  CHECK(env->List(place.path + "/nowhere").status().code() == StatusCode::kNotFound);
  CHECK(env->RemoveTree(place.path + "/nowhere").ok());
  CHECK(env->ReadFile(place.path).status().code() == StatusCode::kIo);  // a directory
}

TEST_CASE("PosixEnv_Lock_IsExclusiveAndEndsWithItsHolder") {
  Place place;
  auto first = Env::Posix()->Lock(place.path + "/LOCK");
  REQUIRE(first.ok());
  CHECK(Env::Posix()->Lock(place.path + "/LOCK").status().code() == StatusCode::kLocked);
  first->reset();
  CHECK(Env::Posix()->Lock(place.path + "/LOCK").ok());
}

TEST_CASE("Env_Paths_ResolveAgainstADirectory") {
  CHECK(DirectoryOf("a") == ".");
  CHECK(DirectoryOf("/a") == "/");
  CHECK(DirectoryOf("x/y/z") == "x/y");
  CHECK(ResolvePath("d", "f") == "d/f");
  CHECK(ResolvePath("d/", "f") == "d/f");
  CHECK(ResolvePath("d", "/f") == "/f");
  CHECK(ResolvePath(".", "f") == "f");
  CHECK(ResolvePath("", "f") == "f");
}

TEST_CASE("Env_WriteFileAtomically_IsOldOrNewWhateverCallFails") {
  Place place;
  const std::string path = place.path + "/config";
  bool untouched = false;
  for (int n = 0; !untouched; ++n) {
    CAPTURE(n);
    REQUIRE(n < 100);
    Put(path, "old");
    FaultEnv env(Env::Posix());
    env.FailAfter(n, Status::NoSpace("injected"));
    const Status status = env.WriteFileAtomically(path, "new content");
    untouched = env.fault_count() == 0;
    CHECK(status.ok() == untouched);
    if (!status.ok()) CHECK(status.code() == StatusCode::kNoSpace);
    const std::string now = *Env::Posix()->ReadFile(path);
    CHECK((now == "old" || now == "new content"));
    CHECK(Env::Posix()->List(place.path)->size() == 1);  // no temporary file stays
  }
}

TEST_CASE("PosixEnv_WriteCutShortByALimit_NothingIsLostOrTwice") {
  Place place;
  // RLIMIT_FSIZE cuts a write short and then refuses, as a full disk does.
  struct rlimit before;
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  auto file = Env::Posix()->OpenWritable(place.path + "/f", -1);
  REQUIRE(file.ok());
  std::string expected;
  const struct rlimit tight = {100000, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &tight) == 0);
  bool refused = false;
  Status flushed;
  for (int i = 0; i < 40 && !refused; ++i) {
    const std::string piece(i % 3 == 0 ? 70000 : 3000, static_cast<char>('a' + i % 26));
    if ((*file)->Append(piece).ok())
      expected += piece;
    else
      refused = true;
  }
  flushed = (*file)->Flush();
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  ::signal(SIGXFSZ, handler);
  CHECK(refused);
  CHECK(!flushed.ok());
  CHECK((*file)->size() == static_cast<int64_t>(expected.size()));
  REQUIRE((*file)->Append("end").ok());
  REQUIRE((*file)->Close().ok());
  CHECK((*Env::Posix()->ReadFile(place.path + "/f") == expected + "end"));
}

TEST_CASE("FaultEnv_TornAppendStickyFaultAndClock") {
  Place place;
  FaultEnv env(Env::Posix());
  auto file = env.OpenWritable(place.path + "/f", -1);
  REQUIRE(file.ok());
  CHECK(env.call_count() == 1);
  env.FailAfter(0, Status::NoSpace("full"), /*sticky=*/true);
  CHECK((*file)->Append("xxx").code() == StatusCode::kNoSpace);  // may be tried again: nothing was taken
  env.FailAfter(0, Status::Io("broken"), /*sticky=*/true);
  CHECK((*file)->Append("12345678").code() == StatusCode::kIo);
  CHECK((*file)->Sync().code() == StatusCode::kIo);
  env.Heal();
  CHECK((*file)->Close().ok());
  CHECK(*Env::Posix()->ReadFile(place.path + "/f") == "1234");
  CHECK(env.fault_count() == 3);
  env.FreezeClock(1000);
  env.AdvanceMicros(5);
  CHECK(env.WallMicros() == 1005);
  CHECK(env.SteadyMicros() == 5);
}

TEST_CASE("Cpu_CgroupLimits_AreTheSmallestOfAllGroupsUpToTheRoot") {
  Place place;
  Env* env = Env::Posix();
  const std::string& root = place.path;
  const std::string groups = root + "/sys/fs/cgroup";
  CHECK(CgroupCpuLimitMilli(env, root) == INT64_MAX);  // no cgroups at all
  SUBCASE("version 2") {
    Put(root + "/proc/self/cgroup", "0::/user.slice/app.scope\n");
    CHECK(CgroupMemoryLimitBytes(env, root) == INT64_MAX);
    Put(groups + "/user.slice/app.scope/cpu.max", "max 100000\n");
    Put(groups + "/user.slice/app.scope/memory.max", "max\n");
    CHECK(CgroupCpuLimitMilli(env, root) == INT64_MAX);
    Put(groups + "/user.slice/cpu.max", "150000 100000\n");
    Put(groups + "/user.slice/memory.max", "300000000\n");
    CHECK(CgroupCpuLimitMilli(env, root) == 1500);
    CHECK(CgroupMemoryLimitBytes(env, root) == 300000000);
    CHECK(MemoryLimitBytes(env, root) == 300000000);
    Put(groups + "/cpu.max", "50000 100000\n");
    CHECK(AvailableCores(env, root) == 1);
  }
  SUBCASE("version 1") {
    Put(root + "/proc/self/cgroup", "4:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n2:cpuset:/\n1:name=systemd:/\n");
    Put(groups + "/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    Put(groups + "/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    CHECK(CgroupCpuLimitMilli(env, root) == INT64_MAX);
    // Inside a container the group's own path is not there: its files stand at the root.
    Put(groups + "/cpu/cpu.cfs_quota_us", "25000\n");
    Put(groups + "/cpu/cpu.cfs_period_us", "100000\n");
    Put(groups + "/memory/memory.limit_in_bytes", "123456\n");
    CHECK(CgroupCpuLimitMilli(env, root) == 250);
    CHECK(CgroupMemoryLimitBytes(env, root) == 123456);
    CHECK(AvailableCores(env, root) == 1);
  }
  SUBCASE("nonsense") {
    Put(root + "/proc/self/cgroup", "x\n0::\n::\n0::/a\n");
    Put(groups + "/cpu.max", "lots\n");
    Put(groups + "/a/cpu.max", "-5 0\n");
    CHECK(CgroupCpuLimitMilli(env, root) == INT64_MAX);
    CHECK(AvailableCores(env, root) >= 1);
  }
}

}  // namespace
}  // namespace freshet
