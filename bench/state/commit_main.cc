// Times of a checkpoint of 850, 5,000 and 1,000,000 dirty keys, from the tables to the disk, and of the restore.
//   commit_bench [DIRECTORY]    (default: a fresh one below /tmp; the disk it lies on is what is measured)
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "engine/base/env.h"
#include "engine/base/rng.h"
#include "engine/state/checkpoint_store.h"
#include "engine/state/keyed_table.h"

namespace freshet {
namespace {

constexpr int64_t kUniverse = 1000000;

/// What a window of count, sum, min and max keeps: 32 bytes.
struct Aggregate {
  int64_t count = 0;
  double sum = 0;
  double min = 0;
  double max = 0;
  void Encode(ByteSink& sink) const {
    sink.PutI64(count);
    sink.PutF64(sum);
    sink.PutF64(min);
    sink.PutF64(max);
  }
  bool Decode(ByteSource& source, uint16_t) {
    count = source.GetI64();
    sum = source.GetF64();
    min = source.GetF64();
    max = source.GetF64();
    return true;
  }
};

void Touch(KeyedTable<Aggregate>& table, int64_t id) {
  const std::string key = "user-" + std::to_string(id);
  Aggregate& a = table.FindOrCreate(HashKey(key), key);
  ++a.count;
  a.sum += static_cast<double>(id);
}

struct Times {
  std::vector<double> ms;
  void Add(int64_t us) { ms.push_back(static_cast<double>(us) / 1000); }
  void Print(const char* what) {
    std::sort(ms.begin(), ms.end());
    std::printf("  %-7s median %8.2f ms   min %8.2f   max %8.2f\n", what, ms[ms.size() / 2], ms.front(), ms.back());
  }
};

void Check(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.message().c_str());
  std::exit(1);
}

/// Commits `epochs` times `dirty` changed keys. The first round of a size fills the store; it is timed like the others.
void Measure(Env* env, const std::string& directory, int64_t dirty, int epochs) {
  auto opened = OpenRocksDbStore(env, directory, true);
  Check(opened.status());
  KeyedTable<Aggregate> table("bench", {});
  Rng rng(42);
  Times drain;
  Times commit;
  int skipped = 0;
  for (int i = 0; i < epochs; ++i) {
    for (int64_t n = 0; n < dirty; ++n)
      Touch(table, dirty == kUniverse ? n : static_cast<int64_t>(rng.Below(static_cast<uint64_t>(dirty) * 4)));
    Manifest manifest;
    manifest.epoch = {static_cast<uint64_t>(i) + 1};
    const int64_t start = env->SteadyMicros();
    EpochRows rows;
    table.DrainDirty([&](const StateEntry& e) {
      if (e.erased)
        rows.Erase(1, e.key_group, e.key);
      else
        rows.Put(1, e.key_group, e.key, e.value);
    });
    const int64_t drained = env->SteadyMicros();
    const Status status = (*opened)->Commit(manifest, std::move(rows));
    if (status.code() == StatusCode::kUnavailable)
      ++skipped;
    else
      Check(status);
    drain.Add(drained - start);
    commit.Add(env->SteadyMicros() - drained);
  }
  std::printf("%lld keys touched, %d epochs, %d skipped, %.1f MB on disk\n", static_cast<long long>(dirty), epochs,
              skipped, static_cast<double>((*opened)->disk_bytes()) / 1e6);
  drain.Print("drain");
  commit.Print("commit");
  opened->reset();
  const int64_t start = env->SteadyMicros();
  opened = OpenRocksDbStore(env, directory, false);
  Check(opened.status());
  KeyedTable<Aggregate> restored("bench", {});
  Check((*opened)->Scan(1, 0, 127, [&](uint16_t group, std::string_view key, std::string_view value) {
    return restored.RestoreEntry(group, key, value, 1);
  }));
  std::printf("  restore %lld keys: %.1f ms\n", static_cast<long long>(restored.size()),
              static_cast<double>(env->SteadyMicros() - start) / 1000);
}

}  // namespace
}  // namespace freshet

int main(int argc, char** argv) {
  using namespace freshet;
#ifdef FRESHET_BENCH_FLAGS
  std::printf("%s\n", FRESHET_BENCH_FLAGS);
#endif
  Env* const env = Env::Posix();
  const std::string directory = argc > 1 ? argv[1] : "/tmp/freshet_commit_bench";
  Measure(env, directory, 850, 101);
  Measure(env, directory, 2000, 101);
  Measure(env, directory, 5000, 101);
  Measure(env, directory, 100000, 61);
  Measure(env, directory, kUniverse, 7);
  struct rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  std::printf("peak memory %.0f MB\n", static_cast<double>(usage.ru_maxrss) / 1024);
  return env->RemoveTree(directory).ok() ? 0 : 1;
}
